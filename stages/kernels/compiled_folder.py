"""Where a kernel's compiled code is kept: a folder per kernel file, named by what the code was made of.

Reads:  a kernel file and, through their import lines, the kernel files and tables it is made of
Writes: kernels-{file}-{digest} in __pycache__ beside the sources (or in NUMBA_CACHE_DIR, or in the user's cache folder
        where the sources cannot be written to); folders no process has used for STALE_S are removed
Cost:   0.2 ms per kernel file and process
Source: Numba's own cache looks at the file a function stands in, not at the files of the functions it inlines

Removing a folder that is in use costs its user a second compilation, nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
import time
from pathlib import Path

from numba import config

from pipeline.cache import cache_folder

STALE_S = 7 * 86400.0
_IMPORT = re.compile(
    rb"^[ \t]*(?:from|import)[ \t]+stages\.kernels\b(?:\.(\w+))?(?:[ \t]+import[ \t]+(\([^)]*\)|.*))?", re.M
)
_TABLE = re.compile(rb'"(\w+\.npz)"')
_NAME = re.compile(rb"\w+")


@functools.cache
def folder_of(file: Path) -> Path:
    """The folder for a kernel file's compiled code, marked as used now where it exists."""
    digest = hashlib.sha256()
    for part in made_of(file):
        digest.update(part.name.encode() + b"\0" + part.read_bytes())
    folder = root(file.parent) / f"kernels-{file.stem}-{digest.hexdigest()[:16]}"
    with contextlib.suppress(OSError):  # it does not exist yet, or belongs to somebody else
        os.utime(folder)
    return folder


def root(sources: Path) -> Path:
    """Where the folders of kernel files in `sources` are."""
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR).absolute()
    beside = sources / "__pycache__"
    return beside if os.access(beside if beside.exists() else sources, os.W_OK) else cache_folder("kernels")


def made_of(file: Path) -> list[Path]:
    """The kernel files and tables that `file` is compiled from, itself among them, by name."""
    found, open_ends = set[Path](), [file]
    while open_ends:
        part = open_ends.pop()
        if part not in found:
            found.add(part)
            open_ends += _mentioned(part) if part.suffix == ".py" else []
    return sorted(found)


def _mentioned(file: Path) -> list[Path]:
    """Files beside `file` that its import lines or table names mention."""
    source = file.read_bytes()
    names = {table.decode() for table in _TABLE.findall(source)}
    for module, imported in _IMPORT.findall(source):
        names |= {f"{name.decode()}.py" for name in ([module] if module else _NAME.findall(imported))}
    return [file.with_name(name) for name in names if file.with_name(name).is_file()]


def remove_stale(folder: Path) -> None:
    """Remove the folders beside `folder` that have not been used for long."""
    for other in folder.parent.glob("kernels-*"):
        with contextlib.suppress(OSError):  # another process may remove it at the same time
            if other != folder and other.stat().st_mtime < time.time() - STALE_S:
                shutil.rmtree(other)
