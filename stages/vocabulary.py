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

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import DataError, FieldError
from pipeline.stage import JSON, ExchangeReader, StepReportWriter, TaskContext, WideContext, wide
from stages.vocab.counting import Counting, all_counts, learned_from, merged, pretokens, text_bytes
from stages.vocab.measuring import TOKENIZER, Measuring, described
from stages.vocab.selection import Documents
from tokenizer.errors import TokenizerError
from tokenizer.train import NUM_BYTES, Digits, Normalization, Options, Pattern, train, transformers_config

SHARDS_PER_PARTITION = 16


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


@wide(version=1, ports={"documents": "documents"}, reads=("text", "id"), produces="vocabulary")
def vocabulary(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    """Count shard by shard, learn in one task, measure shard by shard; the contract says which tokenizer it is and
    names its special ids. DataError where a special token was learned as an ordinary one.
    """
    shards = ctx.inputs["documents"].shards()
    documents = Documents(folder=ctx.inputs["documents"].folder, seed=cfg.seed)
    counting = Counting(
        documents=documents, learn_below=1 - cfg.held_out, pattern=cfg.pattern, digits=cfg.digits,
        normalization=cfg.normalization,
    )  # fmt: skip
    if cfg.max_bytes is not None:
        available = sum(ctx.map("text bytes", text_bytes, shards, counting))
        sampled = min(1.0, cfg.max_bytes / available) if available else 1.0
        counting = dataclasses.replace(counting, learn_below=counting.learn_below * sampled)
    trained = _trained(cfg, ctx, counting, shards)
    measuring = Measuring(documents=documents, from_share=1 - cfg.held_out)
    card = described(ctx, measuring, shards, trained["vocab_size"])
    contract = {
        "tokenizer_sha256": hashlib.sha256(ctx.output.read_bytes(TOKENIZER)).hexdigest(),
        "vocab_size": trained["vocab_size"],
        "eot_id": trained["vocab_size"] - len(cfg.special_tokens),
        "pad_id": trained["vocab_size"] - len(cfg.special_tokens) + 1,
        "eot_token": cfg.special_tokens[0],
    }
    ctx.output.write_bytes("card.json", json.dumps({**contract, **card}, indent=1, ensure_ascii=False).encode())
    ctx.report.figure("share_learned_from", round(counting.learn_below, 6))
    _report(cfg, ctx.report, trained, card)
    return contract


def _trained(cfg: Config, ctx: WideContext, counting: Counting, shards: Sequence[str]) -> dict[str, int]:
    """Write the tokenizer; how much it was learned from, and how many entries it has."""
    num_partitions = max(1, -(-len(shards) // SHARDS_PER_PARTITION))
    counted = ctx.exchange("pretokens", pretokens, shards, num_partitions, counting)
    gathered = ctx.exchange("merged pretokens", merged, range(num_partitions), 1, counted)
    [learned] = ctx.map("train", _train, [gathered], cfg)
    totals = ctx.map("learned from", learned_from, range(len(shards)))
    return {"documents": sum(t[0] for t in totals), "bytes": sum(t[1] for t in totals), **learned}


def _train(cfg: Config, gathered: ExchangeReader, task: TaskContext) -> JSON:
    counts = all_counts(gathered)
    try:
        tokenizer_json = train(counts, cfg.options())
    except TokenizerError as error:
        raise DataError(str(error), where=f"step {task.step}", mend="Set other special_tokens.") from error
    task.output.write_bytes(TOKENIZER, tokenizer_json)
    task.output.write_bytes("tokenizer_config.json", transformers_config(cfg.special_tokens))
    num_learned = len(json.loads(tokenizer_json)["model"]["vocab"])
    return {"vocab_size": num_learned + len(cfg.special_tokens), "pretokens": len(counts.counts)}


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
