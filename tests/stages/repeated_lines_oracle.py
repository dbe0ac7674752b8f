"""Repeated lines as a dictionary of sets finds them, and random documents to try it on."""

from __future__ import annotations

import itertools
import random
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import pyarrow as pa
import xxhash

from stages.repeated_lines import Config
from tests.wide_context import document_table

URLS = [
    "http://one.example/a", "https://ONE.example:8443/b?c", "http://me@one.example.", "http://two.example/",
    "http://www.two.example/", "http://bücher.example/", "http://xn--bcher-kva.example/x", "http://1.2.3.4/", None, "",
    "no url at all", "http://",
]  # fmt: skip
HOSTS = {"bücher.example": "xn--bcher-kva.example"}
LINES = [
    "Home", "HOME", "  home ", "Contact us", "contact\tus", "Café", "cafe\u0301", "首页", "图", "|", "12", "}", "a",
    "- a b", "Copyright 2024, all rights reserved", "A sentence of its own.", "Привет, мир", "한국어",
    "\u00a0home\u00a0",
]  # fmt: skip
BREAKS = ["\n", "\n", "\r\n", "\n\n", "\r", "\u2028", "\n \n", "\n\n\n", "\x0b"]


@dataclass(frozen=True)
class Expected:
    """What the oracle makes of the documents: id -> text of those kept, id -> (reason, value) of the others."""

    kept: dict[bytes, str | None]
    dropped: dict[bytes, tuple[str, float]]
    removed: int
    repeated: dict[tuple[str | None, str], int]


def host_of(url: str | None) -> str | None:
    host = (urlsplit(url or "").hostname or "").rstrip(".")
    return HOSTS.get(host, host) or None


def compared(unit: str, cfg: Config) -> str:
    if cfg.normalisation == "none":
        return unit
    return " ".join(unicodedata.normalize("NFD", unit.lower()).split())


def units_of(text: str, cfg: Config) -> list[str]:
    """The lines or paragraphs, blank ones as empty strings."""
    lines = text.splitlines(keepends=True)
    if cfg.unit == "lines":
        return [line.splitlines()[0] if line.strip() else "" for line in lines]
    units = []
    for is_blank, run in itertools.groupby(lines, lambda line: not line.strip()):
        found = list(run)
        if is_blank:
            units += [""] * len(found)
        else:
            units.append("".join(found[:-1]) + found[-1].splitlines()[0])
    return units


def is_judged(unit: str, cfg: Config) -> bool:
    return unit != "" and sum(c.isalpha() for c in compared(unit, cfg)) >= cfg.min_letters


def rewritten(units: list[str], gone: list[bool]) -> str:
    kept = [i for i, unit in enumerate(units) if unit and not gone[i]]
    lines = {i: "\n".join(units[i].splitlines()) for i in kept}
    out = lines[kept[0]] if kept else ""
    for before, after in itertools.pairwise(kept):
        runs = [len(list(run)) for blank, run in itertools.groupby(units[before + 1 : after], lambda u: not u) if blank]
        out += "\n" * (1 + max(runs, default=0)) + lines[after]
    return out


def oracle(table: pa.Table, cfg: Config) -> Expected:
    rows = list(zip(*(table[name].to_pylist() for name in ("id", "url", "text")), strict=True))
    documents: dict[tuple[str | None, str], set[bytes]] = {}
    for id_, url, text in rows:
        scope = host_of(url) if cfg.scope == "host" else None
        if cfg.scope == "corpus" or scope:
            for unit in filter(lambda u: is_judged(u, cfg), units_of(text or "", cfg)):
                documents.setdefault((scope, compared(unit, cfg)), set()).add(id_)
    repeated = {key: len(ids) for key, ids in documents.items() if len(ids) > cfg.max_documents}
    expected = Expected(kept={}, dropped={}, removed=0, repeated=repeated)
    removed = 0
    for id_, url, text in rows:
        units = units_of(text or "", cfg)
        scope = host_of(url) if cfg.scope == "host" else None
        counts = [repeated.get((scope, compared(u, cfg)), 0) if is_judged(u, cfg) else 0 for u in units]
        judged = [c for u, c in zip(units, counts, strict=True) if is_judged(u, cfg)]
        lost = sum(len(u) for u, c in zip(units, counts, strict=True) if c)
        share = lost / sum(map(len, units)) if lost else 0.0
        if judged and all(judged):
            expected.dropped[id_] = (f"only_repeated_{cfg.unit}", min(judged))
        elif cfg.max_removed_share is not None and share > cfg.max_removed_share:
            expected.dropped[id_] = ("too_much_repeated", share)
        else:
            expected.kept[id_] = rewritten(units, [c > 0 for c in counts]) if lost else text
            removed += sum(c > 0 for c in counts)
    return Expected(kept=expected.kept, dropped=expected.dropped, removed=removed, repeated=repeated)


def made(rows: Sequence[tuple[str | None, str | None]]) -> pa.Table:
    """Documents of (url, text)."""
    ids = [xxhash.xxh3_128_digest(f"{number}".encode()) for number in range(len(rows))]
    urls, texts = [url for url, _ in rows], [text for _, text in rows]
    return document_table(ids, texts, url=pa.array(urls, pa.string()))


def random_documents(seed: int, count: int) -> pa.Table:
    rng = random.Random(seed)
    rows: list[tuple[str | None, str | None]] = []
    for number in range(count):
        text = "".join(
            rng.choice([rng.choice(LINES), rng.choice(LINES), f"own line {number}", "", " "]) + rng.choice(BREAKS)
            for _ in range(rng.randint(0, 9))
        )
        rows.append((rng.choice(URLS), rng.choice([text, text, text, text.strip(), None]) if number % 5 == 0 else text))
    return made(rows)
