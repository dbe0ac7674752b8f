"""Normalisation: NFC against `unicodedata`, the other rules against plain Python, mojibake by making some."""

from __future__ import annotations

import re
import time
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import character_properties, normalise, utf8
from stages.normalise_unicode import Config, normalise_unicode, to_nfc
from tests.stages.batches import judge
from tests.stages.test_text_filters_fuzz import raw_texts

FIX = Config(fix_mojibake=True)
JOINING = ((0x600, 0x8FF), (0x900, 0xDFF), (0xF00, 0x109F), (0x1780, 0x18AF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC))
EMOJI = ((0x2190, 0x23FF), (0x2600, 0x27BF), (0x2B00, 0x2BFF), (0xFE0F, 0xFE0F), (0x1F000, 0x1FAFF))


def normalised(text: str, config: Config | None = None) -> str:
    result: str = judge(normalise_unicode, [text], config).columns["text"].to_pylist()[0]
    return result


def is_in(character: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    return bool(character) and any(low <= ord(character) <= high for low, high in ranges)


def plain(text: str) -> str:
    """The rules with all options on but mojibake, as one reads them."""
    text = re.sub("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", "\n", text)
    out: list[str] = []
    for i, c in enumerate(text):
        before, after = out[-1] if out else "", text[i + 1 : i + 2]
        if c in "\u200c\u200d":
            shaped = is_in(before, JOINING) or is_in(after, JOINING) or (c == "\u200d" and is_in(before, EMOJI))
            keep = before not in ("\u200c", "\u200d") and shaped
        else:
            hidden = c in "\xad\u200b\u2060\ufeff\u061c\u200e\u200f" or 0x202A <= ord(c) <= 0x202E
            isolate = 0x2066 <= ord(c) <= 0x2069
            keep = not hidden and not isolate and (c in "\n\t" or unicodedata.category(c) != "Cc")
        if keep:
            out.append(" " if unicodedata.category(c) == "Zs" else c)
    return unicodedata.normalize("NFC", "".join(out))


LETTERS = "aAo\u0301\u0308\u0323\u0327\u0345\u05b0\u05bc\u0651\u064e\u0915\u093c\u094d\u200c\u200d\u1100\u1161\u11a8"
LETTERS += "가각\u2126\u212bé\u0344\u0958\u0f71\u0f72\u0f73\u1112\U0001d15e\U0001d165\u3099か中\u0374\u1e9b\u0338<"
OTHERS = "\r\n\t\x00\x07\x0b\x0c\x1c\x7f\u0085\u0091\xa0\xad\u200b\u2060\ufeff\u2028\u3000\u2003\u202e\u2069\u200e"
OTHERS += "\u061c\ufffd\ue000😀\ufe0f\u200d👩❤ می"
ANY = st.text(st.sampled_from(LETTERS + OTHERS) | st.characters(exclude_categories=["Cs", "Cn"]), max_size=25)


@settings(max_examples=3000, deadline=None)
@given(st.text(st.sampled_from(LETTERS) | st.characters(exclude_categories=["Cs", "Cn", "Cc", "Zs"]), max_size=20))
def test_normalise_unicode_nfc_is_that_of_unicodedata(text: str) -> None:
    assert to_nfc(text) == unicodedata.normalize("NFC", text)
    counts = normalise.normalise(
        utf8.view(pa.array([text], pa.large_string())),
        normalise.Rules(bidi_controls=False, spaces=False, mojibake=False),
    ).counts
    if not counts[0, normalise.NOT_NFC] and not counts[0, : normalise.NUM_CHANGING].any():
        assert unicodedata.is_normalized("NFC", text)


def test_normalise_unicode_quick_check_says_yes_where_it_can() -> None:
    texts = ["café", "Übung", "क्षेत्र", "가각", "中文。", "שלום", "Привет", "مرحبا", "a"]
    verdict = judge(normalise_unicode, texts)
    assert verdict.counters["not_nfc"] == verdict.counters["texts_changed"] == 0


@settings(max_examples=2500, deadline=None)
@given(ANY)
def test_normalise_unicode_any_text_becomes_what_the_rules_say(text: str) -> None:
    config = Config(remove_bidi_controls=True)
    if judge(normalise_unicode, [text], config).counters["mojibake_characters"]:
        return  # stays as it is
    expected = text
    for _ in range(4):
        expected = plain(expected)
    assert normalised(text, config) == expected


MOJIBAKE = ["Ã", "Â", "©", "â", "€", "™", "Ð", "Ñ", "¸", "\x9d", "\xa0", "ï", "»", "¿", "a", "E",
    "Ä", "…", "\x92", "ð", "Ÿ", "˜",
            "\u200b", "\u0303", "‹", "A", "\n"]  # fmt: skip


@settings(max_examples=3000, deadline=None)
@given(ANY | st.lists(st.sampled_from(MOJIBAKE), max_size=12).map("".join), st.booleans(), st.booleans(), st.booleans())
def test_normalise_unicode_twice_is_once(text: str, spaces: bool, bidi: bool, fix: bool) -> None:
    config = Config(plain_spaces=spaces, remove_bidi_controls=bidi, fix_mojibake=fix)
    once = normalised(text, config)
    assert normalised(once, config) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb\rc\u2028d\x0ce", "a\nb\nc\nd\ne"), ("a\x00b\x07\tc\x7f", "ab\tc"),
        ("\ufeffWerk\xadzeug\u200b a\u2060b", "Werkzeug ab"), ("a\u00a0b\u3000c\u202fd", "a b c d"),
        ("می\u200cخواهم", "می\u200cخواهم"), ("क्\u200dष", "क्\u200dष"), ("a\u200cb\u200dc", "abc"),
        ("👩\u200d💻 ❤\ufe0f\u200d🔥", "👩\u200d💻 ❤\ufe0f\u200d🔥"), ("می\u200c\u200cخ", "می\u200cخ"),
        ("cafe\u0301", "café"), ("\u212b", "Å"), ("\u2126", "Ω"), ("e\u200b\u0301", "é"),
        ("a\u202eb\u2069", "a\u202eb\u2069"),
    ],
)  # fmt: skip
def test_normalise_unicode_hand_made_text_is_normalised(text: str, expected: str) -> None:
    assert normalised(text) == expected


