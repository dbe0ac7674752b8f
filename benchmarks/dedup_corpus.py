"""Real documents with known near-duplicates: crawled pages, two editions of the same manuals, and planted edits.

Reads:  ../shared/data/warc; HTML pages of Debian's packages PACKAGES, unpacked in a folder or fetched with apt-get
Writes: a documents artifact, signed by stages.signatures with its defaults, in a seeded order
Cost:   2 ms a page for extraction

Pages go through the engine: `stages.commoncrawl` reads them (the manuals' from WARC files made here) and
`stages.extract` takes their text. A planted edit is one of these texts with single words replaced, taken out or put in
at random places, as many as bring the Jaccard similarity of its 5-word shingles near a value of GRID; the exact one is
measured later (dedup_truth.py), with everything else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from benchmarks.dedup_run import EXTRA_ROWS, NGRAM, NUM_BANDS, ROWS_PER_BAND, SEED, ids_of, write_artifact
from pipeline.artifact import Artifact
from pipeline.backend import Backend

REPOSITORY = Path(__file__).resolve().parents[1]
WARC = REPOSITORY.parent / "shared" / "data" / "warc"
PACKAGES = ("libboost1.74-doc", "libboost1.81-doc", "installation-guide-amd64", "installation-guide-i386")
GRID = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.94, 0.98)
WORDS = (60, 3000)  # of a text that is edited
LEAST_PLANTED = 4  # at least one document in so many is a planted edit
PAGES_PER_WARC = 2000
SHARD_ROWS = 1000
DAG = """\
version: 1
output: {output}
steps:
  crawl: {{uses: stages.commoncrawl, with: {{source: {source}}}}}
  text: {{uses: stages.extract, inputs: crawl, keep: true}}
"""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """N documents, in the order of their numbers. `planted` counts the edits among them, `manuals` Debian's pages."""

    artifact: Artifact  # signed with EXTRA_ROWS behind the bands', as dag.yaml has it
    narrow_artifact: Artifact  # the same documents, signed with the bands' rows alone
    texts: Sequence[str]
    signatures: pa.FixedSizeListArray
    manuals: int
    planted: int


