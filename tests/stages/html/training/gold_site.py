"""Made-up gold pages: sites with menus, articles and footers; as objects, and as WARC and gold files."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import zstandard

from stages.html.training.gold import Gold, GoldPage, Snippets, fold_of
from stages.html.training.settings import Settings

_NOUNS = ("river", "house", "garden", "winter", "letter", "council", "engine", "harbour", "teacher", "market", "bridge")
_VERBS = ("crosses", "opens", "follows", "describes", "keeps", "finds", "paints", "leaves", "repairs", "remembers")
QUICK = Settings()
QUICK = replace(
    QUICK,
    structure=replace(QUICK.structure, min_sites=2),
    vocabulary=replace(QUICK.vocabulary, min_sites=2),
    following=replace(QUICK.following, min_sites=2),
    first=replace(QUICK.first, iterations=12),
    second=replace(QUICK.second, iterations=12),
    thresholds=(-0.5, 0.0, 0.5),
    threshold=0.0,
)


def sentence(rng: random.Random) -> str:
    """Twelve words and a full stop."""
    words = [word for _ in range(3) for word in ("the", rng.choice(_NOUNS), rng.choice(_VERBS), "slowly")]
    return f"{' '.join(words).capitalize()}."


def page(site: str, number: int, source: str = "dragnet") -> GoldPage:
    """A page of a site; the same every time."""
    rng = random.Random(f"{site} {number}")
    title = f"Report {number} of {site}"
    paragraphs = [f"{sentence(rng)} {sentence(rng)}" for _ in range(4)]
    menu = "".join(f'<li><a href="/{k}">{rng.choice(_NOUNS)} {k}</a></li>' for k in range(6))
    html = (
        f"<html><head><title>{title}</title></head><body><ul class='menu'>{menu}</ul><div class='article'>"
        f"<h1>{title}</h1>{''.join(f'<p>{text}</p>' for text in paragraphs)}</div><h3>More news</h3>"
        f"<div class='teasers'>{''.join(f'<p><a href=x>{rng.choice(_NOUNS)} today</a></p>' for _ in range(5))}</div>"
        f"<div class='footer'>Copyright {site}, all rights reserved.</div></body></html>"
    )
    text: str | Snippets = "\n".join([title, *paragraphs])
    if source == "trafilatura":
        text = Snippets((paragraphs[0][:40], paragraphs[2][:40]), ("rights reserved",))
    return GoldPage(Gold(f"http://www.{site}/{number}", source, True, text), html, text, site, fold_of(site))


def pages(num_sites: int = 20) -> list[GoldPage]:
    """Two pages of each site, of three sources in turn."""
    sources = ("dragnet", "cleaneval-dev", "trafilatura")
    return [page(f"site{n}.com", k, sources[n % 3]) for n in range(num_sites) for k in range(2)]


def write_files(folder: Path, of: list[GoldPage]) -> None:
    """A WARC file and a gold file of the pages."""
    records, rows = [], []
    for each in of:
        gold = each.gold.main_text
        text = {"with": gold.wanted, "without": gold.unwanted} if isinstance(gold, Snippets) else gold
        rows.append({"uri": each.gold.uri, "source": each.gold.source, "real_url": True, "gold": text})
        block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + each.html.encode()
        head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {each.gold.uri}\r\nContent-Length: {len(block)}"
        records.append(f"{head}\r\nContent-Type: application/http\r\n\r\n".encode() + block + b"\r\n\r\n")
    (folder / "pages.warc").write_bytes(b"".join(records))
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / "gold-00.jsonl.zst").write_bytes(zstandard.compress(lines))
