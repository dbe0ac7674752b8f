"""Learn the tokenizer from the documents, and measure it on documents held out from it.

Reads:  `text`, `id`; the column of `weight_by`, which must be there where weights or a balance are asked for
Writes: tokenizer.json, tokenizer_config.json, other formats (stages/vocab/learning.py), card.json, card.html
Cost:   counting is one task per shard, memory bounded by SPILL_BYTES; what is exchanged, and what the one task that
        learns holds, grows with the distinct pretokens and not with the text: some 50 bytes per byte of them. Measuring
        is one task per shard
Source: Sennrich et al. 2016, Radford et al. 2019; see tokenizer/train.py, and tokenizer/metaspace.py for the models in
        sentencepiece's manner

Phases: `text bytes` (per shard, where there is a sample or a balance), `pretokens` (per shard: counts of distinct
pretokens, by the hash of each), `merged pretokens` (per partition: added up), `train`, then those of measuring. Counts
are 64-bit.

Which documents are held out, and which are sampled under `max_bytes`, follows from their ids alone. Neither the order
of the documents nor how they lie in shards changes the tokenizer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import DataError, FieldError
from pipeline.stage import JSON, StepReportWriter, WideContext, wide
from stages.vocab.counting import Counting, available, learned_from, merged, pretokens
from stages.vocab.learning import Learning, learn
from stages.vocab.measuring import TOKENIZER, Measuring, described
from stages.vocab.selection import Documents
from stages.vocab.weights import BALANCE_UNIT, Sizes, Weights, balanced
from tokenizer.train import NUM_BYTES, Digits, Model, Normalization, Options, Pattern

SHARDS_PER_PARTITION = 16
SAMPLE_BYTES = 256 << 20  # of text that models in sentencepiece's manner are learned from, where max_bytes is null
SMALLEST_METASPACE = 352  # entries of such a model: <unk>, the bytes, `▁` and printable ASCII
MAX_WEIGHT = 1_000_000
MAX_GROUPS_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class Config:
    """The vocabulary's size and kind. `vocab_size` counts everything: bytes, special and reserved tokens too."""

    model: Model = "bpe"  # on bytes, as GPT-2 and Llama 3; bpe_byte_fallback: as Llama 2; unigram: as T5
    vocab_size: int = 32_768
    min_frequency: int = 2  # of a pair, to be merged; not used by unigram
    max_token_length: int | None = 64  # bpe: in bytes, else in characters; rules of dashes get no tokens beyond that
    pattern: Pattern = "llama3"  # cuts texts; for the models in sentencepiece's manner while they are learned only
    digits: Digits | None = None  # of a number that are one pretoken; null: as the pattern has it
    normalization: Normalization = "none"
    # The first begins and ends every document, the second fills up rows; others are for those who train on.
    special_tokens: tuple[str, ...] = ("<|end_of_text|>", "<|pad|>")
    reserved_tokens: int = 4  # ids behind the special tokens, <|reserved_0|> and so on, for those who train on
    weight_by: str = "language"  # a column of text: what `weights` and `balance` go by, and the report
    weights: Mapping[str, int] = field(default_factory=dict)  # how often a document of a value counts; others once
    # A value counts in proportion to its bytes ** balance: 1 as it is, 0.3 lifts small languages; null: 1
    balance: float | None = None
    max_count_per_document: int | None = None  # of a pretoken, so that no document decides alone; null: no limit
    max_bytes: int | None = None  # of text to learn from, sampled by document; null: all, 256 MiB but for bpe
    held_out: float = 0.02  # share of the documents that is measured on and not learned from
    seed: int = 1  # of the sample and of the held-out share

    @property
    def all_special_tokens(self) -> tuple[str, ...]:
        return (*self.special_tokens, *(f"<|reserved_{k}|>" for k in range(self.reserved_tokens)))

    @property
    def is_weighted(self) -> bool:
        return bool(self.weights) or self.balance is not None

    @property
    def balance_unit(self) -> int:
        """The weight of the largest group under `balance`. bpe_byte_fallback reads a text as often as it counts, and
        unigram drops what is expected less than 0.5 times: whole weights must do there."""
        return BALANCE_UNIT if self.model == "bpe" and self.balance is not None else 1

    def __post_init__(self) -> None:
        self._check_tokens()
        self._check_weights()
        if self.min_frequency < 1:
            raise FieldError("min_frequency", self.min_frequency, "a whole number of at least 1")
        if self.max_token_length is not None and self.max_token_length < 2:
            raise FieldError("max_token_length", self.max_token_length, "at least 2, or null")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise FieldError("max_bytes", self.max_bytes, "1 or more, or null")
        if self.digits is not None and self.pattern == "gpt2":
            raise FieldError("digits", self.digits, "null with gpt2, which has no limit", mend="Take another pattern.")
        if not 0 <= self.held_out < 1:
            raise FieldError("held_out", self.held_out, "a share from 0 to below 1")

    def _check_tokens(self) -> None:
        if len(self.special_tokens) < 2 or "" in self.special_tokens:
            raise FieldError("special_tokens", self.special_tokens, "at least two names: end of text, and padding")
        if self.reserved_tokens < 0:
            raise FieldError("reserved_tokens", self.reserved_tokens, "0 or more")
        if len(set(self.all_special_tokens)) != len(self.all_special_tokens):
            raise FieldError(
                "special_tokens", self.special_tokens, "every name once",
                f"reserved_tokens: {self.reserved_tokens} adds <|reserved_0|> and so on.",
            )  # fmt: skip
        smallest = (NUM_BYTES if self.model == "bpe" else SMALLEST_METASPACE) + len(self.all_special_tokens)
        if not smallest <= self.vocab_size < 2**31:
            raise FieldError(
                "vocab_size", self.vocab_size,
                f"at least {smallest} (what {self.model} always has, the special and the reserved tokens)",
            )  # fmt: skip

    def _check_weights(self) -> None:
        for name, weight in self.weights.items():
            if not 1 <= weight <= MAX_WEIGHT:
                raise FieldError(
                    "weights", {name: weight}, f"a whole number from 1 to {MAX_WEIGHT:,}",
                    "To leave documents out, filter them in a step before this one.",
                )  # fmt: skip
        if self.balance is not None and not 0 <= self.balance <= 1:
            raise FieldError("balance", self.balance, "a number from 0 (all alike) to 1 (as they are), or null")
        if self.max_count_per_document is not None and self.max_count_per_document < 1:
            raise FieldError("max_count_per_document", self.max_count_per_document, "1 or more, or null for no limit")

    def options(self) -> Options:
        return Options(
            vocab_size=self.vocab_size, min_frequency=self.min_frequency * self.balance_unit,
            max_token_length=self.max_token_length, pattern=self.pattern, normalization=self.normalization,
            special_tokens=self.all_special_tokens, digits=self.digits,
        )  # fmt: skip


