"""Line cleaning: against a plain reimplementation over Python strings, on made-up texts and real pages, and by hand."""

from __future__ import annotations

import itertools
import re
import time
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import FieldError
from stages.clean_lines import Config, clean_lines
from stages.kernels import c4_phrases
from stages.kernels.clean_lines import COUNTED, LINE_KINDS
from stages.kernels.unicode_tables import HAN_KANA
from stages.kernels.utf8 import class_at
from tests.shared_data import SHARED, needs_shared
from tests.stages.batches import judge, reasons
from tests.stages.test_text_filters_fuzz import hostile_rows, raw_texts

KEEP_ALL = Config(max_removed_share=None)
UNSPACED = [*range(0x0E00, 0x10A0), *range(0x1780, 0x1800), *range(0x1A20, 0x1AB0)]


def is_single(character: str) -> bool:
    """Whether a character is a word by itself."""
    raw = np.frombuffer(character.encode(), np.uint8)
    bits, _ = class_at(raw, 0, len(raw))
    return bool(bits & HAN_KANA) or (character.isalpha() and ord(character) in UNSPACED)


def count_words(line: str) -> int:
    count = 0
    for run in line.split():
        pieces = re.split("|".join(map(re.escape, filter(is_single, run))) or "(?!)", run)
        count += sum(any(c.isalpha() or c.isdecimal() for c in piece) for piece in pieces) + sum(map(is_single, run))
    return count


def ascii_lower(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def kind_of(line: str, config: Config) -> str:
    """What the rules make of a line that is not blank."""
    line, lower = line.strip(), ascii_lower(line.strip())
    words, letters = count_words(line), [c for c in line if c.isalpha()]
    for name in ("javascript", "policy"):
        if any(phrase in lower for phrase in getattr(config, f"{name}_phrases")):
            return name
    if any(ascii_lower(phrase) in lower for phrase in config.phrases):
        return "phrase"
    upper = sum(unicodedata.category(c) == "Lu" for c in letters)
    if config.max_uppercase_share is not None and upper > config.max_uppercase_share * len(letters):
        return "uppercase"
    digits = any(c.isdecimal() for c in line)
    if config.remove_numeric and digits and not letters:
        return "numeric"
    tokens = re.findall(r"[0-9][0-9.,]*[A-Za-z0-9_]*|[A-Za-z_][A-Za-z0-9_]*", line)
    number = [t for t in tokens if re.fullmatch(r"[0-9][0-9.,]*[kKmM]?", t)]
    word = [t for t in tokens if re.fullmatch("|".join(f"{w}s?" for w in COUNTED), ascii_lower(t))]
    clean = len(number) == sum(t[0].isdecimal() for t in tokens) == 1 and len(word) == 1
    if config.remove_counters and clean and digits and words == 2 and len(line.encode()) < 40:
        return "counter"
    if config.remove_single_words and words == 1:
        return "one_word"
    if words <= config.max_short_line_words:
        starts = any(re.match(re.escape(p) + r"(?![A-Za-z0-9_])", lower) for p in config.short_line_starts)
        ends = any(re.search(r"(?<![A-Za-z0-9_])" + re.escape(p) + "$", lower) for p in config.short_line_ends)
        if starts or ends or any(p in lower for p in config.short_line_phrases):
            return "short_pattern"
    return "kept"


def cleaned(text: str, config: Config) -> tuple[str, dict[str, int], float]:
    """(the text, lines by kind, share of words taken out)."""
    lines = text.splitlines()
    kinds = [kind_of(line, config) if line.strip() else "blank" for line in lines]
    counts = {name: kinds.count(name) for name in LINE_KINDS}
    words = sum(count_words(line) for line in lines)
    kept_words = sum(count_words(line) for line, kind in zip(lines, kinds, strict=True) if kind == "kept")
    share = (words - kept_words) / words if words else float("nan")
    if sum(counts.values()) == counts["kept"]:
        return text, counts, share
    kept = [i for i, kind in enumerate(kinds) if kind == "kept"]
    out = lines[kept[0]] if kept else ""
    for before, after in itertools.pairwise(kept):
        runs = [len(list(run)) for kind, run in itertools.groupby(kinds[before + 1 : after]) if kind == "blank"]
        out += "\n" * (1 + max(runs, default=0)) + lines[after]
    return out, counts, share


def check(texts: list[str], config: Config) -> None:
    verdict = judge(clean_lines, texts, config)
    expected = [cleaned(text, config) for text in texts]
    assert verdict.columns["text"].to_pylist() == [text for text, _, _ in expected]
    for kind in LINE_KINDS:
        assert verdict.counters[f"lines_{kind}"] == sum(counts[kind] for _, counts, _ in expected), kind
    np.testing.assert_array_equal(verdict.measures["removed_word_share"].value_N, [share for _, _, share in expected])


PIECES = st.sampled_from(
    ["The end of it.", "one", " ", "\n", "\n\n", "\r\n", "\u2028", "ENABLE", "JavaScript", "enable javascript", "NASA ",
     "Privacy Policy", "use cookies", "3", "likes", "1,204", "2.5k ", "12x", "Comments", "(4)",
     ":", "Sign in", "sign-in",
     "Read more...", "bread more", "items in cart", "ПРИВЕТ", "Ünïcode Ä", "首页", "图", "ไทย",
     "한국", "•", "½", "٣", "\u00a0",
     "-", "_", "own phrase", "É", "\U0001d400", "a b c d e f g h i j k", "follower", "reply", "replies"]
)  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES, max_size=16))
def test_clean_lines_any_text_is_cleaned_as_defined(pieces: list[str]) -> None:
    check(["".join(pieces)], Config(max_removed_share=None, phrases=("Own Phrase",)))


