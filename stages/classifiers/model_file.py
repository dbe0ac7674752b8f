"""A model file by location, brought onto this machine once and checked.

Reads:  a local path, s3://, gs://, http:// or https://
Writes: a copy under the user's cache folder for everything that is not local
Cost:   one download per content; the server is asked each time which content it has, nothing more
Source: ours
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from pipeline.cache import cache_folder
from pipeline.errors import DataError, StoreError
from pipeline.http_reader import is_http, shown
from pipeline.inputs import list_files
from pipeline.remote import open_stream
from pipeline.store import is_remote

EXPECTED = "a model file, by path or address"


def local_file(location: str, sha256: str = "") -> Path:
    """A local path with the content of `location`; StoreError where it cannot be read, DataError on another sha256."""
    if is_http(location) or is_remote(location):
        path = _cached(location)
    elif not (path := Path(location)).is_file():
        raise StoreError("no such file", where=shown(location), expected=EXPECTED)
    _check(path, location, sha256)
    return path


def _cached(location: str) -> Path:
    """The copy of what is at `location` now; fetched where there is none yet."""
    shard = list_files(location, lambda name: True, EXPECTED)[0]
    folder = cache_folder("models")
    key = hashlib.sha256(f"{location}\n{shard.stamp}".encode()).hexdigest()[:16]
    path = folder / f"{key}-{os.path.basename(shard.name)}"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        copy = Path(unfinished, path.name)
        with open_stream(location) as stream, open(copy, "wb") as file:
            while block := stream.read(1 << 20):
                file.write(block)
        os.replace(copy, path)
    return path


def _check(path: Path, location: str, sha256: str) -> None:
    if not sha256:
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        raise DataError(
            f"sha256 {found}", where=shown(location), expected=sha256, mend="The file changed, or is not whole."
        )
