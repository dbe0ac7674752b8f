"""Learn a tokenizer of a model from counts, and write it in the formats that fit it.

Reads:  PRETOKEN rows of all documents, in one partition (stages/vocab/counting.py)
Writes: tokenizer.json, tokenizer_config.json; of byte-level BPE also vocab.json, merges.txt, tokenizer.tiktoken and
        tokenizer.tiktoken.json
Cost:   one task, whose memory grows with the distinct pretokens
Source: tokenizer/train.py, tokenizer/metaspace.py, tokenizer/formats.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import DataError
from pipeline.stage import JSON, ExchangeReader, TaskContext
from stages.vocab.counting import all_counts
from stages.vocab.measuring import TOKENIZER
from tokenizer import formats
from tokenizer.errors import TokenizerError
from tokenizer.train import Model, Options, train, transformers_config

if TYPE_CHECKING:
    from tokenizer.sorted_counts import Counts


@dataclass(frozen=True, kw_only=True)
class Learning:
    model: Model
    options: Options


def learn(learning: Learning, gathered: ExchangeReader, task: TaskContext) -> JSON:
    """Learn and write; `vocab_size`, how many distinct pretokens there were, and `left_out`: why files are not there.

    DataError where the tokenizer cannot be learned as asked for.
    """
    counts = all_counts(gathered)
    try:
        tokenizer_json = _trained(learning, counts)
    except TokenizerError as error:
        raise DataError(
            str(error), where=f"step {task.step}", mend="Set other special_tokens, vocab_size, max_bytes or weights."
        ) from error
    files = {TOKENIZER: tokenizer_json, "tokenizer_config.json": transformers_config(learning.options.special_tokens)}
    left_out: list[str] = []
    if learning.model == "bpe":
        files |= _byte_level_files(tokenizer_json, learning.options, left_out)
    for name, content in files.items():
        task.output.write_bytes(name, content)
    num_learned = len(json.loads(tokenizer_json)["model"]["vocab"])
    return {
        "vocab_size": num_learned + len(learning.options.special_tokens), "pretokens": len(counts.counts),
        "left_out": left_out,
    }  # fmt: skip


def _trained(learning: Learning, counts: Counts) -> bytes:
    match learning.model:
        case "bpe":
            return train(counts, learning.options)
        case "bpe_byte_fallback":
            from tokenizer.metaspace import train_byte_fallback

            return train_byte_fallback(counts, learning.options)
        case "unigram":
            from tokenizer.metaspace import train_unigram

            return train_unigram(counts, learning.options)


def _byte_level_files(tokenizer_json: bytes, options: Options, left_out: list[str]) -> dict[str, bytes]:
    from tokenizer.pretokenize import expression

    files = formats.gpt2_files(tokenizer_json)
    if not files:
        left_out.append(f"{formats.MERGES}: a merge begins with #version, which its readers skip")
    different = formats.unlike_tiktoken(tokenizer_json)
    if options.normalization != "none":
        left_out.append(f"{formats.TIKTOKEN}: tiktoken cannot normalise texts to {options.normalization}")
    elif different:
        left_out.append(f"{formats.TIKTOKEN}: {different:,} tokens are put together in another way by tiktoken's rule")
    else:
        files |= formats.tiktoken_files(tokenizer_json, expression(options.pattern, options.digits))
    return files
