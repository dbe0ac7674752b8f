"""Turns the regular expressions of a splitter into tables: what `re` finds, by looking up one cell per character.

Reads:  patterns, as the parse trees `re` itself makes of them
Writes: Automaton: rows of next states, with how much of what was read is a match
Cost:   seconds per language; used by generate_word_rules.py only
Source: subset construction (Rabin and Scott 1959) over ordered lists of threads, so that the first alternative that
        matches wins as in `re` (Cox 2010, "Regular Expression Matching in the Wild")

What such a table cannot tell raises UnsupportedError: assertions of many characters, or between characters.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import numpy as np

EVERY_CHARACTER = "".join(map(chr, range(sys.maxunicode + 1)))
BEGIN = -1  # in a lookbehind: nothing stands here
CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d", op.CATEGORY_NOT_DIGIT: r"\D", op.CATEGORY_SPACE: r"\s", op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w", op.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


class UnsupportedError(ValueError):
    """A pattern says something the tables cannot hold."""


class Charsets:
    """Sets of characters by number; equal sets have one number."""

    def __init__(self) -> None:
        self._by_class: dict[tuple[str, bool], int] = {}
        self._by_bytes: dict[bytes, int] = {}
        self.packed: list[bytes] = []

    def number(self, node: tuple[Any, Any], flags: int) -> int:
        """The set a parse tree's node for one character stands for."""
        text, fold = _class_text(node), bool(flags & re.IGNORECASE)
        if (text, fold) not in self._by_class:
            mask = np.zeros(sys.maxunicode + 1, np.bool_)
            for run in re.finditer(text + "+", EVERY_CHARACTER, re.IGNORECASE if fold else 0):
                mask[run.start() : run.end()] = True
            self._by_class[text, fold] = self._intern(mask)
        return self._by_class[text, fold]

    def complement(self, number: int) -> int:
        return self._intern(~self.mask(number))

    def mask(self, number: int) -> np.ndarray:
        """bool[0x110000]."""
        return np.unpackbits(np.frombuffer(self.packed[number], np.uint8), count=sys.maxunicode + 1).astype(np.bool_)

    def _intern(self, mask: np.ndarray) -> int:
        packed = np.packbits(mask).tobytes()
        if packed not in self._by_bytes:
            self._by_bytes[packed] = len(self.packed)
            self.packed.append(packed)
        return self._by_bytes[packed]


def _class_text(node: tuple[Any, Any]) -> str:
    """The node written as a character class."""
    kind, value = node
    if kind is op.ANY:
        return r"[^\n]"
    if kind is op.NOT_LITERAL:
        return rf"[^\U{value:08x}]"
    items = [node] if kind is op.LITERAL else value
    text = ""
    for item, what in items:
        if item is op.NEGATE:
            text += "^"
        elif item is op.LITERAL:
            text += rf"\U{what:08x}"
        elif item is op.RANGE:
            text += rf"\U{what[0]:08x}-\U{what[1]:08x}"
        else:
            text += CATEGORIES[what]
    return f"[{text}]"


@dataclass(frozen=True)
class Node:
    """A step of the nondeterministic automaton.

    `kind`: char (reads one of `charset`), split (goes to all of `to`, the first is preferred), behind (goes on where
    the characters read before fit one of `behind`), begin and end (of the input), match (`back` characters ago).
    """

    kind: str
    to: tuple[int, ...] = ()
    charset: int = 0
    behind: tuple[tuple[int, ...], ...] = ()
    back: int = 0


