"""Loss by source, by language and by bucket of each score, from the provenance of the measured rows.

Reads:  segments' losses (pretrain.segment_losses); the columns of the documents they are pieces of
Writes: per axis and group the mean loss (nats per token) and the number of targets; a chart and a table of it
Cost:   opening: a look-up of the measured rows' documents (pretrain.provenance). Measuring: a few sums per segment
Source: -

Every segment is in exactly one group of each axis, so that on every axis the groups add up to the whole. The axes:
`corpus` where rows come from several tokens artifacts, `source` (the host of a URL, the file where there is no URL),
`language`, and every column of floats, such as `quality`: its values cut into buckets of about equally many documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from pipeline.stage import StepReportWriter
from pretrain.guard_config import GuardConfig
from pretrain.provenance import Found, Pieces, Source, key_of, look_up, pieces
from pretrain.segment_losses import SegmentLosses

UNKNOWN, OTHERS = "unknown", "others"
MAX_SCORES = 8
MAX_LINES = 6  # of a chart
_NAMED = ("corpus", "source", "language")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One way of grouping: the groups' names, and for each segment its group's index."""

    name: str
    labels: tuple[str, ...]
    group_N: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The groups of the segments of some rows. `missing` says why documents are not known; empty where all are."""

    key_N: np.ndarray  # rising
    axes: tuple[Axis, ...]
    missing: str

    def losses(self, measured: SegmentLosses) -> dict[str, dict[str, list[float]]]:
        """By axis and group: mean loss in nats per token, and targets. All must be of these rows."""
        wanted = key_of(measured.row_N, measured.segment_N)
        place = np.searchsorted(self.key_N, wanted)
        assert (self.key_N[np.minimum(place, len(self.key_N) - 1)] == wanted).all(), "a segment of another row"
        return {axis.name: _means(axis, axis.group_N[place], measured) for axis in self.axes}


def _means(axis: Axis, group_N: np.ndarray, measured: SegmentLosses) -> dict[str, list[float]]:
    size = len(axis.labels)
    loss_G = np.bincount(group_N, measured.loss_N, size)
    count_G = np.bincount(group_N, measured.count_N, size).astype(np.int64)
    return {
        label: [float(loss_G[g] / count_G[g]), int(count_G[g])] for g, label in enumerate(axis.labels) if count_G[g]
    }  # fmt: skip


def open_groups(cfg: GuardConfig, sources: Sequence[Source], row_N: np.ndarray) -> Groups:
    """Look up the documents of the rows with these numbers. No axis but `corpus` where none is known any more."""
    segments = pieces(sources, row_N)
    found = look_up(sources, segments)
    axes = []
    if len(sources) > 1:
        axes.append(Axis(name="corpus", labels=tuple(s.name for s in sources), group_N=segments.source_N))
    if found.documents:
        axes.append(_source_axis(cfg, segments, found))
        if "language" in found.columns:
            axes.append(_axis("language", [_text_of(found, id, "language") for id in segments.ids]))
        scores = [n for n, t in found.columns.items() if pa.types.is_floating(t) and n not in _NAMED]
        axes += [_score_axis(cfg, name, segments, found) for name in scores[:MAX_SCORES]]
    return Groups(key_N=key_of(segments.row_N, segments.segment_N), axes=tuple(axes), missing=found.missing)


def _axis(name: str, label_N: Sequence[str]) -> Axis:
    labels = tuple(sorted(set(label_N)))
    index = {label: g for g, label in enumerate(labels)}
    return Axis(name=name, labels=labels, group_N=np.array([index[label] for label in label_N], np.int64))


def _text_of(found: Found, id: bytes, column: str) -> str:
    value = found.documents.get(id, {}).get(column)
    return UNKNOWN if value is None else str(value)


def _source_axis(cfg: GuardConfig, segments: Pieces, found: Found) -> Axis:
    """Sources with the most tokens by name, the others together."""
    label_N = [source_name(found.documents.get(id, {})) for id in segments.ids]
    tokens: Counter[str] = Counter()
    for label, num_tokens in zip(label_N, segments.num_tokens_N.tolist(), strict=True):
        tokens[label] += num_tokens
    largest = sorted(tokens, key=lambda label: (-tokens[label], label))[: cfg.num_sources]
    return _axis("source", [label if label in largest else OTHERS for label in label_N])


def source_name(columns: Mapping[str, Any]) -> str:
    """The host of a document's URL, the file it is from where it has none."""
    try:
        host = urlsplit(columns.get("url") or "").hostname
    except ValueError:  # a bracketed host that is no address
        host = None
    return host or columns.get("warc_path") or UNKNOWN


def _score_axis(cfg: GuardConfig, name: str, segments: Pieces, found: Found) -> Axis:
    """Buckets between the quantiles of the documents' scores; equal scores are in one bucket."""
    score_N = np.array([_number(found, id, name) for id in segments.ids], np.float64)
    known_N = np.isfinite(score_N)
    score_D = np.array([_number(found, id, name) for id in sorted(set(segments.ids))], np.float64)
    score_D = np.sort(score_D[np.isfinite(score_D)])
    if not len(score_D):
        return _axis(name, [UNKNOWN] * len(segments.ids))
    quantiles = np.arange(1, cfg.num_buckets) * len(score_D) // cfg.num_buckets
    edges = np.unique(score_D[quantiles])
    bucket_N = np.searchsorted(edges, np.where(known_N, score_N, 0.0), side="right")
    bucket_N = np.where(known_N, bucket_N, len(edges) + 1)
    labels = _bucket_labels(score_D, edges)
    return Axis(name=name, labels=(*labels, UNKNOWN), group_N=bucket_N.astype(np.int64))


def _bucket_labels(score_D: np.ndarray, edges: np.ndarray) -> list[str]:
    """`0.31 to 0.52`, from the lowest to the highest score in each bucket, its number before it."""
    bucket_D = np.searchsorted(edges, score_D, side="right")
    labels = []
    for bucket in range(len(edges) + 1):
        inside = score_D[bucket_D == bucket]
        labels.append(f"{bucket + 1}: {inside[0]:.4g} to {inside[-1]:.4g}" if len(inside) else f"{bucket + 1}: none")
    return labels


def _number(found: Found, id: bytes, column: str) -> float:
    value = found.documents.get(id, {}).get(column)
    return float("nan") if value is None else float(value)


def write(report: StepReportWriter, records: Sequence[Mapping[str, Any]], key: str = "validation_by") -> None:
    """Per axis a chart over the steps and a table of the last measurement. `records` are those of loss.jsonl."""
    measured = [r for r in records if r.get(key)]
    if not measured:
        return
    steps, last = [r["step"] for r in measured], measured[-1][key]
    kind = key.removesuffix("_by")
    for axis, groups in last.items():
        total = sum(count for _, count in groups.values())
        largest = sorted(groups, key=lambda label: (-groups[label][1], label))[:MAX_LINES]
        lines = {label: [_loss_at(r[key], axis, label) for r in measured] for label in sorted(largest)}
        report.series(f"{kind} loss by {axis}", "step", steps, lines)
        rows = [
            {axis: label, "loss": loss, "targets": count, "share of targets": round(count / total, 4)}
            for label, (loss, count) in sorted(groups.items(), key=lambda item: -item[1][0])
        ]  # fmt: skip
        report.sample(f"{kind} loss by {axis}", rows)


def _loss_at(by_axis: Mapping[str, Any], axis: str, label: str) -> float:
    """The group's loss; NaN, a gap in the line, where none of it was measured."""
    return float(by_axis.get(axis, {}).get(label, [float("nan")])[0])
