"""What earlier runs have seen, as one run takes it in: parts behind its own documents, and what was compared before.

Reads:  an Index
Writes: nothing
Cost:   a matrix of booleans, the number of updates squared
Source: stages/dedup/index_folder.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.store import Folder
from stages.dedup.corpus import NEW, Part
from stages.dedup.index_folder import Index
from stages.dedup.pairing import Compared
from stages.dedup.removed import Removed, read_removed


@dataclass(frozen=True, kw_only=True)
class Seen:
    """An index as it was before the update `key` of this run."""

    folder: Folder
    index: Index
    key: str

    def parts(self, first_number: int) -> list[Part]:
        """The files of all updates, numbered from there on."""
        files = [(update, file) for update, u in enumerate(self.index.updates) for file in u.files]
        return [
            Part(number=number, folder=self.folder, name=file.name, num_rows=file.rows, update=update)
            for number, (update, file) in enumerate(files, first_number)
        ]

    def removed(self) -> Removed:
        """What was taken down."""
        return read_removed(self.folder, self.index.removed)


def compared(seen: Seen | None, parts: Sequence[Part]) -> Compared:
    """Which updates' documents were compared with each other: those a run found in the index, and its own with them."""
    updates = seen.index.updates if seen else ()
    keys = [update.key for update in updates]
    before_UU = np.eye(max(1, len(keys)), dtype=bool)
    for update in updates:
        together = [keys.index(key) for key in (*update.base, update.key) if key in keys]
        before_UU[np.ix_(together, together)] = True
    update_P = np.array([part.update for part in parts] or [NEW], np.int64)
    return Compared(update_P=update_P, before_UU=before_UU)
