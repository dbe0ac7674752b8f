from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.errors import DataError, FieldError, StoreError
from stages import train_classifier
from stages.classifiers.labelled_rows import data_files, read_labelled
from tests.shared_data import SHARED, needs_shared
from tests.stages.classifier_runs import blame_rows, train, write_rows


def read_all(path: Path, label: str = "label") -> tuple[list[tuple[str, str]], Counter[str]]:
    counts: Counter[str] = Counter()
    batches = list(read_labelled(str(path), "text", label, counts))
    return [(r["text"], r["label"]) for b in batches for r in b.to_pylist()], counts


def test_read_labelled_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    rows = blame_rows()
    plain = write_rows(tmp_path / "a.jsonl", rows)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(plain.read_bytes()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    expected = [(r["text"], str(r["label"])) for r in rows]
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"):
        assert read_all(tmp_path / name)[0] == expected, name


def test_read_labelled_bad_rows_are_counted_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = ['{"text": "good one", "label": true}', "{broken", '["list"]', '{"text": "", "label": 1}', '{"label": 1}',
             '{"text": "no label"}', '{"text": 5, "label": 1}', "", '{"text": "whole", "label": 2.0}']  # fmt: skip
    path.write_text("\n".join(lines), encoding="utf-8")
    rows, counts = read_all(path)
    assert rows == [("good one", "true"), ("whole", "2")]
    assert counts == {"rows": 8, "bad_json": 2, "missing_text": 3, "missing_label": 1}


def test_read_labelled_missing_column_names_the_near_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "lable": ["1"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="Did you mean 'lable'"):
        read_all(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no row has both"):
        read_all(write_rows(tmp_path / "a.jsonl", [{"text": "a", "lable": 1}]))


def test_read_labelled_damaged_file_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a", "label": 1}\n' * 999)[:40])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz"):
        read_all(tmp_path / "a.jsonl.gz")


def test_data_files_folder_and_glob_are_sorted_and_filtered(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "sub/c.parquet", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert data_files(str(tmp_path)) == [str(tmp_path / n) for n in ("a.jsonl", "b.jsonl", "sub/c.parquet")]
    assert data_files(f"{tmp_path}/[b-z]*.jsonl") == [str(tmp_path / "b.jsonl")]
    with pytest.raises(StoreError, match="no labelled texts"):
        data_files(str(tmp_path / "nothing"))


def test_train_separable_rows_are_learned_and_reported(tmp_path: Path) -> None:
    artifact, report = train(tmp_path, data=str(write_rows(tmp_path / "a.jsonl", blame_rows())))
    assert artifact.manifest["contract"]["file"] == "model.bin"
    assert (tmp_path / "out" / "model.bin").stat().st_size > 0
    seen = report.to_json()
    assert seen["figures"]["auc"] > 0.95 and 0 < seen["figures"]["precision"] <= 1
    counters = seen["counters"]
    parts = ("train_positive", "train_negative", "held_out_positive", "held_out_negative")
    assert sum(counters[p] for p in parts) == counters["rows"] == 240
    assert 30 < counters["held_out_positive"] + counters["held_out_negative"] < 90


@pytest.mark.parametrize("quantize", [False, True])
def test_train_twice_gives_the_same_bytes(tmp_path: Path, quantize: bool) -> None:
    data = str(write_rows(tmp_path / "a.jsonl", blame_rows()))
    digests = set()
    for run in ("one", "two"):
        artifact, _ = train(tmp_path / run, data=data, quantize=quantize)
        content = (tmp_path / run / "out" / artifact.manifest["contract"]["file"]).read_bytes()
        digests.add(hashlib.sha256(content).hexdigest())
    assert len(digests) == 1


def test_train_order_of_rows_does_not_change_the_model(tmp_path: Path) -> None:
    rows = blame_rows()
    models = []
    for name, given in (("one", rows), ("two", rows[::-1])):
        train(tmp_path / name, data=str(write_rows(tmp_path / f"{name}.jsonl", given)))
        models.append((tmp_path / name / "out" / "model.bin").read_bytes())
    assert models[0] == models[1]


def test_split_equal_texts_fall_on_the_same_side(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "a.jsonl", [row for row in blame_rows() for _ in range(3)])
    cfg = train_classifier.Config(data=str(data), positive=("1",), held_out=0.3)
    train_classifier._split(cfg, tmp_path)
    held_out = {json.loads(line)["line"] for line in (tmp_path / "held_out.jsonl").read_text().splitlines()}
    trained = [line.split(" ", 1)[1] for line in (tmp_path / "train.txt").read_text().splitlines()]
    assert held_out and trained and not held_out & set(trained)
    assert Counter(Counter(trained).values()).keys() == {3}


def test_train_rows_of_another_label_are_counted_and_not_used(tmp_path: Path) -> None:
    rows = [*blame_rows(), *({"text": f"unsure {i}", "label": 2} for i in range(20))]
    _, report = train(tmp_path, data=str(write_rows(tmp_path / "a.jsonl", rows)), negative=("0",))
    counters = report.to_json()["counters"]
    assert counters["other_label"] == 20
    assert counters["train_negative"] + counters["held_out_negative"] == 120


def test_train_wrong_positive_label_says_what_is_missing(tmp_path: Path) -> None:
    data = str(write_rows(tmp_path / "a.jsonl", blame_rows()))
    with pytest.raises(DataError, match="no train positive rows"):
        train(tmp_path, data=data, positive=("toxic",))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("positive", ()),
        ("held_out", 0.0),
        ("held_out", 1.0),
        ("negative", ("1",)),
        ("dim", 0),
        ("minn", 6),
        ("lr", 0.0),
    ],
)
def test_config_value_that_cannot_work_is_a_field_error(field: str, value: object) -> None:
    with pytest.raises(FieldError) as caught:
        train_classifier.Config(**{"data": "x", "positive": ("1",), field: value})  # type: ignore[arg-type]
    assert caught.value.field == field


@needs_shared
@pytest.mark.slow
def test_train_on_real_toxicity_labels_ranks_well(tmp_path: Path) -> None:
    _, report = train(
        tmp_path, data=str(SHARED / "data" / "text" / "toxic-03.jsonl.zst"), label_column="toxic", lr=0.1, epoch=5,
        bucket=50_000, minn=0, maxn=0,
    )  # fmt: skip
    assert report.to_json()["figures"]["auc"] > 0.85
