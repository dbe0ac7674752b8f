"""Shards to train on: real pages and prose (docstrings where the shared data is missing), encoded and packed.

Reads:  the texts of benchmarks.pack
Writes: `train.arrow` and `validation.arrow` in a folder
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pack import EOT, LENGTH, PAD, VOCAB_SIZE, Corpus, real_texts
from pipeline.schemas import tokens_schema
from pipeline.store import Folder
from stages.pack import Config, mode_of
from stages.packing.token_shard import TokenShard

NUM_TOKENS = 2_000_000
VALIDATION_SHARE = 0.02


@dataclass(frozen=True, kw_only=True)
class Shards:
    """Packed shards, their contract and the tokenizer they were encoded with."""

    train: str
    validation: str
    tokens: dict[str, Any]
    tokenizer_json: bytes


def make(folder: Path) -> Shards:
    texts = real_texts()
    corpus = Corpus.of(texts[:: max(1, len(texts) // 6000)], NUM_TOKENS)
    tokens = {
        "tokenizer_sha256": hashlib.sha256(corpus.tokenizer_json).hexdigest(), "vocab_size": VOCAB_SIZE,
        "dtype": "uint16", "length": LENGTH, "overlap": 64, "eot_id": EOT, "bos_id": EOT, "pad_id": PAD,
    }  # fmt: skip
    num_validation = max(1, int(len(corpus.num_tokens_D) * VALIDATION_SHARE))
    first, rest = np.arange(num_validation), np.arange(num_validation, len(corpus.num_tokens_D))
    paths = [_write(folder, name, corpus, which, tokens) for name, which in (("validation", first), ("train", rest))]
    return Shards(validation=paths[0], train=paths[1], tokens=tokens, tokenizer_json=corpus.tokenizer_json)


def _write(folder: Path, split: str, corpus: Corpus, which: np.ndarray, tokens: dict[str, Any]) -> str:
    schema = tokens_schema(LENGTH, VOCAB_SIZE, {b"crawlmill": json.dumps(tokens).encode()})
    with TokenShard(Folder(str(folder)), f"{split}.arrow", schema, PAD, mode_of(Config(length=LENGTH))) as shard:
        wanted = which[corpus.num_tokens_D[which] > 0]
        shard.add(wanted, corpus.ids_T, corpus.offset_D, corpus.id_D16, EOT)
    return str(folder / f"{split}.arrow")