class _Builder:
    """Nodes of a pattern, built from its end; `backward` reads from the end to the start, so that `$` comes first."""

    def __init__(self, charsets: Charsets, backward: bool) -> None:
        self.charsets, self.backward = charsets, backward
        self.nodes: list[Node] = [Node("match")]

    def add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def sequence(self, items: Iterable[tuple[Any, Any]], flags: int, to: int) -> int:
        ordered = list(items)
        for node in ordered if self.backward else reversed(ordered):
            to = self.item(node, flags, to)
        return to

    def item(self, node: tuple[Any, Any], flags: int, to: int) -> int:
        kind, value = node
        if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
            return self.add(Node("char", (to,), self.charsets.number(node, flags)))
        if kind is op.BRANCH:
            return self.add(Node("split", tuple(self.sequence(branch, flags, to) for branch in value[1])))
        if kind is op.SUBPATTERN:
            return self.sequence(value[3], (flags | value[1]) & ~value[2], to)
        if kind is op.MAX_REPEAT:
            return self.repeat(value[0], value[1], value[2], flags, to)
        if kind is op.AT and value in (op.AT_BEGINNING, op.AT_END):
            return self.add(Node("end" if (value is op.AT_BEGINNING) == self.backward else "begin", (to,)))
        if kind in (op.ASSERT, op.ASSERT_NOT):
            is_ahead = (value[0] < 0) == self.backward  # seen from where we read
            return (self.ahead if is_ahead else self.behind)(kind is op.ASSERT_NOT, value[1], flags, to)
        raise UnsupportedError(f"{kind} in a pattern")

    def repeat(self, low: int, high: Any, items: Any, flags: int, to: int) -> int:
        if high is op.MAXREPEAT:
            loop = self.add(Node("split"))
            self.nodes[loop] = Node("split", (self.sequence(items, flags, loop), to))
            to = loop
        else:
            for _ in range(high - low):
                to = self.add(Node("split", (self.sequence(items, flags, to), to)))
        for _ in range(low):
            to = self.sequence(items, flags, to)
        return to

    def ahead(self, negative: bool, items: Any, flags: int, to: int) -> int:
        """What must follow the match: read too, and given back."""
        if to != 0:
            raise UnsupportedError("an assertion between characters")
        options = []
        for option in _options(items):
            low, high = _width(option)
            if negative and (low, high) != (1, 1):
                raise UnsupportedError("a negative assertion of several characters")
            if low != high:
                raise UnsupportedError("an assertion of varying length")
            end = self.add(Node("match", back=low))
            if negative:
                single = self.charsets.number(_single(option), flags)
                options.append(self.add(Node("char", (end,), self.charsets.complement(single))))
                options.append(self.add(Node("end", (0,))))
            else:
                options.append(self.sequence(option, flags, end))
        if negative and len(options) > 2:
            raise UnsupportedError("a negative assertion with alternatives")
        return self.add(Node("split", tuple(options)))

    def behind(self, negative: bool, items: Any, flags: int, to: int) -> int:
        """What must stand before the match: up to two characters."""
        if negative:
            raise UnsupportedError("a negative assertion on what came before")
        options = []
        for option in _options(items):
            flat = list(_flatten(option))
            numbers = [BEGIN if k is op.AT else self.charsets.number((k, v), flags) for k, v in flat]
            if len(numbers) > 2:
                raise UnsupportedError("a lookbehind of more than two characters")
            options.append(tuple(numbers))
        return self.add(Node("behind", (to,), behind=tuple(options)))


def _flatten(items: Any) -> Iterable[tuple[Any, Any]]:
    for kind, value in items:
        if kind is op.SUBPATTERN:
            yield from _flatten(value[3])
        elif kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN, op.AT):
            yield kind, value
        else:
            raise UnsupportedError(f"{kind} in an assertion")


def _options(items: Any) -> list[list[tuple[Any, Any]]]:
    """The alternatives of an assertion, each a list of nodes; of a repeated end the least is enough."""
    ordered = list(items)
    if len(ordered) == 1 and ordered[0][0] is op.SUBPATTERN:
        return _options(ordered[0][1][3])
    if len(ordered) == 1 and ordered[0][0] is op.BRANCH:
        return [option for branch in ordered[0][1][1] for option in _options(branch)]
    if len(ordered) == 1 and ordered[0][0] is op.MAX_REPEAT:
        return [list(ordered[0][1][2]) * ordered[0][1][0]]
    return [ordered]


def _width(items: Sequence[tuple[Any, Any]]) -> tuple[int, int]:
    widths = [(0, 0) if kind is op.AT else (1, 1) for kind, _ in _flatten(items)]
    return sum(low for low, _ in widths), sum(high for _, high in widths)


