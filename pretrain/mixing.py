"""Rows of several sources in one stream, each source at its share, none read more often than allowed.

Reads:  names, row counts and weights of the sources
Writes: for positions of the stream, int64 numbers of sources and of rows in them
Cost:   O(count) per call; two arrays of PERIOD numbers in memory per phase that is looked at
Source: systematic selection with a random start (Madow and Madow 1944): a source of weight w takes the places
        (k + u) / w, k = 0, 1, ...; and of one source, pretrain.data's order of its rows. A cap on repetition, for rows
        seen more than some four times teach little: Muennighoff et al. 2023

The stream is a pure function of sources, seed and cap: the row at a position is computed from the position alone, so a
run's state is one integer and ranks agree without talking. In any window of n rows a source of weight w has n * w rows,
give or take 1 + w * number of sources: not only on average, as with draws.

A source that has been read `max_epochs` times is used up; from that row on, a new phase, the others share its weight in
proportion to their own. Weights are rounded to a PERIOD-th (a source has one at least), and so hold exactly over every
PERIOD rows of a phase.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from pipeline.errors import DataError, FieldError
from pretrain import data

PERIOD = 1 << 16
_UNLIMITED = 1 << 62


@dataclass(frozen=True, kw_only=True)
class SourceRows:
    """A source and how much of it the stream wants; weights are relative to each other, 0 leaves a source out."""

    name: str
    num_rows: int
    weight: float


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Positions from `start` on, in which the same sources take part. `quotas`: rows of each source per PERIOD rows;
    `taken`: rows of each before the phase."""

    start: int
    quotas: tuple[int, ...]
    taken: tuple[int, ...]
    seed: int


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A stream of rows. `used_up` names sources, each with the position from which on it has no more rows."""

    sources: tuple[SourceRows, ...]
    phases: tuple[Phase, ...]
    seed: int
    used_up: tuple[tuple[str, int], ...] = ()
    num_rows: int = field(default=_UNLIMITED)

    def rows_at(self, position: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Sources and their rows, int64 [count] each, from `position` (rows consumed so far by all ranks) on."""
        assert position >= 0
        if position + count > self.num_rows:  # planned for num_steps: only rewinds consume more
            raise DataError(
                f"rewinds passed over rows, and all sources are used up at row {self.num_rows}",
                expected=f"rows up to {position + count}", mend="Raise data.max_epochs, or set guard.action to skip.",
            )  # fmt: skip
        source_N, order_N = np.empty(count, np.int64), np.empty(count, np.int64)
        ends = [*(p.start for p in self.phases[1:]), self.num_rows]
        for phase, end in zip(self.phases, ends, strict=True):
            first, last = max(position, phase.start), min(position + count, end)
            if first < last:
                part = slice(first - position, last - position)
                source_N[part], order_N[part] = _selected(phase, np.arange(first, last, dtype=np.int64))
        return source_N, self._rows(source_N, order_N)

    def _rows(self, source_N: np.ndarray, order_N: np.ndarray) -> np.ndarray:
        """`order_N` counts the rows taken of each source; a source's are consecutive within a window."""
        row_N = np.empty(len(source_N), np.int64)
        for source in np.unique(source_N):
            here = np.flatnonzero(source_N == source)
            seed = self.seed if source == 0 else _derived_seed(self.seed, int(source))
            num_rows = self.sources[source].num_rows
            row_N[here] = data.rows_at(int(order_N[here[0]]), len(here), num_rows, seed)
        return row_N

    def rows_taken(self, position: int) -> list[int]:
        """Rows of each source before `position`."""
        phase = [p for p in self.phases if p.start <= position][-1]
        return _taken_at(phase, position)

    def summary(self, position: int) -> list[dict[str, Any]]:
        """Per source, for the report: its share of all weights, its rows before `position`, how often it was read, and
        the position at which it was used up (None where it was not)."""
        total = math.fsum(s.weight for s in self.sources)
        ends = {name: end for name, end in self.used_up if end <= position}
        return [
            {
                "source": source.name, "weight": source.weight / total, "rows": rows,
                "epochs": rows / source.num_rows if source.num_rows else 0.0, "used_up_at": ends.get(source.name),
            }
            for source, rows in zip(self.sources, self.rows_taken(position), strict=True)
        ]  # fmt: skip


