"""What share of the documents a limit would keep if its threshold stood elsewhere, from a histogram's counts alone.

Reads:  one entry of `histograms` of a step's report
Writes: numbers for the chart, and a line of words for those who see none

One limit by itself, over all documents that reached the step: where a step has several limits, a document is dropped
at the first one it breaks, and all of them together keep fewer. A document without a value counts as kept, for no
limit can drop it. At the edges between bins the counts give exact numbers, the threshold that was set was counted by
itself (pipeline/report_bins.py); a number is called `about` where documents on an edge or within a bin may be on
either side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.wording import count, is_number, number, share, whole

MAX_BINS = 100
TELLING_SHARES = (0.99, 0.95, 0.9, 0.75, 0.5)
Side = Literal["below", "above"]
SIDES: tuple[Side, ...] = ("below", "above")


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Equal bins from `low` to `high`. `closed` says which edge of a bin belongs to it."""

    low: float
    high: float
    counts: tuple[int, ...]
    num_missing: int
    closed: Literal["left", "right"]

    @property
    def num_documents(self) -> int:
        return sum(self.counts) + self.num_missing

    def edge(self, index: int) -> float:
        return self.low + index * (self.high - self.low) / len(self.counts)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """How many documents a limit keeps with its threshold at `threshold`; an estimate where it is not `exact`."""

    threshold: float
    num_kept: float
    exact: bool


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One limit of a histogram: what it keeps as it is set, and what it would keep at each edge between two bins.

    The outer edges say nothing: what lies beyond them was counted into the bins inside."""

    side: Side
    now: Kept
    at_edges: tuple[Kept, ...]


def read_bins(data: Mapping[str, Any]) -> Bins:
    """The bins of a histogram, neighbours added up until there are at most MAX_BINS of them."""
    counts = [max(0, whole(c)) for c in data.get("counts") or []]
    low, high = (float(data[k]) if is_number(data.get(k)) else math.nan for k in ("low", "high"))
    if not low < high:
        low, high = 0.0, float(max(1, len(counts)))
    group = max(1, math.ceil(len(counts) / MAX_BINS))
    merged = tuple(sum(counts[i : i + group]) for i in range(0, len(counts), group))
    if counts:
        high = low + (high - low) / len(counts) * group * len(merged)
    return Bins(
        low=low, high=high, counts=merged, num_missing=max(0, whole(data.get("num_missing"))),
        closed="right" if data.get("closed") == "right" else "left",
    )  # fmt: skip


def limits(data: Mapping[str, Any], bins: Bins) -> list[Limit]:
    """The limits drawn into a histogram: none where nothing was measured."""
    if not any(bins.counts):
        return []
    return [
        Limit(side=side, now=_now(data, bins, side), at_edges=_at_edges(bins, side))
        for side in SIDES
        if is_number(data.get(f"drop_{side}"))
    ]


def _at_edges(bins: Bins, side: Side) -> tuple[Kept, ...]:
    num_below, result = 0, []
    for i in range(1, len(bins.counts)):
        num_below += bins.counts[i - 1]
        on_edge_is_known = bins.closed == ("left" if side == "below" else "right")
        exact = on_edge_is_known or bins.counts[i if bins.closed == "left" else i - 1] == 0
        result.append(Kept(threshold=bins.edge(i), num_kept=_num_kept(bins, side, num_below), exact=exact))
    return tuple(result)


def _num_kept(bins: Bins, side: Side, num_below: float) -> float:
    return (bins.num_documents - num_below) if side == "below" else (num_below + bins.num_missing)


def _now(data: Mapping[str, Any], bins: Bins, side: Side) -> Kept:
    threshold, num_beyond = float(data[f"drop_{side}"]), data.get(f"num_{side}")
    if is_number(num_beyond) and 0 <= whole(num_beyond) <= sum(bins.counts):
        return Kept(threshold=threshold, num_kept=bins.num_documents - whole(num_beyond), exact=True)
    position = (threshold - bins.low) / (bins.high - bins.low) * len(bins.counts)
    i = min(max(math.floor(position), 0), len(bins.counts) - 1)
    num_below = sum(bins.counts[:i]) + min(max(position - i, 0), 1) * bins.counts[i]
    return Kept(threshold=threshold, num_kept=_num_kept(bins, side, num_below), exact=bins.counts[i] == 0)


def telling(limit: Limit, bins: Bins) -> tuple[Kept, ...]:
    """For each of the TELLING_SHARES the strictest edge that keeps as much, each edge once."""
    strictest_first = limit.at_edges[::-1] if limit.side == "below" else limit.at_edges
    found: dict[float, Kept] = {}
    for wanted in TELLING_SHARES:
        kept = next((k for k in strictest_first if k.num_kept >= wanted * bins.num_documents), None)
        if kept is not None:
            found.setdefault(kept.threshold, kept)
    return tuple(found.values())


def kept_share(kept: Kept, bins: Bins) -> str:
    """`91.3 %`, or `about 91.3 %`."""
    return f"{'' if kept.exact else 'about '}{share(kept.num_kept, bins.num_documents)}"


def words(limit: Limit, bins: Bins) -> str:
    """`Drop below 0.65 keeps 84.2 % (3,013 of 3,578). It would keep 95.3 % at 0.4, 90.2 % at 0.56.`"""
    now = limit.now
    of = f"{count(round(now.num_kept))} of {count(bins.num_documents)}"
    text = f"Drop {limit.side} {number(now.threshold)} keeps {kept_share(now, bins)} ({of})."
    others = [k for k in telling(limit, bins) if k.threshold != now.threshold]
    if not others:
        return text
    about = "" if all(k.exact for k in others) else "about "
    would = ", ".join(f"{share(k.num_kept, bins.num_documents)} at {number(k.threshold)}" for k in others)
    return f"{text} It would keep {about}{would}."


def kept_elsewhere(reports: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every limit of every step, in words and as numbers: what it keeps, and would keep at telling thresholds."""
    result = []
    for step, report in reports.items():
        for measure, data in (report.get("histograms") or {}).items():
            bins = read_bins(data)
            for limit in limits(data, bins):
                result.append(
                    {
                        "step": step, "measure": measure, "side": limit.side, "num_documents": bins.num_documents,
                        "now": asdict(limit.now), "elsewhere": [asdict(kept) for kept in telling(limit, bins)],
                        "words": words(limit, bins),
                    }
                )  # fmt: skip
    return result
