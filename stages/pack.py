"""Tokens of fixed-length rows, packed from documents: nothing cut off, each token predicted exactly once.

Reads:  `text`, `id`; the vocabulary's tokenizer.json
Writes: shards/train-NNNNN.arrow and shards/validation-NNNNN.arrow (pipeline.schemas.tokens_schema), one of each per
        input shard; a split that got no document of a shard has no file for it
Cost:   one task per shard; encoding is most of it, packing runs at some hundred million tokens per second. Memory: one
        batch of documents, and the window of stages/packing/token_shard.py for each split
Source: stages/packing/modes.py

A document is the stream `eot, its tokens, eot`. The first eot is what its first token is predicted from: attention ends
at the segment, so without it that token would have no context. Every token after the stream's first is thus a target
exactly once; the last target, eot, teaches the end. A stream that does not fit becomes several segments: each later one
begins with the last tokens of the one before, as context that is not trained on. Segments are never split. `packing`
says where streams are cut and which segments share a row:

- overlap: cut where longer than a row, each later segment with `overlap` tokens of context; packed best-fit
- best_fit: the same with the one token of context that a segment must have
- concatenate: one after the other in the order of the documents, cut where a row ends (one token of context)
- document: cut where longer than a row (one token of context); every segment has a row, padded to its end

Segments are marked in all of them; a reader that wants plain attention over the row ignores them. Validation documents
are chosen by their id. A document of no tokens has no stream and is counted.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from pipeline.document_reader import read_documents
from pipeline.errors import DataError, FieldError
from pipeline.schemas import tokens_schema
from pipeline.stage import JSON, InputArtifact, StepReportWriter, TaskContext, WideContext, wide
from pipeline.store import Folder
from stages.kernels.document_hash import id_bytes, share_of
from tokenizer.encode import load_encoder

if TYPE_CHECKING:
    from stages.packing.modes import Mode

Packing = Literal["overlap", "best_fit", "concatenate", "document"]

MAX_LENGTH = (1 << 16) - 1  # positions in a row are uint16
SPLITS = ("train", "validation")
DEFAULT_OVERLAP = 64
LENGTH_BINS = 24  # of the histogram of document lengths: powers of two


@dataclass(frozen=True, kw_only=True)
class Config:
    """How rows are made of documents, and the share of documents kept for validation."""

    packing: Packing = "overlap"  # where documents are cut and what shares a row, see above
    length: int = 512  # tokens of a row
    overlap: int | None = None  # tokens of context that a document's later segments begin with; null: 64, or no choice
    validation_share: float = 0.01  # of the documents
    seed: int = 1  # of the validation split

    @property
    def repeated_tokens(self) -> int:
        """How many tokens of a document its later segments repeat."""
        if self.packing != "overlap":
            return 1
        return DEFAULT_OVERLAP if self.overlap is None else self.overlap

    def __post_init__(self) -> None:
        if not 2 <= self.length <= MAX_LENGTH:
            raise FieldError("length", self.length, f"from 2 to {MAX_LENGTH} tokens")
        if self.packing != "overlap" and self.overlap is not None:
            raise FieldError(
                "overlap", self.overlap, f"null with packing: {self.packing}",
                "Only packing: overlap repeats more than the one token a segment must begin with; "
                "set overlap to null, or leave it out.",
            )  # fmt: skip
        if not 1 <= self.repeated_tokens < self.length:
            raise FieldError(
                "overlap", self.repeated_tokens, f"from 1 to {self.length - 1}, less than length",
                "A segment's first token is predicted by nothing, so it has to repeat one of the segment before. "
                f"Left out, overlap is {DEFAULT_OVERLAP}.",
            )  # fmt: skip
        if not 0 <= self.validation_share < 1:
            raise FieldError("validation_share", self.validation_share, "a share from 0 to below 1")


def mode_of(cfg: Config) -> Mode:
    """A mode for the documents of one shard and split."""
    from stages.packing import modes

    match cfg.packing:
        case "overlap" | "best_fit":
            return modes.best_fit(cfg.length, cfg.repeated_tokens)
        case "concatenate":
            return modes.concatenate(cfg.length)
        case "document":
            return modes.document_rows(cfg.length)


@dataclass(frozen=True, kw_only=True)
class _Shared:
    """What every task needs, and no more: it does not grow with the corpus."""

    cfg: Config
    documents: Folder
    vocabulary: Folder
    vocab_size: int
    schema: pa.Schema
    eot_id: int
    pad_id: int


@wide(
    version=2, ports={"documents": "documents", "vocabulary": "vocabulary"}, reads=("text", "id"), produces="tokens"
)  # fmt: skip
def pack(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    """Pack shard by shard. DataError where the tokenizer is not the one its artifact promises.

    Of the contract: `num_tokens` counts prediction targets, every token of every document and one eot each; `bos_id` is
    the id every document begins with, which is eot_id.
    """
    documents, vocabulary = ctx.inputs["documents"], ctx.inputs["vocabulary"]
    promised = _checked_contract(vocabulary)
    shape = {
        "tokenizer_sha256": promised["tokenizer_sha256"], "vocab_size": promised["vocab_size"],
        "packing": cfg.packing, "length": cfg.length, "overlap": cfg.repeated_tokens,
        "eot_id": promised["eot_id"], "bos_id": promised["eot_id"], "pad_id": promised["pad_id"],
    }  # fmt: skip
    schema = tokens_schema(cfg.length, promised["vocab_size"])
    shape["dtype"] = str(schema.field("input_ids").type.value_type)
    shared = _Shared(
        cfg=cfg, documents=documents.folder, vocabulary=vocabulary.folder, vocab_size=promised["vocab_size"],
        eot_id=promised["eot_id"], pad_id=promised["pad_id"],
        schema=schema.with_metadata({b"crawlmill": json.dumps(shape, sort_keys=True).encode()}),
    )  # fmt: skip
    results = ctx.map("pack", _pack_shard, documents.shards(), shared)
    sums = _sum_counts([r["counts"] for r in results])
    _report(cfg, ctx.report, sums, sorted({r["encoder"] for r in results}))
    return {
        **shape, "num_tokens": sums["train_targets"] + sums["validation_targets"],
        "num_rows_train": sums["train_rows"], "num_rows_validation": sums["validation_rows"],
    }  # fmt: skip


def _checked_contract(vocabulary: InputArtifact) -> Mapping[str, Any]:
    contract: Mapping[str, Any] = vocabulary.manifest["contract"]
    found = hashlib.sha256(vocabulary.folder.read_bytes("tokenizer.json")).hexdigest()
    if found != contract["tokenizer_sha256"]:
        raise DataError(
            f"sha256 {found}", where=vocabulary.folder.join("tokenizer.json"),
            expected=f"sha256 {contract['tokenizer_sha256']}, as its artifact.json says",
            mend="Delete this folder and run again.",
        )  # fmt: skip
    return contract


def _pack_shard(shared: _Shared, shard: str, task: TaskContext) -> JSON:
    """Encode and pack one shard; what was encoded and what was written, each counted on its own side."""
    from stages.packing.token_shard import TokenShard

    encoder = load_encoder(shared.vocabulary.read_bytes("tokenizer.json"))
    assert encoder.vocab_size == shared.vocab_size, "the sha256 was checked"
    counts: Counter[str] = Counter()
    names = {split: f"shards/{split}-{task.index:05d}.arrow" for split in SPLITS}
    shards = {s: TokenShard(task.output, names[s], shared.schema, shared.pad_id, mode_of(shared.cfg)) for s in SPLITS}
    with shards["train"], shards["validation"]:
        for batch in read_documents(shared.documents, shard, ["id", "text"]):
            ids_T, offset_D = encoder.encode(batch["text"])
            num_tokens_D, id_D16 = np.diff(offset_D), id_bytes(batch["id"])
            counts["empty_documents"] += int((num_tokens_D == 0).sum())
            counts.update(_length_bins(num_tokens_D))
            validation_D = share_of(id_D16, shared.cfg.seed) < shared.cfg.validation_share
            for split, chosen_D in (("train", ~validation_D), ("validation", validation_D)):
                chosen = np.flatnonzero(chosen_D & (num_tokens_D > 0))
                shards[split].add(chosen, ids_T, offset_D, id_D16, shared.eot_id)
                counts[f"{split}_documents"] += len(chosen)
                counts[f"{split}_text_tokens"] += int(num_tokens_D[chosen].sum())
    for split in SPLITS:
        counts.update({f"{split}_{name}": number for name, number in shards[split].counts.items()})
    return {"encoder": encoder.name, "counts": dict(sorted(counts.items()))}


def _length_bins(num_tokens_D: np.ndarray) -> dict[str, int]:
    """How many documents have 1, 2-3, 4-7, ... tokens; the last bin takes all longer ones."""
    exponent_D = np.frexp(num_tokens_D[num_tokens_D > 0].astype(np.float64))[1] - 1
    counts = np.bincount(np.minimum(exponent_D, LENGTH_BINS - 1))
    return {f"length_bin_{i}": int(n) for i, n in enumerate(counts) if n}


def _sum_counts(parts: list[dict[str, int]]) -> Counter[str]:
    """Sums by name; zero where no shard had anything to count."""
    sums: Counter[str] = Counter()
    for part in parts:
        sums.update(part)
    return sums


def _report(cfg: Config, report: StepReportWriter, sums: Counter[str], encoders: list[str]) -> None:
    measured = ("documents", "text_tokens", "rows", "real_tokens", "targets", "context_sum", "documents_cut")
    both = {name: sum(sums[f"{split}_{name}"] for split in SPLITS) for name in measured}
    for name in ("documents", "text_tokens", "rows"):
        for split in SPLITS:
            report.counter(f"{split}_{name}", sums[f"{split}_{name}"])
    report.counter("empty_documents", sums["empty_documents"])
    # what was encoded, with one eot per document, against what the written rows train on
    report.counter("truncated_tokens", both["text_tokens"] + both["documents"] - both["targets"])
    streams = both["text_tokens"] + 2 * both["documents"]
    if streams:
        report.figure("fill", round(both["real_tokens"] / (both["rows"] * cfg.length), 6))
        report.figure("duplication_factor", round(both["real_tokens"] / streams, 6))
        report.figure("documents_cut", round(both["documents_cut"] / both["documents"], 6))
        report.figure("mean_context_tokens", round(both["context_sum"] / both["targets"], 2))
    if encoders:
        report.figure("encoder", ", ".join(encoders))
    used = [i for i in range(LENGTH_BINS) if sums[f"length_bin_{i}"]]
    bins = range(used[0], used[-1] + 1) if used else range(0)
    labels = ["1" if i == 0 else f"{1 << i}-{(2 << i) - 1}" for i in bins]
    report.histogram("tokens per document", labels, [sums[f"length_bin_{i}"] for i in bins])
