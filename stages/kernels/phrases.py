"""Which listed words and phrases a text holds: one pass over the bytes of a batch, whatever the list.

Reads:  Utf8 (an Arrow string array's offsets and bytes), an Alphabet, PhraseSet
Writes: Found: per text the number of matches, of different phrases, of words, and the first phrase
Cost:   about 6 ns per byte; each character moves through the automaton at most twice on average, however long the list.
        About 40 bytes of memory per character of the list
Source: Aho and Corasick 1975. An edge is looked up in a hash table by (state, symbol), so that a list of any script
        needs no dense table. Where only whole words count, MARK is a symbol that stands before every character that
        begins the text or follows a character that is not of a word: phrases begin with it, so a state with a phrase
        matches wherever no word goes on behind it, and no phrase has to be looked at by itself

Most steps are taken by a table over ASCII, which lists of up to 16,384 states (some thousand phrases) have.

A match is a place where a listed phrase ends; where several end, the longest is taken. Lower case is that of single
characters: `İ` is an i with a dot above (two characters, as in Python), final sigma is sigma.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stages.kernels import unicode_tables
from stages.kernels.compiled import kernel
from stages.kernels.utf8 import Utf8, decode

SYMBOL_BITS = 21
_SYMBOL = (1 << SYMBOL_BITS) - 1
WORD, SKIPPED = 1 << SYMBOL_BITS, 1 << (SYMBOL_BITS + 1)  # of a word; as if it were not there
MARK, _STAND_IN = 0x80, _SYMBOL  # the character U+0080 has a stand-in, so that MARK and ASCII are the first symbols
NUM_DENSE = MARK + 1
_MAX_DENSE_STATES = 1 << 14  # 8 MB of table
_DOTTED_I, _DOT_ABOVE = 0x130, 0x307
_SIGMA, _FINAL_SIGMA = 0x3C3, 0x3C2
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_BITS, _32, _ONE = np.uint64(SYMBOL_BITS), np.uint64(32), np.uint64(1)
MATCHES, DISTINCT, WORDS, FIRST = range(4)
_CIRCLED_LETTERS = range(0x24B6, 0x24D0)  # have lower case, but are not of words

# uint32 per code point: the symbol it stands for (lower case), WORD, SKIPPED; the last entry is for all higher ones.
Alphabet = np.ndarray


class Automaton(NamedTuple):
    """T states, 0 is the start. An edge sits at `edge_keys` uint64[S] (state, symbol; 0: free) with its target in
    `edge_states` int32[S]. `fail` int32[T]: the state of the longest proper suffix. `output` int32[T]: the longest
    phrase that ends here, -1 for none. `dense` int32[T or 0, NUM_DENSE]: the next state after MARK or an ASCII
    character, where the list is not too long for such a table."""

    edge_keys: np.ndarray
    edge_states: np.ndarray
    fail: np.ndarray
    output: np.ndarray
    dense: np.ndarray


@dataclass(frozen=True, kw_only=True)
class PhraseSet:
    """P different phrases and the automaton that finds them, as whole words or anywhere."""

    phrases: tuple[str, ...]
    automaton: Automaton
    whole_words: bool


@dataclass(frozen=True, kw_only=True)
class Found:
    """Of N texts, int64[N]: places with a match, different phrases, words (characters of words where a phrase matches
    anywhere), and the phrase that ends first, -1 without one."""

    num_matches_N: np.ndarray
    num_distinct_N: np.ndarray
    num_words_N: np.ndarray
    first_N: np.ndarray


@functools.cache
def text_alphabet() -> Alphabet:
    r"""Lower case and `\w` of Unicode 14, whatever Python runs."""
    tables = unicode_tables.load()
    code = np.arange(0x110000, dtype=np.uint32)
    block = tables.index[code >> unicode_tables.BLOCK_BITS].astype(np.uint32) << unicode_tables.BLOCK_BITS
    is_word = tables.blocks[block | code & ((1 << unicode_tables.BLOCK_BITS) - 1)] & unicode_tables.WORD != 0
    alphabet = code.copy()
    for letter in (*np.flatnonzero(is_word).tolist(), *_CIRCLED_LETTERS):
        alphabet[letter] = ord(chr(letter).lower()[0])
    alphabet[_FINAL_SIGMA] = _SIGMA
    alphabet[MARK] = _STAND_IN
    return alphabet | np.where(is_word, np.uint32(WORD), np.uint32(0))


def ascii_alphabet(others: int) -> Alphabet:
    """ASCII letters and digits are of words; every other character is of none, or SKIPPED where `others` says so."""
    alphabet = np.arange(129, dtype=np.uint32) | np.uint32(others)
    alphabet[MARK] = _STAND_IN | others
    for code in range(128):
        if chr(code).isalnum():
            alphabet[code] = ord(chr(code).lower()) | WORD
    return alphabet


def phrase_set(phrases: Sequence[str], alphabet: Alphabet, whole_words: bool) -> PhraseSet:
    """The automaton of the phrases, each in lower case and once."""
    distinct = tuple(sorted({phrase.lower().replace("ς", "σ") for phrase in phrases} - {""}))
    rows = [_symbols(phrase, alphabet, whole_words) for phrase in distinct]
    symbols = np.array([symbol for row in rows for symbol in row], np.int64)
    starts = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    num_slots = 1 << (2 * len(symbols) + 1).bit_length()
    edge_keys, edge_states = np.zeros(num_slots, np.uint64), np.zeros(num_slots, np.int32)
    parent, label, depth = (np.zeros(len(symbols) + 1, np.int32) for _ in range(3))
    output = np.full(len(symbols) + 1, -1, np.int32)
    num = _insert(symbols, starts, edge_keys, edge_states, parent, label, depth, output)
    num_dense = num if num <= _MAX_DENSE_STATES else 0
    automaton = Automaton(
        edge_keys, edge_states, np.zeros(num, np.int32), output[:num], np.zeros((num_dense, NUM_DENSE), np.int32)
    )
    _link(automaton, parent, label, np.argsort(depth[:num], kind="stable"))
    _fill(automaton)
    return PhraseSet(phrases=distinct, automaton=automaton, whole_words=whole_words)


def _symbols(phrase: str, alphabet: Alphabet, whole_words: bool) -> list[int]:
    entries = [int(alphabet[min(ord(character), len(alphabet) - 1)]) for character in phrase]
    symbols, was_word = [], False
    for entry in entries:
        if whole_words and not was_word:
            symbols.append(MARK)
        symbols.append(entry & _SYMBOL)
        was_word = entry & WORD != 0
    return symbols


def scan(text: Utf8, row_R: np.ndarray, alphabet: Alphabet, wanted: PhraseSet) -> Found:
    """What is found in rows `row_R` (int64) of the texts; the other rows have nothing."""
    found_N4 = np.zeros((len(text), 4), np.int64)
    found_N4[:, FIRST] = -1
    if len(row_R):
        seen_by = np.full(len(wanted.phrases), -1, np.int64)  # the last text a phrase was seen in
        scan_rows = _scan_words if wanted.whole_words else _scan_anywhere
        scan_rows(text.data, text.offsets, row_R, alphabet, wanted.automaton, seen_by, found_N4)
    return Found(
        num_matches_N=found_N4[:, MATCHES], num_distinct_N=found_N4[:, DISTINCT],
        num_words_N=found_N4[:, WORDS], first_N=found_N4[:, FIRST],
    )  # fmt: skip


@kernel
def _slot(edge_keys: np.ndarray, state: int, symbol: int) -> tuple[Any, np.uint64]:
    """(where the edge is, or the free place for it; its key)."""
    key = (np.uint64(state) << _BITS | np.uint64(symbol)) + _ONE
    mask = np.uint64(len(edge_keys) - 1)
    slot = (key * _FACTOR) >> _32 & mask
    while edge_keys[slot] != 0 and edge_keys[slot] != key:
        slot = (slot + _ONE) & mask
    return np.int64(slot), key


@kernel
def _move(automaton: Automaton, state: int, symbol: int) -> Any:
    """The state after a symbol."""
    if symbol < NUM_DENSE and state < len(automaton.dense):
        return np.int64(automaton.dense[state, symbol])
    return _move_by_edges(automaton, state, symbol)


@kernel
def _move_by_edges(automaton: Automaton, state: Any, symbol: Any) -> Any:
    """The state of the longest suffix with an edge for the symbol, and then that edge's."""
    while True:
        slot, key = _slot(automaton.edge_keys, state, symbol)
        if automaton.edge_keys[slot] == key:
            return np.int64(automaton.edge_states[slot])
        if state == 0:
            return np.int64(0)
        state = np.int64(automaton.fail[state])


