"""The report of a loss spike: which documents were in the batch, and what each did to its loss.

Reads:  the segments' losses of the batch (pretrain.segment_losses), their documents (pretrain.provenance)
Writes: `spikes/step-000123.json` in the scratch folder: JSON, so crawled text in it is data; and rows of the step's
        report, whose writer escapes them
Cost:   once per spike: a look-up of the documents it names
Source: -

A document's `excess` is by how much it raised the batch's mean loss above the forecast: all of them add up to the whole
rise. Documents come with the largest first, those whose loss is not finite before all others. The file depends on the
run's settings and rows alone: a run that was killed writes the same bytes.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from pipeline.stage import StepReportWriter
from pipeline.store import Folder
from pretrain.guard import Verdict
from pretrain.guard_config import GuardConfig
from pretrain.provenance import Pieces, Source, key_of, look_up, pieces, select
from pretrain.segment_losses import SegmentLosses

FOLDER = "spikes"
_NAME = re.compile(r"step-(\d+)(-\d+)?\.json")
MAX_SHOWN = 8  # spikes with a table of their documents in the step's report
MAX_ROWS = 10  # of such a table
MAX_SCORES = 4


def report_path(work: Path, step: int, num_rewinds: int = 0) -> Path:
    """After a rewind the same step may spike again: on other rows, so in another file."""
    return work / FOLDER / f"step-{step:06d}{f'-{num_rewinds + 1}' if num_rewinds else ''}.json"


def write_report(
    work: Path, cfg: GuardConfig, sources: Sequence[Source], verdict: Verdict, step: int, measured: SegmentLosses,
    num_rewinds: int = 0,
) -> Path:  # fmt: skip
    """Write the report of a batch whose segments all ranks have `measured`; on one rank. Returns its path."""
    path = report_path(work, step, num_rewinds)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = _finite(describe(cfg, sources, verdict, step, measured))
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    os.replace(temporary, path)
    return path


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """A batch's segments with their losses: N of those measured, `place_N` their index among the segments."""

    sources: Sequence[Source]
    segments: Pieces
    measured: SegmentLosses
    place_N: np.ndarray


def describe(
    cfg: GuardConfig, sources: Sequence[Source], verdict: Verdict, step: int, measured: SegmentLosses
) -> dict[str, Any]:
    """The report as JSON values; NaN and infinities still as floats."""
    segments = pieces(sources, measured.row_N)
    place_N = np.searchsorted(key_of(segments.row_N, segments.segment_N), key_of(measured.row_N, measured.segment_N))
    batch = _Batch(sources=sources, segments=segments, measured=measured, place_N=place_N)
    by_id: dict[bytes, list[int]] = {}
    for i, place in enumerate(place_N.tolist()):
        by_id.setdefault(segments.ids[place], []).append(i)
    total = int(measured.count_N.sum())
    entries = [(id, _entry(verdict, measured, n, total)) for id, n in by_id.items()]
    entries.sort(key=lambda item: _worst_first(item[1], item[0]))
    named = [(id, entry, by_id[id]) for id, entry in entries[: cfg.num_documents]]
    tokenizers = [_tokenizer(source) if cfg.excerpt_chars else None for source in sources]
    text_chars = cfg.excerpt_chars if None in tokenizers else 0
    found = look_up(sources, select(segments, [int(place_N[n[0]]) for _, _, n in named]), text_chars)
    documents = []
    for id, entry, n in named:
        columns = dict(found.documents.get(id, {}))
        text = columns.pop("text", None)
        worst = int(place_N[n][np.argmax(measured.loss_N[n] / measured.count_N[n])])
        tokenizer = tokenizers[segments.source_N[worst]]
        excerpt = text if tokenizer is None else tokenizer.decode(segments.tokens[worst].tolist())[: cfg.excerpt_chars]
        said = {"columns": {name: _plain(value) for name, value in columns.items()}, "excerpt": excerpt}
        documents.append({"id": id.hex(), **entry, **said, **_places(batch, n)})
    return {
        "format": 1,
        "step": step, "kind": verdict.kind, "action": verdict.action,
        "loss": verdict.loss, "grad_norm": verdict.grad_norm,
        "forecast": verdict.forecast, "deviation": verdict.deviation, "sigmas": verdict.sigmas,
        "targets": total, "rows": np.unique(measured.row_N).tolist(),
        "num_documents": len(entries), "documents_missing": found.missing, "documents": documents,
    }  # fmt: skip


