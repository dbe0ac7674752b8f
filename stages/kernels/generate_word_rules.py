"""Writes word_rules.npz: run where spaCy 3.8 and datatrove 0.10.1 are.

    .peers/bin/python -m stages.kernels.generate_word_rules

Reads:  datatrove's assignment of languages to splitters; of every spaCy language named there the expressions for
        prefixes, suffixes, infixes and whole tokens, and the exceptions (MIT licence)
Writes: stages/kernels/word_rules.npz (arrays of word_rules.stored); prints the languages left out, and why
Cost:   2 minutes
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.kernels import affix_automata, word_rules
from stages.kernels.affix_automata import Automaton, Charsets, Pattern, UnsupportedError
from stages.kernels.generate_unicode_tables import classes, two_stage
from stages.kernels.unicode_tables import LETTER

OTHER_TOKENIZERS = ("ja", "vi", "zh")  # dictionaries
CHINESE = ("zh", "zho")  # datatrove's table leads to the splitter of its Latin transcriptions
LATIN_MALAY = {"ms": "ms", "msa": "ms"}  # and here to the Thai one


@dataclass(frozen=True)
class RuleSet:
    """What spaCy's blank tokenizer of a language goes by. `rules`: exception -> its words, and the words it would be
    without being one (none where spaCy does not look for it inside longer strings)."""

    language: str
    patterns: tuple[Pattern | None, ...]
    rules: dict[str, tuple[list[str], list[str]]]


def spacy_codes() -> dict[str, str]:
    """Language code -> spaCy's, as datatrove's `load_word_tokenizer` answers for codes without a script."""
    from datatrove.utils.word_tokenizers import load_tokenizer_assignments  # type: ignore[import-not-found,unused-ignore]

    codes = dict(LATIN_MALAY)
    for code, factory in load_tokenizer_assignments().items():
        kind, language = factory.args
        if kind in ("SpaCyTokenizer", "WhitespaceTokenizer") and "_" not in code and code not in CHINESE:
            codes[code] = language or "xx"
    return codes


def rule_set(language: str, charsets: Charsets) -> RuleSet:
    import spacy  # type: ignore[import-not-found,unused-ignore]
    from spacy.attrs import ORTH  # type: ignore[import-not-found,unused-ignore]

    tokenizer = spacy.blank(language).tokenizer
    expressions = (tokenizer.prefix_search, tokenizer.suffix_search, tokenizer.infix_finditer, tokenizer.token_match)
    patterns = tuple(
        find and affix_automata.parse(find.__self__.pattern, charsets, backward=a == 1, whole=a == 3)
        for a, find in enumerate(expressions)
    )
    words = {k: [part[ORTH] for part in v] for k, v in sorted(tokenizer.rules.items()) if not k.isspace()}
    finds = (tokenizer.find_prefix, tokenizer.find_suffix, tokenizer.find_infix)
    inside = [k for k in words if " " in k or any(find(k) for find in finds)]
    tokenizer.rules = {}
    pieces = {k: [x for token in tokenizer(k) for x in (token.text, token.whitespace_) if x] for k in inside}
    return RuleSet(language, patterns, {k: (words[k], pieces.get(k, [])) for k in words})


def partition(charsets: Charsets, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(class of every code point, first code point of every class): characters that neither a set nor `bits` tell apart
    share a class."""
    random = np.random.default_rng(1)
    key = bits.astype(np.uint64)
    for number in range(len(charsets.packed)):
        key[charsets.mask(number)] ^= random.integers(1, 2**63, dtype=np.uint64)
    _, first, class_of = np.unique(key, return_index=True, return_inverse=True)
    return class_of, first


def never_cut(automata: list[Automaton | None], maps: list[np.ndarray], candidates: np.ndarray) -> bool:
    """Whether no run of characters of the candidate classes is cut."""
    for found, column_K in zip(automata[:3], maps[:3], strict=True):
        assert found is not None
        columns = np.unique(column_K[candidates])
        edges = np.concatenate([[0], columns + 1]) if len(found.starts) > 1 else np.zeros(1, np.int64)
        reached, todo = set[int](), [int(s) for s in np.unique(found.starts[np.ix_(edges, edges)])]
        while todo:
            state = todo.pop()
            if state not in reached:
                reached.add(state)
                todo += [int(s) for s in found.next_SC[state, columns]]
        if any(found.accept_S[s] or found.accept_end_S[s] for s in reached):
            return False
    return True


def squeezed(found: Automaton) -> tuple[Automaton, np.ndarray]:
    """The automaton with equal columns as one, and the new column of every old one."""
    key = found.next_SC
    if len(found.starts) > 1:
        key = np.concatenate([key, found.starts[:, 1:], found.starts[1:].T])
    _, first, column = np.unique(key, axis=1, return_index=True, return_inverse=True)
    edges = np.concatenate([[0], first + 1])
    starts = found.starts[np.ix_(edges, edges)] if len(found.starts) > 1 else found.starts
    return Automaton(found.next_SC[:, first], found.accept_S, found.accept_end_S, starts), column.ravel()


