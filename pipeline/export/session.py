"""The state of an export: which shards are done, whose folder it is, and the record it ends with.

Reads:  `.work/export.json`, what the folder is the export of; `.work/NNNNN.json`, a receipt per exported shard
Writes: those; at the end crawlmill.json, by which an export exists, and nothing of the rest
Cost:   one small file per shard
Source: -

A shard with a receipt, and with the files that it names, is not exported again. Two runs of the same export, killed or
not, leave the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import DataError
from pipeline.export.source import Shard, Source
from pipeline.folder_lock import locked
from pipeline.store import Folder, is_remote

RECORD = "crawlmill.json"
WORK = ".work"
_STATE = f"{WORK}/export.json"
_VERSION = 1  # of what the exporters write; another one cannot go on with an export
_TEMPORARY = re.compile(r".*\.\d+\.tmp")  # pipeline/store.py's names of files that are being written


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of one shard. `files` have a name and bytes each, and what the format's own index says of them."""

    split: str
    counts: dict[str, int] = field(default_factory=dict)  # of documents, rows, tokens
    files: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where an export goes. `options` are those of its format."""

    folder: Folder
    options: Mapping[str, str]

    @property
    def work(self) -> Folder:
        return self.folder.child(WORK)


def identity(source: Source, format_: str, options: Mapping[str, str]) -> dict[str, Any]:
    """What makes two exports the same one."""
    artifact = source.artifact
    return {
        "version": _VERSION, "format": format_, "options": dict(options),
        "kind": artifact.kind, "step": artifact.step, "fingerprint": artifact.fingerprint,
    }  # fmt: skip


@contextlib.contextmanager
def opened(folder: Folder, who: Mapping[str, Any]) -> Iterator[dict[str, Any] | None]:
    """Take the folder for the export `who`; the record it has where it is already whole.

    DataError where the folder holds anything else; RunError where another process is writing to it.
    """
    record = _taken(folder, who)
    if record is None and not folder.exists(_STATE):
        folder.write_bytes(_STATE, _json(who))
    with locked(
        folder.child(WORK), "another export is writing here", expected="one export at a time per folder",
        mend="Wait for it, or choose another --into.",
    ):  # fmt: skip
        whole = record is not None and all(_is_there(folder, entry) for entry in record["files"])
        if record is not None and not whole:  # files were taken away: all is written again
            folder.write_bytes(_STATE, _json(who))
            folder.delete(RECORD)
        yield record if whole else None
        folder.delete(WORK)


def _taken(folder: Folder, who: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of the finished export in the folder; DataError where the folder is not one of `who`."""
    for name in (RECORD, _STATE):
        if not folder.exists(name):
            continue
        try:
            found: dict[str, Any] = json.loads(folder.read_bytes(name))
            same = {key: found[key] for key in who} == who
        except (ValueError, KeyError, TypeError):
            raise _not_ours(folder, f"a {name} that no export wrote") from None
        if not same:
            raise _not_ours(folder, f"an export of {_title(found)}")
        return found if name == RECORD else None
    if _has_files(folder):
        raise _not_ours(folder, "a folder with other files in it")
    return None


def _title(found: Mapping[str, Any]) -> str:
    options = "".join(f" --{name} {value}" for name, value in found["options"].items())
    return f"{found['kind']} {found['step']!r} ({found['fingerprint'][:16]}) to {found['format']}{options}"


def _has_files(folder: Folder) -> bool:
    if is_remote(folder.location):
        return any(not name.startswith(f"{WORK}/") for name in folder.list())
    path = folder.local_path()
    if path.exists() and not path.is_dir():
        return True
    return path.exists() and any(entry.name != WORK for entry in path.iterdir())


def _not_ours(folder: Folder, found: str) -> DataError:
    return DataError(
        found, where=folder.shown(), expected="no folder, an empty one, or one that holds this very export",
        mend="Choose another --into, or delete this folder.",
    )  # fmt: skip


def _is_there(folder: Folder, entry: Mapping[str, Any]) -> bool:
    return folder.exists(entry["name"]) and folder.size(entry["name"]) == entry["bytes"]


def read_receipts(target: Target, shards: Sequence[Shard]) -> list[Receipt]:
    """The receipts of the shards that are done: from the first on, in order, up to the first that is missing."""
    receipts: list[Receipt] = []
    for place in range(len(shards)):
        name = f"{place:05d}.json"
        if not target.work.exists(name):
            break
        receipt = Receipt(**json.loads(target.work.read_bytes(name)))
        if not all(_is_there(target.folder, entry) for entry in receipt.files):
            break
        receipts.append(receipt)
    return receipts


def write_receipt(target: Target, place: int, receipt: Receipt) -> None:
    target.work.write_bytes(f"{place:05d}.json", _json(dataclasses.asdict(receipt)))


def finish(
    target: Target, who: Mapping[str, Any], source: Source, receipts: Sequence[Receipt], files: Sequence[dict[str, Any]]
) -> dict[str, Any]:  # fmt: skip
    """Write the record of an export whose files are these; what killed writers left is removed."""
    named = {entry["name"] for entry in files}
    for name in target.folder.list():
        if _TEMPORARY.fullmatch(name) and name not in named:
            target.folder.delete(name)
    record = {
        **who, "crawlmill": importlib.metadata.version("crawlmill"), "contract": dict(source.contract),
        "splits": split_counts(receipts),
        "files": sorted(({"name": e["name"], "bytes": e["bytes"]} for e in files), key=lambda e: str(e["name"])),
    }  # fmt: skip
    target.folder.write_bytes(RECORD, _json(record))
    return record


def split_counts(receipts: Sequence[Receipt]) -> dict[str, dict[str, int]]:
    """The counts of each split that has a shard, summed."""
    sums: dict[str, Counter[str]] = {}
    for receipt in receipts:
        sums.setdefault(receipt.split, Counter()).update(receipt.counts)
    return {split: dict(counts) for split, counts in sums.items()}


def counts_of(receipts: Sequence[Receipt], split: str) -> dict[str, int]:
    """The counts of one split; zero where it has nothing."""
    return dict.fromkeys(("documents", "rows", "tokens"), 0) | split_counts(receipts).get(split, {})


def file_entry(folder: Folder, name: str, **more: Any) -> dict[str, Any]:
    """What a receipt says of a file that was written."""
    return {"name": name, "bytes": folder.size(name), **more}


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode()