@needs_shared
def test_clean_lines_real_pages_are_cleaned_as_defined() -> None:
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text

    texts = []
    for name in ("00000", "00007", "00014"):
        with (SHARED / "data" / "warc" / f"DEV-MAIN-{name}.warc.gz").open("rb") as file:
            records = ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True)
            for record in itertools.islice(records, 15):
                texts.append(extract_plain_text(record.reader.read().decode("utf-8", "replace"), main_content=True))
    assert sum(map(len, texts)) > 50_000
    check(texts, KEEP_ALL)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Please enable JavaScript to view comments.", "javascript"),
        ("JavaScript is a language that runs in browsers.", "kept"),
        ("This site uses cookies, and so do you.", "policy"),
        ("BREAKING NEWS from the USA", "uppercase"),
        ("12 / 05 / 2020", "numeric"),
        ("3 likes", "counter"), ("Comments (28)", "counter"), ("1.2k Views", "counter"), ("• 2 votes", "counter"),
        ("3 apples", "kept"), ("3 likes more", "kept"), ("3rd comment", "kept"),
        ("Products", "one_word"), ("• Home", "one_word"), ("* * *", "kept"), ("New York", "kept"),
        ("Sign in to your account", "short_pattern"), ("Sign-in", "one_word"), ("sign inspection duty", "kept"),
        ("The story goes on. Read more...", "short_pattern"), ("bake some bread more", "kept"),
        ("You have 0 items in cart", "short_pattern"),
        ("a b c d e f g h i and then read more", "kept"),
        ("我们昨天去了公园。", "kept"), ("首页", "kept"), ("图", "one_word"), ("ไทย", "kept"),
    ],
)  # fmt: skip
def test_clean_lines_hand_made_line_is_judged(line: str, kind: str) -> None:
    counters = judge(clean_lines, [f"We went there and saw.\n{line}"], KEEP_ALL).counters
    assert {k for k in LINE_KINDS if counters[f"lines_{k}"]} == {kind, "kept"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b\n\n\nc d", "a b\n\n\nc d"), ("a b\r\n \r\nc d\r\n", "a b\r\n \r\nc d\r\n"),
        ("a b\nX\nc d", "a b\nc d"), ("a b\n\nX\nc d", "a b\n\nc d"), ("a b\n\n\nX\n\nc d", "a b\n\n\nc d"),
        ("\n\nX\n\na b\n\n", "a b"), ("a b\r\n\r\nc d\r\nX\r\n e f ", "a b\n\nc d\n e f "), ("X\nY", ""),
    ],
)  # fmt: skip
def test_clean_lines_blank_lines_stay_between_lines_that_stay(text: str, expected: str) -> None:
    assert judge(clean_lines, [text], KEEP_ALL).columns["text"].to_pylist() == [expected]


