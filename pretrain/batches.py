"""The rows of each step, divided over ranks, cut into microbatches and made into examples.

Reads:  token shards (mapped)
Writes: microbatches: an example, the numbers of its rows, and where in the stream of rows it stands
Cost:   a microbatch is 40 bytes per position; see pretrain.data
Source: -

A pure function of the rows consumed so far, the number of ranks and the settings; pretrain.prefetch has it computed
ahead. Where the rows of a step do not divide evenly, a rank with fewer runs a microbatch without targets, for all ranks
gather the weights together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import DataError
from pretrain import data, mixing, objectives, seqlen
from pretrain.config import Config
from pretrain.example import IGNORED, Example
from pretrain.job import TOKENIZER, Job
from pretrain.objective_config import widths
from pretrain.special_ids import SpecialIds, special_ids

Share = tuple[int, int]  # which of how many parts of a batch


@dataclass(frozen=True, kw_only=True)
class Microbatch:
    """Rows that run forward and backward at once. `place` is that of its first row in the run's stream of rows."""

    row_N: np.ndarray
    example: Example
    num_targets: int
    place: int

    def to(self, device: torch.device) -> Microbatch:
        if device.type == "cpu":
            return self
        moved = {f.name: getattr(self.example, f.name) for f in fields(self.example)}
        moved = {name: t.pin_memory().to(device, non_blocking=True) for name, t in moved.items() if t is not None}
        return replace(self, example=Example(**moved))


@dataclass(frozen=True, kw_only=True)
class Reader:
    """The rows of all sources, numbered one source after the other, and the order in which a run reads them."""

    config: Config
    special: SpecialIds
    train: data.Rows
    first_rows: np.ndarray  # of each source
    mixture: mixing.Mixture
    validation: data.Rows

    def rows_at(self, position: int, count: int) -> np.ndarray:
        source_N, row_N = self.mixture.rows_at(position, count)
        numbers: np.ndarray = self.first_rows[source_N] + row_N
        return numbers

    def step(self, step: int, rows_consumed: int, share: Share) -> list[Microbatch]:
        """A rank's microbatches of a step before which all ranks together have consumed `rows_consumed` rows."""
        cfg, (part, parts) = self.config, share
        first, last = part * cfg.batch_rows // parts, (part + 1) * cfg.batch_rows // parts
        start = rows_consumed + first
        row_N = self.rows_at(start, last - first)
        size = cfg.parallel.microbatch_rows
        found = []
        for i in range(0, -(-cfg.batch_rows // parts), size):
            part_N = row_N[i : i + size]
            found.append(self._read(self.train, part_N, start + i + np.arange(len(part_N)), start + i))
        length = self._length(step)
        return found if length == self.train.length else [_cut(microbatch, length) for microbatch in found]

    def validation_batches(self, share: Share) -> Iterator[Microbatch]:
        """A rank's part of the validation rows. What is drawn at random in a row is the same in every measurement."""
        row_N = validation_rows(self.validation, self.config)
        part, parts = share
        stride = parts * self.config.parallel.microbatch_rows
        for start in range(0, len(row_N), stride):
            mine = row_N[start:][:stride][part::parts]
            yield self._read(self.validation, mine, mine, start)

    def _length(self, step: int) -> int:
        cfg = self.config.data
        if not cfg.warmup_length:
            return self.train.length
        return seqlen.warmup_length(step, self.train.length, cfg.warmup_length, cfg.warmup_length_steps)

    def _read(self, rows: data.Rows, row_N: np.ndarray, place_N: np.ndarray, place: int) -> Microbatch:
        """Where there are no rows, a microbatch of the first one without targets."""
        there = len(row_N) > 0
        read_N, place_N = (row_N, place_N) if there else (np.zeros(1, np.int64), np.zeros(1, np.int64))
        example = make_example(self.config, data.read_batch(rows, read_N), place_N, self.special)
        if not there:
            example = replace(example, target_BT=torch.full_like(example.target_BT, IGNORED))
        num_targets = objectives.num_targets(example.target_BT)
        return Microbatch(row_N=read_N, example=example, num_targets=num_targets, place=place)


def open_reader(job: Job) -> Reader:
    """DataError or FieldError where the job's rows cannot be read as its settings say."""
    cfg = job.config
    sizes = [data.open_rows(source.shards, job.tokens).num_rows for source in job.sources]
    if not sum(sizes):
        raise DataError(
            "no training rows", where=", ".join(source.name for source in job.sources),
            expected="rows in shards/train-*.arrow", mend="Give the steps before it more documents.",
        )  # fmt: skip
    weights = cfg.data.weights
    sources = [
        mixing.SourceRows(name=source.name, num_rows=size, weight=weights.get(source.name, 0.0) if weights else size)
        for source, size in zip(job.sources, sizes, strict=True)
    ]
    cfg.model.check_length(widths(cfg.objective, job.tokens["length"], cfg.model.architecture).ids)
    if cfg.data.warmup_length:
        seqlen.lengths(job.tokens["length"], cfg.data.warmup_length)
    return Reader(
        config=cfg, special=special_ids((Path(job.work) / TOKENIZER).read_bytes(), cfg.objective, job.tokens),
        train=data.open_rows(job.train_shards, job.tokens), first_rows=np.cumsum([0, *sizes])[:-1].astype(np.int64),
        mixture=mixing.plan(sources, cfg.num_steps * cfg.batch_rows, cfg.seed, cfg.data.max_epochs),
        validation=data.open_rows(job.validation_shards, job.tokens),
    )  # fmt: skip


def make_example(cfg: Config, batch: data.Batch, place_N: np.ndarray, special: SpecialIds) -> Example:
    return objectives.make_example(cfg.objective, batch, place_N, cfg.seed, special, cfg.model.architecture)


def validation_rows(rows: data.Rows, cfg: Config) -> np.ndarray:
    """Int64 numbers of the rows that are measured: the same ones every time."""
    return data.rows_at(0, min(cfg.evaluation.rows, rows.num_rows), rows.num_rows, cfg.seed)


def by_row(token_loss_BT: Tensor, microbatch: Microbatch) -> tuple[Tensor, Tensor, Tensor]:
    """Losses, targets and segments of whole rows, whatever pieces they were cut into."""
    example, num_rows = microbatch.example, len(microbatch.row_N)
    segment_BT = example.segment_BT if example.decoder_segment_BS is None else example.decoder_segment_BS
    loss_BT, target_BT, segment_BT = (x.reshape(num_rows, -1) for x in (token_loss_BT, example.target_BT, segment_BT))
    return loss_BT, target_BT, segment_BT


def _cut(microbatch: Microbatch, length: int) -> Microbatch:
    planes = {f.name: getattr(microbatch.example, f.name) for f in fields(microbatch.example)}
    cut = {name: seqlen.cut(plane, length) for name, plane in planes.items() if plane is not None}
    return replace(microbatch, example=Example(**cut))
