"""What a tokenizer does to held-out documents, shard by shard.

Reads:  documents; tokenizer.json of the step's output
Writes: sums per language, as JSON; how often each id occurred, in a file of the work folder
Cost:   one task per shard, which encodes at most MEASURED_BYTES of text
Source: tokenizer/card.py
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from pipeline.stage import JSON, TaskContext, WideContext
from stages.vocab.selection import Documents
from tokenizer import card
from tokenizer.encode import load_encoder

TOKENIZER = "tokenizer.json"
MEASURED_BYTES = 4 << 20  # of held-out text per shard


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """Documents whose share is `from_share` or more are held out."""

    documents: Documents
    from_share: float


def described(ctx: WideContext, measuring: Measuring, shards: Sequence[str], vocab_size: int) -> dict[str, Any]:
    """The card of the step's tokenizer."""
    measured = ctx.map("measure", _measure, shards, measuring)
    count_V = sum((_load_counts(ctx, m["counts"]) for m in measured), np.zeros(vocab_size, np.int64))
    return card.card(ctx.output.read_bytes(TOKENIZER), card.merge([m["totals"] for m in measured]), count_V)


def _measure(measuring: Measuring, shard: str, task: TaskContext) -> JSON:
    """Sums per language, and the name of a file of counts per id: a large vocabulary's do not belong into JSON."""
    encoder = load_encoder(task.output.read_bytes(TOKENIZER))
    totals: card.Totals = {}
    count_V = np.zeros(encoder.vocab_size, np.int64)
    left = MEASURED_BYTES
    for batch in measuring.documents.select(shard, measuring.from_share, 1, "language"):
        length_N = pc.binary_length(batch["text"]).to_numpy(zero_copy_only=False)
        batch = batch.slice(0, int(np.searchsorted(np.cumsum(length_N), left, side="right")))
        left -= int(length_N.sum())
        has_language = "language" in batch.schema.names
        languages = batch["language"].to_pylist() if has_language else [None] * batch.num_rows
        card.measure(totals, count_V, encoder, batch["text"], languages)
        if left <= 0:
            break
    file = io.BytesIO()
    np.save(file, count_V)
    name = f"counts/{task.index:05d}.npy"
    task.work.write_bytes(name, file.getvalue())
    return {"totals": totals, "counts": name}


def _load_counts(ctx: WideContext, name: str) -> np.ndarray:
    counts: np.ndarray = np.load(io.BytesIO(ctx.work.read_bytes(name)))
    return counts
