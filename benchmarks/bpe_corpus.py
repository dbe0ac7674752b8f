"""At least 200 MB of text to learn from: crawled pages, prose, and the HTML manuals of Debian's packages.

Reads:  ../shared/data/warc and text/lm-*; PACKAGES, unpacked in folders of their names, or fetched with apt-get
Writes: shards of documents as Parquet files (`id`, `text`), in a seeded order, and nothing else
Cost:   3 minutes, once: a folder that has shards is used as it is

All text is what resiliparse's plain text extraction gives, the whole page and not its main text: more of it, and more
kinds of words. A page whose text was seen before is left out.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from pipeline.schemas import ID

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
PACKAGES = (
    "libboost1.81-doc", "openjdk-17-doc", "qtbase5-doc-html", "postgresql-doc-15", "octave-doc", "rust-doc",
)  # fmt: skip
MOST_BYTES_OF_A_PACKAGE = 90_000_000
SHARD_DOCUMENTS = 4000
SEED = 1


def corpus(folder: Path, num_bytes: int, debian: Path | None) -> list[Path]:
    """Paths of the shards in `folder`, made if it has none. SystemExit where there is less than `num_bytes` of text."""
    shards = sorted(folder.glob("*.parquet"))
    if shards:
        return shards
    folder.mkdir(parents=True, exist_ok=True)
    texts = list(_chosen(_texts(debian or _fetch(folder / "debian")), num_bytes))
    found = sum(len(text.encode()) for text in texts)
    if found < num_bytes:
        raise SystemExit(f"{found / 1e6:.0f} MB of text; expected {num_bytes / 1e6:.0f}. --bytes asks for less.")
    order = np.random.default_rng(SEED).permutation(len(texts)).tolist()
    for number, start in enumerate(range(0, len(order), SHARD_DOCUMENTS)):
        rows = [texts[n] for n in order[start : start + SHARD_DOCUMENTS]]
        ids = pa.array([xxhash.xxh3_128_digest(text.encode()) for text in rows], ID)
        table = pa.table({"id": ids, "text": pa.array(rows, pa.large_string())})
        pq.write_table(table, folder / f"{number:05d}.parquet", compression="zstd")
    return sorted(folder.glob("*.parquet"))


def _chosen(texts: Iterator[str], num_bytes: int) -> Iterator[str]:
    """Each text once, until they are `num_bytes`."""
    seen: set[int] = set()
    left = num_bytes
    for text in texts:
        data = text.encode()
        key = xxhash.xxh3_64_intdigest(data)
        if data and key not in seen:
            seen.add(key)
            left -= len(data)
            yield text
            if left <= 0:
                return


def _texts(debian: Path) -> Iterator[str]:
    yield from _prose()
    yield from _pages()
    for package in PACKAGES:
        left = MOST_BYTES_OF_A_PACKAGE
        for text in _manual(debian, package):
            left -= len(text)
            yield text
            if left <= 0:
                break


def _prose() -> Iterator[str]:
    import zstandard

    for path in sorted(SHARED.glob("text/lm-*.zst")):
        with path.open("rb") as file:
            reader = zstandard.ZstdDecompressor().stream_reader(file)
            for line in io.TextIOWrapper(reader, encoding="utf-8"):
                yield json.loads(line)["text"]


def _pages() -> Iterator[str]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    for path in sorted(SHARED.glob("warc/*.warc.gz")):
        with path.open("rb") as file:
            for record in ArchiveIterator(file, record_types=WarcRecordType.response):
                yield _plain(record.reader.read())


def _manual(debian: Path, package: str) -> Iterator[str]:
    paths = []
    for top, _, names in os.walk(debian / package):
        paths += [Path(top, name) for name in names if name.endswith((".html", ".htm"))]
    yield from (_plain(path.read_bytes()) for path in sorted(paths) if path.is_file() and not path.is_symlink())


def _plain(page: bytes) -> str:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import detect_encoding
    from resiliparse.parse.html import HTMLTree

    text = extract_plain_text(HTMLTree.parse_from_bytes(page, detect_encoding(page) or "utf-8"), main_content=False)
    return text.encode("utf-8", "replace").decode()


def _fetch(folder: Path) -> Path:
    """Download Debian's packages, and unpack each into a folder of its name. SystemExit where that cannot be done."""
    folder.mkdir(exist_ok=True)
    try:
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, check=True, capture_output=True, text=True)
        for package in PACKAGES:
            [file] = folder.glob(f"{package}_*.deb")
            subprocess.run(["dpkg", "-x", file.name, package], cwd=folder, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise SystemExit(
            f"{said.strip().splitlines()[-1]} (--debian DIR has each unpacked in a folder of its name)"
        ) from error
    return folder
