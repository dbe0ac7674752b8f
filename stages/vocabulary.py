"""Learn the tokenizer from the documents, and measure it on documents held out from it.

Reads:  `text`, `id`, and `language` where it is there
Writes: tokenizer.json, tokenizer_config.json, card.json
Cost:   training is one task on one thread, 2 to 5 MB of text per second; its memory grows with the distinct pretokens.
        Adding up the text to sample from, and measuring (at most 4 MiB of held-out text each), are one task per shard
Source: Sennrich et al. 2016, Radford et al. 2019; see tokenizer/train.py

Which documents are held out, and which are sampled under `max_bytes`, follows from their ids alone. Training counts
pretokens, so neither the order of the documents nor how they lie in shards changes the tokenizer.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.document_reader import read_documents
from pipeline.errors import DataError, FieldError
from pipeline.stage import JSON, InputArtifact, StepReportWriter, TaskContext, WideContext, wide
from stages.kernels.document_hash import id_bytes, share_of
from tokenizer import card
from tokenizer.encode import load_encoder
from tokenizer.errors import TokenizerError
from tokenizer.train import MAX_TRAINING_BYTES, NUM_BYTES, Normalization, Options, Pattern, train, transformers_config

TOKENIZER = "tokenizer.json"
MEASURED_BYTES = 4 << 20  # of held-out text per shard


@dataclass(frozen=True, kw_only=True)
class Config:
    """The vocabulary's size and kind; `vocab_size` counts the 256 bytes and the special tokens."""

    vocab_size: int = 32_768
    min_frequency: int = 2  # of a pair, to be merged
    max_token_length: int | None = 64  # in bytes: rules of dashes and spaces get no tokens of their own beyond that
    pattern: Pattern = "llama3"
    normalization: Normalization = "none"
    # The first begins and ends every document, the second fills up rows; the others are for those who train on.
    special_tokens: tuple[str, ...] = (
        "<|end_of_text|>", "<|pad|>", "<|reserved_0|>", "<|reserved_1|>", "<|reserved_2|>", "<|reserved_3|>"
    )  # fmt: skip
    # Of text to learn from, sampled by document; null: all. The trainer took 0.6 GB for 40 MB; more was not measured.
    max_bytes: int | None = 100_000_000
    held_out: float = 0.02  # share of the documents that is measured on and not learned from
    seed: int = 1  # of the sample and of the held-out share

    def __post_init__(self) -> None:
        if len(self.special_tokens) < 2 or "" in self.special_tokens:
            raise FieldError("special_tokens", self.special_tokens, "at least two names: end of text, and padding")
        if len(set(self.special_tokens)) != len(self.special_tokens):
            raise FieldError("special_tokens", self.special_tokens, "every name once")
        smallest = NUM_BYTES + len(self.special_tokens)
        if not smallest <= self.vocab_size < 2**31:
            raise FieldError("vocab_size", self.vocab_size, f"at least {smallest} (256 bytes and the special tokens)")
        if self.min_frequency < 1:
            raise FieldError("min_frequency", self.min_frequency, "a whole number of at least 1")
        if self.max_token_length is not None and self.max_token_length < 2:
            raise FieldError("max_token_length", self.max_token_length, "at least 2 bytes, or null")
        if self.max_bytes is not None and not 1 <= self.max_bytes <= MAX_TRAINING_BYTES:
            raise FieldError("max_bytes", self.max_bytes, f"from 1 to {MAX_TRAINING_BYTES} bytes, or null for all text")
        if not 0 <= self.held_out < 1:
            raise FieldError("held_out", self.held_out, "a share from 0 to below 1")

    def options(self) -> Options:
        return Options(
            vocab_size=self.vocab_size, min_frequency=self.min_frequency, max_token_length=self.max_token_length,
            pattern=self.pattern, normalization=self.normalization, special_tokens=self.special_tokens,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Shared:
    """What the tasks are given: documents whose share is below `learn_below` are learned from."""

    cfg: Config
    documents: InputArtifact
    learn_below: float


@wide(version=1, ports={"documents": "documents"}, reads=("text", "id"), produces="vocabulary")
def vocabulary(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    """Train in one task, measure shard by shard; the contract says which tokenizer it is and names its special ids.

    DataError where the text is more than the trainer can count.
    """
    documents = ctx.inputs["documents"]
    shared = _Shared(cfg=cfg, documents=documents, learn_below=1 - cfg.held_out)
    if cfg.max_bytes is not None:
        available = sum(ctx.map("text bytes", _text_bytes, documents.shards(), shared))
        sampled = min(1.0, cfg.max_bytes / available) if available else 1.0
        shared = _Shared(cfg=cfg, documents=documents, learn_below=(1 - cfg.held_out) * sampled)
    [trained] = ctx.map("train", _train, [documents.shards()], shared)
    measured = ctx.map("measure", _measure, documents.shards(), shared)
    tokenizer_json = ctx.output.read_bytes(TOKENIZER)
    count_V = sum((_load_counts(ctx, m["counts"]) for m in measured), np.zeros(trained["vocab_size"], np.int64))
    described = card.card(tokenizer_json, card.merge([m["totals"] for m in measured]), count_V)
    contract = {
        "tokenizer_sha256": hashlib.sha256(tokenizer_json).hexdigest(),
        "vocab_size": trained["vocab_size"],
        "eot_id": trained["vocab_size"] - len(cfg.special_tokens),
        "pad_id": trained["vocab_size"] - len(cfg.special_tokens) + 1,
        "eot_token": cfg.special_tokens[0],
    }
    ctx.output.write_bytes("card.json", json.dumps({**contract, **described}, indent=1, ensure_ascii=False).encode())
    ctx.report.figure("share_learned_from", round(shared.learn_below, 6))
    _report(cfg, ctx.report, trained, described)
    return contract


def _read(documents: InputArtifact, shard: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The shard's batches with those of `columns` that it has."""
    yield from read_documents(documents.folder, shard, columns)


def _select(shared: _Shared, shard: str, low: float, high: float, *more: str) -> Iterator[pa.RecordBatch]:
    """Documents with text whose share lies in [low, high)."""
    for batch in _read(shared.documents, shard, ["id", "text", *more]):
        share_N = share_of(id_bytes(batch["id"]), shared.cfg.seed)
        wanted = pa.array((share_N >= low) & (share_N < high))
        yield batch.filter(pc.and_(wanted, batch["text"].is_valid()))


def _text_bytes(shared: _Shared, shard: str, task: TaskContext) -> JSON:
    batches = _select(shared, shard, 0, shared.learn_below)
    return sum(pc.sum(pc.binary_length(batch["text"])).as_py() or 0 for batch in batches)


def _train(shared: _Shared, shards: Sequence[str], task: TaskContext) -> JSON:
    counts = {"documents": 0, "bytes": 0}

    def texts() -> Iterator[str]:
        for shard in shards:
            for batch in _select(shared, shard, 0, shared.learn_below):
                counts["documents"] += batch.num_rows
                counts["bytes"] += pc.sum(pc.binary_length(batch["text"])).as_py() or 0
                yield from (text.as_py() for text in batch["text"])

    try:
        tokenizer_json = train(texts(), shared.cfg.options())
    except TokenizerError as error:
        raise DataError(
            str(error), where=f"step {task.step}", mend="Set max_bytes (2_000_000_000, say), or other special_tokens."
        ) from error
    task.output.write_bytes(TOKENIZER, tokenizer_json)
    task.output.write_bytes("tokenizer_config.json", transformers_config(shared.cfg.special_tokens))
    num_learned = len(json.loads(tokenizer_json)["model"]["vocab"])
    return {**counts, "vocab_size": num_learned + len(shared.cfg.special_tokens)}


def _measure(shared: _Shared, shard: str, task: TaskContext) -> JSON:
    """Sums per language, and the name of a file of counts per id: a large vocabulary's do not belong into JSON."""
    encoder = load_encoder(task.output.read_bytes(TOKENIZER))
    totals: card.Totals = {}
    count_V = np.zeros(encoder.vocab_size, np.int64)
    left = MEASURED_BYTES
    for batch in _select(shared, shard, 1 - shared.cfg.held_out, 1, "language"):
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


def _report(cfg: Config, report: StepReportWriter, trained: Mapping[str, int], described: Mapping[str, Any]) -> None:
    report.counter("documents_learned_from", trained["documents"])
    report.counter("bytes_learned_from", trained["bytes"])
    report.counter("documents_measured", described["held_out"]["documents"])
    report.counter("vocabulary_entries_not_found", cfg.vocab_size - trained["vocab_size"])
    report.figure("vocab_size", trained["vocab_size"])
    for name in ("bytes_per_token", "tokens_per_word", "tokens_per_character"):
        if described["held_out"][name] is not None:
            report.figure(name, described["held_out"][name])
    report.figure("unused_in_held_out", described["unused_in_held_out"]["number"])
    report.sample("held-out text by language", [{"language": k, **v} for k, v in described["languages"].items()])
    report.sample("longest tokens", described["longest_tokens"])
    report.sample("learned merges", described["first_merges"])
