"""affix_automata against `re` itself."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from stages.kernels import affix_automata
from stages.kernels.affix_automata import Automaton, Charsets, UnsupportedError

ALPHABET = "aAb.'-5"
FORWARD = [
    r"^-|^\.\.+|^A(?=b)|^a(?![0-9])", r"^(?:a|ab|abb)", r"^(?:ab|a)b?", r"^a{2,3}b*", r"^(?:(?:a|b)+-|[^ab]){2}",
    r"^'$|^''(?=-|$)", r"(?i)^ab?5*", r"^.-",
]  # fmt: skip
BACKWARD = [r"(?<=[0-9])(?:a|ab)$|\.\.+$|'$", r"(?<=[A-Z][A-Z])\.$|-$", r"^a-$|b+$", r"(?:(?:a|ba)|b)$|(?<=a')[ab]$"]
INFIXES = [
    r"(?<=[a-b])-(?=[a-b])|\.\.+|(?<=[0-9])[.'-](?=[0-9-])", r"(?<=[ab]['])(?=[ab])|--", r"(?<=[aA])\.(?!b)",
    r"(?<=[A-Z])(?:-|--|---|'')(?=a)|(?<=^b)-",
]  # fmt: skip
WHOLE = [r"^a+-b+$|^[ab]+'$", r"(?iu)(?:^a[-']b*$)|(?:^aa$)", r"^(?:5|55)[.-]*|^b$"]


def walk(found: Automaton, state: int, columns: list[int]) -> tuple[int, int]:
    """(shortest, last seen) end of the matches among what is read; -1, -1 for none."""
    first, last, i = -1, -1, 0
    while state:
        accept = (found.accept_end_S if i == len(columns) else found.accept_S)[state]
        if accept:
            last = i - (accept - 1)
            first = last if first < 0 else first
        if i == len(columns):
            break
        state = int(found.next_SC[state, columns[i]])
        i += 1
    return first, last


def compiled(text: str, **how: bool) -> Automaton:
    charsets = Charsets()
    pattern = affix_automata.parse(text, charsets, **how)
    masks = {c: charsets.mask(c) for c in pattern.charsets()}
    return affix_automata.automaton(pattern, lambda c, k: bool(masks[c][ord(ALPHABET[k])]), len(ALPHABET))


def random_texts() -> list[str]:
    rng = random.Random(3)
    return ["".join(rng.choice(ALPHABET) for _ in range(rng.randint(0, 7))) for _ in range(2_000)]


@pytest.mark.parametrize("pattern", FORWARD)
def test_automaton_forward_first_alternative_matches_as_re(pattern: str) -> None:
    found = compiled(pattern)
    for text in random_texts():
        match = re.match(pattern, text)
        end = walk(found, int(found.starts[0, 0]), [ALPHABET.index(c) for c in text])[1]
        assert end == (match.end() if match else -1), text


@pytest.mark.parametrize("pattern", BACKWARD)
def test_automaton_backward_longest_suffix_as_re(pattern: str) -> None:
    found = compiled(pattern, backward=True)
    for text in random_texts():
        match = re.search(pattern, text)
        columns, best, state, i = [ALPHABET.index(c) for c in text[::-1]], 0, int(found.starts[0, 0]), 0
        while state:
            accept = (found.accept_end_S if i == len(columns) else found.accept_S)[state]
            best = max(best, i - (accept - 1)) if accept else best
            if i == len(columns):
                break
            state, i = int(found.next_SC[state, columns[i]]), i + 1
        assert best == (match.end() - match.start() if match else 0), text


@pytest.mark.parametrize("pattern", INFIXES)
def test_automaton_infix_starts_see_two_characters_back_as_re(pattern: str) -> None:
    found = compiled(pattern)
    regex = re.compile(pattern)
    for text in random_texts():
        columns = [ALPHABET.index(c) for c in text]
        for i in range(len(text)):
            two, one = (columns[k] + 1 if k >= 0 else 0 for k in (i - 2, i - 1))
            start = int(found.starts[two, one] if len(found.starts) > 1 else found.starts[0, 0])
            match = regex.match(text, i)
            end = walk(found, start, columns[i:])[1]
            assert (i + end if end >= 0 else -1) == (match.end() if match else -1), (text, i)


@pytest.mark.parametrize("pattern", WHOLE)
def test_automaton_whole_says_whether_there_is_a_match_as_re(pattern: str) -> None:
    found = compiled(pattern, whole=True)
    for text in random_texts():
        columns = [ALPHABET.index(c) for c in text]
        assert (walk(found, int(found.starts[0, 0]), columns)[0] >= 0) == bool(re.match(pattern, text)), text


@pytest.mark.parametrize("pattern", [r"a(?=b)b", r"(?!ab)a", r"(?<=aaa)b", r"a\b", r"a*?"])
def test_parse_what_tables_cannot_hold_is_refused(pattern: str) -> None:
    with pytest.raises(UnsupportedError):
        affix_automata.parse(pattern, Charsets())


def test_charsets_equal_sets_have_one_number_and_complement_is_the_rest() -> None:
    charsets = Charsets()
    first = affix_automata.parse("[ab]", charsets).charsets()
    assert first == affix_automata.parse("[ba]", charsets).charsets()
    (number,) = first
    assert np.array_equal(charsets.mask(charsets.complement(number)), ~charsets.mask(number))
    assert np.flatnonzero(charsets.mask(number)).tolist() == [97, 98]
