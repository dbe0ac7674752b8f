"""What a step did, counted: merged over shards in shard order, checked against the conservation law, written as JSON.

Law: docs_in == docs_out + sum(dropped.values()), for every step that takes documents; for a source also
bytes_read == bytes_kept + sum(bytes_dropped.values()), where bytes are spans of the shard files. A step that annotates
keeps all documents; what it would drop is in `would_drop` alone.
Samples are the documents with the smallest keyed hash, so that they are the same for any number of shards.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from pipeline import ledger
from pipeline.errors import RunError
from pipeline.report_bins import add_histogram, add_measure
from pipeline.stage import DroppedRecord, Drops, SourceBatch, Verdict

NUM_KEPT_SAMPLES = 12
NUM_DROPPED_SAMPLES = 6  # per reason
NUM_TALLY_VALUES = 1000
SAMPLE_CHARS = 400
OTHERS = "(others)"
_COUNTS = ("dropped", "bytes_dropped", "counters", "would_drop")
_HOST = r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(?P<host>[^/?#:]+)"


@dataclass
class StepReport:
    """Counters of one step over some shards. `merge` adds the next shard's."""

    step: str
    uses: str
    kind: str
    produces: str
    docs_in: int = 0
    docs_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    bytes_dropped: Counter[str] = field(default_factory=Counter)
    counters: Counter[str] = field(default_factory=Counter)
    figures: dict[str, Any] = field(default_factory=dict)
    histograms: dict[str, dict[str, Any]] = field(default_factory=dict)
    bars: dict[str, Any] = field(default_factory=dict)
    tallies: dict[str, Counter[str]] = field(default_factory=dict)
    series: dict[str, Any] = field(default_factory=dict)
    samples_kept: list[dict[str, Any]] = field(default_factory=list)
    samples_dropped: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    annotates: bool = False
    would_drop: Counter[str] = field(default_factory=Counter)
    samples_would_drop: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def check(self, where: str) -> None:
        """RunError where a document is neither kept nor named."""
        named = sum(self.dropped.values())
        if self.docs_in != self.docs_out + named:
            raise RunError(
                f"{self.docs_in} documents in, {self.docs_out} out, {named} dropped by name",
                where=f"{where}, {self.step}",
                expected="every document kept or named", mend="This is a fault in the stage; please report it.",
            )  # fmt: skip

    def add_source_batch(self, source: SourceBatch) -> None:
        self.docs_in += source.documents.num_rows + len(source.dropped)
        self.docs_out += source.documents.num_rows
        self.bytes_in += source.num_bytes_read
        self.bytes_out += source.num_bytes_kept
        for record in source.dropped:
            self.dropped[record.reason] += 1
            self.bytes_dropped[record.reason] += record.num_bytes
            _add_samples(self.samples_dropped, record.reason, [_record_sample(self.step, record)])
        self._add_counts(source.counters, source.tallies)
        self.add_hosts(source.documents)
        self._add_kept(source.documents)

    def add_verdict(self, batch: pa.RecordBatch, kept: pa.RecordBatch, verdict: Verdict) -> None:
        self._add_documents(batch, kept)
        if verdict.drops is not None:
            self._add_drops(batch, verdict.drops, self.dropped, self.samples_dropped)
        self._add_findings(verdict)
        self._add_kept(kept)

    def add_annotation(self, batch: pa.RecordBatch, verdict: Verdict) -> None:
        """A verdict that drops nothing: the samples kept are of documents it would keep."""
        self._add_documents(batch, batch)
        passing = batch
        if verdict.drops is not None:
            self._add_drops(batch, verdict.drops, self.would_drop, self.samples_would_drop)
            passing = batch.filter(pa.array(verdict.drops.code_N < 0))
        self._add_findings(verdict)
        self._add_kept(passing)

    def _add_documents(self, documents_in: pa.RecordBatch, documents_out: pa.RecordBatch) -> None:
        self.docs_in += documents_in.num_rows
        self.docs_out += documents_out.num_rows
        self.bytes_in += content_bytes(documents_in)
        self.bytes_out += content_bytes(documents_out)

    def _add_findings(self, verdict: Verdict) -> None:
        for name, measure in verdict.measures.items():
            add_measure(self.histograms, name, measure)
        self._add_counts(verdict.counters, verdict.tallies)

    def add_hosts(self, documents: pa.RecordBatch) -> None:
        """Tally the hosts of the documents' URLs."""
        hosts = pc.struct_field(pc.extract_regex(documents["url"].fill_null(""), _HOST), "host").fill_null("(none)")
        self._add_counts({}, {"host": hosts})

    def _add_counts(self, counters: Mapping[str, int], tallies: Mapping[str, pa.Array]) -> None:
        for name, count in counters.items():
            self.counters[name] += int(count)
        for name, values in tallies.items():
            counted = pc.value_counts(values.fill_null("(none)"))
            pairs = zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True)
            self.tallies.setdefault(name, Counter()).update(dict(pairs))

    def _add_kept(self, kept: pa.RecordBatch) -> None:
        rows = _sample_rows(self.step, kept, np.arange(kept.num_rows), NUM_KEPT_SAMPLES)
        self.samples_kept = _smallest(self.samples_kept + rows, NUM_KEPT_SAMPLES)

    def _add_drops(
        self, batch: pa.RecordBatch, drops: Drops, amounts: Counter[str], samples: dict[str, list[dict[str, Any]]]
    ) -> None:
        """Count the rows dropped into `amounts`, and add to the `samples` of each reason."""
        codes, counts = np.unique(drops.code_N[drops.code_N >= 0], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            amounts[drops.reasons[code]] += count
            _add_samples(samples, drops.reasons[code], self._sample_drops(batch, drops, code))

    def _sample_drops(self, batch: pa.RecordBatch, drops: Drops, code: int) -> list[dict[str, Any]]:
        rows = _sample_rows(self.step, batch, np.flatnonzero(drops.code_N == code), NUM_DROPPED_SAMPLES)
        for row in rows:
            index = row["row"]
            row["value"] = _finite(drops.value_N[index])
            row["threshold"] = _finite(drops.threshold_N[index])
            original = drops.duplicate_of[index].as_py() if drops.duplicate_of is not None else None
            row["duplicate_of"] = original.hex() if original else None
        return rows

    def merge(self, other: StepReport) -> None:
        """Add another shard's report of the same step."""
        for name in ("docs_in", "docs_out", "bytes_in", "bytes_out"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _COUNTS:
            getattr(self, name).update(getattr(other, name))
        for name, counts in other.tallies.items():
            self.tallies.setdefault(name, Counter()).update(counts)
        for name, theirs in other.histograms.items():
            add_histogram(self.histograms, name, theirs)
        self.samples_kept = _smallest(self.samples_kept + other.samples_kept, NUM_KEPT_SAMPLES)
        for reason, rows in other.samples_dropped.items():
            _add_samples(self.samples_dropped, reason, rows)
        for reason, rows in other.samples_would_drop.items():
            _add_samples(self.samples_would_drop, reason, rows)

    def to_json(self) -> dict[str, Any]:
        """Everything, as merging needs it; `from_json` gives it back."""
        return {name: _plain(value) for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> StepReport:
        report = cls(**{k: v for k, v in value.items() if k not in (*_COUNTS, "tallies")})
        for name in _COUNTS:
            getattr(report, name).update(value[name])
        report.tallies = {name: Counter(counts) for name, counts in value["tallies"].items()}
        return report

    def published(self) -> dict[str, Any]:
        """The report as it is written for readers: tallies cut to their largest values, counters sorted."""
        result = self.to_json()
        for name in _COUNTS:
            result[name] = _ranked(getattr(self, name))
        result["tallies"] = {name: _cut_tally(counts) for name, counts in sorted(self.tallies.items())}
        result["samples_kept"] = [_without_key(row) for row in self.samples_kept]
        for name in ("samples_dropped", "samples_would_drop"):
            samples = sorted(getattr(self, name).items())
            result[name] = {reason: [_without_key(row) for row in rows] for reason, rows in samples}
        return result


def content_bytes(batch: pa.RecordBatch) -> int:
    """Bytes of the documents' text, or of their payload where there is no text yet."""
    lengths = [pc.binary_length(batch[name]) for name in ("text", "payload") if name in batch.schema.names]
    return (pc.sum(pc.coalesce(*lengths)).as_py() or 0) if lengths else 0


def _sample_rows(step: str, batch: pa.RecordBatch, candidates: np.ndarray, limit: int) -> list[dict[str, Any]]:
    """The `limit` candidate rows with the smallest hash of their id keyed by the step's name."""
    if not len(candidates):
        return []
    key_N = _sample_keys(step, batch["id"].take(pa.array(candidates)))
    chosen = candidates[np.argsort(key_N, kind="stable")[:limit]]
    taken = batch.take(pa.array(chosen))
    texts = (
        pc.utf8_slice_codeunits(taken["text"].fill_null(""), 0, SAMPLE_CHARS) if "text" in taken.schema.names else None
    )
    keys = np.sort(key_N, kind="stable")[:limit]
    return [
        {
            "key": int(keys[i]), "row": int(chosen[i]), "id": taken["id"][i].as_py().hex(),
            "url": taken["url"][i].as_py(),
            "excerpt": texts[i].as_py() if texts is not None else "",
        }
        for i in range(len(chosen))
    ]  # fmt: skip


def _sample_keys(step: str, ids: pa.Array) -> np.ndarray:
    """uint64 keys: ids are hashes already, so the first eight bytes xor the step's hash order them at random."""
    raw = np.frombuffer(ids.buffers()[1], np.uint8)[ids.offset * 16 : (ids.offset + len(ids)) * 16]
    key_N = raw.reshape(-1, 16)[:, :8].copy().view(np.uint64).ravel()
    return key_N ^ np.uint64(xxhash.xxh3_64_intdigest(step.encode()))


def _record_sample(step: str, record: DroppedRecord) -> dict[str, Any]:
    place = f"{record.warc_path}:{record.warc_offset}"
    return {
        "key": xxhash.xxh3_64_intdigest(f"{step} {place}".encode()),
        "row": 0, "id": record.id.hex() if record.id else None,
        "url": record.url, "place": place, "value": record.value, "threshold": record.threshold,
        "excerpt": record.excerpt[: ledger.EXCERPT_CHARS], "duplicate_of": None,
    }  # fmt: skip


def _smallest(rows: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    return heapq.nsmallest(limit, rows, key=lambda row: (row["key"], row["id"] or "", row.get("place", "")))


def _add_samples(samples: dict[str, list[dict[str, Any]]], reason: str, rows: list[dict[str, Any]]) -> None:
    samples[reason] = _smallest(samples.get(reason, []) + rows, NUM_DROPPED_SAMPLES)


def _without_key(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k not in ("key", "row")}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _ranked(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _cut_tally(counts: Mapping[str, int]) -> dict[str, int]:
    ranked = list(_ranked(counts).items())
    rest = sum(count for _, count in ranked[NUM_TALLY_VALUES:])
    return dict(ranked[:NUM_TALLY_VALUES]) | ({OTHERS: rest} if rest else {})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    return value
