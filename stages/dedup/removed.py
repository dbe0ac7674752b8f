"""What was taken down from an index: ids, and of URLs their hashes, so that the list itself tells nothing.

Reads:  removed/{hash}.parquet in the index's folder
Writes: the same
Cost:   32 bytes per document that was taken down, held by every task that looks
Source: xxh3-128 (Collet) of the URL as it was crawled
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from pipeline.schemas import ID
from pipeline.store import Folder


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Ids and hashes of URLs, 16 bytes each, ascending."""

    ids: pa.Array
    urls: pa.Array

    def hits(self, batch: pa.RecordBatch) -> np.ndarray:
        """bool per row of a batch that has `id` and `url`: whether the document was taken down."""
        hit_N = np.array(pc.is_in(batch["id"], self.ids))
        if len(self.urls) and not hit_N.all():
            hit_N |= np.array(pc.is_in(url_hashes(batch["url"]), self.urls))
        return hit_N

    def with_more(self, ids: Iterable[bytes], urls: Iterable[str]) -> Removed:
        """These and others."""
        hashes = [xxhash.xxh3_128_digest(url.encode()) for url in urls]
        return Removed(ids=_sorted([*self.ids.to_pylist(), *ids]), urls=_sorted([*self.urls.to_pylist(), *hashes]))

    def joined(self, other: Removed) -> Removed:
        return Removed(
            ids=_sorted([*self.ids.to_pylist(), *other.ids.to_pylist()]),
            urls=_sorted([*self.urls.to_pylist(), *other.urls.to_pylist()]),
        )


NOTHING = Removed(ids=pa.array([], ID), urls=pa.array([], ID))


def _sorted(values: Iterable[bytes]) -> pa.Array:
    return pa.array(sorted(set(values)), ID)


def url_hashes(urls: pa.Array) -> pa.Array:
    """16 bytes per URL; null where there is none."""
    return pa.array([None if url is None else xxhash.xxh3_128_digest(url.encode()) for url in urls.to_pylist()], ID)


def read_removed(folder: Folder, name: str) -> Removed:
    """The list in a file of the index; nothing where the index names none."""
    if not name:
        return NOTHING
    with folder.open_input(name) as file:
        table = pq.read_table(file)
    return Removed(ids=table["id"].drop_null().combine_chunks(), urls=table["url"].drop_null().combine_chunks())


def write_removed(folder: Folder, removed: Removed) -> str:
    """Write the list; returns its name, "" for an empty one."""
    num_ids, num_urls = len(removed.ids), len(removed.urls)
    if not num_ids + num_urls:
        return ""
    table = pa.table(
        {
            "id": pa.concat_arrays([removed.ids, pa.nulls(num_urls, ID)]),
            "url": pa.concat_arrays([pa.nulls(num_ids, ID), removed.urls]),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    data = sink.getvalue().to_pybytes()
    name = f"removed/{xxhash.xxh3_64_hexdigest(data)}.parquet"
    folder.write_bytes(name, data)
    return name
