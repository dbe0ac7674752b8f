"""Losses by group against sums over single segments; on every axis they are the whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pretrain import data, loss_groups, provenance
from pretrain.guard_config import GuardConfig
from pretrain.loss_groups import OTHERS, UNKNOWN
from pretrain.provenance import Source
from pretrain.segment_losses import SegmentLosses
from tests.pretrain.packed import Report, contract
from tests.pretrain.traced import Document, write_run

LENGTH = 32
HOSTS = ["large.example"] * 9 + ["small.example"] * 3 + ["tiny.example"] * 2 + [None] * 2


def some_documents() -> list[Document]:
    return [
        Document(
            text="abcdefg " * (1 + n % 5),
            url=None if host is None else f"https://{host}/{n}",
            language=("en", "zh", None)[n % 3],
            quality=None if n == 5 else n / 16,
        )
        for n, host in enumerate(HOSTS)
    ]


def measured_of(segments: provenance.Pieces) -> SegmentLosses:
    """A made-up loss for each segment."""
    count_N = segments.num_tokens_N - 1
    loss_N = count_N * np.random.default_rng(1).uniform(1, 9, len(count_N))
    there = count_N > 0
    return SegmentLosses(
        row_N=segments.row_N[there], segment_N=segments.segment_N[there], loss_N=loss_N[there], count_N=count_N[there]
    )


def opened(folder: Path, cfg: GuardConfig) -> tuple[Source, np.ndarray, loss_groups.Groups]:
    source = write_run(folder, some_documents(), LENGTH)
    row_N = np.arange(data.open_rows(source.shards, contract(LENGTH)).num_rows)[::-1]
    return source, row_N, loss_groups.open_groups(cfg, (source,), row_N)


def test_groups_of_every_axis_add_up_to_the_whole(tmp_path: Path) -> None:
    source, row_N, groups = opened(tmp_path, GuardConfig())
    measured = measured_of(provenance.pieces((source,), row_N))
    found = groups.losses(measured)
    assert list(found) == ["source", "language", "quality"]
    for by_group in found.values():
        assert sum(loss * count for loss, count in by_group.values()) == pytest.approx(measured.loss_N.sum())
        assert sum(count for _, count in by_group.values()) == measured.count_N.sum()


def test_groups_are_those_of_the_documents_one_by_one(tmp_path: Path) -> None:
    source, row_N, groups = opened(tmp_path, GuardConfig(num_sources=2, num_buckets=3))
    segments = provenance.pieces((source,), row_N)
    measured = measured_of(segments)
    documents = some_documents()
    key_of_id = {(r, s): id for r, s, id in zip(segments.row_N, segments.segment_N, segments.ids, strict=True)}
    languages: dict[str, list[float]] = {}
    named: dict[str, list[float]] = {}
    for row, segment, loss, count in zip(
        measured.row_N, measured.segment_N, measured.loss_N, measured.count_N, strict=True
    ):
        document = documents[int.from_bytes(key_of_id[row, segment])]
        host = document.url.split("/")[2] if document.url else "file.jsonl"
        for sums, label in ((languages, document.language or UNKNOWN), (named, host)):
            sums.setdefault(label, [0.0, 0])
            sums[label][0] += loss
            sums[label][1] += int(count)
    found = groups.losses(measured)
    assert set(found["language"]) == {"en", "zh", UNKNOWN}
    for label, (loss, count) in languages.items():
        assert found["language"][label] == pytest.approx([loss / count, count])
    assert set(found["source"]) == {"large.example", "small.example", OTHERS}
    assert found["source"]["large.example"] == pytest.approx([named["large.example"][0] / named["large.example"][1],
                                                              named["large.example"][1]])  # fmt: skip
    assert found["source"][OTHERS][1] == named["tiny.example"][1] + named["file.jsonl"][1]
    scores = sorted(d.quality for d in documents if d.quality is not None)
    assert [f"{b + 1}: {scores[5 * b]:.4g} to {scores[5 * b + 4]:.4g}" for b in range(3)] == [
        label for label in found["quality"] if label != UNKNOWN
    ]


def test_equal_scores_stay_in_one_bucket(tmp_path: Path) -> None:
    documents = [Document(text="abc", quality=0.5 if n < 6 else 0.9) for n in range(8)]
    source = write_run(tmp_path, documents, LENGTH)
    row_N = np.arange(data.open_rows(source.shards, contract(LENGTH)).num_rows)
    axis = loss_groups.open_groups(GuardConfig(), (source,), row_N).axes[-1]
    assert axis.name == "quality"
    segments = provenance.pieces((source,), row_N)
    buckets = {0.5: set(), 0.9: set()}  # type: dict[float, set[int]]
    for id, group in zip(segments.ids, axis.group_N.tolist(), strict=True):
        buckets[documents[int.from_bytes(id)].quality or 0.0].add(group)
    assert len(buckets[0.5]) == len(buckets[0.9]) == 1
    assert buckets[0.5] != buckets[0.9]


def test_groups_of_two_sources_are_also_by_corpus(tmp_path: Path) -> None:
    documents = some_documents()
    first, second = (
        write_run(tmp_path / n, documents[a:b], LENGTH, first=a) for n, a, b in (("1", 0, 8), ("2", 8, 16))
    )
    second = Source(name="more", shards=second.shards)  # its documents are not known
    num_rows = [data.open_rows(s.shards, contract(LENGTH)).num_rows for s in (first, second)]
    row_N = np.arange(sum(num_rows))
    groups = loss_groups.open_groups(GuardConfig(), (first, second), row_N)
    found = groups.losses(measured_of(provenance.pieces((first, second), row_N)))
    assert set(found["corpus"]) == {"chunks", "more"}
    assert found["corpus"]["more"] == found["source"][UNKNOWN]
    assert "more does not say which documents" in groups.missing


def test_groups_of_documents_that_are_gone_are_none(tmp_path: Path) -> None:
    source = write_run(tmp_path, some_documents(), LENGTH)
    shutil.rmtree(tmp_path / "clean")
    groups = loss_groups.open_groups(GuardConfig(), (source,), np.array([0]))
    assert groups.losses(measured_of(provenance.pieces((source,), np.array([0])))) == {}
    assert "are gone" in groups.missing


def test_write_draws_a_line_per_large_group_and_lists_all() -> None:
    by_step = [{"language": {"en": [3.0 - s, 90], "zh": [5.0, 10]}} for s in (0, 1)]
    by_step[0]["language"].pop("zh")
    report = Report()
    loss_groups.write(report, [{"step": 0, "validation_by": by_step[0]}, {"step": 1, "loss": 1.0},
                               {"step": 2, "validation_by": by_step[1]}])  # fmt: skip
    lines = report.lines["validation loss by language"]
    assert lines["x"] == [0, 2]
    assert lines["lines"]["en"] == [3.0, 2.0]
    assert np.isnan(lines["lines"]["zh"][0])
    rows = report.samples["validation loss by language"]
    assert rows == [
        {"language": "zh", "loss": 5.0, "targets": 10, "share of targets": 0.1},
        {"language": "en", "loss": 2.0, "targets": 90, "share of targets": 0.9},
    ]
