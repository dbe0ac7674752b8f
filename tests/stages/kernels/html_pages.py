"""Pages for tests of the HTML scan: what a scan says of them as plain Python, what lexbor's tree says, real ones."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from resiliparse.parse import html as lexbor

from pipeline.stage import NarrowContext
from stages.commoncrawl import Config, commoncrawl
from stages.decoding.charset import decode
from stages.html.scanning import Scan, scan
from stages.kernels.html_tags import SKIPPED, TAGS
from stages.kernels.html_text import B_ELEMENT, B_END, B_START, E_PARENT, E_TAG, L_END, L_HREF, L_HREF_END, L_START
from stages.kernels.utf8 import PADDING, Utf8
from tests.shared_data import SHARED

# What a text's words are compared without: white space, controls, characters of no width.
_UNSEEN = re.compile("[\\s\x00-\x20\x7f-\xa0\xad\u2000-\u200b\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff]+")


@dataclass(frozen=True)
class Block:
    """A block's text, the names of the elements around it from the outside in, its links as (text, address)."""

    text: str
    path: str
    links: tuple[tuple[str, str], ...]


def laid_out(pages: Sequence[bytes]) -> Utf8:
    """Pages end to end with padding behind them; no check that they are UTF-8."""
    data = np.frombuffer(b"".join(pages) + bytes(PADDING), np.uint8)
    offsets = np.cumsum([0, *map(len, pages)], dtype=np.int64)
    return Utf8(offsets=offsets, data=data, null_N=np.zeros(len(pages), np.bool_))


def scanned(pages: Sequence[bytes | str], alt_texts: bool = False) -> Scan:
    return scan(laid_out([page.encode() if isinstance(page, str) else page for page in pages]), alt_texts)


def blocks_of(page: str, alt_texts: bool = False) -> list[Block]:
    """The blocks of one page."""
    data = page.encode()
    rows = scanned([data], alt_texts).rows
    text = rows.text.tobytes()
    found = []
    for block in rows.blocks:
        names, element = [], block[B_ELEMENT]
        while rows.elements[element, E_PARENT] != element:
            names.append(TAGS[rows.elements[element, E_TAG]])
            element = rows.elements[element, E_PARENT]
        links = tuple(
            (text[link[L_START] : link[L_END]].decode(), data[link[L_HREF] : link[L_HREF_END]].decode())
            for link in rows.links
            if block[B_START] <= link[L_START] < block[B_END]
        )
        found.append(Block(text[block[B_START] : block[B_END]].decode(), "/".join(reversed(names)), links))
    return found


def texts_of(page: str) -> list[str]:
    return [block.text for block in blocks_of(page)]


def squeezed(text: str) -> str:
    return _UNSEEN.sub("", text)


def lexbor_text(page: str) -> tuple[str, str]:
    """(text, text in links) of lexbor's tree, squeezed; without the elements that a scan skips."""
    text: list[str] = []
    linked: list[str] = []
    node: Any = lexbor.HTMLTree.parse(page).document
    num_links = 0
    while True:
        if node.type == lexbor.TEXT:
            text.append(node.value or "")
            if num_links:
                linked.append(text[-1])
        below = node.first_child
        if below is not None and not (node.type == lexbor.ELEMENT and node.tag in SKIPPED):
            num_links += _is_link(node)
            node = below
            continue
        while node.next_sibling is None:
            node = node.parent
            if node is None or node.type == lexbor.DOCUMENT:
                return squeezed("".join(text)), squeezed("".join(linked))
            num_links -= _is_link(node)
        node = node.next_sibling


def _is_link(node: Any) -> bool:
    return node.type == lexbor.ELEMENT and node.tag == "a" and node.hasattr("href")


@functools.cache
def real_pages(shard: str) -> list[bytes]:
    """A shard of real pages as UTF-8."""
    source = str(SHARED / "data" / "warc" / f"{shard}.warc.gz")
    reader = commoncrawl.function(Config(source=source), NarrowContext(step="crawl"))
    pages = []
    for place in reader.shards():
        for batch in reader.read(place):
            rows = batch.documents
            for payload, header in zip(rows["payload"].to_pylist(), rows["content_type"].to_pylist(), strict=True):
                pages.append(decode(payload, header).text.encode("utf-8", "replace"))
    return pages


PIECES = [
    *(f"<{name}>" for name in TAGS if name), *(f"</{name}>" for name in TAGS if name), "<x-y>", "</x-y>",
    "<a href='u'>",
    "<a href=\"v\" class='authorName by-line'>", "<div class=author id=postBody hidden>", "<p/>", "<br/>",
    "<time class=author>", "<img alt='alt text'>", "<meta name=a content='b>c'>", "<script type='application/ld+json'>",
    "<!--", "-->", "--!>", "<!-->", "<![CDATA[", "]]>", "<?x", "<!doctype html>", "</", "<", ">", "'", '"', "=", "/",
    "<svg/>", "<table><tr><td>", "<ul><li>", "<pre> \r\n\t", "&", "&amp", "&nGt;", "&#", "&#x1F600;", "&#0;", "&nbsp;",
    "text ", "wörd", " ", "\n", "\r", "\0", "\x7f", "\x85", "\xa0", "\u200b", "\u3000", "\ufeff", "中文", "é" * 40,
    "😀", "x" * 70, "class=" + "aB-cD_e" * 12,
]  # fmt: skip


def random_page(rng: random.Random, most: int = 60) -> str:
    return "".join(rng.choice(PIECES) for _ in range(rng.randint(0, most)))


def mutated(page: bytes, rng: random.Random) -> bytes:
    """A page with pieces cut out, repeated, and bytes overwritten: not UTF-8 any more."""
    changed = bytearray(page)
    for _ in range(rng.randint(1, 12)):
        at, size = rng.randrange(len(changed) + 1), rng.choice([1, 3, 20, 300])
        kind = rng.randrange(4)
        if kind == 0:
            del changed[at : at + size]
        elif kind == 1:
            changed[at:at] = changed[at : at + size]
        elif kind == 2:
            changed[at : at + 1] = bytes([rng.randrange(256)])
        else:
            changed[at:at] = rng.choice(PIECES).encode()
    return bytes(changed)
