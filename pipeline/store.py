"""Folders and files on local disk, s3:// or gs://, through pyarrow.fs. Writes are whole or not at all.

Local writes go to a temporary name in the same folder and are renamed; remote ones are put together locally first.
Reading over https is in `pipeline/remote.py`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs

from pipeline.errors import StoreError
from pipeline.http_reader import kind_of_error, shown

REMOTE_SCHEMES = ("s3://", "gs://")
_COPY_BYTES = 8 << 20


def is_remote(location: str) -> bool:
    return location.startswith(REMOTE_SCHEMES)


def filesystem(location: str) -> tuple[pa.fs.FileSystem, str]:
    """The file system a location is on, and its path there."""
    try:
        if is_remote(location):
            return pa.fs.FileSystem.from_uri(location)
        return pa.fs.LocalFileSystem(), os.path.abspath(location)
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(
            kind_of_error(error), where=shown(location),
            expected="a local path, s3://bucket/prefix or gs://bucket/prefix",
        ) from None  # fmt: skip


@dataclass(frozen=True)
class Folder:
    """A folder by location; names inside it use `/`. Nothing is created until something is written."""

    location: str

    def join(self, name: str) -> str:
        """The full location of `name` (options after `?` in an s3 location stay at the end)."""
        path, mark, options = self.location.partition("?") if is_remote(self.location) else (self.location, "", "")
        return f"{path.rstrip('/')}/{name}{mark}{options}"

    def shown(self, name: str = "") -> str:
        """The location as a message may print it: no credentials, no options."""
        return shown(self.join(name) if name else self.location)

    def child(self, name: str) -> Folder:
        return Folder(self.join(name))

    def local_path(self, name: str = "") -> Path:
        """A local path, for libraries that read nothing else; StoreError where the folder is remote."""
        if is_remote(self.location):
            raise StoreError("a remote folder", where=self.shown(), expected="a folder on a (shared) file system")
        return Path(self.join(name) if name else self.location)

    def exists(self, name: str) -> bool:
        system, path = filesystem(self.join(name))
        with self._reading(name):
            return bool(system.get_file_info(path).type != pa.fs.FileType.NotFound)

    def list(self, name: str = "") -> list[str]:
        """Names (relative to this folder) of all files below `name`, sorted; none where it does not exist."""
        system, root = filesystem(self.location)
        _, path = filesystem(self.join(name) if name else self.location)
        with self._reading(name):
            infos = system.get_file_info(pa.fs.FileSelector(path, recursive=True, allow_not_found=True))
        return sorted(os.path.relpath(i.path, root) for i in infos if i.type == pa.fs.FileType.File)

    def size(self, name: str) -> int:
        system, path = filesystem(self.join(name))
        with self._reading(name):
            return int(system.get_file_info(path).size)

    def read_bytes(self, name: str) -> bytes:
        with self.open_input(name) as file:
            return bytes(file.read())

    def open_input(self, name: str) -> Any:
        """A random-access Arrow file, read as it is asked for."""
        system, path = filesystem(self.join(name))
        with self._reading(name):
            return system.open_input_file(path)

    def map_input(self, name: str) -> Any:
        """As open_input, but memory-mapped where the folder is local: for Arrow IPC files, whose batches are views."""
        if is_remote(self.location):
            return self.open_input(name)
        _, path = filesystem(self.join(name))
        with self._reading(name):
            return pa.memory_map(path) if os.path.getsize(path) else pa.OSFile(path)

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        """Turn what the file system says into a StoreError that names the file and no credentials."""
        try:
            yield
        except OSError as error:
            raise StoreError(kind_of_error(error), where=self.shown(name), expected="a readable file") from None

    @contextlib.contextmanager
    def open_output(self, name: str) -> Iterator[Any]:
        """An Arrow output stream that appears under `name` only when the block ends without an error."""
        if is_remote(self.location):
            with tempfile.TemporaryDirectory(prefix="crawlmill-") as spool:
                with pa.OSFile(f"{spool}/file", "wb") as stream:
                    yield stream
                with self._writing(name):
                    self._upload(f"{spool}/file", name)
            return
        _, path = filesystem(self.join(name))
        temporary = f"{path}.{os.getpid()}.tmp"
        with self._writing(name):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            stream = pa.OSFile(temporary, "wb")
        try:
            with stream:
                yield stream
            with self._writing(name):
                os.replace(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                kind_of_error(error), where=self.shown(name), expected="a writable folder with space left"
            ) from None

    def _upload(self, source: str, name: str) -> None:
        """Put a finished local file into the object store: a stream closed by an error would leave half an object."""
        system, path = filesystem(self.join(name))
        with open(source, "rb") as file, system.open_output_stream(path) as stream:
            shutil.copyfileobj(file, stream, _COPY_BYTES)

    def write_bytes(self, name: str, data: bytes) -> None:
        with self.open_output(name) as stream:
            stream.write(data)

    def delete(self, name: str = "") -> None:
        """Remove `name`, or the folder with all in it; nothing happens where there is nothing."""
        system, path = filesystem(self.join(name) if name else self.location)
        with self._reading(name):
            match system.get_file_info(path).type:
                case pa.fs.FileType.Directory:
                    system.delete_dir(path)
                case pa.fs.FileType.File:
                    system.delete_file(path)
