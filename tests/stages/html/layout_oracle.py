"""Texts of small well-formed documents by the rules of layout, in plain Python over the standard library's parser."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

LISTS, ITEMS, CELLS = {"ul", "ol", "dl"}, {"li", "dt", "dd"}, {"td", "th"}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
INLINE = {"b", "span", "a", "i"}


@dataclass(eq=False)
class Element:
    tag: str
    position: int | None = None  # of an item among its list's
    num_items: int = 0


@dataclass
class Block:
    path: list[Element]  # outermost first
    text: str = ""
    links: list[tuple[int, int, str]] = field(default_factory=list)


class _Blocks(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[Block] = []
        self.path: list[Element] = []
        self.open: Block | None = None
        self.num_br = 0
        self.href: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.num_br += 1
        elif tag == "a":
            self.href = dict(attrs)["href"]
        elif tag not in INLINE:
            self.open, self.num_br = None, 0
            element = Element(tag)
            if tag == "li":
                around = innermost(self.path, LISTS)
                element.position = 0
                if around and around.tag == "ol":
                    around.num_items += 1
                    element.position = around.num_items
            self.path.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self.href = None
        elif tag not in INLINE:
            self.open, self.num_br = None, 0
            self.path.pop()

    def handle_data(self, data: str) -> None:
        if self.num_br > 1:
            self.open = None
        if self.open is None:
            self.open = Block(list(self.path))
            self.blocks.append(self.open)
        elif self.num_br:
            self.open.text += "\n"
        start = len(self.open.text)
        self.open.text += data
        if self.href is not None:
            self.open.links.append((start, len(self.open.text), self.href))
        self.num_br = 0


def blocks_of(html: str) -> list[Block]:
    parser = _Blocks()
    parser.feed(html)
    parser.close()
    return parser.blocks


def innermost(path: Sequence[Element], tags: set[str], stop: str = "table") -> Element | None:
    """The nearest element of the tags, unless one of `stop` comes before it."""
    for element in reversed(path):
        if element.tag in tags:
            return element
        if element.tag == stop:
            return None
    return None


def _lists(path: Sequence[Element]) -> list[Element]:
    """The lists around, up to the next table, innermost first."""
    found = []
    for element in reversed(path):
        if element.tag == "table":
            break
        if element.tag in LISTS:
            found.append(element)
    return found


def _parted(a: Block, b: Block, kept: Sequence[Block]) -> str:
    pre = innermost(a.path, {"pre"}, "")
    if pre and pre is innermost(b.path, {"pre"}, ""):
        return "\n\n" if a.path[-1] is b.path[-1] else "\n"
    unit, other = (innermost(block.path, ITEMS | CELLS) for block in (a, b))
    if not unit or not other or unit is other:
        return "\n\n"
    own = {id(u): [x for x in kept if innermost(x.path, ITEMS | CELLS) is u] for u in (unit, other)}
    if any(len(blocks) != 1 for blocks in own.values()):
        return "\n\n"
    if unit.tag in ITEMS and other.tag in ITEMS:
        return "\n" if _lists(a.path)[-1:] == _lists(b.path)[-1:] else "\n\n"
    if unit.tag in ITEMS or other.tag in ITEMS or "\n" in a.text + b.text:
        return "\n\n"
    if innermost(a.path, {"table"}) is not innermost(b.path, {"table"}):
        return "\n\n"
    return "\t" if innermost(a.path, {"tr"}) is innermost(b.path, {"tr"}) else "\n"


def text_of(blocks: Sequence[Block], keep: Sequence[bool], bullets: bool = False) -> str:
    """One page's text."""
    kept = [block for block, is_kept in zip(blocks, keep, strict=True) if is_kept]
    text, marked = "", set()
    for k, block in enumerate(kept):
        if k:
            text += _parted(kept[k - 1], block, kept)
        unit = innermost(block.path, ITEMS | CELLS)
        if bullets and unit and unit.position is not None and not innermost(block.path, {"pre"}, ""):
            if id(unit) not in marked and not innermost(block.path, HEADINGS, ""):
                text += f"{unit.position}. " if unit.position else "• "
            marked.add(id(unit))
        text += block.text
    return text


def random_document(rng: random.Random) -> str:
    """A small well-formed document: lists in tables in lists, cells and items of one block or more, line breaks."""
    names = iter(range(10**6))

    def words() -> str:
        word = f"w{next(names)}"
        kind = rng.random()
        if kind < 0.1:
            return f"{word}<br>{word}"
        if kind < 0.15:
            return f"{word}<br><br>{word}"
        return f"<b>{word}</b> x" if kind < 0.25 else word

    def flow(depth: int) -> str:
        kinds = ["p", "p", "words", "ul", "ol", "dl", "table", "table", "div", "pre", "blockquote", "h2"]
        kind = rng.choice(kinds) if depth < 5 else "p"
        several = lambda least=1: range(rng.randint(least, 3))  # noqa: E731
        if kind == "words":
            return words()
        if kind in ("p", "h2"):
            return f"<{kind}>{words()}</{kind}>"
        if kind in ("ul", "ol"):
            return f"<{kind}>{''.join(f'<li>{inside(depth)}</li>' for _ in several())}</{kind}>"
        if kind == "dl":
            return f"<dl>{''.join(f'<dt>{words()}</dt><dd>{inside(depth)}</dd>' for _ in several())}</dl>"
        if kind == "table":
            rows = ("".join(f"<td>{inside(depth)}</td>" for _ in several()) for _ in several())
            return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
        if kind == "pre":
            lines = "".join(f"<div>l{next(names)}</div>" for _ in several(0))
            return f"<pre>l{next(names)}\n  l{next(names)}{lines}</pre>"
        return f"<{kind}>{''.join(flow(depth + 1) for _ in several())}</{kind}>"

    def inside(depth: int) -> str:
        return words() if rng.random() < 0.6 else "".join(flow(depth + 1) for _ in range(rng.randint(0, 2)))

    return f"<html><body>{''.join(flow(0) for _ in range(rng.randint(1, 5)))}</body></html>"
