"""Learn the tokenizer from the documents, and measure it on documents held out from it.

Reads:  `text`, `id`, and `language` where it is there
Writes: tokenizer.json, tokenizer_config.json, card.json
Cost:   counting is one task per shard, memory bounded by SPILL_BYTES; what is exchanged, and what the one task that
        learns holds, grows with the distinct pretokens and not with the text: some 50 bytes per byte of them. Measuring
        (at most 4 MiB of held-out text each) is one task per shard
Source: Sennrich et al. 2016, Radford et al. 2019; see tokenizer/train.py

Phases: `pretokens` (per shard: counts of distinct pretokens, by the hash of each), `merged pretokens` (per partition:
added up), `train`, `measure` (per shard). Counts are 64-bit.

Which documents are held out, and which are sampled under `max_bytes`, follows from their ids alone. Neither the order
of the documents nor how they lie in shards changes the tokenizer.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.document_reader import read_documents
from pipeline.errors import DataError, FieldError
from pipeline.stage import JSON, ExchangeReader, InputArtifact, StepReportWriter, TaskContext, WideContext, wide
from stages.kernels.document_hash import id_bytes, share_of
from tokenizer import card
from tokenizer.encode import load_encoder, string_buffers
from tokenizer.errors import TokenizerError
from tokenizer.train import NUM_BYTES, Digits, Normalization, Options, Pattern, train, transformers_config

if TYPE_CHECKING:
    from tokenizer.sorted_counts import Counts

TOKENIZER = "tokenizer.json"
MEASURED_BYTES = 4 << 20  # of held-out text per shard
SPILL_BYTES = 256 << 20  # of counts in a task, before they are written away
SHARDS_PER_PARTITION = 16
YIELD_ROWS = 1 << 18
PRETOKEN = pa.schema([("key", pa.uint64()), ("word", pa.large_binary()), ("count", pa.int64())])


@dataclass(frozen=True, kw_only=True)
class Config:
    """The vocabulary's size and kind; `vocab_size` counts the 256 bytes and the special tokens."""

    vocab_size: int = 32_768
    min_frequency: int = 2  # of a pair, to be merged
    max_token_length: int | None = 64  # in bytes: rules of dashes and spaces get no tokens of their own beyond that
    pattern: Pattern = "llama3"
    digits: Digits | None = None  # of a number that are one pretoken; null: as the pattern has it
    normalization: Normalization = "none"
    # The first begins and ends every document, the second fills up rows; the others are for those who train on.
    special_tokens: tuple[str, ...] = (
        "<|end_of_text|>", "<|pad|>", "<|reserved_0|>", "<|reserved_1|>", "<|reserved_2|>", "<|reserved_3|>"
    )  # fmt: skip
    max_bytes: int | None = None  # of text to learn from, sampled by document; null: all
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
        if self.max_bytes is not None and self.max_bytes < 1:
            raise FieldError("max_bytes", self.max_bytes, "1 or more, or null for all text")
        if self.digits is not None and self.pattern == "gpt2":
            raise FieldError("digits", self.digits, "null with gpt2, which has no limit", mend="Take another pattern.")
        if not 0 <= self.held_out < 1:
            raise FieldError("held_out", self.held_out, "a share from 0 to below 1")

    def options(self) -> Options:
        return Options(
            vocab_size=self.vocab_size, min_frequency=self.min_frequency, max_token_length=self.max_token_length,
            pattern=self.pattern, normalization=self.normalization, special_tokens=self.special_tokens,
            digits=self.digits,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Shared:
    """What the tasks are given: documents whose share is below `learn_below` are learned from."""

    cfg: Config
    documents: InputArtifact
    learn_below: float


@wide(version=1, ports={"documents": "documents"}, reads=("text", "id"), produces="vocabulary")
def vocabulary(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    """Count shard by shard, learn in one task, measure shard by shard; the contract says which tokenizer it is and
    names its special ids. DataError where a special token was learned as an ordinary one.
    """
    documents = ctx.inputs["documents"]
    shared = _Shared(cfg=cfg, documents=documents, learn_below=1 - cfg.held_out)
    if cfg.max_bytes is not None:
        available = sum(ctx.map("text bytes", _text_bytes, documents.shards(), shared))
        sampled = min(1.0, cfg.max_bytes / available) if available else 1.0
        shared = _Shared(cfg=cfg, documents=documents, learn_below=(1 - cfg.held_out) * sampled)
    trained = _trained(ctx, shared, documents.shards())
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


def _trained(ctx: WideContext, shared: _Shared, shards: Sequence[str]) -> dict[str, int]:
    """Write the tokenizer; how much it was learned from, and how many entries it has."""
    num_partitions = max(1, -(-len(shards) // SHARDS_PER_PARTITION))
    counted = ctx.exchange("pretokens", _pretokens, shards, num_partitions, shared)
    merged = ctx.exchange("merged pretokens", _merged, range(num_partitions), 1, counted)
    [learned] = ctx.map("train", _train, [merged], shared.cfg)
    totals = ctx.map("learned from", _learned_from, range(len(shards)))
    return {"documents": sum(t[0] for t in totals), "bytes": sum(t[1] for t in totals), **learned}


def _pretokens(shared: _Shared, shard: str, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """PRETOKEN rows of a shard's documents; writes down how many documents and bytes they were."""
    from tokenizer.count import WordCounts
    from tokenizer.normalise import normaliser
    from tokenizer.pretokenize import Pretokenizer

    words = WordCounts(Pretokenizer(shared.cfg.pattern, shared.cfg.digits))
    normalise = normaliser(shared.cfg.normalization)
    num_documents = num_bytes = 0
    for batch in _select(shared, shard, 0, shared.learn_below):
        num_documents += batch.num_rows
        num_bytes += pc.sum(pc.binary_length(batch["text"])).as_py() or 0
        words.add(*string_buffers(normalise(batch["text"].cast(pa.large_string()))))
        if words.num_bytes > SPILL_BYTES:
            yield from _rows(words.arrays())
            words.clear()
    yield from _rows(words.arrays())
    task.work.write_bytes(f"learned/{task.index:05d}.json", json.dumps([num_documents, num_bytes]).encode())


def _rows(counts: Counts) -> Iterator[pa.RecordBatch]:
    from stages.kernels.hashing import content_hashes

    keys = content_hashes(counts.offsets[:-1], counts.offsets[1:], counts.data)[:, 0]
    words = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(counts.counts), [None, pa.py_buffer(counts.offsets), pa.py_buffer(counts.data)]
    )
    rows = pa.RecordBatch.from_arrays([pa.array(keys), words, pa.array(counts.counts)], schema=PRETOKEN)
    for start in range(0, rows.num_rows, YIELD_ROWS):
        yield rows.slice(start, YIELD_ROWS)


def _counts_of(rows: pa.RecordBatch) -> Counts:
    from tokenizer.sorted_counts import Counts

    offsets, data = string_buffers(rows["word"])
    return Counts(data[offsets[0] : offsets[-1]], offsets - offsets[0], rows["count"].to_numpy())


def _merged(counted: ExchangeReader, partition: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """PRETOKEN rows of a partition, each word once."""
    from tokenizer.sorted_counts import merge_sorted

    for counts in merge_sorted([[_counts_of(rows)] for rows in counted.read(partition)]):
        yield from _rows(counts)


def _train(cfg: Config, merged: ExchangeReader, task: TaskContext) -> JSON:
    from tokenizer.sorted_counts import Counts

    parts = [_counts_of(rows) for rows in merged.read(0)]
    lengths = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.offsets) for part in parts)])
    counts = Counts(
        np.concatenate([np.empty(0, np.uint8), *(part.data for part in parts)]), np.cumsum(lengths),
        np.concatenate([np.empty(0, np.int64), *(part.counts for part in parts)]),
    )  # fmt: skip
    try:
        tokenizer_json = train(counts, cfg.options())
    except TokenizerError as error:
        raise DataError(str(error), where=f"step {task.step}", mend="Set other special_tokens.") from error
    task.output.write_bytes(TOKENIZER, tokenizer_json)
    task.output.write_bytes("tokenizer_config.json", transformers_config(cfg.special_tokens))
    num_learned = len(json.loads(tokenizer_json)["model"]["vocab"])
    return {"vocab_size": num_learned + len(cfg.special_tokens), "pretokens": len(counts.counts)}


def _learned_from(shared: None, index: int, task: TaskContext) -> JSON:
    return json.loads(task.work.read_bytes(f"learned/{index:05d}.json"))


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
    report.counter("distinct_pretokens", trained["pretokens"])
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
