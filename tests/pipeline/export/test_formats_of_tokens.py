"""Tokens exported to each format, read back by its own library, are ours exactly."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import DataError
from pipeline.export import flat_tokens, litdata, llmc, mds
from pipeline.export.exporting import export
from pipeline.export.source import find, open_source
from pipeline.export.token_shard import open_shard
from pipeline.store import Folder
from tests.pipeline.export.artifacts import LENGTH, TokensRun, cut_at, ending, exported, tokens_run, tree
from tests.pipeline.export.readers import needs_readers, read_with

WORDS = [300, 70_000]  # sizes of vocabularies: ids of two bytes, and of four
SPLITS = ["train", "validation"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, TokensRun]:
    return {words: tokens_run(tmp_path_factory.mktemp("run"), words) for words in WORDS}


def our_rows(run: TokensRun, split: str) -> list[dict[str, Any]]:
    source = open_source(find(run.output, ["tokens"], None))
    shards = [open_shard(source, shard) for shard in source.shards if shard.split == split]
    return [row for shard in shards for batch in shard.batches for row in batch.to_pylist()]


def test_nanogpt_is_read_as_nanogpt_reads_it(runs: dict[int, TokensRun], tmp_path: Path) -> None:
    run = runs[300]
    exported(run.output, "nanogpt", tmp_path)
    for split, name in zip(SPLITS, ["train.bin", "val.bin"], strict=True):
        flat = np.memmap(os.path.join(tmp_path, name), dtype=np.uint16, mode="r")
        assert cut_at(flat, run.contract["eot_id"]) == ending(run.documents[split], run.contract)
    assert pickle.loads((tmp_path / "meta.pkl").read_bytes())["vocab_size"] == 300


def test_nanogpt_ids_of_four_bytes_are_refused(runs: dict[int, TokensRun], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ids of uint32; expected a vocabulary of at most 65,536"):
        exported(runs[70_000].output, "nanogpt", tmp_path)
    assert tree(tmp_path) == {}


def llmc_shard(path: Path) -> np.ndarray:
    """What modded-nanogpt's loader does, with llm.c's other dtype."""
    header = np.fromfile(path, "<i4", 256)
    dtype = {(20240520, 1): np.uint16, (20240801, 7): np.uint32}[tuple(header[:2].tolist())]
    tokens = np.fromfile(path, dtype, offset=1024)
    assert len(tokens) == header[2]
    assert not header[3:].any()
    return tokens


@pytest.mark.parametrize("words", WORDS)
def test_llmc_files_follow_on_each_other(
    runs: dict[int, TokensRun], tmp_path: Path, words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llmc, "TOKENS_PER_FILE", 1000)
    run = runs[words]
    exported(run.output, "llmc", tmp_path)
    for split, stem in zip(SPLITS, ["train", "val"], strict=True):
        files = sorted(tmp_path.glob(f"{stem}_*.bin"))
        parts = [llmc_shard(path) for path in files]
        assert [path.name for path in files] == [f"{stem}_{i:06d}.bin" for i in range(len(parts))]
        assert all(len(part) == 1000 for part in parts[:-1])
        flat = np.concatenate(parts)
        assert flat[0] == run.contract["eot_id"]
        assert cut_at(np.append(flat[1:], flat[0]), run.contract["eot_id"]) == ending(
            run.documents[split], run.contract
        )


@pytest.mark.slow
@needs_readers
def test_megatron_sequences_are_our_documents(runs: dict[int, TokensRun], tmp_path: Path) -> None:
    prefixes = []
    for words, run in runs.items():
        exported(run.output, "megatron", tmp_path / str(words))
        prefixes += [tmp_path / str(words) / split for split in SPLITS]
    for prefix, found in zip(prefixes, read_with("megatron", *prefixes), strict=True):
        run = runs[int(prefix.parent.name)]
        assert found["dtype"] == {300: "uint16", 70_000: "int32"}[run.contract["vocab_size"]]
        assert sorted(found["sequences"]) == ending(run.documents[prefix.name], run.contract)
        assert found["document_indices"] == list(range(len(found["sequences"]) + 1))
        assert found["all"], "one slice reads the same as one sequence after the other"


@needs_readers
def test_litdata_blocks_are_the_stream_in_order(
    runs: dict[int, TokensRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block, chunk_bytes = 10, 4000
    monkeypatch.setattr(litdata, "CHUNK_BYTES", chunk_bytes)
    folders = []
    for words, run in runs.items():
        exported(run.output, "litdata", tmp_path / str(words))
        folders += [tmp_path / str(words) / split for split in SPLITS]
    for folder, found in zip(folders, read_with("litdata", str(block), *folders), strict=True):
        run = runs[int(folder.parent.name)]
        dtype = run.contract["dtype"]
        assert found["dtype"] == {"uint16": "torch.uint16", "uint32": "torch.int32"}[dtype]
        index = json.loads((folder / "index.json").read_text())
        chunks = [np.fromfile(folder / chunk["filename"], dtype, offset=12) for chunk in index["chunks"]]
        assert all(chunk.nbytes == chunk_bytes for chunk in chunks[:-1])
        assert cut_at(np.concatenate(chunks), run.contract["eot_id"]) == ending(
            run.documents[folder.name], run.contract
        )
        whole = [chunk[: len(chunk) // block * block].reshape(-1, block).tolist() for chunk in chunks]
        assert found["blocks"] == [row for rows in whole for row in rows]
        assert index["crawlmill"] == run.contract


@needs_readers
def test_mds_samples_are_our_rows(runs: dict[int, TokensRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mds, "SIZE_LIMIT", 2000)
    folders = []
    for words, run in runs.items():
        exported(run.output, "mds", tmp_path / str(words))
        folders += [tmp_path / str(words) / split for split in SPLITS]
    names = ("input_ids", "segment_starts", "loss_starts", "num_real")
    for folder, found in zip(folders, read_with("streaming", *folders), strict=True):
        run = runs[int(folder.parent.name)]
        assert found["types"] == {
            "input_ids": run.contract["dtype"], "segment_starts": "uint16", "loss_starts": "uint16",
            "num_real": "uint16",
        }  # fmt: skip
        assert found["samples"] == [{name: row[name] for name in names} for row in our_rows(run, folder.name)]
        assert len(list(folder.glob("shard.00000.*.mds"))) > 1
        assert all(path.stat().st_size <= 2000 for path in folder.glob("*.mds"))
        assert json.loads((folder / "index.json").read_text())["crawlmill"] == run.contract


def test_mds_rows_of_more_than_255_segments_have_the_longer_header() -> None:
    lists = pa.array([list(range(255)), list(range(256)), [7]], pa.list_(pa.uint16()))
    found = [bytes(value) for value in mds._arrays(lists).to_pylist()]
    values = np.arange(256, dtype="<u2")
    assert found[0] == b"\x04\xff" + values[:255].tobytes()
    assert found[1] == b"\x05\x00\x01" + values.tobytes()
    assert found[2] == b"\x04\x01\x07\x00"


def test_hf_folder_opens_both_ways(runs: dict[int, TokensRun], tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    for words, run in runs.items():
        into = tmp_path / str(words)
        exported(run.output, "hf", into)
        loaded = datasets.load_dataset(str(into), cache_dir=str(tmp_path / "cache"))
        mapped = datasets.load_from_disk(str(into))
        for split in SPLITS:
            expected = our_rows(run, split)
            assert mapped[split].to_list() == expected
            assert loaded[split].to_list() == expected
        assert mapped["train"].features["input_ids"].length == LENGTH
        assert run.contract["tokenizer_sha256"] in (into / "README.md").read_text()


@pytest.mark.parametrize("format_", ["hf", "megatron", "mds", "litdata", "nanogpt", "llmc"])
@pytest.mark.parametrize("splits", [["train"], ["validation"], []])
def test_export_without_a_split_has_nothing_of_it(tmp_path: Path, format_: str, splits: Sequence[str]) -> None:
    run = tokens_run(tmp_path / "run", splits=splits)
    done = exported(run.output, format_, tmp_path / "out")
    assert {name for name, counts in done.record["splits"].items() if counts.get("tokens")} == set(splits)
    names = " ".join(tree(tmp_path / "out"))
    assert ("val" in names) == ("validation" in splits)
    assert ("train" in names) == ("train" in splits)


@pytest.mark.parametrize("format_", ["hf", "megatron", "mds", "litdata", "nanogpt", "llmc"])
def test_every_export_of_tokens_carries_its_contract(runs: dict[int, TokensRun], tmp_path: Path, format_: str) -> None:
    run = runs[300]
    exported(run.output, format_, tmp_path)
    record = json.loads((tmp_path / "crawlmill.json").read_text())
    assert record["contract"] == run.contract
    assert record["fingerprint"] == run.chunks.fingerprint
    assert json.loads((tmp_path / "tokenizer.json").read_text()) == {"made": "by hand", "vocab_size": 300}
    found = {name: len(data) for name, data in tree(tmp_path).items() if name != "crawlmill.json"}
    assert {entry["name"]: entry["bytes"] for entry in record["files"]} == found


def test_flat_formats_on_a_remote_folder_are_refused(runs: dict[int, TokensRun]) -> None:
    source = open_source(find(runs[300].output, ["tokens"], None))
    for format_ in ("nanogpt", "megatron", "litdata", "llmc"):
        with pytest.raises(DataError, match="grows shard by shard; expected a local folder"):
            export(source, format_, Folder("s3://bucket/out"), {}, lambda done, total: None)


def test_append_shard_counts_what_it_appends(runs: dict[int, TokensRun], tmp_path: Path) -> None:
    done = exported(runs[300].output, "megatron", tmp_path)
    for split, documents in runs[300].documents.items():
        tokens = sum(len(ids) + 1 for ids in documents.values())
        assert done.record["splits"][split] == {"documents": len(documents), "tokens": tokens}
        assert (tmp_path / f"{split}.bin").stat().st_size == 2 * tokens
    assert flat_tokens.LENGTH.itemsize == 4