def test_normalise_unicode_options_off_leave_spaces_and_on_remove_bidi_controls() -> None:
    assert normalised("a\u00a0b\u3000", Config(plain_spaces=False)) == "a\u00a0b\u3000"
    assert normalised("a\u202eb\u200e\u2069", Config(remove_bidi_controls=True)) == "ab"


def test_normalise_unicode_changes_are_counted_by_kind() -> None:
    texts = ["a\r\n\x00\u200b\u202e\u00a0", "e\u0301\ufffd\ue000", "CafÃ© donâ€™t \x91x", None, "plain"]
    verdict = judge(normalise_unicode, texts, Config(remove_bidi_controls=True, fix_mojibake=True))
    assert verdict.counters == {
        "texts_changed": 3, "line_breaks": 1, "control_characters": 1, "zero_width_characters": 1, "bidi_controls": 1,
        "spaces": 1, "mojibake_repaired": 2, "c1_as_windows_1252": 1, "mojibake_characters": 5,
        "replacement_characters": 1, "private_use_characters": 1, "not_nfc": 1,
    }  # fmt: skip
    share_N = verdict.measures["mojibake_share"].value_N
    assert share_N[2] == 5 / len(texts[2] or "") and np.isnan(share_N[3]) and share_N[4] == 0
    assert verdict.columns["text"].to_pylist() == ["a\n ", "é\ufffd\ue000", "Café don’t ‘x", None, "plain"]


def as_mojibake(text: str) -> str:
    """UTF-8 read as windows-1252, bytes it does not know as C1 controls."""
    return "".join(bytes([b]).decode("cp1252") if b not in b"\x81\x8d\x8f\x90\x9d" else chr(b) for b in text.encode())


@pytest.mark.parametrize(
    "text",
    ["café à l’été — naïve", "Größe, Übung, Öl", "„Zażółć gęślą jaźń”", "Привет, мир", "Ελλάδα",
    "你好，世界。", "日本語のテスト",
     "한국어", "שלום", "مرحبا", "😀 done… 1½ £5 20°", "José’s “quote”", "mañana", "coração"],
)  # fmt: skip
def test_normalise_unicode_mojibake_is_counted_and_repaired(text: str) -> None:
    broken = as_mojibake(text)
    assert normalised(broken, FIX) == text
    assert normalised(broken, Config(plain_spaces=False)) == broken
    counters = judge(normalise_unicode, [broken]).counters
    assert counters["mojibake_characters"] == sum(len(as_mojibake(c)) for c in text if ord(c) > 127)
    assert counters["mojibake_repaired"] == 0


