"""Pages of the sample crawl made from documentation: modules cut into pages of a few thousand characters of prose.

Reads:  documentation through `docstrings.py`
Writes: pages of kind `docs`
Cost:   5 s for 2,000 pages, most of it for parsing docstrings
Source: ours
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

import xxhash

from stages.sample.docstrings import Block, Module, Section, files, read, topics
from stages.sample.sites import Page, Site, journal, manual, tables

SITES = {
    "reference": Site(host="language-reference.example", name="Language Reference", layout=manual),
    "python": Site(host="standard-library.example", name="The Library Shelf", layout=manual),
    "numpy": Site(host="arrays.example", name="Arrays Handbook", layout=manual),
    "scipy": Site(host="numerics.example", name="Numerics Notes", layout=manual),
    "torch": Site(host="tensor-notes.example", name="Tensor Notes", layout=journal),
    "ray": Site(host="cluster-guide.example", name="Cluster Guide", layout=manual),
    "networkx": Site(host="graphs.example", name="Graph Garden", layout=journal),
    "numba": Site(host="compilers.example", name="Compiler Corner", layout=tables),
}
OTHER_PACKAGES = Site(host="package-docs.example", name="Package Docs", layout=tables)
PROSE_CHARS = 3000  # of a page, after which the next section starts a new one
FEWEST_PROSE_CHARS = 400  # a page with less is left out
NUM_LINKS = 15  # in the sidebar, half to the modules before and half to those after


def doc_pages(num: int) -> list[Page]:
    """`num` pages, or all there are: the language reference, then modules in an order mixed by their names."""
    pages = [page for topic in topics() for page in _module_pages(topic, [])]
    everything = files()
    for i in sorted(range(len(everything)), key=lambda i: xxhash.xxh3_64_intdigest(everything[i].name.encode())):
        if len(pages) >= num:
            break
        if module := read(everything[i]):
            near = everything[max(i - NUM_LINKS // 2, 0) : i + NUM_LINKS // 2 + 1]
            pages += _module_pages(module, [(f"/{file.name.replace('.', '/')}.html", file.name) for file in near])
    return pages[:num]


def _module_pages(module: Module, links: list[tuple[str, str]]) -> Iterator[Page]:
    site = SITES.get(module.package, OTHER_PACKAGES)
    for part, sections in enumerate(_parts(_without_repeats(module))):
        path = module.name.replace(".", "/") + (f"-{part + 1}" if part else "") + ".html"
        title = module.name if not part else f"{module.name}, part {part + 1}"
        yield site.page("docs", path, title, "\n".join(section_html(s, title) for s in sections), links)


def _without_repeats(module: Module) -> tuple[Section, ...]:
    """The sections with each block once; code only in every fourth module: prose is what the sample is for."""
    seen: set[Block] = set()
    with_code = xxhash.xxh3_64_intdigest(module.name.encode()) % 4 == 0
    sections = []
    for section in module.sections:
        blocks = tuple(b for b in section.blocks if b not in seen and (with_code or b.kind != "code"))
        seen.update(blocks)
        if blocks:
            sections.append(Section(heading=section.heading, blocks=blocks))
    return tuple(sections)


def _parts(sections: tuple[Section, ...]) -> Iterator[list[Section]]:
    """Runs of sections with at least PROSE_CHARS of prose each; the last may have less, down to FEWEST_PROSE_CHARS."""
    part: list[Section] = []
    for section in (piece for s in sections for piece in _pieces(s)):
        part.append(section)
        if sum(s.prose_chars for s in part) >= PROSE_CHARS:
            yield part
            part = []
    if sum(s.prose_chars for s in part) >= FEWEST_PROSE_CHARS:
        yield part


def _pieces(section: Section) -> Iterator[Section]:
    """A long section cut between blocks, so that no page grows beyond twice PROSE_CHARS by much."""
    blocks: list[Block] = []
    for block in section.blocks:
        blocks.append(block)
        piece = Section(heading=section.heading, blocks=tuple(blocks))
        if piece.prose_chars >= PROSE_CHARS:
            yield piece
            blocks = []
    if blocks:
        yield Section(heading=section.heading, blocks=tuple(blocks))


def section_html(section: Section, title: str) -> str:
    """Heading and blocks; no heading where it would repeat the page's title."""
    heading = "" if title.startswith(section.heading) else f"<h2>{escape(section.heading, quote=False)}</h2>\n"
    return heading + "\n".join(map(_block_html, section.blocks))


def _block_html(block: Block) -> str:
    if block.kind == "code":
        return "<pre>" + escape("\n".join(block.lines), quote=False) + "</pre>"
    lines = [re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(line, quote=False)) for line in block.lines]
    if block.kind == "list":
        return "<ul>\n" + "\n".join(f"<li>{line}</li>" for line in lines) + "\n</ul>"
    return f"<p>{lines[0]}</p>"
