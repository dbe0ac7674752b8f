"""The labelled texts of the sample: quality (good, bad) and toxicity (toxic, clean), English and Chinese.

Reads:  quality.txt and toxicity.txt beside this file: templates and word lists written by hand for this project
Writes: one JSONL file per kind in the user's cache folder; columns `text`, `label`, `lang`
Cost:   30 ms, once
Source: ours. The rows are composed from a few hundred hand-written sentences, so the figures on held-out rows say that
        training works, not how a model does on the web; `card.md` gives figures on foreign labels
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import xxhash

from pipeline.cache import cache_folder
from pipeline.errors import StoreError, close_match

KINDS = ("quality", "toxicity")
FOLDER = Path(__file__).parent
SLOT = re.compile(r"<(\w+)>")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Templates of one label and language; a row joins `shortest` to `longest` of them with `separator`."""

    label: str
    lang: str
    num_rows: int
    shortest: int
    longest: int
    separator: str
    templates: list[str] = field(default_factory=list)


def labelled_texts(kind: str) -> str:
    """Path of the JSONL file with the labelled texts of `kind`, written where it is not there yet."""
    if kind not in KINDS:
        raise StoreError(
            f"no labelled texts {kind!r}", where=f"sample:{kind}", expected=f"one of {', '.join(KINDS)}",
            mend=close_match(kind, KINDS),
        )  # fmt: skip
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(kind)).encode()
    folder = cache_folder("labelled")
    path = folder / f"{kind}-{hashlib.sha256(data).hexdigest()[:16]}.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(data)
        os.replace(file.name, path)
    return str(path)


def rows(kind: str) -> Iterator[dict[str, str]]:
    """The labelled rows of `kind`, the same every time."""
    words, groups = read_grammar(FOLDER / f"{kind}.txt")
    for g, group in enumerate(groups):
        for i in range(group.num_rows):
            text = compose(group, words, f"{kind} {g} {i}")
            yield {"text": text, "label": group.label, "lang": group.lang}


def compose(group: Group, words: dict[str, list[str]], key: str) -> str:
    """One row of the group; `key` decides everything."""
    separator = group.separator if group.lang != "zh" or group.separator == "\n" else ""
    length = group.shortest + pick(key, group.longest - group.shortest + 1)
    return separator.join(sentences(group, words, key, length))


def sentences(group: Group, words: dict[str, list[str]], key: str, num: int) -> list[str]:
    """Up to `num` of the group's templates, each at most once, with their slots filled."""
    chosen = sorted(group.templates, key=lambda template: xxhash.xxh3_64_intdigest(f"{key} {template}".encode()))
    return [fill(t, words, f"{key} {j}") for j, t in enumerate(chosen[:num])]


def fill(template: str, words: dict[str, list[str]], key: str) -> str:
    """The template with a word in every `<slot>`."""
    parts = SLOT.split(template)
    for i in range(1, len(parts), 2):
        parts[i] = words[parts[i]][pick(f"{key} {i}", len(words[parts[i]]))]
    return "".join(parts)


def pick(key: str, num: int) -> int:
    """A number below `num` that depends on `key` alone."""
    return xxhash.xxh3_64_intdigest(key.encode()) % num


def read_grammar(path: Path) -> tuple[dict[str, list[str]], list[Group]]:
    """(word lists by name, groups) of `name = a | b` and of templates under `== label lang rows least-most [lines]`."""
    words: dict[str, list[str]] = {}
    groups: list[Group] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            label, lang, num_rows, lengths, *lines = line[3:].split()
            shortest, longest = lengths.split("-")
            groups.append(
                Group(
                    label=label, lang=lang, num_rows=int(num_rows), shortest=int(shortest), longest=int(longest),
                    separator="\n" if lines else " ",
                )
            )  # fmt: skip
        elif match := re.match(r"(\w+) = (.*)", line):
            words[match[1]] = [word.strip() for word in match[2].split("|")]
        elif line and not line.startswith("#"):
            groups[-1].templates.append(line)
    return words, groups
