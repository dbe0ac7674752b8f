"""How words are split in languages other than English: spaCy's rules as tables.

Reads:  word_rules.npz beside this file; `python -m stages.kernels.generate_word_rules` writes it
Writes: one array of tables; the number of a language's rules
Cost:   0.05 to 0.1 s to load, once a process; 10 MB
Source: spaCy 3.8 (MIT) lang/*, by language as datatrove 0.10.1's assets/tokenizer_assignment.csv assigns them
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import numpy as np

from pipeline.errors import FieldError

FILE = Path(__file__).with_name("word_rules.npz")
BY_LANGUAGE = "by_language"  # a config's word: each document by the rules of its language
ENGLISH = 0  # the rule set of English, and of every language without one of its own
PREFIX, SUFFIX, INFIX, TOKEN = range(4)  # the automata of a rule set
CELLS, STRIDE, STARTS, SIDE = range(4)  # columns of `automata`
PAIR_BYTES = 8192
FNV_START, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


# Sections of the table: entry SECTION says where it begins; see `load`.
SECTIONS = (
    "PLAIN_LETTERS", "COLUMNS", "AUTOMATA", "STATES", "TEXT", "TEXT_START", "PARTS", "PARTS_START", "PIECES",
    "PIECES_START", "SLOTS", "SLOT_START", "PAIRS", "FIRST_PIECES", "MAX_BYTES", "MAX_PIECES",
)  # fmt: skip
(
    PLAIN_LETTERS, COLUMNS, AUTOMATA, STATES, TEXT, TEXT_START, PARTS, PARTS_START, PIECES, PIECES_START, SLOTS,
    SLOT_START, PAIRS, FIRST_PIECES, MAX_BYTES, MAX_PIECES,
) = range(len(SECTIONS))  # fmt: skip
NUM_CLASSES = len(SECTIONS)  # the entry with the number of classes of characters


def character_classes() -> tuple[np.ndarray, np.ndarray]:
    """uint16 `index`, `blocks`: a character's class is `blocks[index[code >> 7] << 7 | code & 127]`."""
    with np.load(FILE) as stored:
        return stored["class_index"], stored["class_blocks"]


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _hashes(text: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """uint64[E]: FNV-1a of every exception."""
    value = np.full(len(length), FNV_START, np.uint64)
    for k in range(int(length.max())):
        longer = length > k
        value[longer] = (value[longer] ^ text[start[longer] + k]) * np.uint64(FNV_PRIME)
    return value


def _first_pieces(
    text: np.ndarray, start: np.ndarray, pieces: np.ndarray, piece: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """The upper 16 bits of the hash of every exception's first two pieces, joined, or of its only one."""
    spaced = (last - piece > 1) & (pieces[np.minimum(piece + 1, len(pieces) - 1)] == 0)
    second = np.where(last - piece > 1, pieces[np.minimum(piece + 1 + spaced, len(pieces) - 1)], 0)
    value = np.zeros(len(start), np.uint64)
    joined = ~spaced
    value[joined] = _hashes(text, start[joined], (pieces[piece] + second)[joined])
    for e in np.flatnonzero(spaced):
        first = start[e] + pieces[piece[e]]
        both = np.concatenate([text[start[e] : first], text[first + 1 : first + 1 + second[e]]])
        value[e] = _hashes(both, np.zeros(1, np.int64), np.array([len(both)]))[0]
    return value >> np.uint64(48)


def _slots(value: np.ndarray, first_row: int) -> np.ndarray:
    """An open-addressing table of 1 + row, at most half full."""
    size = 1 << (2 * len(value) - 1).bit_length()
    table = [0] * size
    for row, slot in enumerate((value & np.uint64(size - 1)).tolist(), first_row):
        while table[slot]:
            slot = (slot + 1) & (size - 1)
        table[slot] = 1 + row
    return np.array(table, np.int32)


def _bits(set_of_row: np.ndarray, bit: np.ndarray, num_sets: int) -> np.ndarray:
    """65,536 bits per rule set, with those given set."""
    bits = np.zeros((num_sets, PAIR_BYTES * 8), np.bool_)
    bits[set_of_row, bit] = True
    return np.packbits(bits, axis=1, bitorder="little").ravel()


def _sections() -> dict[str, np.ndarray]:
    """The committed tables, with hash tables made from the exceptions."""
    with np.load(FILE) as stored:
        arrays = {name: stored[name] for name in stored.files}
    text, length = arrays["text"], arrays["text_lengths"]
    start, first_row = _starts(length), _starts(arrays["exceptions_per_set"])
    num_sets = len(first_row) - 1
    set_of_row = np.repeat(np.arange(num_sets), arrays["exceptions_per_set"])
    value = _hashes(text, start[:-1], length)
    ranges = list(itertools.pairwise(first_row))
    slots = [_slots(value[a:b], int(a)) for a, b in ranges]
    longer, inside = np.flatnonzero(length > 1), np.flatnonzero(arrays["num_pieces"])
    pairs = text[start[longer]].astype(np.int64) << 8 | text[start[longer] + 1]
    pieces_start = _starts(arrays["num_pieces"])
    first_pieces = _first_pieces(text, start[inside], arrays["pieces"], pieces_start[inside], pieces_start[inside + 1])
    return {
        "PLAIN_LETTERS": arrays["plain_letters"], "COLUMNS": arrays["columns"], "AUTOMATA": arrays["automata"],
        "STATES": arrays["cells"], "TEXT": text, "TEXT_START": start, "PARTS": arrays["parts"],
        "PARTS_START": _starts(arrays["num_parts"]), "PIECES": arrays["pieces"], "PIECES_START": pieces_start,
        "SLOTS": np.concatenate(slots), "SLOT_START": _starts(np.array([len(s) for s in slots])),
        "PAIRS": _bits(set_of_row[longer], pairs, num_sets),
        "FIRST_PIECES": _bits(set_of_row[inside], first_pieces, num_sets),
        "MAX_BYTES": np.array([length[a:b].max() for a, b in ranges]),
        "MAX_PIECES": np.array([arrays["num_pieces"][a:b].max() for a, b in ranges]),
    }  # fmt: skip


@functools.cache
def load() -> np.ndarray:
    """All tables in one int32 array `t`, since every array a kernel is given costs something on every call.

    Entry j of a section is `t[t[SECTION] + j]`. R rule sets over K = `t[NUM_CLASSES]` classes of characters (from
    `character_classes`); automaton 4 * r + PREFIX is rule set r's for prefixes.

    - PLAIN_LETTERS[R]: 1 where letters (str.isalpha) alone are one word, or an exception
    - COLUMNS[4 * R, K]: a class's column in an automaton
    - AUTOMATA[4 * R, 4]: where its states begin in STATES, cells per state, where its table of start states begins, and
      that table's side (1: one start state; otherwise one for every two columns before); zeros are no automaton
    - STATES: per state 1 + how many of the characters read last do not belong to the match (0: no match), the same for
      the end of the input, then the next state per column, 0 for none
    - TEXT, TEXT_START[E + 1]: the E exceptions of all rule sets, one after the other
    - PARTS, PARTS_START[E + 1]: byte lengths of the words an exception is split into
    - PIECES, PIECES_START[E + 1]: of those it would be without being one (none: it is not looked for inside longer
      strings), with 0 for a space between
    - SLOTS, SLOT_START[R + 1]: per rule set an open-addressing table of 1 + row by FNV-1a, 0 for empty
    - PAIRS[R * 8192]: bytes with bit (first byte << 8 | second byte) of exceptions
    - FIRST_PIECES[R * 8192]: bit h >> 48 of a Bloom filter with one hash, of their first two pieces, or the only one
    - MAX_BYTES[R], MAX_PIECES[R]: of the longest exception
    """
    sections = _sections()
    assert tuple(sections) == SECTIONS
    head = len(SECTIONS) + 1
    begins = _starts(np.array([sections[name].size for name in SECTIONS]))[:-1] + head
    return np.concatenate(
        [begins, [sections["COLUMNS"].shape[1]], *(sections[name].ravel() for name in SECTIONS)]
    ).astype(np.int32)


@functools.cache
def _rules_of_codes() -> dict[str, int]:
    with np.load(FILE) as stored:
        return dict(zip(stored["codes"].tolist(), stored["code_rules"].tolist(), strict=True))


def has_rules(code: str) -> bool:
    """Whether a language (ISO 639-1 or 639-3 code) has rules here."""
    return code in _rules_of_codes()


def check_word_rules(name: str) -> None:
    """FieldError for a config's `word_rules` that is no language with rules and not BY_LANGUAGE."""
    if name != BY_LANGUAGE and not has_rules(name):
        known = ", ".join(sorted(code for code in _rules_of_codes() if len(code) == 2))
        raise FieldError("word_rules", name, f"{BY_LANGUAGE}, or one of {known}")


def columns_read(name: str) -> tuple[str, ...]:
    """The columns a filter reads by its config's `word_rules`."""
    return ("text", "language") if name == BY_LANGUAGE else ("text",)


def rules_of(code: str | None) -> int:
    """The rule set of a language (ISO 639-1 or 639-3 code); English where it has none."""
    return _rules_of_codes().get(code or "", ENGLISH)
