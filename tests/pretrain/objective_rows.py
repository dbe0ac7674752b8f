"""Packed rows and a vocabulary with reserved tokens, for the tests of objectives; the segments as they were packed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pretrain import data, objectives
from pretrain.example import Example
from pretrain.objective_config import ObjectiveConfig
from pretrain.shape import Architecture
from pretrain.special_ids import SpecialIds, special_ids
from tests.pretrain.packed import VOCAB_SIZE, byte_tokenizer, contract, pack, random_documents, write_shard

LENGTH, OVERLAP, NUM_RESERVED = 128, 32, 40
SEED = 3


class Packed(NamedTuple):
    """A segment: its tokens, and how many of them are context only."""

    tokens: list[int]
    num_context: int


def tokenizer_with_reserved(num_reserved: int = NUM_RESERVED) -> bytes:
    fields = json.loads(byte_tokenizer())
    for k in range(num_reserved):
        name = f"<|reserved_{k}|>"
        fields["added_tokens"].append(fields["added_tokens"][0] | {"id": VOCAB_SIZE + k, "content": name})
    return json.dumps(fields).encode()


def tokens_contract(length: int = LENGTH, num_reserved: int = NUM_RESERVED) -> dict[str, Any]:
    return contract(length) | {"vocab_size": VOCAB_SIZE + num_reserved}


def special_for(cfg: ObjectiveConfig, length: int = LENGTH) -> SpecialIds:
    return special_ids(tokenizer_with_reserved(), cfg, tokens_contract(length))


def opened(folder: Path, num_documents: int = 60, longest: int = 300, seed: int = 1, length: int = LENGTH) -> data.Rows:
    rows = pack(random_documents(num_documents, longest, seed), length, OVERLAP)
    return data.open_rows([write_shard(folder / "train.arrow", rows, length)], contract(length))


def packed_segments(rows: data.Rows) -> list[list[Packed]]:
    """Of every row, read from the shard's columns."""
    found = []
    for block in rows.blocks:
        for r in range(len(block.num_real_N)):
            here = slice(int(block.offsets[r]), int(block.offsets[r + 1]))
            starts = [*block.segment_starts[here].tolist(), int(block.num_real_N[r])]
            ids = block.ids_NT[r].tolist()
            found.append([
                Packed(ids[start:end], max(loss_start - start, 1))
                for start, end, loss_start in zip(
                    starts, starts[1:], block.loss_starts[here].tolist(), strict=False
                )
            ])  # fmt: skip
    return found


def example_of(
    rows: data.Rows, cfg: ObjectiveConfig, architecture: Architecture = "decoder", first_place: int = 0,
    row_N: np.ndarray | None = None, seed: int = SEED,
) -> Example:  # fmt: skip
    """All rows (or some), at places counted on from `first_place`."""
    row_N = np.arange(rows.num_rows) if row_N is None else row_N
    batch = data.read_batch(rows, row_N)
    special = special_for(cfg, rows.length)
    return objectives.make_example(cfg, batch, row_N + first_place, seed, special, architecture)