@kernel
def _insert(
    symbols: np.ndarray, starts: np.ndarray, edge_keys: np.ndarray, edge_states: np.ndarray, parent: np.ndarray,
    label: np.ndarray, depth: np.ndarray, output: np.ndarray,
) -> int:  # fmt: skip
    """Make the trie of the phrases; the number of its states."""
    num = 1
    for k in range(len(starts) - 1):
        state: Any = 0
        for i in range(starts[k], starts[k + 1]):
            slot, key = _slot(edge_keys, state, symbols[i])
            if edge_keys[slot] == 0:
                edge_keys[slot], edge_states[slot] = key, num
                parent[num], label[num], depth[num] = state, symbols[i], depth[state] + 1
                num += 1
            state = np.int64(edge_states[slot])
        output[state] = k
    return num


@kernel
def _link(automaton: Automaton, parent: np.ndarray, label: np.ndarray, by_depth: np.ndarray) -> None:
    for state in by_depth[1:]:
        if parent[state] != 0:
            suffix = _move_by_edges(automaton, np.int64(automaton.fail[parent[state]]), np.int64(label[state]))
            automaton.fail[state] = suffix
            if automaton.output[state] < 0:
                automaton.output[state] = automaton.output[suffix]


@kernel
def _fill(automaton: Automaton) -> None:
    for state in range(len(automaton.dense)):
        for symbol in range(NUM_DENSE):
            automaton.dense[state, symbol] = _move_by_edges(automaton, state, symbol)