def compiled(rules: RuleSet, member_CK: np.ndarray) -> tuple[list[Automaton | None], list[np.ndarray]]:
    """The automata of a rule set, and the column of every class in each; `member_CK`: which classes a set has."""
    used = sorted(set().union(*(p.charsets() for p in rules.patterns if p)))
    _, first, own_K = np.unique(member_CK[used], axis=1, return_index=True, return_inverse=True)
    member = member_CK[:, first]

    def is_member(charset: int, column: int) -> bool:
        return bool(member[charset, column])

    automata: list[Automaton | None] = []
    maps = []
    for pattern in rules.patterns:
        made = squeezed(affix_automata.automaton(pattern, is_member, len(first))) if pattern else None
        automata.append(made[0] if made else None)
        maps.append(made[1][own_K.ravel()] if made else np.zeros(member_CK.shape[1], np.int64))
    return automata, maps


def tables(sets: list[RuleSet], charsets: Charsets) -> dict[str, np.ndarray]:
    """The arrays of automata: see word_rules.load."""
    is_letter = classes() & LETTER
    class_of, first = partition(charsets, is_letter)
    member_CK = np.array([charsets.mask(c)[first] for c in range(len(charsets.packed))])
    letters = is_letter[first] != 0
    rows, columns, plain = [], [], []
    cells: list[np.ndarray] = []
    size = 0
    for rules in sets:
        automata, maps = compiled(rules, member_CK)
        columns += maps
        for a, found in enumerate(automata):
            if found is None:
                rows.append([0, 0, 0, 0])
                continue
            body = np.column_stack([found.accept_S, found.accept_end_S, found.next_SC])
            assert body[:, :2].max() <= (3 if a == word_rules.SUFFIX else 2)  # how far the kernels can go back
            assert len(body) < 1 << 16
            rows.append([size, body.shape[1], size + body.size, len(found.starts)])
            cells += [body.ravel(), found.starts.ravel()]
            size += body.size + found.starts.size
        plain.append(never_cut(automata, maps, letters))
        print(rules.language, [found and found.next_SC.shape for found in automata], len(rules.rules), flush=True)
    index, blocks = two_stage(class_of.astype(np.uint16))
    return {
        "class_index": index, "class_blocks": blocks.astype(np.uint16),
        "columns": np.array(columns).astype(np.uint16), "cells": np.concatenate(cells).astype(np.uint16),
        "automata": np.array(rows, np.int64), "plain_letters": np.array(plain, np.bool_),
    }  # fmt: skip


def _lengths(words: Iterable[str]) -> list[int]:
    return [0 if word == " " else len(word.encode()) for word in words]


def exceptions(sets: list[RuleSet]) -> dict[str, np.ndarray]:
    """The exceptions of all rule sets, one after the other."""
    rows = [(k.encode(), _lengths(words), _lengths(pieces)) for s in sets for k, (words, pieces) in s.rules.items()]
    return {
        "exceptions_per_set": np.array([len(s.rules) for s in sets], np.int64),
        "text": np.frombuffer(b"".join(text for text, _, _ in rows), np.uint8),
        "text_lengths": np.array([len(text) for text, _, _ in rows], np.uint8),
        "parts": np.array([n for _, parts, _ in rows for n in parts], np.uint8),
        "num_parts": np.array([len(parts) for _, parts, _ in rows], np.uint8),
        "pieces": np.array([n for _, _, pieces in rows for n in pieces], np.uint8),
        "num_pieces": np.array([len(pieces) for _, _, pieces in rows], np.uint8),
    }


def main() -> None:
    charsets = Charsets()
    assigned = spacy_codes()
    sets: list[RuleSet] = []
    set_of: dict[str, int] = {}
    for language in ["en", *sorted({*assigned.values()} - {"en", *OTHER_TOKENIZERS})]:
        try:
            made = rule_set(language, charsets)
        except UnsupportedError as error:
            print(f"left out: {language}: {error}")
            continue
        same = [i for i, s in enumerate(sets) if (s.patterns, s.rules) == (made.patterns, made.rules)]
        set_of[language] = same[0] if same else len(sets)
        if not same:
            sets.append(made)
    codes = sorted(code for code, language in assigned.items() if language in set_of)
    arrays: dict[str, Any] = {
        **tables(sets, charsets), **exceptions(sets), "codes": np.array(codes),
        "code_rules": np.array([set_of[assigned[code]] for code in codes], np.int8),
    }  # fmt: skip
    np.savez_compressed(word_rules.FILE, **arrays)
    print(set_of)
    print({name: (array.dtype, array.shape) for name, array in arrays.items()}, word_rules.FILE.stat().st_size)


if __name__ == "__main__":
    main()