def _reads(cfg: Config) -> tuple[str, ...]:
    return ("text", "id", cfg.weight_by) if cfg.is_weighted else ("text", "id")


@wide(version=2, ports={"documents": "documents"}, reads=_reads, produces="vocabulary")
def vocabulary(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    """Count shard by shard, learn in one task, measure shard by shard; the contract says which tokenizer it is and
    names its special ids. DataError where a special token was learned as an ordinary one.
    """
    shards = ctx.inputs["documents"].shards()
    documents = Documents(folder=ctx.inputs["documents"].folder, seed=cfg.seed)
    counting = _counting(cfg, ctx, documents, shards)
    trained = _trained(cfg, ctx, counting, shards)
    measuring = Measuring(documents=documents, from_share=1 - cfg.held_out)
    card = described(ctx, measuring, shards, trained["vocab_size"])
    first_special = trained["vocab_size"] - len(cfg.all_special_tokens)
    contract = {
        "tokenizer_sha256": hashlib.sha256(ctx.output.read_bytes(TOKENIZER)).hexdigest(), "model": cfg.model,
        "vocab_size": trained["vocab_size"], "eot_id": first_special, "pad_id": first_special + 1,
        "eot_token": cfg.special_tokens[0],
    }  # fmt: skip
    ctx.output.write_bytes("card.json", json.dumps({**contract, **card}, indent=1, ensure_ascii=False).encode())
    ctx.report.figure("share_learned_from", round(counting.learn_below, 6))
    _report(cfg, ctx.report, trained, card)
    return contract


def _counting(cfg: Config, ctx: WideContext, documents: Documents, shards: Sequence[str]) -> Counting:
    """What is counted, and with which weights."""
    counting = Counting(
        documents=documents, learn_below=1 - cfg.held_out, weights=Weights(column=cfg.weight_by, of_group=cfg.weights),
        cap=cfg.max_count_per_document, model=cfg.model, pattern=cfg.pattern, digits=cfg.digits,
        normalization=cfg.normalization,
    )  # fmt: skip
    max_bytes = SAMPLE_BYTES if cfg.max_bytes is None and cfg.model != "bpe" else cfg.max_bytes
    if max_bytes is None and cfg.balance is None:
        return counting
    sizes = available(ctx, counting, shards)
    if cfg.balance is not None:
        of_group = {g: w * cfg.weights.get(g, 1) for g, w in balanced(sizes, cfg.balance, cfg.balance_unit).items()}
        counting = dataclasses.replace(counting, weights=Weights(column=cfg.weight_by, of_group=of_group))
    num_bytes = sum(num_bytes for _, num_bytes in sizes.values())
    sampled = min(1.0, max_bytes / num_bytes) if max_bytes is not None and num_bytes else 1.0
    return dataclasses.replace(counting, learn_below=counting.learn_below * sampled)


def _trained(cfg: Config, ctx: WideContext, counting: Counting, shards: Sequence[str]) -> dict[str, Any]:
    """Write the tokenizer; how much it was learned from, and how many entries it has."""
    num_partitions = max(1, -(-len(shards) // SHARDS_PER_PARTITION))
    counted = ctx.exchange("pretokens", pretokens, shards, num_partitions, counting)
    sizes = learned_from(ctx, len(shards))
    _check_sum(ctx.step, sizes, counting.weights)
    gathered = ctx.exchange("merged pretokens", merged, range(num_partitions), 1, counted)
    [learned] = ctx.map("train", learn, [gathered], Learning(model=cfg.model, options=cfg.options()))
    _report_groups(cfg, ctx.report, sizes, counting.weights)
    return {
        "documents": sum(documents for documents, _ in sizes.values()),
        "bytes": sum(num_bytes for _, num_bytes in sizes.values()), **learned,
    }  # fmt: skip


def _check_sum(step: str, sizes: Sizes, weights: Weights) -> None:
    """No count can pass 64 bits: there are no more pretokens than bytes."""
    weighted = sum(num_bytes * weights.of_group.get(group, 1) for group, (_, num_bytes) in sizes.items())
    if weighted >= 2**63:
        raise DataError(
            f"{weighted:,} bytes, counted with their weights", where=f"step {step}", expected="less than 2 ** 63",
            mend="Take smaller weights, or fewer bytes with max_bytes.",
        )  # fmt: skip


def _report_groups(cfg: Config, report: StepReportWriter, sizes: Sizes, weights: Weights) -> None:
    """What each language (or value of another column) gave, the one that counts most first."""
    unit = cfg.balance_unit
    weight_of = {group: weights.of_group.get(group, 1) / unit for group in sizes}
    whole = sum(num_bytes * weight_of[group] for group, (_, num_bytes) in sizes.items())
    rows: list[dict[str, Any]] = [
        {
            cfg.weight_by: group, "documents": documents, "bytes": num_bytes, "weight": round(weight_of[group], 2),
            "share": round(num_bytes * weight_of[group] / whole, 6) if whole else 0.0,
        }
        for group, (documents, num_bytes) in sizes.items()
    ]  # fmt: skip
    rows.sort(key=lambda row: (-row["share"], row[cfg.weight_by]))
    report.sample(f"learned from, by {cfg.weight_by}", rows[:MAX_GROUPS_SHOWN])
    missing = sorted(set(cfg.weights) - set(sizes))
    if missing:
        report.figure("weights_without_documents", ", ".join(missing))


def _report(cfg: Config, report: StepReportWriter, trained: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    report.counter("documents_learned_from", trained["documents"])
    report.counter("bytes_learned_from", trained["bytes"])
    report.counter("distinct_pretokens", trained["pretokens"])
    report.counter("documents_measured", described["held_out"]["documents"])
    report.counter("vocabulary_entries_not_found", cfg.vocab_size - trained["vocab_size"])
    report.figure("vocab_size", trained["vocab_size"])
    if trained["left_out"]:
        report.figure("formats_left_out", "; ".join(trained["left_out"]))
    for name in ("bytes_per_token", "tokens_per_word", "tokens_per_character"):
        if described["held_out"][name] is not None:
            report.figure(name, described["held_out"][name])
    report.figure("unused_in_held_out", described["unused_in_held_out"]["number"])
    report.sample("held-out text by language", [{"language": k, **v} for k, v in described["languages"].items()])
    report.sample("longest tokens", described["longest_tokens"])
    report.sample("learned merges", described["first_merges"])
