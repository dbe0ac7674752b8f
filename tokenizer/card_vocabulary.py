"""What a vocabulary holds: its entries as bytes, their lengths and kinds, those that their own text does not give back.

Reads:  a tokenizer.json; how often each id occurred; an Encoder of the tokenizer
Writes: plain dictionaries, for card.json
Cost:   some 3 us per entry, and every entry is encoded once
Source: Land & Bartolo 2024, "Fishing for Magikarp": an entry is unreachable where encoding its text gives other ids,
        and cannot be asked by text where it is no UTF-8 by itself. Scripts are told by Unicode block, letters, marks,
        digits and spaces as the pretokeniser has them

An entry that its own text does not give back may still come up inside a longer text, as one that a pretoken's
neighbours bring about. So those that occurred in the held-out text are counted apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tokenizer.symbols import token_bytes

if TYPE_CHECKING:
    from tokenizer.encode import Encoder

MAX_LENGTH_SHOWN = 16  # bytes; longer entries are counted together
NUM_LISTED = 30
Tokens = dict[int, bytes]

_PREPENDS = re.compile(r'"type": "Prepend"|"prepend_scheme": "(always|first)"')
_BYTE_NAME = re.compile(r"<0x([0-9A-F]{2})>")
# First code point of a stretch of blocks, and the script of the letters in it. What is not named here is "other".
_BLOCKS = (
    (0x0000, "Latin"), (0x0300, "other"), (0x0370, "Greek"), (0x0400, "Cyrillic"), (0x0530, "Armenian"),
    (0x0590, "Hebrew"), (0x0600, "Arabic"), (0x0700, "other"), (0x0750, "Arabic"), (0x0780, "other"),
    (0x0870, "Arabic"), (0x0900, "Devanagari"), (0x0980, "other Indic"), (0x0E00, "Thai"), (0x0E80, "other"),
    (0x10A0, "Georgian"), (0x1100, "Hangul"), (0x1200, "Ethiopic"), (0x13A0, "other"), (0x1C80, "Cyrillic"),
    (0x1C90, "Georgian"), (0x1CC0, "other"), (0x1D00, "Latin"), (0x1DC0, "other"), (0x1E00, "Latin"),
    (0x1F00, "Greek"), (0x2000, "other"), (0x2C60, "Latin"), (0x2C80, "other"), (0x2D00, "Georgian"),
    (0x2D30, "other"), (0x2D80, "Ethiopic"), (0x2DE0, "Cyrillic"), (0x2E00, "other"), (0x2E80, "Han"),
    (0x2FE0, "other"), (0x3005, "Han"), (0x3008, "other"), (0x3040, "Kana"), (0x3100, "other"), (0x3130, "Hangul"),
    (0x3190, "other"), (0x31F0, "Kana"), (0x3200, "other"), (0x3400, "Han"), (0x4DC0, "other"), (0x4E00, "Han"),
    (0xA000, "other"), (0xA640, "Cyrillic"), (0xA6A0, "other"), (0xA720, "Latin"), (0xA800, "other"),
    (0xA8E0, "Devanagari"), (0xA900, "other"), (0xA960, "Hangul"), (0xA980, "other"), (0xAB00, "Ethiopic"),
    (0xAB30, "Latin"), (0xAB70, "other"), (0xAC00, "Hangul"), (0xD800, "other"), (0xF900, "Han"), (0xFB00, "Latin"),
    (0xFB07, "Armenian"), (0xFB18, "other"), (0xFB1D, "Hebrew"), (0xFB50, "Arabic"), (0xFE00, "other"),
    (0xFE70, "Arabic"), (0xFEFF, "other"), (0xFF21, "Latin"), (0xFF5B, "other"), (0xFF66, "Kana"), (0xFFA0, "Hangul"),
    (0xFFE0, "other"), (0x1B000, "Kana"), (0x1B170, "other"), (0x20000, "Han"), (0x323B0, "other"),
)  # fmt: skip


def shown(token: bytes) -> str:
    """A token for people: its text, with bytes that are no UTF-8 as \\xNN."""
    return token.decode("utf-8", "backslashreplace")


def tokens_of(tokenizer_json: bytes) -> Tokens:
    """The bytes that each id stands for, but for special ids. Byte-level symbols, or sentencepiece's `▁` and `<0x0A>`
    where the tokenizer has them."""
    parsed = json.loads(tokenizer_json)
    special = {token["id"] for token in parsed.get("added_tokens", []) if token.get("special")}
    vocab = parsed["model"]["vocab"]
    pairs = vocab.items() if isinstance(vocab, dict) else ((piece, id_) for id_, (piece, _) in enumerate(vocab))
    to_bytes = token_bytes if _is_byte_level(parsed) else _piece_bytes
    return {id_: to_bytes(piece) for piece, id_ in pairs if id_ not in special}


def merges_of(tokenizer_json: bytes) -> list[tuple[bytes, bytes]]:
    """Left and right of each merge in the order they were learned; none for a model that has no merges."""
    parsed = json.loads(tokenizer_json)
    to_bytes = token_bytes if _is_byte_level(parsed) else _piece_bytes
    return [(to_bytes(left), to_bytes(right)) for left, right in parsed["model"].get("merges", ())]


def asks_by_text(tokenizer_json: bytes) -> bool:
    """Whether a text is encoded without a space put before it, so that an entry's text may give the entry."""
    parsed = json.loads(tokenizer_json)
    before = json.dumps([parsed.get("normalizer"), parsed.get("pre_tokenizer")])
    return _PREPENDS.search(before) is None


def _is_byte_level(parsed: Mapping[str, Any]) -> bool:
    """Whether the pieces of a parsed tokenizer.json are written in byte-level symbols."""
    return '"ByteLevel"' in json.dumps([parsed.get("pre_tokenizer"), parsed.get("decoder")])