def _entry(verdict: Verdict, measured: SegmentLosses, n: list[int], total: int) -> dict[str, Any]:
    """A document's mean loss in the batch, its targets, and its part of the rise above the forecast."""
    loss, targets = math.fsum(measured.loss_N[n]), int(measured.count_N[n].sum())
    forecast = 0.0 if verdict.forecast is None else verdict.forecast
    return {"loss": loss / targets, "excess": (loss - forecast * targets) / total, "targets": targets}


def _worst_first(entry: Mapping[str, Any], id: bytes) -> tuple[bool, float, bytes]:
    is_finite = math.isfinite(entry["excess"])
    return is_finite, -entry["excess"] if is_finite else 0.0, id


def _tokenizer(source: Source) -> Tokenizer | None:
    """What the pieces were encoded with, so that each can be shown as the model saw it; None where it is gone."""
    folder = Folder(source.tokenizer)
    if not source.tokenizer or not folder.exists("tokenizer.json"):
        return None
    return Tokenizer.from_buffer(folder.read_bytes("tokenizer.json"))


def _places(batch: _Batch, n: list[int]) -> dict[str, Any]:
    """Where a document's pieces lie in the shards and in it, and the loss of each."""
    segments, measured, first = batch.segments, batch.measured, int(batch.place_N[n[0]])
    source = batch.sources[segments.source_N[first]]
    return {
        "corpus": source.name,
        "shard": os.path.basename(source.shards[segments.shard_N[first]]),
        "pieces": [
            {
                "row": int(segments.row_N[place]), "segment": int(segments.segment_N[place]),
                "offset": int(segments.offset_N[place]), "loss": float(measured.loss_N[i] / measured.count_N[i]),
                "targets": int(measured.count_N[i]),
            }
            for place, i in zip(batch.place_N[n].tolist(), n, strict=True)
        ],
    }  # fmt: skip


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinities: they become text."""
    if isinstance(value, Mapping):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else str(float(value))
    return value


def cut(work: Path, step: int) -> None:
    """Remove the reports of steps after `step`: a resumed run writes them again."""
    for path in _reports(work):
        if _step_of(path) > step:
            path.unlink()


def _reports(work: Path) -> list[Path]:
    folder = work / FOLDER
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name)) if folder.is_dir() else []


def _step_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None, path
    return int(match[1])


def read_reports(work: Path) -> dict[str, dict[str, Any]]:
    """The reports in a scratch folder, by file name, in the order of the steps."""
    return {path.name: json.loads(path.read_bytes()) for path in _reports(work)}


def write_samples(report: StepReportWriter, work: Path) -> None:
    """A table of the spikes in the step's report, and one of the worst documents of each of the first MAX_SHOWN."""
    found = list(read_reports(work).values())
    report.figure("loss_spikes", len(found))
    if not found:
        return
    report.sample("loss spikes", [summary_row(spike) for spike in found])
    for spike in found[:MAX_SHOWN]:
        name = f"documents of the spike at step {spike['step']}"
        report.sample(name, document_rows(spike))


def summary_row(spike: Mapping[str, Any]) -> dict[str, Any]:
    shown = ("step", "kind", "action", "loss", "forecast", "sigmas", "grad_norm")
    return {**{name: spike[name] for name in shown}, "documents": spike["num_documents"]}


def document_rows(spike: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The worst documents of a spike as rows of a table."""
    rows = []
    for document in spike["documents"][:MAX_ROWS]:
        columns = document["columns"]
        scores = [name for name, value in columns.items() if isinstance(value, float)][:MAX_SCORES]
        rows.append({
            "document": columns.get("url") or document["id"],
            "loss": document["loss"], "excess": document["excess"], "targets": document["targets"],
            **({"language": columns["language"]} if "language" in columns else {}),
            **{name: columns[name] for name in scores},
            "excerpt": document["excerpt"],
        })  # fmt: skip
    return rows
