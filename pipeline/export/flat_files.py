"""A stream of bytes that grows shard by shard, in one file or in files of equal size, and goes on where it was cut.

Reads:  its own files below the export's `.work` folder
Writes: them; when the stream is whole they get their headers and move to their places
Cost:   nothing is held or copied: bytes behind the last finished shard are cut off, and writing goes on there
Source: -
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError
from pipeline.export.session import WORK, Target, file_entry


@dataclass(frozen=True, kw_only=True)
class FlatFiles:
    """`name` of the files below the export's folder; with `part_bytes` it has `{}` or `{:06d}` for their number."""

    name: str
    header_bytes: int = 0
    part_bytes: int | None = None  # of the stream in one file; the last one may have less

    @contextlib.contextmanager
    def appending(self, target: Target, position: int) -> Iterator[Callable[[np.ndarray], None]]:
        """A function that appends an array's bytes; the stream is cut off at `position` first."""
        writer = _Writer(self, target.folder.local_path(WORK), position)
        try:
            yield writer.write
        finally:
            writer.close()

    def parts(self, total: int) -> list[tuple[str, int]]:
        """The names of the files that a stream of `total` bytes fills, and how much of it each has; none for none."""
        if self.part_bytes is None:
            return [(self.name, total)] if total else []
        starts = range(0, total, self.part_bytes)
        return [(self.name.format(k), min(self.part_bytes, total - start)) for k, start in enumerate(starts)]

    def finish(self, target: Target, total: int, header: Callable[[int], bytes] | None = None) -> list[dict[str, Any]]:
        """Put the headers, made from each file's share of the stream, and move the files to their places."""
        entries = []
        for name, num_bytes in self.parts(total):
            path, place = target.folder.local_path(f"{WORK}/{name}"), target.folder.local_path(name)
            if path.exists():  # else an export that was killed here has moved it already
                _cut(path, self.header_bytes + num_bytes)
                if header is not None:
                    with path.open("r+b") as file:
                        file.write(header(num_bytes))
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, place)
            entries.append(file_entry(target.folder, name))
            if entries[-1]["bytes"] != self.header_bytes + num_bytes:
                raise _cut_short(place, self.header_bytes + num_bytes)
        return entries


class _Writer:
    """Appends to the file that the stream's end is in, and opens the next one when that is full."""

    def __init__(self, files: FlatFiles, folder: Path, position: int) -> None:
        self._files, self._folder, self._position = files, folder, position
        self._file = self._open()

    def _open(self) -> Any:
        files = self._files
        part, within = divmod(self._position, files.part_bytes) if files.part_bytes else (0, self._position)
        path = self._folder / files.name.format(part)
        path.parent.mkdir(parents=True, exist_ok=True)
        if within == 0:
            file = path.open("wb")
            file.write(bytes(files.header_bytes))
            return file
        _cut(path, files.header_bytes + within)
        return path.open("ab")

    def write(self, array: np.ndarray) -> None:
        data = np.ascontiguousarray(array).view(np.uint8).data
        while len(data):
            part_bytes = self._files.part_bytes
            room = part_bytes - self._position % part_bytes if part_bytes else len(data)
            self._file.write(data[:room])
            self._position += len(data[:room])
            data = data[room:]
            if part_bytes and self._position % part_bytes == 0:
                self._file.close()
                self._file = self._open()

    def close(self) -> None:
        self._file.close()


def _cut(path: Path, num_bytes: int) -> None:
    if not path.exists() or path.stat().st_size < num_bytes:
        raise _cut_short(path, num_bytes)
    os.truncate(path, num_bytes)


def _cut_short(path: Path, num_bytes: int) -> DataError:
    return DataError(
        f"{path.stat().st_size if path.exists() else 'no'} bytes", where=str(path),
        expected=f"{num_bytes} bytes, as the shards exported before filled", mend="Delete the folder and export again.",
    )  # fmt: skip
