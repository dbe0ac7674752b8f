"""How much a document counts, by its language or by another column: so that a small language is not starved.

Reads:  documents
Writes: a weight per document; documents and bytes per group, as JSON
Cost:   some nanoseconds per document; a group is a distinct value of the column
Source: sampling in proportion to bytes ** alpha, alpha 0.3 in XLM-R (Conneau et al. 2020), here without sampling:
        the counts of each group are multiplied. That no text is repeated without bound is UniMax's (Chung et al. 2023)

Weights are whole numbers, so counts stay exact: the tokenizer is the one that documents repeated so many times give.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import DataError

UNKNOWN = "unknown"  # group of documents whose value is null, or that have no such column
MAX_GROUPS = 10_000
BALANCE_UNIT = 100  # weights that `balance` gives are hundredths: the largest group has 100
MAX_REPEATS = 100  # how much more than one of the largest group a document counts at most, under `balance`

Sizes = dict[str, tuple[int, int]]  # by group: documents, and bytes of their text


@dataclass(frozen=True, kw_only=True)
class Weights:
    """`column` tells a document's group; `of_group` its weight, 1 where the group is not named."""

    column: str
    of_group: Mapping[str, int] = field(default_factory=dict)

    def parts(self, batch: pa.RecordBatch, step: str, sizes: Sizes) -> Iterator[tuple[int, pa.Array]]:
        """The batch's texts by weight: (weight, texts). What they are is added to `sizes`."""
        group_N = self._groups(batch, step).dictionary_encode()
        index_N = group_N.indices.to_numpy(zero_copy_only=False)
        groups = group_N.dictionary.to_pylist()
        documents_G = np.bincount(index_N, minlength=len(groups))
        bytes_G = np.zeros(len(groups), np.int64)
        np.add.at(bytes_G, index_N, pc.binary_length(batch["text"]).to_numpy(zero_copy_only=False))
        for group, num_documents, num_bytes in zip(groups, documents_G.tolist(), bytes_G.tolist(), strict=True):
            before = sizes.get(group, (0, 0))
            sizes[group] = (before[0] + num_documents, before[1] + num_bytes)
        self._check_groups(sizes, step)
        weight_N = np.array([self.of_group.get(group, 1) for group in groups], np.int64)[index_N]
        weights = np.unique(weight_N).tolist()
        for weight in weights:
            yield weight, batch["text"].filter(pa.array(weight_N == weight)) if len(weights) > 1 else batch["text"]

    def _groups(self, batch: pa.RecordBatch, step: str) -> pa.StringArray:
        if self.column not in batch.schema.names:
            return pa.array([UNKNOWN] * batch.num_rows, pa.string())
        values = batch[self.column]
        inner = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
        if not (pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_string_view(inner)):
            raise DataError(
                f"column {self.column!r} is {values.type}", where=f"step {step}", expected="a column of text",
                mend="Set weight_by to such a column.",
            )  # fmt: skip
        return pc.fill_null(values.cast(pa.string()), UNKNOWN)

    def _check_groups(self, sizes: Sizes, step: str) -> None:
        if len(sizes) > MAX_GROUPS:
            raise DataError(
                f"column {self.column!r} has more than {MAX_GROUPS:,} different values", where=f"step {step}",
                expected="a column that puts documents into few groups, such as language",
                mend="Set weight_by to such a column.",
            )  # fmt: skip


def add_up(sizes: Sizes, content: bytes) -> None:
    """Add what `as_json` wrote."""
    for group, (num_documents, num_bytes) in json.loads(content).items():
        before = sizes.get(group, (0, 0))
        sizes[group] = (before[0] + num_documents, before[1] + num_bytes)


def as_json(sizes: Sizes) -> bytes:
    return json.dumps(sizes).encode()


def balanced(sizes: Sizes, alpha: float, unit: int) -> dict[str, int]:
    """Weights under which each group counts in proportion to its bytes ** alpha; the largest group's is `unit`."""
    largest = max((num_bytes for _, num_bytes in sizes.values()), default=0)
    return {
        group: round(unit * min(MAX_REPEATS, (largest / num_bytes) ** (1 - alpha))) if num_bytes else unit
        for group, (_, num_bytes) in sizes.items()
    }
