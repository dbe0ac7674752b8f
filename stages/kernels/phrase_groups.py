"""Which of many phrases a stretch of text contains, letters A to Z in either case.

Reads:  bytes
Writes: Automaton; `found_in` gives one bit per group of phrases
Cost:   1 to 2 ns per byte however many phrases; memory: bytes of all phrases x different bytes in them x 8
Source: Aho and Corasick 1975 (doi 10.1145/360825.360855)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stages.kernels.compiled import kernel


class Automaton(NamedTuple):
    """`column` uint64[256]: the column of a byte; 0 for bytes in no phrase.

    `steps` uint64[states * columns]: where the row of the next state begins << 8, and in the lower bits the groups of
    the phrases that end there, bit g for group g.
    """

    column: np.ndarray
    steps: np.ndarray


def automaton(groups: Sequence[Sequence[str]]) -> Automaton:
    """For at most eight groups of phrases that are not empty."""
    phrases = [(_lower(phrase), 1 << g) for g, group in enumerate(groups) for phrase in group]
    used = sorted({byte for phrase, _ in phrases for byte in phrase})
    column = np.zeros(256, np.uint64)
    for c, byte in enumerate(used):
        column[byte] = c + 1
    for byte in range(ord("A"), ord("Z") + 1):
        column[byte] = column[byte + 32]
    states: list[list[int]] = [[0] * (len(used) + 1)]
    found = [0]
    for phrase, bit in phrases:
        state = 0
        for byte in phrase:
            if not states[state][int(column[byte])]:
                states[state][int(column[byte])] = len(states)
                states.append([0] * (len(used) + 1))
                found.append(0)
            state = states[state][int(column[byte])]
        found[state] |= bit
    _link(states, found)
    next_state, num_columns = np.array(states, np.uint64), np.uint64(len(used) + 1)
    steps = next_state * num_columns << np.uint64(8) | np.array(found, np.uint64)[next_state.astype(np.int64)]
    return Automaton(column=column, steps=steps.ravel())


def _lower(phrase: str) -> bytes:
    return bytes(b + 32 if 65 <= b <= 90 else b for b in phrase.encode())


def _link(states: list[list[int]], found: list[int]) -> None:
    """Turn the tree of phrases into an automaton: where there is no branch, the longest suffix goes on."""
    suffix = [0] * len(states)
    queue = [state for state in states[0] if state]
    for state in queue:
        found[state] |= found[suffix[state]]
        for c, child in enumerate(states[state]):
            if child:
                suffix[child] = states[suffix[state]][c]
                queue.append(child)
            else:
                states[state][c] = states[suffix[state]][c]


@kernel
def found_in(data: np.ndarray, start: int, end: int, automaton: Automaton) -> int:
    """The groups with a phrase in data[start:end], one bit each."""
    step: Any = np.uint64(0)
    found: Any = np.uint64(0)
    for i in range(start, end):
        step = automaton.steps[(step >> np.uint64(8)) + automaton.column[data[i]]]
        found |= step
    return np.int64(found & np.uint64(0xFF))  # type: ignore[return-value]