def _piece_bytes(piece: str) -> bytes:
    byte = _BYTE_NAME.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace("\u2581", " ").encode()


def learned_ids(tokens: Tokens) -> np.ndarray:
    """Ids of what was learned: more than one byte; int64, ascending."""
    return np.array(sorted(id_ for id_, token in tokens.items() if len(token) > 1), np.int64)


def lengths(tokens: Tokens, count_V: np.ndarray) -> list[dict[str, int]]:
    """Entries by their length in bytes, and how often they occurred; the last row is of all that are longer."""
    ids = np.fromiter(tokens, np.int64, len(tokens))
    length_N = np.fromiter((min(len(t), MAX_LENGTH_SHOWN + 1) for t in tokens.values()), np.int64, len(tokens))
    entries = np.bincount(length_N, minlength=MAX_LENGTH_SHOWN + 2)
    occurrences = np.zeros_like(entries)
    np.add.at(occurrences, length_N, count_V[ids])
    return [
        {"bytes": n, "entries": int(entries[n]), "occurrences": int(occurrences[n])}
        for n in range(1, MAX_LENGTH_SHOWN + 2)
    ]


def kinds(tokens: Tokens, count_V: np.ndarray) -> list[dict[str, Any]]:
    """Entries by what they are made of, the largest kind first: how many, how often they occurred, how many never."""
    ids = sorted(tokens)
    rows: dict[str, list[int]] = {}
    for id_, kind in zip(ids, _kinds([tokens[id_] for id_ in ids]), strict=True):
        row = rows.setdefault(kind, [0, 0, 0])
        row[0] += 1
        row[1] += int(count_V[id_])
        row[2] += not count_V[id_]
    ordered = sorted(rows.items(), key=lambda pair: (-pair[1][0], pair[0]))
    return [
        {"kind": kind, "entries": entries, "occurrences": occurrences, "never_seen": never}
        for kind, (entries, occurrences, never) in ordered
    ]


def _kinds(tokens: Sequence[bytes]) -> list[str]:
    """The kind of each token: by all its characters, but for one leading space."""
    texts = [_text(token) for token in tokens]
    known = [text if text == " " else text.removeprefix(" ") for text in texts if text]
    named = iter(_kinds_of_texts(known) if known else ())
    return [
        "single bytes" if len(token) == 1 and token[0] >= 0x80 else next(named) if text else "parts of characters"
        for token, text in zip(tokens, texts, strict=True)
    ]


def _text(token: bytes) -> str:
    """Its text; empty where it is no UTF-8 by itself."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return ""


def _kinds_of_texts(texts: Sequence[str]) -> list[str]:
    from tokenizer.pretokenize import LETTER, LOWER, NUMBER, SPACE, load_classes

    index, blocks = load_classes()
    code_C = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32).astype(np.int64)
    first_N = np.cumsum([0, *map(len, texts[:-1])])
    class_C = blocks[(index[code_C >> 7].astype(np.int64) << 7) | (code_C & 127)]
    letter, digit, space = (class_C & (LETTER | LOWER)) > 0, (class_C & NUMBER) > 0, (class_C & SPACE) > 0
    flags_C = letter | digit << 1 | space << 2 | ~(letter | digit | space) << 3
    flags_N = np.bitwise_or.reduceat(flags_C.astype(np.uint8), first_N)
    starts, names = (list(column) for column in zip(*_BLOCKS, strict=True))
    script_N = np.searchsorted(starts, code_C[first_N], side="right") - 1
    named = {2: "digits", 4: "white space", 8: "punctuation and signs"}
    return [
        f"letters: {names[script]}" if flags == 1 else named.get(flags, "mixed")
        for flags, script in zip(flags_N.tolist(), script_N.tolist(), strict=True)
    ]


def unreachable(tokens: Tokens, count_V: np.ndarray, encoder: Encoder, can_ask: bool) -> dict[str, Any]:
    """Entries whose text, encoded by itself, gives other ids; how many could not be asked, as they are no UTF-8.

    `can_ask` is False for models that put a space before every text: no entry is asked there.
    """
    asked = [id_ for id_ in sorted(tokens) if can_ask and _text(tokens[id_])]
    ids, offsets = encoder.encode(pa.array([tokens[id_].decode() for id_ in asked], pa.large_string()))
    # A text of no ids at all can be the last one, whose offset is no place in `ids`.
    first_id_N = np.append(ids, np.uint32(0))[offsets[:-1]]
    wrong_N = (np.diff(offsets) != 1) | (first_id_N != np.array(asked, np.int64))
    wrong = [(asked[n], ids[offsets[n] : offsets[n + 1]].tolist()) for n in np.flatnonzero(wrong_N)]
    not_text = [id_ for id_ in sorted(tokens) if not _text(tokens[id_])]
    return {
        "number": len(wrong),
        "of": len(asked),
        "seen_in_held_out": sum(bool(count_V[id_]) for id_, _ in wrong),
        "first": [
            {
                "id": id_, "token": shown(tokens[id_]), "occurrences": int(count_V[id_]),
                "gives": [shown(tokens.get(i, b"")) for i in instead[:NUM_LISTED]],
            }
            for id_, instead in wrong[:NUM_LISTED]
        ],
        "no_text_by_themselves": {
            "number": len(not_text), "never_seen": sum(not count_V[id_] for id_ in not_text),
        },
    }  # fmt: skip


def parts_of_longer(tokens: Tokens, merges: Sequence[tuple[bytes, bytes]], ids: Sequence[int]) -> int:
    """How many of `ids` are a half of a later merge: steps on the way to a longer entry."""
    halves = {half for merge in merges for half in merge}
    return sum(tokens[id_] in halves for id_ in ids)