def fetch_manuals(folder: Path) -> Path | None:
    """Download and unpack Debian's packages into a folder; None, with a message, where that cannot be done."""
    folder.mkdir()
    try:
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, check=True, capture_output=True, text=True)
        for package in sorted(folder.glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        print(f"Debian's manuals are left out: {said.strip().splitlines()[-1]} (--debian DIR names unpacked ones)")
        return None
    return folder


def build(num_documents: int, debian: Path | None, folder: Path, backend: Backend) -> Corpus:
    """`num_documents` where there are pages enough, otherwise what edits fill up; more where all pages are more."""
    wanted = num_documents - num_documents // LEAST_PLANTED
    crawled = sorted(WARC.glob("*.warc.gz"))
    total = len(crawled) * 200  # pages of the crawl's shards, about
    manuals = _manual_pages(debian) if debian else []
    if debian and not manuals:
        raise SystemExit(f"{debian}: no HTML pages of {', '.join(PACKAGES)}")
    share = min(1.0, wanted / (total + len(manuals)))
    source = folder / "warc"
    source.mkdir(parents=True)
    for shard in crawled[: max(1, round(share * len(crawled)))]:
        (source / shard.name).symlink_to(shard)
    _write_warc([page for page in manuals if _drawn(page[0], share)], source)
    urls, texts = _extract(source, folder, backend)
    num_manuals = sum(url.startswith("https://manuals.example/") for url in urls)
    num_planted = max(num_documents - len(texts), len(texts) // (LEAST_PLANTED - 1))
    edits = plant(texts, num_planted, np.random.default_rng(SEED))
    urls += [f"https://planted.example/{number}" for number in range(len(edits))]
    order = np.random.default_rng(SEED).permutation(len(urls))
    every = texts + edits
    texts = [every[n] for n in order.tolist()]
    table = pa.table({"url": pa.array([urls[n] for n in order.tolist()]), "text": pa.array(texts, pa.large_string())})
    narrow = _sign(table, extra_rows=0)
    return Corpus(
        artifact=write_artifact(folder / "documents", _sharded(_sign(table, EXTRA_ROWS))),
        narrow_artifact=write_artifact(folder / "narrow documents", _sharded(narrow)), texts=texts,
        signatures=narrow["signature"].combine_chunks(), manuals=num_manuals, planted=len(edits),
    )  # fmt: skip


def _sharded(table: pa.Table) -> list[pa.Table]:
    return [table.slice(start, SHARD_ROWS) for start in range(0, len(table), SHARD_ROWS)]


def _manual_pages(debian: Path) -> list[tuple[str, str, Path]]:
    """(path inside the manual, package, file) of every HTML page, in order. The path is the same in both editions."""
    pages = []
    for top, _, names in os.walk(debian):
        for name in names:
            path = Path(top, name)
            package = next((part for part in path.parts if part in PACKAGES), None)
            if package and name.endswith((".html", ".htm")) and path.is_file() and not path.is_symlink():
                inside = path.parts[path.parts.index(package) + 1 :]
                pages.append(("/".join(inside), package, path))
    return sorted(pages)


def _drawn(key: str, share: float) -> bool:
    """Whether a page is in a sample of that share."""
    return xxhash.xxh3_64_intdigest(key.encode()) < share * 2**64


def _write_warc(pages: Sequence[tuple[str, str, Path]], folder: Path) -> None:
    from stages.sample.sites import Page
    from stages.sample.warc_writer import shard

    for number, start in enumerate(range(0, len(pages), PAGES_PER_WARC)):
        found = [
            Page(
                kind="manual", url=f"https://manuals.example/{package}/{inside}", body=path.read_bytes(),
                content_type="text/html",
            )
            for inside, package, path in pages[start : start + PAGES_PER_WARC]
        ]  # fmt: skip
        name = f"manuals-{number:03d}.warc.gz"
        (folder / name).write_bytes(shard(name, number, found))


def _extract(source: Path, folder: Path, backend: Backend) -> tuple[list[str], list[str]]:
    """URLs and texts of the pages, in the shards' order."""
    from pipeline.dag import load_dag
    from pipeline.plan import make_plan
    from pipeline.progress import open_progress
    from pipeline.runner import Execution

    path = folder / "dag.yaml"
    path.write_text(DAG.format(output=folder / "extracted", source=source))
    with open_progress("silent", sys.stderr) as progress:
        execution = Execution(plan=make_plan(load_dag(str(path))), backend=lambda: backend, progress=progress)
        execution.run()
    artifact = execution.artifacts["text"]
    shards = [artifact.folder.local_path(name) for name in artifact.shards()]
    table = pa.concat_tables([pq.read_table(shard, columns=["url", "text"]) for shard in shards])
    return table["url"].to_pylist(), table["text"].to_pylist()


def _sign(table: pa.Table, extra_rows: int) -> pa.Table:
    """With `signature` and ids of the rows' numbers."""
    from pipeline.stage import NarrowContext
    from pipeline.stage_loader import load_stage

    stage = load_stage("stages.signatures", "benchmark")
    cfg = stage.config(num_bands=NUM_BANDS, rows_per_band=ROWS_PER_BAND, extra_rows=extra_rows, ngram=NGRAM, seed=SEED)
    sign = stage.function(cfg, NarrowContext(step="signatures"))
    signed = pa.chunked_array([sign(batch).columns["signature"] for batch in table.to_batches(max_chunksize=256)])
    return table.append_column("signature", signed).append_column("id", ids_of(np.arange(len(table))))


def plant(texts: Sequence[str], num_edits: int, generator: np.random.Generator) -> list[str]:
    """`num_edits` edited texts, the similarities of GRID in turn; each text serves as often as every other one."""
    sources = [words for words in (text.split() for text in texts) if WORDS[0] <= len(words) <= WORDS[1]]
    if not sources:
        raise SystemExit("no page has a text that can be edited")
    vocabulary = [words[len(words) // 2] for words in sources]
    order: list[int] = generator.permutation(len(sources)).tolist()
    return [
        edited(sources[order[number % len(order)]], GRID[number % len(GRID)], vocabulary, generator)
        for number in range(num_edits)
    ]


def edited(words: Sequence[str], similarity: float, vocabulary: Sequence[str], generator: np.random.Generator) -> str:
    """The text with words changed at random places, until the shingles they stand in are as many as it takes.

    Of n shingles d are lost, and about as many are new: the similarity is (n - d) / (n + d).
    """
    num_shingles = len(words) - NGRAM + 1
    lost = np.zeros(num_shingles, bool)
    aim = num_shingles * (1 - similarity) / (1 + similarity)
    changed: dict[int, list[str]] = {}
    for place in generator.permutation(len(words)).tolist():
        if lost.sum() >= aim - NGRAM / 2:
            break
        lost[max(0, place - NGRAM + 1) : place + 1] = True
        word = vocabulary[int(generator.integers(len(vocabulary)))]
        changed[place] = ([word], [], [words[place], word])[int(generator.integers(3))]
    return " ".join(word for n, old in enumerate(words) for word in changed.get(n, [old]))


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Where everything of a benchmark lies until it ends."""
    return tempfile.TemporaryDirectory(prefix="crawlmill-dedup-")
