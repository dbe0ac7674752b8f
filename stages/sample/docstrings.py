"""Documentation that lies on every machine with this project installed, read as text without importing anything.

Reads:  source files of the Python standard library and of packages that this project depends on
Writes: sections: a heading and blocks of prose, lists and code
Cost:   about 2 ms a file
Source: docstrings follow PEP 257; NumPy's and Google's headings and reStructuredText's inline markup are recognised
"""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import os
import re
import sysconfig
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# Packages that this project depends on, directly or through another; of the large ones the parts with most prose.
# Folders are read with all below them.
PACKAGES = {
    "numpy": ("",),
    "torch": ("nn", "optim", "autograd", "distributed", "utils/data", "distributions", "export", "fx"),
    "ray": ("data", "train", "tune", "serve", "util", "air", "_private"),
    "numba": ("core", "misc", "np"),
    "pyarrow": ("",),
    "datasketch": ("",),
    "trafilatura": ("",),
    "rich": ("",),
    "urllib3": ("",),
    "scipy": ("",),
    "networkx": ("",),
    "sympy": ("",),
    "pandas": ("core", "io"),
    "huggingface_hub": ("",),
    "fsspec": ("",),
    "jinja2": ("",),
    "click": ("",),
    "requests": ("",),
    "packaging": ("",),
}
SKIPPED_FOLDERS = {
    "test", "tests", "testing", "__pycache__", "site-packages", "idlelib", "lib2to3", "encodings", "ensurepip",
    "turtledemo", "pydoc_data", "_vendor", "vendored", "thirdparty_files", "array_api_compat",
}  # fmt: skip
LARGEST_FILE_BYTES = 400_000
FEWEST_WORDS = 6  # of a paragraph
SMALLEST_WORD_SHARE = 0.78  # of a paragraph's tokens; just under the 0.8 of Gopher's rule, so that the rule has work

BlockKind = Literal["prose", "list", "code"]
SKIPPED_HEADINGS = re.compile(
    r"(parameters|other parameters|returns?|yields?|raises|receives|see also|references|attributes|methods|examples?|"
    r"warns|args|arguments|keyword args|shape|inputs?|outputs?):?$",
    re.IGNORECASE,
)
CODE_LINE = re.compile(r"^[^#\s]", re.MULTILINE)
AFTER_COLON = re.compile(r":[ \t]*(?:#[^\n]*)?\n\s*[rRuU]?$")
DEFINITION = re.compile(r"^[ \t]*(?:async )?(?:class|def) (\w+)", re.MULTILINE)
ROLE = re.compile(r":[\w:+-]+:`~?([^`<]+?)(?:\s*<[^`>]*>)?`")
BULLET = re.compile(r"^(?:[-*•]|\d+[.)])\s+")


@dataclass(frozen=True, kw_only=True)
class Block:
    """`lines`: one paragraph, the items of a list, or lines of code."""

    kind: BlockKind
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """What one docstring says; `heading` is the name of what it describes."""

    heading: str
    blocks: tuple[Block, ...]

    @property
    def prose_chars(self) -> int:
        return sum(len(line) for block in self.blocks if block.kind == "prose" for line in block.lines)


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """`name` is the module's, with dots."""

    package: str
    name: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Module:
    """What one source file documents: its sections in file order."""

    package: str
    name: str
    sections: tuple[Section, ...]


