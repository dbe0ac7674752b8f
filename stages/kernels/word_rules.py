"""How words are split in languages other than English: spaCy's rules as tables.

Reads:  word_rules.npz beside this file; `python -m stages.kernels.generate_word_rules` writes it
Writes: WordRules, a NamedTuple of arrays; the number of a language's rules
Cost:   0.05 to 0.1 s to load, once a process; 6 MB
Source: spaCy 3.8 (MIT) lang/*, by language as datatrove 0.10.1's assets/tokenizer_assignment.csv assigns them
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.errors import FieldError

FILE = Path(__file__).with_name("word_rules.npz")
BY_LANGUAGE = "by_language"  # a config's word: each document by the rules of its language
ENGLISH = 0  # the rule set of English, and of every language without one of its own
PREFIX, SUFFIX, INFIX, TOKEN = range(4)  # the automata of a rule set
CELLS, STRIDE, STARTS, SIDE = range(4)  # columns of `automata`
PAIR_BYTES = 8192
FNV_START, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


class WordRules(NamedTuple):
    """R rule sets over K classes of characters; automaton 4 * r + PREFIX is rule set r's for prefixes.

    The class of a character is `class_blocks[class_index[code >> 7] << 7 | code & 127]`, uint16. `class_bits` uint16[K]
    has SPACE and HAN_KANA of unicode_tables. `plain` bool[R, K]: a chunk of these alone is one word, or an exception.

    `columns` uint16[4 * R, K]: a class's column in an automaton. `automata` int64[4 * R, 4]: where its states begin
    in `cells` (uint16), cells per state, where its table of start states begins, and that table's side (1: one start
    state; otherwise one for every two columns before); a row of zeros is no automaton. A state's cells: 1 + how many
    of the characters read last do not belong to the match (0: no match), the same for the end of the input, then the
    next state per column, 0 for none.

    Exceptions of all rule sets, E rows: row e is `text[text_start[e]:text_start[e + 1]]`, split into words of the
    lengths `parts[parts_start[e]:parts_start[e + 1]]`; `pieces` likewise: the words it would be without being an
    exception, with 0 for a space between. `slots` int32: for each rule set an open-addressing table of 1 + row (0:
    empty) by FNV-1a, `slots[slot_start[r]:slot_start[r + 1]]`. `pairs` uint8[R * 8192]: bit (first byte << 8 | second
    byte) of its exceptions; `piece_pairs`: of the first two bytes that are no space, of those that have pieces.
    `max_bytes`, `max_pieces` int64[R].
    """

    class_index: np.ndarray
    class_blocks: np.ndarray
    class_bits: np.ndarray
    plain: np.ndarray
    columns: np.ndarray
    automata: np.ndarray
    cells: np.ndarray
    text: np.ndarray
    text_start: np.ndarray
    parts: np.ndarray
    parts_start: np.ndarray
    pieces: np.ndarray
    pieces_start: np.ndarray
    slots: np.ndarray
    slot_start: np.ndarray
    pairs: np.ndarray
    piece_pairs: np.ndarray
    max_bytes: np.ndarray
    max_pieces: np.ndarray


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _hashes(text: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """uint64[E]: FNV-1a of every exception."""
    value = np.full(len(length), FNV_START, np.uint64)
    for k in range(int(length.max())):
        longer = length > k
        value[longer] = (value[longer] ^ text[start[:-1][longer] + k]) * np.uint64(FNV_PRIME)
    return value


def _slots(value: np.ndarray, first_row: int) -> np.ndarray:
    """An open-addressing table of 1 + row, at most half full."""
    size = 1 << (2 * len(value) - 1).bit_length()
    table = [0] * size
    for row, slot in enumerate((value & np.uint64(size - 1)).tolist(), first_row):
        while table[slot]:
            slot = (slot + 1) & (size - 1)
        table[slot] = 1 + row
    return np.array(table, np.int32)


def _pair_bits(set_of_row: np.ndarray, first: np.ndarray, second: np.ndarray, num_sets: int) -> np.ndarray:
    """One bit per rule set and pair of bytes."""
    bits = np.zeros((num_sets, PAIR_BYTES * 8), np.bool_)
    bits[set_of_row, first.astype(np.int64) << 8 | second] = True
    return np.packbits(bits, axis=1, bitorder="little").ravel()


@functools.cache
def load() -> WordRules:
    """The committed tables, with hash tables made from the exceptions."""
    with np.load(FILE) as stored:
        arrays = {name: stored[name] for name in stored.files}
    text, length = arrays["text"], arrays["text_lengths"]
    start, first_row = _starts(length), _starts(arrays["exceptions_per_set"])
    num_sets = len(first_row) - 1
    set_of_row = np.repeat(np.arange(num_sets), arrays["exceptions_per_set"])
    value = _hashes(text, start, length)
    slots = [_slots(value[a:b], int(a)) for a, b in itertools.pairwise(first_row)]
    longer, inside = np.flatnonzero(length > 1), np.flatnonzero((arrays["num_pieces"] > 0) & (length > 1))
    second = start[inside] + np.where(text[start[inside] + 1] == ord(" "), 2, 1)
    return WordRules(
        class_index=arrays["class_index"], class_blocks=arrays["class_blocks"],
        class_bits=arrays["class_bits"], plain=arrays["plain"],
        columns=arrays["columns"], automata=arrays["automata"], cells=arrays["cells"], text=text, text_start=start,
        parts=arrays["parts"], parts_start=_starts(arrays["num_parts"]), pieces=arrays["pieces"],
        pieces_start=_starts(arrays["num_pieces"]), slots=np.concatenate(slots),
        slot_start=_starts(np.array([len(s) for s in slots])),
        pairs=_pair_bits(set_of_row[longer], text[start[longer]], text[start[longer] + 1], num_sets),
        piece_pairs=_pair_bits(set_of_row[inside], text[start[inside]], text[second], num_sets),
        max_bytes=np.array([length[a:b].max() for a, b in itertools.pairwise(first_row)], np.int64),
        max_pieces=np.array([arrays["num_pieces"][a:b].max() for a, b in itertools.pairwise(first_row)], np.int64),
    )  # fmt: skip


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


def rules_of(code: str | None) -> int:
    """The rule set of a language (ISO 639-1 or 639-3 code); English where it has none."""
    return _rules_of_codes().get(code or "", ENGLISH)
