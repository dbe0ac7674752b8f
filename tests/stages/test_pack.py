"""stages/pack.py: what is packed can be unpacked, every token is a target once, batches and layout change nothing."""

from __future__ import annotations

import dataclasses
import functools
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pipeline import document_reader
from pipeline.errors import DataError, FieldError
from pipeline.schemas import tokens_schema
from pipeline.store import Folder
from stages import pack, vocabulary
from stages.packing import modes, token_shard
from tests.stages.pack_context import MadeArtifact, Report, document_id, run_stage, write_documents
from tests.stages.packing.unpacking import rows_of, segments_of, unpacked
from tests.tokenizer.corpus import texts

MODES = get_args(pack.Packing)
Document = tuple[bytes, str | None, str]


@functools.cache
def learned() -> MadeArtifact:
    """A vocabulary of 600, kept for the whole session."""
    folder = tempfile.mkdtemp(prefix="crawlmill-test-")
    corpus = documents(texts(200))
    config = vocabulary.Config(vocab_size=600, reserved_tokens=0, special_tokens=("<|end_of_text|>", "<|pad|>"))
    inputs = {"documents": write_documents(f"{folder}/documents", [corpus])}
    return run_stage(vocabulary.vocabulary, config, inputs, f"{folder}/vocabulary")[0]


EOT, PAD = 598, 599


def documents(contents: Sequence[str | None], first: int = 0) -> list[Document]:
    return [(document_id(first + i), text, "en") for i, text in enumerate(contents)]


def packed(
    shards: Sequence[Sequence[Document]], location: Path | str, config: pack.Config, row_group_size: int = 1000
) -> tuple[MadeArtifact, Report]:
    inputs = {
        "documents": write_documents(f"{location}/documents", shards, row_group_size), "vocabulary": learned(),
    }  # fmt: skip
    return run_stage(pack.pack, config, inputs, f"{location}/tokens")


def expected_streams(shards: Sequence[Sequence[Document]]) -> dict[bytes, list[int]]:
    tokenizer = Tokenizer.from_str(learned().folder.read_bytes("tokenizer.json").decode())
    tokenizer.encode_special_tokens = True
    return {
        id_: [EOT, *tokenizer.encode(text).ids, EOT] for shard in shards for id_, text, _ in shard if text
    }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(data=st.data(), length=st.integers(2, 70), shard_sizes=st.lists(st.integers(0, 12), max_size=3))
def test_pack_any_documents_unpack_to_their_tokens(data: st.DataObject, length: int, shard_sizes: list[int]) -> None:
    mode = data.draw(st.sampled_from(MODES))
    overlap = data.draw(st.integers(1, length - 1)) if mode == "overlap" else None
    config = pack.Config(packing=mode, length=length, overlap=overlap, validation_share=0.3)
    text = st.one_of(st.none(), st.text(max_size=30), st.sampled_from(texts(20, seed=4)))
    shards, first = [], 0
    for size in shard_sizes:
        shards.append(documents(data.draw(st.lists(text, min_size=size, max_size=size)), first))
        first += size
    with tempfile.TemporaryDirectory() as folder:
        tokens, report = packed(shards, folder, config)
        rows = rows_of(tokens)
    streams = expected_streams(shards)
    assert unpacked(rows, PAD) == streams
    assert report.counters["empty_documents"] == sum(not text for shard in shards for _, text, _ in shard)
    assert report.counters["truncated_tokens"] == 0
    assert tokens.manifest["contract"]["num_tokens"] == sum(len(s) - 1 for s in streams.values())


def test_pack_a_million_tokens_and_an_empty_document(tmp_path: Path) -> None:
    long_text = "".join(texts(1000, seed=8) * 12)
    shards = [documents([long_text, "", None, "short"])]
    tokens, report = packed(shards, tmp_path, pack.Config(validation_share=0))
    streams = expected_streams(shards)
    assert len(streams[document_id(0)]) > 1_000_000
    assert unpacked(rows_of(tokens), PAD) == streams
    assert report.counters["empty_documents"] == 2
    assert report.figures["duplication_factor"] == pytest.approx(512 / 448, abs=0.001)


def test_pack_windows_of_a_few_segments_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "WINDOW_TOKENS", 100)
    shards = [documents(texts(60, seed=6))]
    small, _ = packed(shards, tmp_path / "small", pack.Config(length=64, overlap=8))
    monkeypatch.undo()
    monkeypatch.setattr(modes, "WINDOW_SEGMENTS", 3)
    few, _ = packed(shards, tmp_path / "few", pack.Config(length=64, overlap=8))
    monkeypatch.undo()
    whole, _ = packed(shards, tmp_path / "whole", pack.Config(length=64, overlap=8))
    assert unpacked(rows_of(small), PAD) == unpacked(rows_of(few), PAD) == expected_streams(shards)
    counts = [t.manifest["contract"]["num_rows_train"] for t in (whole, few, small)]
    assert counts == sorted(counts) and counts[0] < counts[-1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("read_rows, row_group_size", [(1, 1000), (7, 3), (1024, 10)])
def test_pack_other_batches_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Any, read_rows: int, row_group_size: int
) -> None:
    shards = [documents(texts(50, seed=7)), documents([*texts(20, seed=8), ""], 100)]
    config = pack.Config(packing=mode, length=64, overlap=8 if mode == "overlap" else None, validation_share=0.2)
    for name in ("WINDOW_TOKENS", "WINDOW_TOKENS_IN_ORDER"):
        monkeypatch.setattr(modes, name, 1000)
    expected, _ = packed(shards, tmp_path / "one", config)
    monkeypatch.setattr(document_reader, "READ_ROWS", read_rows)
    found, _ = packed(shards, tmp_path / "other", config, row_group_size)
    assert found.shards() == expected.shards()
    for name in found.shards():
        assert found.folder.read_bytes(name) == expected.folder.read_bytes(name)
    assert found.manifest == expected.manifest