def versions() -> dict[str, str]:
    """Version of every package that is read and installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # a dependency of a dependency that has gone: the sample is smaller without it
    return found


def files() -> list[SourceFile]:
    """Every source file of the fixed list, in a fixed order; nothing is read yet."""
    library, site = Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))
    found = list(_python_files("python", library, ""))
    for package in versions():
        for folder in PACKAGES[package]:
            found.extend(_python_files(package, site, f"{package}/{folder}".rstrip("/")))
    return found


def _python_files(package: str, root: Path, folder: str) -> Iterator[SourceFile]:
    for where, folders, names in os.walk(root / folder):
        folders[:] = sorted(set(folders) - SKIPPED_FOLDERS)
        for name in sorted(names):
            if name.endswith(".py") and "test" not in name:
                path = Path(where, name)
                dotted = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
                yield SourceFile(package=package, name=dotted, path=path)


def read(file: SourceFile) -> Module | None:
    """The documentation in a file; None where it has none or the file is huge (a table, mostly)."""
    if file.path.stat().st_size > LARGEST_FILE_BYTES:
        return None
    sections = tuple(_sections(file.path.read_text(encoding="utf-8", errors="replace"), file.name))
    return Module(package=file.package, name=file.name, sections=sections) if sections else None


def _sections(source: str, name: str) -> Iterator[Section]:
    """What stands between triple quotes right after `class x:` or `def x():`, or first in the file.

    Cutting at the quotes is a hundred times faster than parsing. A file with quotes in unusual places can give a piece
    of code for a docstring; the rule for prose takes it out again.
    """
    pieces = source.split('"""')
    for before, docstring in zip(pieces[0::2], pieces[1::2], strict=False):
        if before is pieces[0] and not CODE_LINE.search(before):
            heading = name
        elif AFTER_COLON.search(before[-200:]) and (names := DEFINITION.findall(before)):
            heading = names[-1]
        else:
            continue
        if blocks := tuple(parse(inspect.cleandoc(docstring))):
            yield Section(heading=heading, blocks=blocks)


def topics() -> Iterator[Module]:
    """The language reference that `help("topic")` shows."""
    path = Path(sysconfig.get_path("stdlib"), "pydoc_data", "topics.py")
    if not path.exists():  # some distributions leave it out
        return
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            for name, text in sorted(ast.literal_eval(node.value).items()):
                if blocks := tuple(parse(text)):
                    yield Module(package="reference", name=name, sections=(Section(heading=name, blocks=blocks),))


def parse(docstring: str) -> Iterator[Block]:
    """The blocks of a docstring; tables of parameters, directives and formulas are left out."""
    skipping = False
    for raw in re.split(r"\n[ \t]*\n", docstring):
        lines = [line.rstrip() for line in raw.split("\n") if line.strip()]
        if len(lines) > 1 and re.fullmatch(r"\s*([=~*^\-])\1{2,}", lines[1]):
            skipping = bool(SKIPPED_HEADINGS.match(lines[0].strip()))
            lines = lines[2:]
        elif lines and SKIPPED_HEADINGS.match(lines[0].strip()):
            continue
        if lines and not skipping:
            yield from _block(lines)


def _block(lines: list[str]) -> Iterator[Block]:
    indent = min(len(line) - len(line.lstrip()) for line in lines)
    stripped = [line.strip() for line in lines]
    joined = " ".join(stripped)
    if stripped[0].startswith((">>>", "$ ")) or (indent >= 4 and len(lines) > 1 and re.search(r"[=({\[]", joined)):
        yield Block(kind="code", lines=tuple(textwrap.dedent("\n".join(lines)).split("\n")))
    elif BULLET.match(stripped[0]):
        yield Block(kind="list", lines=tuple(_items(stripped)))
    elif not re.match(r"\.\. |[+|=]|:\w+.*:|@", stripped[0]) and reads_as_prose(text := inline(joined)):
        yield Block(kind="prose", lines=(text,))


def reads_as_prose(text: str) -> bool:
    """Whether a paragraph is mostly words: formulas, signatures and lists of names are not what a reader came for."""
    tokens = re.findall(r"\w+|[^\w\s`]", text)
    num_words = sum(any(c.isalpha() for c in token) for token in tokens)
    return num_words >= max(FEWEST_WORDS, SMALLEST_WORD_SHARE * len(tokens)) and not re.search(r"[{}]|::=", text)


def _items(lines: list[str]) -> list[str]:
    items: list[str] = []
    for line in lines:
        if BULLET.match(line) or not items:
            items.append(BULLET.sub("", line))
        else:
            items[-1] += " " + line
    return [inline(item) for item in items]


def inline(text: str) -> str:
    """Prose with reStructuredText's roles and quotes reduced to what a reader sees, code in single backquotes."""
    text = ROLE.sub(r"`\1`", text).replace("``", "`")
    text = re.sub(r"""(?<!\w)["'`]([\w.]+(?:\(\))?)["'](?!\w)""", r"`\1`", text)
    text = re.sub(r"(?<![\w*])\*{1,2}([^*\s][^*]*?)\*{1,2}(?![\w*])", r"\1", text)
    return re.sub(r"::$", ":", re.sub(r"\s+", " ", text))
