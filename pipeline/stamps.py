"""Which content a file has, without hashing it twice: stamps that go into fingerprints.

Local files: size and xxh3-128 of the content, remembered in the user's cache folder by path, size, mtime and inode.
s3 and gs: size and modification time as the store reports them. https: entity tag and size by a HEAD request.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import xxhash

from pipeline import store
from pipeline.errors import StoreError
from pipeline.remote import head

_HASH_CHUNK_BYTES = 1 << 22


def cache_folder() -> Path:
    """The user's cache folder for crawlmill: $XDG_CACHE_HOME/crawlmill, else ~/.cache/crawlmill."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crawlmill"


def stamp(location: str) -> str:
    """The stamp of a file; StoreError where there is none. The location itself is not part of it."""
    if location.startswith(("http://", "https://")):
        answer = head(location)
        return f"{answer.num_bytes} {answer.etag}"
    if store.is_remote(location):
        system, path = store.filesystem(location)
        info = system.get_file_info(path)
        if not info.is_file:
            raise StoreError("no such file", where=location, expected="a file")
        return f"{info.size} {info.mtime_ns}"
    return local_stamp(Path(location))


def local_stamp(path: Path) -> str:
    """`{size} {xxh3-128}` of a local file."""
    try:
        status = path.stat()
        key = xxhash.xxh3_128_hexdigest(
            json.dumps([str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ino]).encode()
        )
        remembered = cache_folder() / "hashes" / key[:2] / key
        if remembered.is_file():
            return remembered.read_text()
        digest = xxhash.xxh3_128()
        with path.open("rb") as file:
            while chunk := file.read(_HASH_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise StoreError(error.strerror or str(error), where=str(path), expected="a readable file") from error
    result = f"{status.st_size} {digest.hexdigest()}"
    remembered.parent.mkdir(parents=True, exist_ok=True)
    temporary = remembered.with_name(f"{key}.{os.getpid()}.tmp")
    temporary.write_text(result)
    temporary.replace(remembered)
    return result
