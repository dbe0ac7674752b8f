"""By what two documents are compared: their signatures, or with `verify: exact` the sets of their shingles.

Reads:  scratch entries; for sets the text of the documents that are in a pair
Writes: a column of evidence that travels with a pair, and similarities
Cost:   4 * K bytes a document, or 8 bytes for each of its distinct shingles
Source: stages/kernels/minhash.py, stages/kernels/shingle_sets.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import pyarrow as pa

from pipeline.errors import DataError
from pipeline.store import Folder
from stages.dedup.bands import Entries, rows_of
from stages.dedup.corpus import Group
from stages.kernels.shingling import Shingling

if TYPE_CHECKING:
    from stages.kernels.shingle_sets import ShingleSets

NUM_LEVELS = 1000  # of similarity, in the counts
_CHECKED_DOCS = 4  # per batch, whose signature is made again


@dataclass(frozen=True, kw_only=True)
class Verify:
    """The method, and how the signatures were made."""

    method: Literal["signatures", "exact"]
    num_rows: int
    seed: int
    shingling: Shingling


class Evidence(Protocol):
    """What is known of D documents."""

    def num_bytes(self, at_P: np.ndarray) -> np.ndarray:
        """int64[P]: how much `column(at_P)` takes for each."""
        ...

    def column(self, at_P: np.ndarray) -> pa.Array:
        """The evidence of documents, to travel with a pair."""
        ...

    def similarities(self, column: pa.Array, at_P: np.ndarray) -> np.ndarray:
        """float64[P]: how alike those that came in a column are to the documents `at_P` of these."""
        ...


def of_group(verify: Verify, work: Folder, group: Group, place_D: np.ndarray) -> Evidence:
    """The evidence of a group's documents at these places, which ascend."""
    signature_DK = Entries(work, group, verify.num_rows, ("signature",)).signatures(place_D)
    if verify.method == "signatures":
        return Signatures(signature_DK)
    return Sets(_sets(verify, group, place_D, signature_DK))


@dataclass(frozen=True)
class Signatures:
    """Evidence that signatures give: the share of equal rows, an estimate of the Jaccard similarity."""

    signature_DK: np.ndarray

    def num_bytes(self, at_P: np.ndarray) -> np.ndarray:
        return np.full(len(at_P), 4 * self.signature_DK.shape[1])

    def column(self, at_P: np.ndarray) -> pa.Array:
        values = pa.array(self.signature_DK[at_P].reshape(-1))
        return pa.FixedSizeListArray.from_arrays(values, self.signature_DK.shape[1])

    def similarities(self, column: pa.Array, at_P: np.ndarray) -> np.ndarray:
        from stages.kernels import minhash

        equal_P = minhash.num_equal_rows(rows_of(column), np.arange(len(at_P)), self.signature_DK, at_P)
        return np.asarray(equal_P / self.signature_DK.shape[1])


@dataclass(frozen=True)
class Sets:
    """Evidence that texts give: the Jaccard similarity itself."""

    sets: ShingleSets

    def num_bytes(self, at_P: np.ndarray) -> np.ndarray:
        return 8 * np.diff(self.sets.offsets)[at_P]

    def column(self, at_P: np.ndarray) -> pa.Array:
        values, offsets = pa.array(self.sets.hashes), pa.array(self.sets.offsets.astype(np.int64))
        return pa.LargeListArray.from_arrays(offsets, values).take(pa.array(at_P))

    def similarities(self, column: pa.Array, at_P: np.ndarray) -> np.ndarray:
        from stages.kernels.shingle_sets import ShingleSets, jaccard

        came = ShingleSets(column.offsets.to_numpy(), column.values.to_numpy())
        return jaccard(came, np.arange(len(at_P)), self.sets, at_P)


def _sets(verify: Verify, group: Group, place_D: np.ndarray, signature_DK: np.ndarray) -> ShingleSets:
    """The sets of the documents at these places, out of their texts; DataError where those are not what was signed."""
    from stages.kernels.shingle_sets import ShingleSets, shingle_sets

    sizes, hashes, start = [np.zeros(1, np.int64)], [np.empty(0, np.uint64)], 0
    for part in group.parts:
        for _, batch in part.read(("text",)):
            low, high = np.searchsorted(place_D, [start, start + batch.num_rows])
            if high > low:
                texts = batch["text"].take(pa.array(place_D[low:high] - start))
                check_signed(verify, texts, signature_DK[low:high], part.folder.shown(part.name))
                found = shingle_sets(texts, verify.shingling)
                sizes.append(np.diff(found.offsets))
                hashes.append(found.hashes)
            start += batch.num_rows
    return ShingleSets(np.cumsum(np.concatenate(sizes)).astype(np.int64), np.concatenate(hashes))


def check_signed(verify: Verify, texts: pa.Array, signature_DK: np.ndarray, where: str) -> None:
    from stages.kernels import minhash
    from stages.kernels.shingle_sets import shingles_of

    found = shingles_of(texts.slice(0, _CHECKED_DOCS), verify.shingling)
    again_DK = minhash.sign(found, *minhash.permutations(verify.num_rows, verify.seed))
    if (again_DK != signature_DK[:_CHECKED_DOCS]).any():
        raise DataError(
            "signatures that are not those of the texts", where=where,
            expected=f"signatures of {verify.shingling.shingles} with ngram "
            f"{verify.shingling.ngram}, seed {verify.seed} and normalisation {verify.shingling.normalisation}",
            mend="Give these fields the values the signatures step has, and sign the text as it is.",
        )  # fmt: skip
