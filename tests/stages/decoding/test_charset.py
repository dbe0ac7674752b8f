"""Charsets: what a page says of itself, what its bytes say, and which one is believed."""

from __future__ import annotations

import codecs
import random

import pytest

from stages.decoding.charset import codec_of, declared, decode

CHINESE = "委员会将于春季再次开会，讨论港口应如何重建，以及由谁来承担费用。天气很好，大家都去公园散步。"
TRADITIONAL = "委員會將於春季再次開會，討論港口應如何重建，以及由誰來承擔費用。天氣很好，大家都去公園散步。"
JAPANESE = "委員会は春に再び会合を開き、港をどのように再建すべきか、費用を誰が負担するのかについて話し合う予定です。"
KOREAN = "위원회는 봄에 다시 모여 항구를 어떻게 다시 지을지, 그리고 비용은 누가 부담할지 논의할 예정입니다."
RUSSIAN = "Комитет снова соберётся весной, чтобы обсудить, как следует восстановить гавань и кто за это заплатит."
GREEK = "Η επιτροπή θα συνεδριάσει ξανά την άνοιξη για να συζητήσει πώς πρέπει να ξαναχτιστεί το λιμάνι της πόλης."
FRENCH = "Le comité se réunira à nouveau au printemps ; l’été précédent, la réunion avait été très animée à Besançon."
POLISH = "Komisja spotka się ponownie wiosną, żeby omówić, jak należy odbudować port i kto za to wszystko zapłaci."
ENGLISH = "It’s the harbour’s “new” wall – that’s what they said, and they didn’t say more."

WRITTEN = [
    (CHINESE, "gb2312"), (CHINESE, "gbk"), (CHINESE, "gb18030"), (TRADITIONAL, "big5"), (JAPANESE, "shift_jis"),
    (JAPANESE, "euc_jp"), (JAPANESE, "iso2022_jp"), (KOREAN, "euc_kr"), (RUSSIAN, "cp1251"), (RUSSIAN, "koi8_r"),
    (GREEK, "cp1253"), (FRENCH, "cp1252"), (POLISH, "iso8859_2"), (ENGLISH, "cp1252"), (CHINESE, "utf_8"),
    (CHINESE, "utf_16"), (ENGLISH, "utf_16_le"), (ENGLISH, "utf_16_be"), (ENGLISH, "utf_8_sig"),
]  # fmt: skip
NON_LATIN = [(t, c) for t, c in WRITTEN[:11] if c != "iso2022_jp"]


def page(text: str, head: str = "") -> str:
    return (
        f"<html><head>{head}<title>Page 12</title><link rel=stylesheet href=/a.css></head><body><div class=nav>"
        f"<a href=/>Home</a> <a href=/about>About</a></div>\n<p>{text}</p>\n<div id=foot>end</div></body></html>"
    )


@pytest.mark.parametrize("text, charset", WRITTEN)
def test_decode_nothing_declared_finds_the_charset(text: str, charset: str) -> None:
    found = decode(page(text).encode(charset), "text/html")
    assert found.text == page(text)
    assert found.bad_share == 0
    assert found.how in ("detected", "fallback", "valid", "bom")


@pytest.mark.parametrize("text, charset", [w for w in WRITTEN if not w[1].startswith("utf")])
def test_decode_declared_by_header_or_meta_is_read_so(text: str, charset: str) -> None:
    label = charset.replace("_", "-")
    by_header = decode(page(text).encode(charset), f"text/html; charset={label}")
    tagged = page(text, f'<meta http-equiv="Content-Type" content="text/html; charset={label}">')
    by_meta = decode(tagged.encode(charset), None)
    assert (by_header.text, by_meta.text) == (page(text), tagged)
    assert by_header.how == by_meta.how == ("detected" if charset == "iso2022_jp" else "declared")