@pytest.mark.parametrize("mode", MODES)
def test_pack_other_shards_and_batches_same_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Any) -> None:
    rows = documents(texts(200, seed=3))
    config = pack.Config(packing=mode, validation_share=0.2)
    one, _ = packed([rows], tmp_path / "one", config)
    monkeypatch.setattr(document_reader, "READ_ROWS", 9)
    three, _ = packed([rows[150:], rows[:10], [], rows[10:150]], tmp_path / "three", config)
    for split in ("train", "validation"):
        assert unpacked(rows_of(one, split), PAD) == unpacked(rows_of(three, split), PAD)
    validation = unpacked(rows_of(one, "validation"), PAD)
    assert 20 <= len(validation) <= 60  # 40 expected, standard deviation 5.7
    other_seed, _ = packed([rows], tmp_path / "seed", dataclasses.replace(config, seed=2))
    assert set(unpacked(rows_of(other_seed, "validation"), PAD)) != set(validation)


def test_pack_every_mode_has_the_same_validation_documents(tmp_path: Path) -> None:
    rows = documents(texts(100, seed=3))
    configs = [pack.Config(packing=mode, validation_share=0.2) for mode in MODES]
    splits = [packed([rows], tmp_path / config.packing, config)[0] for config in configs]
    validation, *others = (unpacked(rows_of(tokens, "validation"), PAD) for tokens in splits)
    assert validation and all(other == validation for other in others)


def test_pack_shard_without_documents_of_a_split_has_no_file(tmp_path: Path) -> None:
    tokens, _ = packed([documents(["a"]), [], documents([None, ""])], tmp_path, pack.Config(validation_share=0))
    assert tokens.shards() == ["shards/train-00000.arrow"]
    assert tokens.manifest["contract"]["num_rows_validation"] == 0


def test_pack_no_shards_at_all_gives_an_empty_artifact(tmp_path: Path) -> None:
    tokens, report = packed([], tmp_path, pack.Config())
    assert tokens.shards() == [] and tokens.manifest["contract"]["num_tokens"] == 0
    assert "fill" not in report.figures and report.counters["truncated_tokens"] == 0


def test_pack_special_token_names_in_pages_stay_text(tmp_path: Path) -> None:
    shards = [documents(["a <|end_of_text|> b", "<|pad|>" * 5])]
    streams = unpacked(rows_of(packed(shards, tmp_path, pack.Config())[0]), PAD)
    for stream in streams.values():
        assert stream[0] == stream[-1] == EOT and max(stream[1:-1]) < EOT


@pytest.mark.parametrize("mode", MODES)
def test_pack_report_figures_equal_a_count_over_the_rows(tmp_path: Path, mode: Any) -> None:
    shards = [documents(texts(80, seed=5)), documents(texts(40, seed=6), 200)]
    overlap = 16 if mode == "overlap" else None
    config = pack.Config(packing=mode, length=128, overlap=overlap, validation_share=0.1)
    tokens, report = packed(shards, tmp_path, config)
    rows, streams = rows_of(tokens), expected_streams(shards)
    segments = [segment for row in rows for segment in segments_of(row, PAD)]
    real = sum(row["num_real"] for row in rows)
    contexts = [place for _, _, ids, context in segments for place in range(context, len(ids))]
    pieces = Counter(document for document, _, ids, context in segments if context < len(ids))
    assert report.figures["fill"] == pytest.approx(real / (128 * len(rows)), abs=1e-6)
    assert report.figures["duplication_factor"] == pytest.approx(real / sum(map(len, streams.values())), abs=1e-6)
    assert report.figures["documents_cut"] == pytest.approx(sum(n > 1 for n in pieces.values()) / 120, abs=1e-6)
    assert report.figures["mean_context_tokens"] == pytest.approx(np.mean(contexts), abs=0.01)
    assert report.counters["train_documents"] + report.counters["validation_documents"] == 120
    assert report.counters["truncated_tokens"] == 0
    labels, counts = report.histograms["tokens per document"]
    lengths = [len(s) - 2 for s in streams.values()]
    assert counts == [sum(2**i <= n < 2 ** (i + 1) for n in lengths) for i in map(_exponent, labels)]
    contract = tokens.manifest["contract"]
    assert contract["num_rows_train"] == len(rows_of(tokens, "train"))
    assert contract["num_rows_validation"] == len(rows_of(tokens, "validation")) > 0


