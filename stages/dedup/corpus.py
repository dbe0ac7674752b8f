"""What near-duplicate dedup runs over: parts (document shards, then the files of an index) in groups of like size.

A document's number is `part << 32 | row`, int64; it says where the document lies and is never part of a result. A task
works on one group, so that the number of tasks, and of files that tasks exchange, follows from the documents and not
from how many shards they came in.

Reads:  manifests; Parquet parts
Cost:   one read batch in memory; a Grouping takes 8 bytes per group
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.document_reader import read_documents
from pipeline.stage import InputArtifact
from pipeline.store import Folder
from stages.dedup.documents import ROW_BITS, shard_of

TASK_DOCS = 250_000  # a group's documents, more or less: 112 MB of signatures with 112 rows
READ_ROWS = 8192  # 3.7 MB of signatures with 112 rows
NEW = -1


@dataclass(frozen=True, kw_only=True)
class Part:
    """A Parquet file of documents or index entries. `update`: which update of the index wrote it, NEW for documents."""

    number: int
    folder: Folder
    name: str
    num_rows: int
    update: int = NEW

    def read(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(number of its first document, batch) for each batch, with those of `columns` that the file has."""
        first = self.number << ROW_BITS
        for batch in read_documents(self.folder, self.name, columns, READ_ROWS):
            yield first, batch
            first += batch.num_rows


@dataclass(frozen=True, kw_only=True)
class Group:
    """Parts that one task works on. Its documents also have places, 0 to num_docs - 1, as they lie."""

    number: int
    parts: tuple[Part, ...]

    @property
    def num_docs(self) -> int:
        return sum(part.num_rows for part in self.parts)

    def places(self, doc_N: np.ndarray) -> np.ndarray:
        """int64: the documents' places in the group."""
        starts = np.append(0, np.cumsum([part.num_rows for part in self.parts]))[:-1]
        part_N = shard_of(doc_N) - self.parts[0].number
        return np.asarray(starts[part_N] + (doc_N & ((1 << ROW_BITS) - 1)))

    @property
    def first_entry(self) -> int:
        """The number from which on its documents are entries of an index."""
        return min((part.number << ROW_BITS for part in self.parts if part.update != NEW), default=1 << 62)

    def holds(self, doc_N: np.ndarray) -> np.ndarray:
        """bool: whether the documents are of this group."""
        first = self.parts[0].number if self.parts else 0
        part_N = shard_of(doc_N)
        return np.asarray((part_N >= first) & (part_N < first + len(self.parts)))

    def docs(self) -> np.ndarray:
        """int64[num_docs]: the documents' numbers by place."""
        each = [(part.number << ROW_BITS) + np.arange(part.num_rows, dtype=np.int64) for part in self.parts]
        return np.concatenate(each) if each else np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Which group a document's part is in: group g begins with part `first_part_G[g]`."""

    first_part_G: np.ndarray

    @property
    def num_groups(self) -> int:
        return len(self.first_part_G)

    def keys(self, doc_N: np.ndarray) -> np.ndarray:
        """Exchange keys (uint64) that bring rows to the partition of the document's group, of num_groups.

        An exchange sends key k to partition `(k >> 32) * num_partitions >> 32`: the middle of its range is taken.
        """
        return self.group_keys(self.groups_of(doc_N))

    def groups_of(self, doc_N: np.ndarray) -> np.ndarray:
        """int32: the documents' groups."""
        group_N = np.searchsorted(self.first_part_G, shard_of(doc_N), side="right") - 1
        return np.asarray(group_N.astype(np.int32))

    def group_keys(self, group_N: np.ndarray) -> np.ndarray:
        top_N = (2 * group_N.astype(np.uint64) + np.uint64(1)) * np.uint64(1 << 31) // np.uint64(self.num_groups)
        return top_N << np.uint64(32)


def document_parts(documents: InputArtifact) -> list[Part]:
    """The shards of a documents artifact, in order."""
    rows = {entry["name"]: entry["rows"] for entry in documents.manifest["files"]}
    return [
        Part(number=number, folder=documents.folder, name=name, num_rows=rows[name])
        for number, name in enumerate(documents.shards())
    ]


def grouped(parts: Sequence[Part]) -> tuple[list[Group], Grouping]:
    """Neighbouring parts together until they hold TASK_DOCS documents. At least one group, of no parts at worst."""
    groups: list[list[Part]] = [[]]
    for part in parts:
        if sum(p.num_rows for p in groups[-1]) >= TASK_DOCS:
            groups.append([])
        groups[-1].append(part)
    firsts = np.array([members[0].number if members else 0 for members in groups], np.int64)
    return (
        [Group(number=number, parts=tuple(members)) for number, members in enumerate(groups)],
        Grouping(first_part_G=firsts),
    )