def plan(sources: Sequence[SourceRows], num_rows_needed: int, seed: int, max_epochs: float | None = None) -> Mixture:
    """The stream of a run that reads `num_rows_needed` rows. `max_epochs`: how often a source may be read at most.

    FieldError where weights cannot be used; DataError where all sources are used up before the run's end.
    """
    _check(sources, max_epochs)
    caps = [_UNLIMITED if max_epochs is None else math.floor(s.num_rows * max_epochs) for s in sources]
    taken, start = [0] * len(sources), 0
    phases: list[Phase] = []
    used_up = [(s.name, 0) for s, cap in zip(sources, caps, strict=True) if s.weight and not cap]
    while True:
        weights = [s.weight if taken[i] < caps[i] else 0.0 for i, s in enumerate(sources)]
        if not any(weights):
            raise _all_used_up(sources, start, num_rows_needed, max_epochs)
        phase = Phase(
            start=start, quotas=tuple(quotas(weights)), taken=tuple(taken), seed=_derived_seed(seed, -1 - len(phases))
        )
        phases.append(phase)
        ends = [_end_of(phase, i, caps[i]) if w else _UNLIMITED for i, w in enumerate(weights)]
        start = min(ends)
        if start >= num_rows_needed:
            break
        taken = _taken_at(phase, start)
        used_up += [(s.name, start) for s, end in zip(sources, ends, strict=True) if end == start]
    return Mixture(sources=tuple(sources), phases=tuple(phases), seed=seed, used_up=tuple(used_up), num_rows=start)


def quotas(weights: Sequence[float]) -> list[int]:
    """PERIOD split in proportion to the weights, by largest remainders; at least 1 where a weight is above 0."""
    total = math.fsum(weights)
    spare = PERIOD - sum(w > 0 for w in weights)
    exact = [spare * (w / total) for w in weights]
    whole = [math.floor(x) for x in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: (whole[i] - exact[i], i))
    for i in by_remainder[: spare - sum(whole)]:
        whole[i] += 1
    return [n + (w > 0) for n, w in zip(whole, weights, strict=True)]


@lru_cache(maxsize=4)
def _period(quota_S: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each place in a period its source, and how many rows of that source come before it in the period."""
    starts = np.random.SeedSequence(seed).generate_state(len(quota_S), np.uint64) / 2.0**64
    order = np.concatenate([np.arange(n, dtype=np.int64) for n in quota_S])
    source = np.repeat(np.arange(len(quota_S), dtype=np.int64), quota_S)
    places = (order + starts[source]) / np.array(quota_S, np.float64)[source]
    sorted_ = np.argsort(places, kind="stable")
    return source[sorted_], order[sorted_]


def _selected(phase: Phase, position_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The source of each position of a phase, and how many rows were taken of that source before."""
    source_P, order_P = _period(phase.quotas, phase.seed)
    period_N, place_N = np.divmod(position_N - phase.start, PERIOD)
    source_N = source_P[place_N]
    taken, quota = np.array(phase.taken, np.int64), np.array(phase.quotas, np.int64)
    return source_N, taken[source_N] + period_N * quota[source_N] + order_P[place_N]


def _taken_at(phase: Phase, position: int) -> list[int]:
    period, place = divmod(position - phase.start, PERIOD)
    in_period = np.bincount(_period(phase.quotas, phase.seed)[0][:place], minlength=len(phase.quotas))
    return [t + period * q + int(n) for t, q, n in zip(phase.taken, phase.quotas, in_period, strict=True)]


def _end_of(phase: Phase, source: int, cap: int) -> int:
    """The position after the source's last row, were the phase to go on until then."""
    if cap == _UNLIMITED:
        return _UNLIMITED
    period, order = divmod(cap - phase.taken[source] - 1, phase.quotas[source])
    source_P, order_P = _period(phase.quotas, phase.seed)
    place = int(np.flatnonzero((source_P == source) & (order_P == order))[0])
    return phase.start + period * PERIOD + place + 1


def _derived_seed(seed: int, index: int) -> int:
    """Another seed for each source and phase."""
    return int(np.random.SeedSequence([seed, index % (1 << 32)]).generate_state(1, np.uint64)[0] >> 1)


def _check(sources: Sequence[SourceRows], max_epochs: float | None) -> None:
    if max_epochs is not None and not 0 < max_epochs < math.inf:
        raise FieldError("max_epochs", max_epochs, "more than 0")
    for source in sources:
        if not 0 <= source.weight < math.inf:
            raise FieldError("weights", f"{source.name}: {source.weight}", "0 or more for every source")
        if source.weight and not source.num_rows:
            raise DataError(
                f"no training rows in {source.name!r}", expected="rows, or weight 0 for it",
                mend="Give the steps before it more documents, or leave it out.",
            )  # fmt: skip
    if not any(source.weight for source in sources):
        raise FieldError("weights", [source.weight for source in sources], "at least one above 0")


def _all_used_up(
    sources: Sequence[SourceRows], num_rows: int, num_rows_needed: int, max_epochs: float | None
) -> DataError:
    sizes = ", ".join(f"{s.name} {s.num_rows}" for s in sources if s.weight)
    return DataError(
        f"all sources ({sizes} rows) are used up after {num_rows} rows at {max_epochs} epochs each",
        expected=f"{num_rows_needed} rows, num_steps * batch_rows",
        mend="Raise max_epochs, lower num_steps, or give more documents.",
    )
