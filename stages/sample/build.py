"""The sample crawl: a few thousand pages in WARC shards, built on this machine from what is on it.

Reads:  documentation of installed packages (`docstrings.py`) and texts of this package
Writes: `SAMPLE-0000N.warc.gz`; the same bytes on every build with the same Python and packages
Cost:   about 10 s and 4 MB on disk, once
Source: ours; `card.md` says what the pages are
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
from pathlib import Path

import xxhash

from pipeline.cache import cache_folder
from stages.sample import docstrings, warc_writer
from stages.sample.doc_pages import doc_pages
from stages.sample.labelled import FOLDER
from stages.sample.sites import Page
from stages.sample.traps import trap_pages
from stages.sample.written_pages import article_pages, bad_pages, exact_duplicates, near_duplicates, toxic_pages

GENERATOR_VERSION = 1  # goes up whenever the pages change by a change of code
NUM_PAGES = 2500
NUM_SHARDS = 4
NUM_REVISITS = 3
# Shares of all pages; the rest is articles, traps and, most of it, documentation.
NEAR_DUPLICATES, EXACT_DUPLICATES, BAD, TOXIC = 0.06, 0.03, 0.08, 0.04


def sample_crawl() -> str:
    """The folder with the sample crawl's shards, in the user's cache; built on the first call, whole or not at all."""
    folder = cache_folder(f"sample-{_content_key()}")
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".sample-"))
        try:
            write_sample_crawl(temporary)
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was first, with the same bytes
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return str(folder)


def write_sample_crawl(folder: Path, num_pages: int = NUM_PAGES, num_shards: int = NUM_SHARDS) -> None:
    """Write the shards into `folder`. The last shard ends in the middle of a page."""
    pages = sample_pages(num_pages)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(num_shards):
        name = f"SAMPLE-{i:05}.warc.gz"
        last = i == num_shards - 1
        revisits = [p for p in pages if p.kind == "article"][:NUM_REVISITS] if i == 0 else []
        (folder / name).write_bytes(warc_writer.shard(name, i, pages[i::num_shards], revisits, truncated=last))


def sample_pages(num_pages: int) -> list[Page]:
    """About `num_pages` pages, well mixed, the same every time; articles and traps are always there."""
    articles = list(article_pages())
    traps = list(trap_pages())
    bad, toxic = list(bad_pages(round(BAD * num_pages))), list(toxic_pages(round(TOXIC * num_pages)))
    num_near, num_exact = round(NEAR_DUPLICATES * num_pages), round(EXACT_DUPLICATES * num_pages)
    num_docs = num_pages - sum(map(len, (articles, traps, bad, toxic))) - num_near - num_exact
    docs = doc_pages(max(num_docs, 0))
    originals = [p for p in articles if p.kind == "article"] * 3 + docs[: num_near + num_exact]
    copies = [*near_duplicates(originals, num_near), *exact_duplicates(originals, num_exact)]
    return sorted([*articles, *traps, *bad, *toxic, *docs, *copies], key=_mixed)


def _mixed(page: Page) -> tuple[int, str]:
    return xxhash.xxh3_64_intdigest(page.url.encode()), page.url


def _content_key() -> str:
    """Hash of everything the shards depend on: this generator, its texts, Python and the packages that are read."""
    parts = [str(GENERATOR_VERSION), platform.python_version()]
    parts += [f"{name} {version}" for name, version in docstrings.versions().items()]
    parts += [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.txt"))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