def test_clean_lines_document_that_loses_too_many_words_is_dropped_and_keeps_its_text() -> None:
    prose = " ".join(["word"] * 19)
    texts = [f"{prose}\nMenu", f"{prose} x\nMenu", "", None]
    verdict = judge(clean_lines, [*texts, f"{prose} x\nMenu\nHome"])
    assert reasons(verdict) == [None, None, None, None, "too_many_words_removed"]
    assert verdict.columns["text"].to_pylist() == [prose, f"{prose} x", "", None, f"{prose} x\nMenu\nHome"]
    assert verdict.drops is not None
    assert verdict.drops.value_N[4] == pytest.approx(2 / 22)
    assert verdict.counters["texts_changed"] == 2
    assert verdict.measures["removed_word_share"].drop_above == 0.05


def test_clean_lines_rules_switched_off_change_nothing() -> None:
    off = Config(
        javascript_phrases=(), policy_phrases=(), max_uppercase_share=None, remove_numeric=False, remove_counters=False,
        remove_single_words=False, short_line_starts=(), short_line_ends=(), short_line_phrases=(),
    )  # fmt: skip
    text = "Enable JavaScript\nprivacy policy\nALL CAPS\n12\n3 likes\nword\nsign in\nread more\n2 items in cart\n"
    texts = pa.array([text, "a"], pa.large_string())
    column = judge(clean_lines, texts, off).columns["text"]
    assert [b and b.address for b in column.buffers()] == [b and b.address for b in texts.buffers()]


def test_clean_lines_policy_phrases_are_those_of_c4() -> None:
    c4 = {phrase for phrase, kind, _ in c4_phrases.PHRASES if kind == c4_phrases.POLICY}
    assert set(Config().policy_phrases) == c4


@pytest.mark.parametrize(
    "fields", [{"phrases": ("",)}, {"phrases": ("a\nb",)}, {"max_removed_share": 1.5}, {"max_short_line_words": -1}]
)
def test_clean_lines_impossible_setting_names_the_field(fields: dict) -> None:
    with pytest.raises(FieldError, match=next(iter(fields))):
        Config(**fields)


def test_clean_lines_hostile_bytes_are_judged_whatever_lies_around_them() -> None:
    rows = hostile_rows(4, 300)
    plain = judge(clean_lines, raw_texts(rows)).columns["text"].cast(pa.large_binary()).to_pylist()
    for before, after in ((b"enable java", b"script"), (b"\xe2\x80", b"\xa8\x80"), (b"3 like", b"s")):
        again = judge(clean_lines, raw_texts(rows, before, after)).columns["text"]
        assert again.cast(pa.large_binary()).to_pylist() == plain
    sliced = judge(clean_lines, raw_texts(rows).slice(100, 50)).columns["text"].cast(pa.large_binary()).to_pylist()
    assert sliced == plain[100:150]
    assert judge(clean_lines, []).columns["text"].to_pylist() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", ["a", "\n", "x\n", "中", "3 likes\n", "A", "privacy polic", "read more", "\u2028", "1"]
)
def test_clean_lines_huge_text_of_one_kind_takes_linear_time(unit: str) -> None:
    judge(clean_lines, ["compile"])
    seconds = []
    for num_bytes in (5_000_000, 50_000_000):
        text = pa.array([unit * (num_bytes // len(unit.encode()))], pa.large_string())
        start = time.process_time()
        judge(clean_lines, text)
        seconds.append((time.process_time() - start) / num_bytes)
    assert seconds[1] < 4 * seconds[0] + 5e-8  # per byte
