"""Merged shard reports equal the report of all documents at once, and a lost document breaks the run."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import RunError
from pipeline.report import NUM_DROPPED_SAMPLES, NUM_KEPT_SAMPLES, StepReport
from pipeline.stage import DroppedRecord, Drops, Measure, SourceBatch, Verdict

REASONS = ("too_short", "too_long")


def documents(start: int, end: int) -> pa.RecordBatch:
    ids = [hashlib.md5(str(i).encode()).digest() for i in range(start, end)]
    return pa.record_batch(
        {
            "id": pa.array(ids, pa.binary(16)),
            "url": [f"https://user@site{i % 3}.example:8080/page?{i}" for i in range(start, end)],
            "warc_path": ["a.warc.gz"] * (end - start),
            "warc_offset": list(range(start, end)),
            "text": pa.array([f"text {i} é" for i in range(start, end)], pa.large_string()),
        }
    )


def judged(report: StepReport, start: int, end: int) -> None:
    batch = documents(start, end)
    number_N = np.arange(start, end)
    code_N = np.where(number_N % 5 == 0, 0, np.where(number_N % 7 == 0, 1, -1)).astype(np.int16)
    drops = Drops(
        reasons=REASONS, code_N=code_N, value_N=number_N.astype(float), threshold_N=np.full(len(number_N), 3.5)
    )
    verdict = Verdict(
        drops=drops,
        measures={
            "number": Measure(value_N=np.where(number_N % 11 == 0, np.nan, number_N), low=0, high=100, drop_below=3)
        },
        tallies={"language": pa.array(["en" if i % 2 else "zh" for i in range(start, end)])},
        counters={"seen": end - start},
    )
    if report.annotates:
        report.add_annotation(batch, verdict)
    else:
        report.add_verdict(batch, batch.filter(pa.array(code_N < 0)), verdict)


def new_report(annotates: bool = False) -> StepReport:
    return StepReport(step="rule", uses="stages.rule", kind="narrow", produces="documents", annotates=annotates)


@pytest.mark.parametrize("annotates", [False, True])
@pytest.mark.parametrize("cuts", [[0, 200], [0, 1, 63, 64, 150, 200], [0, 100, 200]])
def test_merge_any_shard_layout_gives_the_same_report(cuts: list[int], annotates: bool) -> None:
    whole = new_report(annotates)
    judged(whole, 0, 200)
    merged = new_report(annotates)
    for start, end in itertools.pairwise(cuts):
        part = new_report(annotates)
        judged(part, start, end)
        merged.merge(StepReport.from_json(part.to_json()))
    assert merged.published() == whole.published()
    merged.check("here")


def test_report_counts_equal_a_plain_count() -> None:
    report = new_report()
    judged(report, 0, 200)
    short = [i for i in range(200) if i % 5 == 0]
    long = [i for i in range(200) if i % 7 == 0 and i % 5]
    assert report.dropped == {"too_short": len(short), "too_long": len(long)}
    assert report.docs_out == 200 - len(short) - len(long)
    measured = [i for i in range(200) if i % 11]
    assert report.histograms["number"]["num_missing"] == 200 - len(measured)
    assert report.histograms["number"]["counts"][10] == sum(20 <= i < 22 for i in measured)
    assert report.histograms["number"]["counts"][49] == sum(i >= 98 for i in measured), "the last bin takes the rest"
    assert report.tallies["language"] == {"en": 100, "zh": 100}
    assert report.bytes_in == sum(len(f"text {i} é".encode()) for i in range(200))
    assert len(report.samples_kept) == NUM_KEPT_SAMPLES
    samples = report.samples_dropped["too_short"]
    assert len(samples) == NUM_DROPPED_SAMPLES
    assert all(row["threshold"] == 3.5 and row["value"] % 5 == 0 for row in samples)


def test_annotation_counts_what_it_would_drop_and_keeps_everything() -> None:
    dropping, annotating = new_report(), new_report(annotates=True)
    for report in (dropping, annotating):
        judged(report, 0, 200)
        report.check("here")
    assert (annotating.docs_in, annotating.docs_out, annotating.dropped) == (200, 200, {})
    assert annotating.bytes_out == annotating.bytes_in
    assert annotating.would_drop == dropping.dropped
    assert annotating.samples_would_drop == dropping.samples_dropped and not annotating.samples_dropped
    assert annotating.samples_kept == dropping.samples_kept
    assert annotating.histograms == dropping.histograms


def test_report_hosts_leave_user_and_port_out() -> None:
    report = new_report()
    report.add_hosts(documents(0, 9))
    assert report.tallies["host"] == {"site0.example": 3, "site1.example": 3, "site2.example": 3}


def test_check_lost_document_is_a_run_error() -> None:
    report = new_report()
    judged(report, 0, 50)
    report.docs_out -= 1
    with pytest.raises(RunError, match="50 documents in, 33 out, 16 dropped by name"):
        report.check("shard 3")


def test_source_batch_counts_records_and_spans() -> None:
    report = StepReport(step="crawl", uses="stages.commoncrawl", kind="source", produces="documents")
    record = DroppedRecord(reason="not_html", num_bytes=30, warc_path="a", warc_offset=5)
    report.add_source_batch(
        SourceBatch(documents=documents(0, 4), dropped=[record, record], num_bytes_kept=40, num_bytes_read=100)
    )
    report.check("a")
    assert (report.docs_in, report.docs_out, report.bytes_in, report.bytes_out) == (6, 4, 100, 40)
    assert report.bytes_dropped == {"not_html": 60}
