"""Looking at an index, taking documents out of it, and putting two of them together.

Reads:  index.json; the `id` and `url` columns of all its files
Writes: files without the removed documents under new names, then index.json, then the old files go
Cost:   info: index.json. remove: a pass over two columns, and a file that has one of the documents is written anew.
        merge: a copy of both
Source: our choice

A removed document leaves a row that holds its cluster together and nothing of it but the id of its representative; no
signature, no URL. Its id, and a hash of the URL it was removed by, are kept in a list, so that a later run drops the
document (`taken_down`), also when the same URL is crawled again, and does not add it. What was dropped for it earlier
stays dropped; a near-duplicate under another URL is judged as if it had never been there.

An update is what one run added. A step that runs again with other settings or other inputs adds another one; the one
before stays, and what it kept stays kept, until it is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from pipeline.artifact import fingerprint_of
from pipeline.errors import DataError
from pipeline.schemas import ID
from pipeline.stage import JSON
from pipeline.store import Folder
from stages.dedup import index_folder
from stages.dedup.index_folder import File, Index, Update
from stages.dedup.removed import NOTHING, Removed, read_removed, url_hashes, write_removed

ID_HEX_CHARS = 32
_COPY_BYTES = 8 << 20


def open_index(folder: Folder) -> Index:
    """The index in a folder; DataError where there is none."""
    index = index_folder.read_index(folder)
    if index is None:
        raise DataError(
            "no index.json", where=folder.shown(), expected="the folder that a step's `index` names",
            mend="Run a DAG whose stages.minhash has an `index` first.",
        )  # fmt: skip
    return index


def info(folder: Folder) -> dict[str, JSON]:
    """How much it holds, and how its signatures were made."""
    index = open_index(folder)
    removed = read_removed(folder, index.removed)
    names = [file.name for update in index.updates for file in update.files]
    return {
        "updates": [
            {"key": update.key, "entries": update.num_docs, "kept": update.num_kept} for update in index.updates
        ],
        "entries": sum(update.num_docs for update in index.updates),
        "kept": sum(update.num_kept for update in index.updates),
        "removed": {"ids": len(removed.ids), "urls": len(removed.urls)},
        "bytes": sum(folder.size(name) for name in names),
        "contract": dict(index.contract),
    }


def remove(folder: Folder, documents: Iterable[str]) -> dict[str, JSON]:
    """Take documents out, given by id (32 hexadecimal digits) or by URL, exactly as it was crawled.

    {"removed": how many entries, "not_found": URLs and ids that no entry has}. Those are kept in the list all the same.
    """
    wanted = list(dict.fromkeys(documents))
    is_id = [len(text) == ID_HEX_CHARS and all(c in "0123456789abcdefABCDEF" for c in text) for text in wanted]
    ids = pa.array([bytes.fromhex(text) for text, as_id in zip(wanted, is_id, strict=True) if as_id], ID)
    urls = pa.array([text for text, as_id in zip(wanted, is_id, strict=True) if not as_id], pa.string())
    open_index(folder)  # no folder is made for a name mistyped
    with index_folder.held(folder):
        before = open_index(folder)
        index, found_ids, found_urls = _without(folder, before, ids, urls)
        gone = read_removed(folder, before.removed)
        gone = gone.with_more([*ids.to_pylist(), *found_ids.to_pylist()], urls.to_pylist())
        index = replace(index, removed=write_removed(folder, gone))
        index_folder.write_index(folder, index)
        index_folder.delete_replaced(folder, before, index)
    known = {id_.hex() for id_ in found_ids.to_pylist()} | set(found_urls.to_pylist())
    return {
        "removed": len(found_ids),
        "not_found": [text for text in wanted if text.lower() not in known and text not in known],
    }


def _without(folder: Folder, index: Index, ids: pa.Array, urls: pa.Array) -> tuple[Index, pa.Array, pa.Array]:
    """The index with the documents erased from its files, the ids and the URLs that were found."""
    found_ids: list[pa.Array] = [pa.array([], ID)]
    found_urls: list[pa.Array] = [pa.array([], pa.string())]
    updates = []
    for update in index.updates:
        files, num_docs, num_kept = [], update.num_docs, update.num_kept
        for file in update.files:
            table = _read(folder, file.name, ["id", "url", "kept"])
            hit = pc.or_(pc.is_in(table["id"], ids), pc.is_in(table["url"], urls)).combine_chunks()
            hit = pc.and_(hit, table["id"].combine_chunks().is_valid())
            if pc.any(hit).as_py():
                rows = table.filter(hit)
                found_ids += rows["id"].chunks
                found_urls += rows["url"].chunks
                num_docs, num_kept = num_docs - rows.num_rows, num_kept - (pc.sum(rows["kept"]).as_py() or 0)
                file = _erased(folder, file, hit)
            files.append(file)
        updates.append(replace(update, files=tuple(files), num_docs=num_docs, num_kept=num_kept))
    return replace(index, updates=tuple(updates)), pa.concat_arrays(found_ids), pa.concat_arrays(found_urls)


def _read(folder: Folder, name: str, columns: list[str] | None = None) -> pa.Table:
    with folder.open_input(name) as stream:
        return pq.read_table(stream, columns=columns)


def _erased(folder: Folder, file: File, hit: pa.Array) -> File:
    """A copy of the file, under a name of its own, in which the hit rows say nothing of their documents."""
    table = _read(folder, file.name)
    stays = pc.invert(hit)
    for name in ("id", "url", "rank", "weight", "signature"):
        at = table.schema.get_field_index(name)
        blank = pa.array(np.where(np.array(stays), np.arange(table.num_rows), -1))
        values = table[name].combine_chunks().take(pc.if_else(stays, blank, None))
        table = table.set_column(at, table.schema.field(name), values)
    table = table.set_column(table.schema.get_field_index("kept"), "kept", pc.and_(table["kept"], stays))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=["url"])
    data = sink.getvalue().to_pybytes()
    name = str(PurePosixPath(file.name).with_name(f"{PurePosixPath(file.name).name[:5]}-{_digest(data)}.parquet"))
    folder.write_bytes(name, data)
    return replace(file, name=name)


def _digest(data: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(data)[:16]


def drop(folder: Folder, key: str) -> dict[str, JSON]:
    """Take a whole update out, given by its key or the first characters of it; {"dropped": how many entries}."""
    open_index(folder)
    with index_folder.held(folder):
        before = open_index(folder)
        chosen = [update for update in before.updates if key and update.key.startswith(key)]
        if len(chosen) != 1:
            keys = ", ".join(update.key for update in before.updates)
            raise DataError(
                f"{len(chosen)} updates whose key begins with {key!r}", where=folder.shown(), expected=f"one of {keys}"
            )
        index = replace(before, updates=tuple(update for update in before.updates if update not in chosen))
        index_folder.write_index(folder, index)
        index_folder.delete_replaced(folder, before, index)
    return {"dropped": chosen[0].num_docs}


def merge(sources: Sequence[Folder], target: Folder) -> dict[str, JSON]:
    """Put the updates of all sources into a new index, in their order; one that several have alike goes in once.

    Documents of different sources are compared with each other by the next run that uses the index. DataError where the
    signatures were made in different ways, or the target has an index already.
    """
    indexes = [open_index(source) for source in sources]
    for source in sources[1:]:
        index_folder.read_index(source, indexes[0].contract)  # raises where they differ
    with index_folder.held(target):
        if index_folder.read_index(target) is not None:
            raise DataError(
                "an index is there already", where=target.shown(), expected="a new folder", mend="Name another one."
            )
        updates: dict[str, Update] = {}
        gone = NOTHING
        for source, index in zip(sources, indexes, strict=True):
            for update in _beside(updates, index):
                for file in update.files:
                    _copy(source, target, file.name)
                updates[update.key] = update
            gone = gone.joined(read_removed(source, index.removed))
        whole = Index(contract=indexes[0].contract, updates=tuple(updates.values()))
        merged = _without_removed(target, whole, gone)
        index_folder.write_index(target, merged)
        index_folder.delete_replaced(target, whole, merged)
    return info(target)


def _beside(there: Mapping[str, Update], index: Index) -> list[Update]:
    """The index's updates that are not there yet. One whose key is there with another content gets a key of its own,
    also where others name it."""
    renamed: dict[str, str] = {}
    found = []
    for update in index.updates:
        own = replace(update, base=tuple(renamed.get(key, key) for key in update.base))
        known = there.get(own.key)
        if known is None:
            found.append(own)
        elif known != own:
            renamed[own.key] = fingerprint_of(asdict(own))[:32]
            if renamed[own.key] not in there:
                found.append(replace(own, key=renamed[own.key]))
    return found


def _without_removed(folder: Folder, index: Index, gone: Removed) -> Index:
    """The index with everything erased that any of its sources has removed."""
    urls = [
        url
        for update in index.updates
        for file in update.files
        for url in _hit_urls(_read(folder, file.name, ["id", "url"]), gone)
    ]
    index, _, _ = _without(folder, index, gone.ids, pa.array(urls, pa.string()))
    return replace(index, removed=write_removed(folder, gone))


def _hit_urls(table: pa.Table, gone: Removed) -> list[str]:
    if not len(gone.urls):
        return []
    hashes = url_hashes(table["url"].combine_chunks())
    hit: list[str] = table["url"].filter(pc.is_in(hashes, gone.urls)).to_pylist()
    return hit


def _copy(source: Folder, target: Folder, name: str) -> None:
    with source.open_input(name) as read, target.open_output(name) as write:
        while chunk := read.read(_COPY_BYTES):
            write.write(chunk)