@kernel
def _enter(phrase: int, n: int, seen_by: np.ndarray, found_N4: np.ndarray) -> None:
    found_N4[n, MATCHES] += 1
    if seen_by[phrase] != n:
        seen_by[phrase] = n
        found_N4[n, DISTINCT] += 1
    if found_N4[n, FIRST] < 0:
        found_N4[n, FIRST] = phrase


@kernel
def _word_end(data: np.ndarray, i: int, end: int, alphabet: np.ndarray) -> int:
    """Behind the ASCII characters of a word at i."""
    while i < end and data[i] < 0x80 and alphabet[data[i]] & WORD:
        i += 1
    return i


@kernel
def _scan_words(
    data: np.ndarray, offsets: np.ndarray, row_R: np.ndarray, alphabet: np.ndarray, automaton: Automaton,
    seen_by: np.ndarray, found_N4: np.ndarray,
) -> None:  # fmt: skip
    last, beginning = len(alphabet) - 1, _move(automaton, 0, MARK)
    for n in row_R:
        i, end, was_word = offsets[n], offsets[n + 1], False
        state: Any = np.int64(0)
        while i < end:
            code, size = decode(data, i, end)
            entry: Any = np.int64(alphabet[min(code, last)])
            i += size
            is_word = entry & WORD != 0
            if not is_word and automaton.output[state] >= 0:
                _enter(automaton.output[state], n, seen_by, found_N4)
            if not was_word:
                state = _move(automaton, state, MARK) if state != 0 else beginning
                found_N4[n, WORDS] += is_word
            if state != 0:
                state = _move(automaton, state, entry & _SYMBOL)
            if code == _DOTTED_I:
                if automaton.output[state] >= 0:
                    _enter(automaton.output[state], n, seen_by, found_N4)
                state, is_word = _move(automaton, state, _DOT_ABOVE), False
            was_word = is_word
            if state == 0 and was_word:  # only MARK leads away from here
                i = _word_end(data, i, end, alphabet)
        if automaton.output[state] >= 0:
            _enter(automaton.output[state], n, seen_by, found_N4)


@kernel
def _scan_anywhere(
    data: np.ndarray, offsets: np.ndarray, row_R: np.ndarray, alphabet: np.ndarray, automaton: Automaton,
    seen_by: np.ndarray, found_N4: np.ndarray,
) -> None:  # fmt: skip
    last = len(alphabet) - 1
    for n in row_R:
        i, end = offsets[n], offsets[n + 1]
        state: Any = np.int64(0)
        while i < end:
            code, size = decode(data, i, end)
            entry: Any = np.int64(alphabet[min(code, last)])
            i += size
            if entry & SKIPPED:
                continue
            found_N4[n, WORDS] += entry & WORD != 0
            state = _move(automaton, state, entry & _SYMBOL)
            if code == _DOTTED_I:
                if automaton.output[state] >= 0:
                    _enter(automaton.output[state], n, seen_by, found_N4)
                state = _move(automaton, state, _DOT_ABOVE)
            if automaton.output[state] >= 0:
                _enter(automaton.output[state], n, seen_by, found_N4)