def test_normalise_unicode_mojibake_made_twice_is_repaired_twice() -> None:
    assert normalised(as_mojibake(as_mojibake("café – don’t")), FIX) == "café – don’t"


@pytest.mark.parametrize(
    "text",
    ["„MENÜ“", "LE CAFÉ”", "« À »", "„Spaß“", "AMANHÔ", "IRMû", "Ü–Ö", "CAFÉ²", "Ça…", "à “x”",
    "São", "Ångström", "2×³", "É™",
     "ÉTÉ—", "Ñ”", "ÄÖÜ", "Î…", "â—x", "TÊTE‹", "Âge", "Þór", "ð", "é”—x", "Ž‘", "œuvre", "Ä Å"],
)  # fmt: skip
def test_normalise_unicode_honest_text_is_no_mojibake(text: str) -> None:
    assert normalised(text, FIX) == text
    assert judge(normalise_unicode, [text]).counters["mojibake_characters"] == 0


def test_normalise_unicode_c1_controls_in_a_row_are_not_read_as_windows_1252() -> None:
    assert normalised("won\x92t", FIX) == "won’t"
    assert normalised("Appleā\x80\x99s", FIX) == "Appleās"  # another codec's mojibake


def test_normalise_unicode_text_without_changes_is_the_same_buffers() -> None:
    texts = pa.array(["plain", None, "café\n\t中文 Привет"], pa.large_string())
    column = judge(normalise_unicode, texts).columns["text"]
    assert [b and b.address for b in column.buffers()] == [b and b.address for b in texts.buffers()]


def test_normalise_unicode_characters_unknown_to_the_table_stay_and_part_the_text() -> None:
    unknown = next(chr(c) for c in range(0x10000, 0x110000) if unicodedata.category(chr(c)) == "Cn")
    assert character_properties.properties_of(unknown) & character_properties.UNASSIGNED
    assert to_nfc(f"e\u0301{unknown}\u0301e\u0301") == f"é{unknown}\u0301é"
    assert normalised(f"e\u0301{unknown}") == f"é{unknown}"


def test_normalise_unicode_table_is_that_of_unicodedata() -> None:
    if character_properties.unicode_version() != unicodedata.unidata_version:
        pytest.skip("this Python has another Unicode version than the table")
    generated, table = character_properties.generate(), character_properties.load()
    code_T = np.arange(character_properties.NUM_CODE_POINTS)
    place_T = table.index[code_T >> 7].astype(np.int64) << 7 | code_T & 127
    np.testing.assert_array_equal(table.blocks[place_T], generated)


def test_normalise_unicode_broken_utf8_passes_and_reads_nothing_beside_it() -> None:
    rows = [b"e\xcc\x81\xff", b"\xe2\x80", b"a\xcc", b"\xc3\x83\xc2", b"\xed\xa0\x80e\xcc\x81", b"\r", b"\xc2"]
    first = judge(normalise_unicode, raw_texts(rows), FIX).columns["text"].cast(pa.large_binary()).to_pylist()
    assert first == [b"\xc3\xa9\xff", *rows[1:4], b"\xed\xa0\x80\xc3\xa9", b"\n", b"\xc2"]
    for before, after in ((b"\xc3\x83", b"\xc2\xa9"), (b"\xe2\x80", b"\x8b"), (b"\r", b"\n")):
        again = judge(normalise_unicode, raw_texts(rows, before, after), FIX).columns["text"]
        assert again.cast(pa.large_binary()).to_pylist() == first
    assert judge(normalise_unicode, []).columns["text"].to_pylist() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    ["a", "\r", "\u200b", "Ã", "Ã©", "â€", "\u0315\u0301", "e\u0301", "\u00a0", "\u200d", "中", "\u1161", "Ã\xad"],
)
def test_normalise_unicode_huge_text_of_one_kind_takes_linear_time(unit: str) -> None:
    judge(normalise_unicode, ["compile e\u0301"], FIX)
    seconds = []
    for num_bytes in (2_000_000, 20_000_000):
        text = pa.array([unit * (num_bytes // len(unit.encode()))], pa.large_string())
        start = time.process_time()
        judge(normalise_unicode, text, FIX)
        seconds.append((time.process_time() - start) / num_bytes)
    assert seconds[1] < 4 * seconds[0] + 2e-7  # per byte