def _exponent(label: str) -> int:
    return int(label.split("-")[0]).bit_length() - 1


def test_pack_shards_open_in_datasets_and_map_without_a_copy(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    tokens, _ = packed([documents(texts(300, seed=2))], tmp_path, pack.Config(validation_share=0.2))
    for name in tokens.shards():
        path = str(tokens.folder.local_path(name))
        before = pa.total_allocated_bytes()
        table = pa.ipc.open_stream(pa.memory_map(path)).read_all()
        assert pa.total_allocated_bytes() == before
        loaded = datasets.Dataset.from_file(path)
        assert loaded.column_names == table.column_names
        assert loaded.to_list() == table.to_pylist()


def test_pack_file_metadata_and_contract_name_the_tokenizer(tmp_path: Path) -> None:
    tokens, _ = packed([documents(["a b c"])], tmp_path, pack.Config())
    contract = tokens.manifest["contract"]
    promised = learned().manifest["contract"]
    schema = pa.ipc.open_stream(tokens.folder.open_input("shards/train-00000.arrow")).schema
    metadata = json.loads(schema.metadata[b"crawlmill"])
    assert metadata == {k: contract[k] for k in metadata}
    assert metadata["tokenizer_sha256"] == promised["tokenizer_sha256"]
    assert (contract["eot_id"], contract["bos_id"], contract["pad_id"]) == (EOT, EOT, PAD)
    assert (contract["dtype"], contract["length"], contract["overlap"]) == ("uint16", 512, 64)
    assert schema.field("input_ids").type == pa.list_(pa.uint16(), 512)


@pytest.mark.parametrize("mode, repeated", [("overlap", 64), ("best_fit", 1), ("concatenate", 1), ("document", 1)])
def test_pack_file_metadata_and_contract_name_the_mode(tmp_path: Path, mode: Any, repeated: int) -> None:
    tokens, _ = packed([documents(["a b c"])], tmp_path, pack.Config(packing=mode))
    schema = pa.ipc.open_stream(tokens.folder.open_input("shards/train-00000.arrow")).schema
    for found in (json.loads(schema.metadata[b"crawlmill"]), tokens.manifest["contract"]):
        assert (found["packing"], found["overlap"]) == (mode, repeated)


def test_pack_tasks_are_not_sent_the_inputs_manifests(tmp_path: Path) -> None:
    made = write_documents(str(tmp_path / "documents"), [documents(["a b c"])])
    heavy = {**made.manifest, "files": lambda: "cannot be pickled"}
    inputs = {
        "documents": dataclasses.replace(made, manifest=heavy),
        "vocabulary": dataclasses.replace(learned(), manifest={**learned().manifest, "files": heavy["files"]}),
    }
    tokens, _ = run_stage(pack.pack, pack.Config(validation_share=0), inputs, str(tmp_path / "tokens"))
    assert len(rows_of(tokens)) == 1


def test_token_shard_large_vocabulary_keeps_ids_above_16_bits(tmp_path: Path) -> None:
    ids_T, offset_D = np.array([70_000, 99_999, 5], np.uint32), np.array([0, 3])
    schema, mode = tokens_schema(8, 100_001), modes.best_fit(8, 2)
    with token_shard.TokenShard(Folder(str(tmp_path)), "x.arrow", schema, 100_000, mode) as shard:
        shard.add(np.array([0]), ids_T, offset_D, np.zeros((1, 16), np.uint8), delimiter=90_000)
    table = pa.ipc.open_stream(str(tmp_path / "x.arrow")).read_all()
    assert table["input_ids"].to_pylist() == [[90_000, 70_000, 99_999, 5, 90_000, 100_000, 100_000, 100_000]]


def test_pack_tokenizer_other_than_promised_is_refused(tmp_path: Path) -> None:
    changed = write_documents(str(tmp_path / "documents"), [documents(["a"])])
    other = dataclasses.replace(
        learned(), manifest={"contract": {**learned().manifest["contract"], "tokenizer_sha256": "0" * 64}}
    )
    found = learned().manifest["contract"]["tokenizer_sha256"]
    with pytest.raises(DataError, match=f"{found}.*expected sha256 {'0' * 64}"):
        run_stage(pack.pack, pack.Config(), {"documents": changed, "vocabulary": other}, str(tmp_path / "tokens"))


@pytest.mark.parametrize(
    "field, settings",
    [
        ("length", {"length": 1}),
        ("length", {"length": 65_536}),
        ("overlap", {"overlap": 0}),
        ("overlap", {"length": 64, "overlap": 64}),
        ("overlap", {"length": 64}),
        ("overlap", {"packing": "best_fit", "overlap": 64}),
        ("overlap", {"packing": "concatenate", "overlap": 1}),
        ("overlap", {"packing": "document", "overlap": 1}),
        ("validation_share", {"validation_share": 1.0}),
        ("validation_share", {"validation_share": -0.1}),
    ],
)
def test_config_of_impossible_values_names_the_field(field: str, settings: dict[str, Any]) -> None:
    with pytest.raises(FieldError, match=f"^{field}"):
        pack.Config(**settings)
