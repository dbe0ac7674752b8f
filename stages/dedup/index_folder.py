"""An index of the documents that earlier runs have seen: a folder of updates, and `index.json`, which says what counts.

    index.json                     format, contract, updates in order, removed ids; replaced as a whole
    updates/{key}/*.parquet        entry rows that a run added; never changed, only replaced by others under other names
    removed/{hash}.parquet         what was taken down

Reads:  index.json
Writes: index.json, by an atomic rename: a killed run or removal leaves the index as it was
Cost:   some 100 bytes per shard of every update
Source: our choice

An entry row: `id` (null: a link or a removed document, which only holds its cluster together), `url`, `rank` and
`weight` of the run's policy, `kept`, `representative` (an id; the document's own where it stands alone), `other` (of a
link: the second id), `signature`. Links join clusters that turned out to be one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from pipeline.artifact import fingerprint_of
from pipeline.errors import DataError
from pipeline.folder_lock import locked
from pipeline.schemas import ID
from pipeline.stage import JSON
from pipeline.store import Folder, is_remote

FORMAT = 1
INDEX_JSON = "index.json"


def entry_schema(num_rows: int) -> pa.Schema:
    """The columns of an update's files, for signatures of `num_rows` rows."""
    return pa.schema(
        [
            ("id", ID), ("url", pa.string()), ("rank", pa.float64()), ("weight", pa.int64()), ("kept", pa.bool_()),
            ("representative", ID), ("other", ID), ("signature", pa.list_(pa.uint32(), num_rows)),
        ]
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of an update, by its name in the index's folder."""

    name: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class Update:
    """What one run added. `base`: the keys of the updates its documents were compared with."""

    key: str
    base: tuple[str, ...]
    files: tuple[File, ...]
    num_docs: int
    num_kept: int


@dataclass(frozen=True, kw_only=True)
class Index:
    """What index.json holds. `contract`: how the signatures were made. `removed`: a file (removed.py), "" for none."""

    contract: Mapping[str, JSON]
    updates: tuple[Update, ...] = ()
    removed: str = ""

    def before(self, key: str) -> Index:
        """The index as it was when the update of this key was made; all of it where there is none yet."""
        keys = [update.key for update in self.updates]
        return replace(self, updates=self.updates[: keys.index(key)]) if key in keys else self

    def with_update(self, update: Update) -> Index:
        """The index with this update, in the place of the one of its key, or last."""
        if any(u.key == update.key for u in self.updates):
            return replace(self, updates=tuple(update if u.key == update.key else u for u in self.updates))
        return replace(self, updates=(*self.updates, update))

    def identity(self) -> JSON:
        """What a result that depends on this index depends on."""
        return {"updates": [fingerprint_of(asdict(update)) for update in self.updates], "removed": self.removed}


def read_index(folder: Folder, contract: Mapping[str, JSON] | None = None) -> Index | None:
    """The index in a folder, None where there is none; DataError where it is damaged, or its contract another one."""
    if not is_remote(folder.location) and folder.local_path().is_file():
        raise DataError("a file", where=folder.shown(), expected="a folder for the index", mend="Name another one.")
    if not folder.exists(INDEX_JSON):
        return None
    try:
        found = json.loads(folder.read_bytes(INDEX_JSON))
        if found["format"] != FORMAT:
            raise DataError(
                f"index format {found['format']!r}", where=folder.shown(INDEX_JSON), expected=f"format {FORMAT}",
                mend="It was written by another version of crawlmill; choose another folder.",
            )  # fmt: skip
        updates = tuple(
            Update(
                key=u["key"], base=tuple(u["base"]), files=tuple(File(**f) for f in u["files"]),
                num_docs=u["num_docs"], num_kept=u["num_kept"],
            )
            for u in found["updates"]
        )  # fmt: skip
        index = Index(contract=found["contract"], updates=updates, removed=found["removed"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"a damaged index ({error})", where=folder.shown(INDEX_JSON), expected="the JSON crawlmill wrote"
        ) from error
    if contract is not None and dict(index.contract) != dict(contract):
        raise DataError(
            f"signatures made with {_told(index.contract, contract)}", where=folder.shown(INDEX_JSON),
            expected=_told(contract, index.contract),
            mend="Give signatures and minhash the settings of the index, or choose another index.",
        )  # fmt: skip
    return index


def _told(contract: Mapping[str, JSON], other: Mapping[str, JSON]) -> str:
    return ", ".join(f"{name} {value}" for name, value in contract.items() if other.get(name) != value)


def write_index(folder: Folder, index: Index) -> None:
    """Make this the index."""
    text = json.dumps({"format": FORMAT, **asdict(index)}, indent=1, sort_keys=True)
    folder.write_bytes(INDEX_JSON, text.encode())


def held(folder: Folder) -> contextlib.AbstractContextManager[None]:
    """Keep others from replacing a local index meanwhile; on an object store nobody is kept out."""
    return locked(folder, "another run or command is changing the index", expected="one at a time", mend="Wait for it.")


def delete_replaced(folder: Folder, before: Index, now: Index) -> None:
    """Delete what the index named before and names no more. Files it never named may be those of a run under way."""
    for name in sorted(_names(before) - _names(now)):
        folder.delete(name)


def missing_files(folder: Folder, update: Update) -> list[str]:
    """Files of an update that are not there."""
    return [file.name for file in update.files if not folder.exists(file.name)]


def _names(index: Index) -> set[str]:
    return {file.name for update in index.updates for file in update.files} | ({index.removed} - {""})
