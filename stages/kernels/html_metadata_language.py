"""A declared language as BCP 47 has it.

Reads:  a value as a line of text, such as `en_us`, `deutsch, de`, `zh-cmn-Hans`
Writes: `en-US`, `de`, `zh-Hans`
Cost:   0.1 us a value
Source: RFC 5646 section 2.1 (form) and 4.5 (the shortest code); ISO 639-1 and the longer codes of lid.176; names in the
        commonest languages. Variants, extensions and extended languages are left out

Of several languages the one they agree on is taken; where they do not, none is (`de, at, ch` are no languages but
countries).
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_metadata_text import equals, is_alphanumeric, lower

_CODES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en"
    " eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv"
    " ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne"
    " ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss"
    " st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
    " als arz ast azb bar bcl bpy bxr cbk ceb ckb cmn diq dsb dty eml fil frr gom gsw haw hif hmn hsb ilo jbo kab krc"
    " lez lmo lrc mai mhr min mrj mwl myv mzn nah nap nds new nso pam pfl pms pnb rue sah scn sco szl tyv vec vep vls"
    " war wuu xal xmf yue"
)
_OTHERS = {
    "en": "eng english", "de": "deu ger german deutsch", "fr": "fra fre french français francais",
    "es": "spa spanish español espanol", "it": "ita italian italiano", "pt": "por portuguese português portugues",
    "nl": "nld dut dutch nederlands", "pl": "pol polish polski", "ru": "rus russian русский",
    "ja": "jpn japanese 日本語", "zh": "zho chi chinese 中文", "ko": "kor korean 한국어", "ar": "ara arabic العربية",
    "tr": "tur turkish türkçe turkce",
    "sv": "swe swedish svenska", "da": "dan danish dansk", "fi": "fin finnish suomi", "no": "nor norwegian norsk",
    "cs": "ces cze czech čeština cesky", "hu": "hun hungarian magyar", "ro": "ron rum romanian română romana",
    "el": "ell gre greek ελληνικά", "he": "heb hebrew iw עברית", "id": "ind indonesian in", "uk": "ukr ukrainian",
    "vi": "vie vietnamese", "th": "tha thai", "fa": "fas per persian farsi فارسی", "bg": "bul bulgarian",
    "hr": "hrv croatian hrvatski", "sk": "slk slo slovak", "sl": "slv slovenian", "ca": "cat catalan català",
    "hi": "hin hindi", "lt": "lit lithuanian", "lv": "lav latvian", "et": "est estonian", "sr": "srp serbian",
    "eu": "eus baq basque", "yi": "ji",
}  # fmt: skip
MAX_LANGUAGE_BYTES = 16  # `xxx-Xxxx-XX`, and room
MAX_DECLARED_BYTES = 64


def _words() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(words, where each begins; codes of 2 or 3 bytes, ended by 0, one for each word)."""
    meanings = {code: code for code in _CODES.split()}
    meanings |= {word: code for code, words in _OTHERS.items() for word in words.split()}
    raw = [word.encode() for word in meanings]
    codes = np.frombuffer(b"".join(code.encode().ljust(3, b"\0") for code in meanings.values()), np.uint8)
    starts = np.cumsum([0, *map(len, raw)], dtype=np.int64)
    return np.frombuffer(b"".join(raw), np.uint8), starts, codes.reshape(-1, 3)


_WORDS, _STARTS, _WORD_CODES = _words()
DASH, UNDERSCORE = b"-_"


@kernel
def read_language(text: np.ndarray, size: int, out: np.ndarray) -> int:
    """Write the language of text[:size] to `out`, uint8[MAX_LANGUAGE_BYTES]; returns its length, 0 for none."""
    if size > MAX_DECLARED_BYTES:
        return 0
    i, length = 0, 0
    while i < size:
        if not _is_part(text[i]):
            if text[i] not in (32, 44, 59):  # space, comma, semicolon
                return 0
            i += 1
            continue
        start = i
        while i < size and _is_part(text[i]):
            i += 1
        end = i
        if i < size and (text[i] == 46 or text[i] == 64):  # `de_DE.UTF-8@euro`
            while i < size and text[i] != 44 and text[i] != 32 and text[i] != 59:
                i += 1
        if length == 0:
            length = _tag(text, start, end, out)
            if length == 0:
                return 0
        elif not _is_same(text, start, end, out):
            return 0
    return length


@kernel
def _is_part(byte: int) -> bool:
    return is_alphanumeric(byte) or byte in (DASH, UNDERSCORE)


@kernel
def _code(text: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """(number of the word the language's part of text[start:end] is or -1, position behind that part)."""
    i = start
    while i < end and text[i] != DASH and text[i] != UNDERSCORE:
        i += 1
    for k in range(len(_WORD_CODES)):
        if equals(text, start, i, _WORDS, _STARTS[k], _STARTS[k + 1]):
            return k, i
    return -1, i


@kernel
def _is_same(text: np.ndarray, start: int, end: int, out: np.ndarray) -> bool:
    k, _ = _code(text, start, end)
    if k < 0:
        return False
    code = _WORD_CODES[k]
    return code[0] == out[0] and code[1] == out[1] and (code[2] == 0 or code[2] == out[2])


@kernel
def _tag(text: np.ndarray, start: int, end: int, out: np.ndarray) -> int:
    """Write text[start:end] as language, script and region; returns the length, 0 where it is no language."""
    word, i = _code(text, start, end)
    if word < 0:
        return 0
    at = 0
    for k in range(3):
        if _WORD_CODES[word, k]:
            out[at] = _WORD_CODES[word, k]
            at += 1
    has_script, has_region = False, False
    while i < end:
        first = i + 1
        i = first
        while i < end and text[i] != DASH and text[i] != UNDERSCORE:
            i += 1
        size = i - first
        if size == 1:  # extensions and private use come last
            break
        letters, digits = True, True
        for k in range(first, i):
            letters = letters and 97 <= text[k] | 32 <= 122
            digits = digits and 48 <= text[k] <= 57
        if size == 4 and letters and not has_script and not has_region:
            at = _part(text, first, i, out, at, 1)
            has_script = True
        elif ((size == 2 and letters) or (size == 3 and digits)) and not has_region:
            at = _part(text, first, i, out, at, 2)
            has_region = True
            if out[at - 2] == 85 and out[at - 1] == 75:  # UK is no region's code
                out[at - 2], out[at - 1] = 71, 66
    return at


@kernel
def _part(text: np.ndarray, first: int, last: int, out: np.ndarray, at: int, num_capitals: int) -> int:
    """Write a dash and text[first:last], whose first letters are capitals."""
    out[at] = DASH
    at += 1
    for k in range(first, last):
        byte = lower(text[k])
        out[at] = byte - 32 if k - first < num_capitals and 97 <= byte <= 122 else byte
        at += 1
    return at