def _single(items: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    (node,) = _flatten(items)
    return node


@dataclass(frozen=True)
class Automaton:
    """`next_SC` int[S, C]: state after a character of column C, 0 for none; state 0 has none at all.

    `accept_S`, `accept_end_S`: 0 for no match, else 1 + how many characters at the end of what was read do not belong
    to it; the second holds where the input ends. `starts`: state by (column before the last, column of the last), each
    plus one and 0 for none; where nothing can stand before, only [0, 0].
    """

    next_SC: np.ndarray
    accept_S: np.ndarray
    accept_end_S: np.ndarray
    starts: np.ndarray


class _Determiniser:
    def __init__(self, nodes: list[Node], member: Callable[[int, int], bool], num_columns: int, longest: bool) -> None:
        self.nodes, self.member, self.num_columns, self.longest = nodes, member, num_columns, longest
        self.states: dict[tuple[int, ...], int] = {(): 0}
        self.todo: list[tuple[int, ...]] = []

    def closure(self, ids: Iterable[int], before: tuple[int, int] | None, at_end: bool = False) -> tuple[int, ...]:
        """Nodes that read, match or ask for the end, in order of preference. `before`: the two columns read last, -1
        for none; None in the middle of a match."""
        found: list[int] = []
        seen: set[int] = set()
        stack = list(ids)[::-1]
        while stack:
            n = stack.pop()
            if n in seen:
                continue
            seen.add(n)
            node = self.nodes[n]
            if node.kind in ("char", "match") or (node.kind == "end" and not at_end):
                found.append(n)
                if node.kind == "match" and not self.longest:
                    break
            elif node.kind in ("split", "end"):
                stack.extend(reversed(node.to))
            elif node.kind == "begin":
                if before is not None and before[1] == -1:
                    stack.extend(node.to)
            elif before is None:
                raise UnsupportedError("a lookbehind between characters")
            elif any(self.fits(option, before) for option in node.behind):
                stack.extend(node.to)
        return tuple(sorted(found)) if self.longest else tuple(found)

    def fits(self, option: tuple[int, ...], before: tuple[int, int]) -> bool:
        for wanted, column in zip(reversed(option), reversed(before), strict=False):
            if (wanted == BEGIN) != (column == -1) or (wanted != BEGIN and not self.member(wanted, column)):
                return False
        return True

    def number(self, ids: tuple[int, ...]) -> int:
        if ids not in self.states:
            self.states[ids] = len(self.states)
            self.todo.append(ids)
        return self.states[ids]

    def accept(self, ids: tuple[int, ...], before: tuple[int, int] | None = None) -> int:
        backs = [self.nodes[n].back for n in ids if self.nodes[n].kind == "match"]
        return 1 + (min(backs) if self.longest else backs[0]) if backs else 0

    def run(self, first: int, pairs: Iterable[tuple[int, int]], starts: np.ndarray) -> Automaton:
        for before in pairs:
            starts[before[0] + 1, before[1] + 1] = self.number(self.closure([first], before))
        rows, accept, accept_end = [[0] * self.num_columns], [0], [0]
        for ids in self.todo:  # grows
            targets = [[t for n in ids if self.nodes[n].kind == "char" and self.member(self.nodes[n].charset, c)
                        for t in self.nodes[n].to] for c in range(self.num_columns)]  # fmt: skip
            rows.append([self.number(self.closure(to, None)) if to else 0 for to in targets])
            accept.append(self.accept(ids))
            accept_end.append(self.accept(self.closure(ids, None, at_end=True)))
        return Automaton(np.array(rows), np.array(accept), np.array(accept_end), starts)


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern. `backward`: matches end at the end of the input and the longest is wanted. `whole`: only
    whether there is a match at the start is wanted."""

    nodes: list[Node]
    first: int
    backward: bool
    whole: bool

    def charsets(self) -> set[int]:
        behind = {c for node in self.nodes for option in node.behind for c in option if c != BEGIN}
        return behind | {node.charset for node in self.nodes if node.kind == "char"}


def parse(text: str, charsets: Charsets, *, backward: bool = False, whole: bool = False) -> Pattern:
    tree = _parser.parse(text)
    builder = _Builder(charsets, backward)
    first = builder.sequence(tree, tree.state.flags, 0)
    return Pattern(builder.nodes, first, backward, whole)


def minimised(found: Automaton) -> Automaton:
    """The same automaton with the fewest states (Moore 1956); state 0 stays the one that leads nowhere."""
    label_S = np.unique(np.stack([found.accept_S, found.accept_end_S]), axis=1, return_inverse=True)[1].ravel()
    num_labels = 0
    columns = np.unique(found.next_SC, axis=1)
    while num_labels != (num_labels := int(label_S.max()) + 1):
        key = np.column_stack([label_S, label_S[columns]])
        label_S = np.unique(key, axis=0, return_inverse=True)[1].ravel()
    order = np.concatenate([[label_S[0]], np.delete(np.arange(num_labels), label_S[0])])
    place = np.argsort(order)
    label_S = place[label_S]
    first = np.zeros(num_labels, np.int64)
    first[label_S[::-1]] = np.arange(len(label_S))[::-1]
    return Automaton(
        label_S[found.next_SC[first]], found.accept_S[first], found.accept_end_S[first], label_S[found.starts]
    )


def automaton(pattern: Pattern, member: Callable[[int, int], bool], num_columns: int) -> Automaton:
    """The pattern's table; `member(charset, column)` says whether a column's characters are in a set."""
    run = _Determiniser(pattern.nodes, member, num_columns, pattern.backward or pattern.whole)
    if any(node.kind == "behind" for node in pattern.nodes):
        pairs = [(a, b) for a in range(-1, num_columns) for b in range(-1, num_columns) if b >= 0 or a < 0]
    else:
        pairs = [(-1, -1)]
    side = num_columns + 1 if len(pairs) > 1 else 1
    return minimised(run.run(pattern.first, pairs, np.zeros((side, side), np.int64)))