@pytest.mark.parametrize("text, charset", NON_LATIN)
@pytest.mark.parametrize("wrong", ["iso-8859-1", "utf-8", "windows-1252", "us-ascii"])
def test_decode_wrongly_declared_western_or_utf8_is_overridden(text: str, charset: str, wrong: str) -> None:
    found = decode(page(text).encode(charset), f"text/html; charset={wrong}")
    assert found.text == page(text)
    assert found.how == "overridden"


def test_decode_valid_utf8_declared_otherwise_is_utf8() -> None:
    found = decode(page(CHINESE).encode(), "text/html; charset=gb2312")
    assert (found.text, found.how) == (page(CHINESE), "valid")


def test_decode_cut_utf8_stays_utf8() -> None:
    payload = page(CHINESE * 5).encode()[:700]
    cut = payload[: payload.rindex("，".encode()) + 2]
    found = decode(cut, "text/html; charset=utf-8")
    assert (found.charset, found.how) == ("utf-8", "repaired")
    assert found.text == cut[:-2].decode() + "�"


def test_decode_true_western_declaration_is_kept() -> None:
    for text in (FRENCH, ENGLISH, "Größe, Übung, Maß: 5 °C"):
        assert decode(page(text).encode("cp1252"), "text/html; charset=iso-8859-1").text == page(text)


def test_decode_few_foreign_words_among_english_are_found() -> None:
    text = page("The harbour will be rebuilt in the spring. " * 40 + RUSSIAN)
    assert decode(text.encode("cp1251"), None).text == text


def test_decode_nuls_are_removed_and_counted() -> None:
    found = decode(b"<p>a\0b</p>", "text/html")
    assert found.text == "<p>ab</p>"
    assert found.bad_share == pytest.approx(0.1)


@pytest.mark.parametrize(
    "magic", [b"\x89PNG\r\n\x1a\n", b"%PDF-1.4\n%\xe2\xe3\n", b"\x1f\x8b\x08\0", b"\xff\xd8\xff\xe0"]
)
def test_decode_binaries_have_a_high_bad_share(magic: bytes) -> None:
    assert decode(magic + random.Random(1).randbytes(20_000), "text/html").bad_share > 0.05


def test_decode_random_bytes_give_text_that_can_be_written() -> None:
    rng = random.Random(2)
    for _ in range(400):
        size = rng.choice([0, 1, 2, 3, 17, 300])
        start = rng.choice([b"", b"", codecs.BOM_UTF16_LE, codecs.BOM_UTF8, b"\x1b$B", b"<meta charset=gbk>"])
        header = rng.choice([None, "", "text/html; charset=", "text/html; charset=shift_jis", "x; charset=utf-16"])
        found = decode(start + rng.randbytes(size), header)
        found.text.encode("utf-8")
        assert "\0" not in found.text
        assert found.bad_share >= 0


def test_declared_header_goes_before_meta_and_unknown_labels_are_passed_over() -> None:
    meta = b'<meta charset="koi8-r">'
    assert declared(meta, "text/html; charset=windows-1251") == "cp1251"
    assert declared(meta, "text/html; charset=none") == "koi8-r"
    assert declared(b'<?xml version="1.0" encoding="Shift_JIS"?>', None) == "cp932"
    assert declared(b"<meta name=x content='y'><META Content='text/html;charset=EUC-KR'>", "text/html") == "cp949"
    assert declared(b"<p>charset=big5</p>", "text/html") is None


def test_declared_utf16_in_readable_bytes_means_utf8() -> None:
    assert declared(b"<meta charset=utf-16le>", None) == "utf-8"


@pytest.mark.parametrize(
    "label, codec",
    [
        ("GB2312", "gb18030"), ("latin1", "cp1252"), (" US-ASCII ", "cp1252"), ("ks_c_5601-1987", "cp949"),
        ("UHC", "cp949"), ("x-sjis", "cp932"), ("tis-620", "cp874"), ("iso-8859-9", "cp1254"),
        ("big5-hkscs", "big5hkscs"), ("bogus", None),
    ],
)  # fmt: skip
def test_codec_of_label_follows_whatwg(label: str, codec: str | None) -> None:
    assert codec_of(label) == codec
    assert codec is None or codecs.lookup(codec)
