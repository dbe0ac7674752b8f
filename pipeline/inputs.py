"""The files of a source: which there are, and which content each holds.

Reads:  a folder, a file, an s3:// or gs:// prefix, or an https:// file
Writes: SourceShards in the order of their names, each with a stamp of its content
Costs:  local files are hashed once (xxh3-128, as fast as the disk reads) and remembered by path, size and
        time of change in the user's cache folder; listing remote files reads none of them
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.fs
import xxhash

from pipeline.cache import cache_folder
from pipeline.errors import DataError, StoreError
from pipeline.http_reader import HttpReader, is_http, shown
from pipeline.remote import open_stream
from pipeline.stage import SourceShard
from pipeline.store import Folder, filesystem, is_remote

_BLOCK_BYTES = 1 << 20
_SETTLED_S = 2.0  # a file changed more recently may change again within its clock's tick, and is not remembered


def list_files(location: str, wanted: Callable[[str], bool], expected: str) -> list[SourceShard]:
    """The file at `location`, or all files below it whose names are `wanted`. Raises DataError where there are none."""
    if is_http(location):
        return [_http_file(location)]
    shards = _remote_files(location, wanted) if is_remote(location) else _local_files(location, wanted)
    if not shards:
        raise DataError("no file to read", where=shown(location), expected=expected)
    return shards


def _local_files(location: str, wanted: Callable[[str], bool]) -> list[SourceShard]:
    if not os.path.exists(location):
        raise StoreError("no such file or folder", where=location, expected="a folder, a file or an address")
    if os.path.isfile(location):
        return [_local_file(location, os.path.basename(location))]
    folder = Folder(location)
    return [_local_file(folder.join(name), name) for name in folder.list() if wanted(name)]


def _local_file(path: str, name: str) -> SourceShard:
    size = os.path.getsize(path)
    return SourceShard(name=name, location=path, stamp=f"size:{size} xxh3:{content_hash(path)}", num_bytes=size)


def _remote_files(location: str, wanted: Callable[[str], bool]) -> list[SourceShard]:
    system, root = filesystem(location)
    try:
        info = system.get_file_info(root)
        if info.type == pa.fs.FileType.File:
            return [_remote_file(location, info, info.base_name)]
        selector = pa.fs.FileSelector(root, recursive=True, allow_not_found=True)
        infos = {os.path.relpath(i.path, root): i for i in system.get_file_info(selector) if i.is_file}
    except OSError as error:
        raise StoreError(str(error), where=shown(location), expected="a file or prefix that can be listed") from None
    folder = Folder(location)
    return [_remote_file(folder.join(name), infos[name], name) for name in sorted(infos) if wanted(name)]


def _remote_file(location: str, info: pa.fs.FileInfo, name: str) -> SourceShard:
    """Arrow does not tell an object's ETag: size and time of change, which every put renews, stand for its content."""
    return SourceShard(
        name=name, location=location, stamp=f"size:{info.size} modified:{info.mtime_ns}", num_bytes=info.size
    )


def _http_file(location: str) -> SourceShard:
    reader = HttpReader(location)
    try:
        file = reader.head()
    finally:
        reader.close()
    name = shown(location).rstrip("/").rpartition("/")[2]
    return SourceShard(name=name, location=location, stamp=file.stamp or shown(location), num_bytes=file.num_bytes)


def content_hash(path: str) -> str:
    """xxh3-128 of a local file, in hex; from the cache where path, size and time of change are the same as then."""
    state, full_path = os.stat(path), os.path.abspath(path)
    key = {"path": full_path, "size": state.st_size, "mtime_ns": state.st_mtime_ns}
    entry = cache_folder("stamps") / f"{xxhash.xxh3_128_hexdigest(os.fsencode(full_path))}.json"
    known = _read_entry(entry)
    if {k: known.get(k) for k in key} == key and isinstance(known.get("xxh3"), str):
        return str(known["xxh3"])
    digest = _hash_file(path)
    if time.time() - state.st_mtime > _SETTLED_S:
        _write_entry(entry, {**key, "xxh3": digest})
    return digest


def _read_entry(entry: Path) -> dict[str, object]:
    try:
        known = json.loads(entry.read_bytes())
    except (OSError, ValueError):
        return {}  # not there, or half written by a machine that died: the file is hashed again
    return known if isinstance(known, dict) else {}


def _write_entry(entry: Path, known: dict[str, object]) -> None:
    temporary = entry.with_suffix(f".{os.getpid()}.tmp")
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(known), encoding="utf-8")
        os.replace(temporary, entry)
    except OSError:
        return  # a cache that cannot be written costs time, not correctness


def _hash_file(path: str) -> str:
    digest = xxhash.xxh3_128()
    with open_stream(path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
