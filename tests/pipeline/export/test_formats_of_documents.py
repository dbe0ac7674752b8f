"""Documents exported to each format, read back by its own library, are ours exactly, hostile text included."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from pipeline.errors import DataError
from tests.pipeline.export.artifacts import documents_run, documents_table, exported, tree
from tests.pipeline.export.readers import needs_readers, read_with

HOSTILE = [
    "two\nlines\r\nand\rmore", "NUL \0 and \x1b[2J", "line\u2028separators\u2029and\x85\x0b\x0c\x1c\x1d\x1e",
    '"\\u0041\\"', "\ufeffBOM", "\U0010ffff\ud7ff\ue000", "</script><!--", "", " ", "long" * 9000, "e\u0301 \u202e",
    "{}\n{}\n",
]  # fmt: skip


def tables() -> list[pa.Table]:
    """Three shards with columns of every kind, one of the shards empty."""
    texts = [*HOSTILE, *(f"document {i} " * (i % 7) for i in range(20))]
    first = texts[:15]
    more = {
        "quality": pa.array([i / 10 for i in range(14)] + [float("nan")], pa.float32()),
        "words": pa.array([None, *range(1, 15)], pa.int64()),
        "kept": pa.array([i % 2 == 0 for i in range(15)]),
        "bands": pa.array([[i, 2**64 - 1] for i in range(15)], pa.list_(pa.uint64(), 2)),
        "scores": pa.array([[0.5, float("inf")]] * 15, pa.list_(pa.float64())),
        "payload": pa.array([b"\xff\x00"] * 15, pa.large_binary()),
    }
    whole = documents_table(first, **more)
    rest = documents_table(texts[15:], first=15)
    for name in more:
        rest = rest.append_column(name, pa.nulls(len(rest), whole.schema.field(name).type))
    return [whole, whole.slice(0, 0), rest]


def expected() -> list[dict[str, Any]]:
    """The documents as JSON shows them."""
    rows = [row for table in tables() for row in table.to_pylist()]
    for row in rows:
        row["id"] = row["id"].hex()
        row["date"] = row["date"].strftime("%Y-%m-%dT%H:%M:%SZ")
        row["quality"] = None if row["quality"] is None or np.isnan(row["quality"]) else row["quality"]
        row["scores"] = row["scores"] and [0.5, None]
        del row["payload"]
    return rows


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return documents_run(tmp_path_factory.mktemp("run"), tables())


def jsonl(output: str, into: Path, compress: str) -> list[bytes]:
    """The plain content of the exported files."""
    exported(output, "jsonl", into, ["documents"], compress=compress)
    plain = {
        "zstd": lambda b: zstandard.ZstdDecompressor().stream_reader(b).read(),
        "gzip": gzip.decompress,
        "none": bytes,
    }
    return [plain[compress](path.read_bytes()) for path in sorted(into.glob("*.jsonl*"))]


def test_jsonl_is_the_same_in_any_compression(output: str, tmp_path: Path) -> None:
    found = {compress: jsonl(output, tmp_path / compress, compress) for compress in ("zstd", "gzip", "none")}
    assert found["zstd"] == found["gzip"] == found["none"]
    assert [len(data.splitlines()) for data in found["none"]] == [15, 0, 17]
    assert [json.loads(line) for data in found["none"] for line in data.split(b"\n")[:-1]] == expected()
    assert list(json.loads(found["none"][0].splitlines()[0]))[:4] == ["text", "id", "url", "date"]


def test_jsonl_lines_end_nowhere_else(output: str, tmp_path: Path) -> None:
    (first, _, last) = jsonl(output, tmp_path, "none")
    assert len(first.decode().splitlines()) == 15, "Python's splitlines takes ten characters for ends of lines"
    assert len(last.decode().splitlines()) == 17


def test_jsonl_opens_in_datasets(output: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    exported(output, "jsonl", tmp_path / "out", ["documents"], compress="zstd")
    files = sorted(str(path) for path in (tmp_path / "out").glob("*.zst"))
    loaded = datasets.load_dataset("json", data_files=files[:1], split="train", cache_dir=str(tmp_path / "cache"))
    whole = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert whole["text"][:] == [row["text"] for row in expected()]
    assert loaded["text"][:] == [row["text"] for row in expected()[:15]]
    assert loaded["id"][:] == [row["id"] for row in expected()[:15]]


def test_hf_documents_open_in_datasets(output: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    exported(output, "hf", tmp_path / "out", ["documents"])
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    ours = expected()
    for name in ("text", "id", "url", "words", "kept", "bands"):
        assert loaded[name][:] == [row[name] for row in ours]
    assert [date.strftime("%Y-%m-%dT%H:%M:%SZ") for date in loaded["date"]] == [row["date"] for row in ours]
    assert "payload" not in loaded.column_names


@needs_readers
def test_mds_documents_are_ours(output: str, tmp_path: Path) -> None:
    exported(output, "mds", tmp_path, ["documents"])
    (found,) = read_with("streaming", tmp_path)
    rows = expected()
    assert found["types"] == {"id": "str", "metadata": "dict", "text": "str"}
    assert [(s["id"], s["text"] or None) for s in found["samples"]] == [(r["id"], r["text"] or None) for r in rows]
    assert [s["metadata"] for s in found["samples"]] == [
        {name: value for name, value in row.items() if name not in ("id", "text")} for row in rows
    ]


@needs_readers
def test_webdataset_samples_are_ours(output: str, tmp_path: Path) -> None:
    exported(output, "webdataset", tmp_path, ["documents"])
    found = read_with("webdataset", f"{tmp_path}/{{00000..00002}}.tar")
    rows = expected()
    assert [key for key, _, _ in found] == [row["id"] for row in rows]
    assert [text for _, text, _ in found] == [row["text"] or "" for row in rows]
    assert [about for *_, about in found] == [{n: v for n, v in row.items() if n != "text"} for row in rows]


def test_webdataset_tar_opens_in_tarfile_and_tells_no_time(output: str, tmp_path: Path) -> None:
    exported(output, "webdataset", tmp_path, ["documents"])
    with tarfile.open(tmp_path / "00000.tar") as tar:
        members = tar.getmembers()
        assert len(members) == 30
        assert {(m.mtime, m.uid, m.gid, m.mode, m.uname, m.type) for m in members} == {(0, 0, 0, 0o444, "", b"0")}
        text = tar.extractfile(members[0])
        assert text is not None and text.read().decode() == HOSTILE[0]
    with tarfile.open(tmp_path / "00001.tar") as tar:
        assert tar.getmembers() == []


def test_webdataset_two_documents_in_a_row_under_one_id_are_refused(tmp_path: Path) -> None:
    table = documents_table(["one", "two"])
    output = documents_run(tmp_path / "run", [pa.concat_tables([table.slice(0, 1)] * 2)])
    with pytest.raises(DataError, match=f"two documents with the id {hashlib.md5(b'0').hexdigest()}"):
        exported(output, "webdataset", tmp_path / "out", ["documents"])


@pytest.mark.parametrize(
    "format_, options", [("jsonl", {"compress": "none"}), ("webdataset", {}), ("mds", {}), ("hf", {})]
)
def test_documents_that_are_no_text_are_refused(tmp_path: Path, format_: str, options: dict[str, str]) -> None:
    output = documents_run(tmp_path / "run", [documents_table(["one"]).drop_columns(["text"])])
    with pytest.raises(DataError, match=r"no column 'text' in documents 'clean' .* Choose a later step"):
        exported(output, format_, tmp_path / "out", ["documents"], **options)


@pytest.mark.parametrize(
    "format_, options", [("jsonl", {"compress": "gzip"}), ("webdataset", {}), ("mds", {}), ("hf", {})]
)
def test_exports_of_no_documents_at_all_are_whole(tmp_path: Path, format_: str, options: dict[str, str]) -> None:
    for name, shards in (("none", []), ("empty", [documents_table([])])):
        output = documents_run(tmp_path / name, shards)
        done = exported(output, format_, tmp_path / f"{name}-out", ["documents"], **options)
        assert sum(counts["documents"] for counts in done.record["splits"].values()) == 0
        assert "crawlmill.json" in tree(tmp_path / f"{name}-out")
