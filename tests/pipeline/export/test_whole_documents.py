"""Documents rebuilt from segments equal the ones that were packed, whatever rows their segments stand in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.export import whole_documents as module
from pipeline.export.source import Source, find, open_source
from pipeline.export.token_shard import open_shard
from pipeline.export.whole_documents import whole_documents
from pipeline.store import Folder
from tests.pipeline.export import artifacts
from tests.pipeline.export.artifacts import LENGTH, OVERLAP, Tokens, packed, replaced, tokens_run, tokens_shard


def source_of(output: str) -> Source:
    return open_source(find(output, ["tokens"], None))


def rebuilt(output: str, place: int = 0, end_first: bool = False) -> list[Tokens]:
    source = source_of(output)
    documents = []
    for block in whole_documents(source, open_shard(source, source.shards[place]), end_first=end_first):
        assert block.ids_T.dtype == source.contract["dtype"]
        documents += [part.tolist() for part in np.split(block.ids_T, np.cumsum(block.num_tokens_D))[:-1]]
    return documents


def one_shard(folder: Path, documents: dict[bytes, Tokens], rows: list | None = None) -> str:
    run = tokens_run(folder, splits=["train"], num_shards=1)
    rows = packed(documents, run.contract, np.random.default_rng(3)) if rows is None else rows
    return replaced(run, {"shards/train-00000.arrow": tokens_shard(rows, run.contract)})


@pytest.mark.parametrize("vocab_size", [300, 70_000])
def test_whole_documents_of_a_run_are_what_was_packed(tmp_path: Path, vocab_size: int) -> None:
    run = tokens_run(tmp_path, vocab_size)
    places = range(len(source_of(run.output).shards))
    eot = run.contract["eot_id"]
    found = sorted(d for place in places for d in rebuilt(run.output, place))
    everything = {id_: ids for split in run.documents.values() for id_, ids in split.items()}
    assert found == artifacts.ending(everything, run.contract)
    before = sorted(d for place in places for d in rebuilt(run.output, place, end_first=True))
    assert before == sorted([eot, *ids] for ids in everything.values())


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 5 * LENGTH), min_size=1, max_size=12),
    block=st.integers(1, 80),
    seed=st.integers(0, 1000),
)
def test_whole_documents_any_lengths_and_blocks_are_rebuilt(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], block: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    documents = {random.bytes(16): random.integers(0, 250, length).tolist() for length in lengths}
    output = one_shard(tmp_path_factory.mktemp("run"), documents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_TOKENS", block)
        assert sorted(rebuilt(output)) == sorted([*ids, 298] for ids in documents.values())


def test_whole_documents_come_in_the_order_of_their_first_segments(tmp_path: Path) -> None:
    ids = {bytes([9 - i]) * 16: [i] * (3 * LENGTH) for i in range(10)}
    run = tokens_run(tmp_path, splits=["train"], num_shards=1)
    rows = packed(ids, run.contract, np.random.default_rng(5))
    output = replaced(run, {"shards/train-00000.arrow": tokens_shard(rows, run.contract)})
    firsts = [
        row["input_ids"][start + 1]
        for row in rows
        for start, offset in zip(row["segment_starts"], row["segment_offsets"], strict=True)
        if offset == 0
    ]
    assert [document[0] for document in rebuilt(output)] == firsts


def test_whole_documents_equal_ones_under_one_id_are_all_kept(tmp_path: Path) -> None:
    ids = list(range(3 * LENGTH))
    run = tokens_run(tmp_path, splits=["train"], num_shards=1)
    rows = packed({b"a" * 16: ids}, run.contract, np.random.default_rng(1)) * 3
    assert rebuilt(one_shard(tmp_path / "b", {}, rows)) == [[*ids, 298]] * 3


def test_whole_documents_different_ones_under_one_id_are_refused(tmp_path: Path) -> None:
    run = tokens_run(tmp_path, splits=["train"], num_shards=1)
    random = np.random.default_rng(1)
    rows = [row for ids in ([1, 2], [1, 3]) for row in packed({b"a" * 16: ids}, run.contract, random)]
    with pytest.raises(DataError, match=f"two different documents under the id {'61' * 16}"):
        rebuilt(one_shard(tmp_path / "b", {}, rows))


def test_whole_documents_cut_in_different_places_under_one_id_are_refused(tmp_path: Path) -> None:
    run = tokens_run(tmp_path, splits=["train"], num_shards=1)
    random = np.random.default_rng(1)
    rows = [row for n in (20, 9) for row in packed({b"a" * 16: list(range(n))}, run.contract, random)]
    with pytest.raises(DataError, match=f"segments of document {'61' * 16} that do not join, or of two documents"):
        rebuilt(one_shard(tmp_path / "b", {}, rows))


def test_whole_documents_without_one_of_their_segments_are_refused(tmp_path: Path) -> None:
    run = tokens_run(tmp_path, splits=["train"], num_shards=1)
    rows = packed({b"a" * 16: list(range(5 * LENGTH))}, run.contract, np.random.default_rng(1))
    middle = next(i for i, row in enumerate(rows) if row["segment_offsets"] == [2 * (LENGTH - OVERLAP)])
    with pytest.raises(DataError, match=f"segments of document {'61' * 16} that do not join"):
        rebuilt(one_shard(tmp_path / "b", {}, rows[:middle] + rows[middle + 1 :]))
    last = max(range(len(rows)), key=lambda i: max(rows[i]["segment_offsets"]))
    with pytest.raises(DataError, match="without the end-of-text token 298 around it"):
        rebuilt(one_shard(tmp_path / "c", {}, rows[:last] + rows[last + 1 :]))


@pytest.mark.parametrize(
    "field, value",
    [("num_real", LENGTH + 1), ("segment_starts", [5, 5]), ("loss_starts", [1, LENGTH]), ("loss_starts", [])],
)
def test_whole_documents_impossible_segments_are_refused(tmp_path: Path, field: str, value: object) -> None:
    run = tokens_run(tmp_path, splits=["train"], num_shards=1)
    rows = packed({b"a" * 16: [1, 2], b"b" * 16: [3]}, run.contract, np.random.default_rng(1))
    rows[0][field] = value
    with pytest.raises(DataError, match=r"segments (that do not fit into their rows|without a document)"):
        rebuilt(one_shard(tmp_path / "b", {}, rows))


def test_open_shard_that_is_no_arrow_stream_is_refused(tmp_path: Path) -> None:
    run = tokens_run(tmp_path, splits=["train"], num_shards=1)
    replaced(run, {"shards/train-00000.arrow": b"nothing of the kind" * 50})
    with pytest.raises(DataError, match=r"a damaged shard .*crawlmill verify"):
        rebuilt(run.output)


@pytest.mark.parametrize(
    "said, message",
    [
        ({"tokenizer_sha256": "0" * 64}, r"says tokenizer_sha256 0{64}, but tokens 'chunks' \(\w{16}\) says \w{64}"),
        ({"eot_id": 7}, r"says eot_id 7, but tokens 'chunks' \(\w{16}\) says 298"),
        ({"length": 8}, r"says length 8, but tokens 'chunks' \(\w{16}\) says 16"),
        (None, "does not say which tokenizer it is of"),
    ],
)
def test_open_shard_of_another_contract_names_both(tmp_path: Path, said: dict | None, message: str) -> None:
    run = tokens_run(tmp_path, splits=["train"], num_shards=1)
    rows = packed({b"a" * 16: [1]}, run.contract, np.random.default_rng(1))
    shard = tokens_shard(rows, run.contract, {} if said is None else {**run.contract, **said})
    output = replaced(run, {"shards/train-00000.arrow": shard})
    with pytest.raises(DataError, match=message):
        rebuilt(output)


def test_open_shard_with_other_columns_is_refused(tmp_path: Path) -> None:
    run = tokens_run(tmp_path, splits=["train"], num_shards=1)
    contract = {**run.contract, "length": 17}
    rows = packed({b"a" * 16: [1]}, run.contract, np.random.default_rng(1))
    output = replaced(run, {"shards/train-00000.arrow": tokens_shard(rows, run.contract, contract)}, contract)
    with pytest.raises(DataError, match=r"has the columns input_ids fixed_size_list.*expected rows of 17 uint16 ids"):
        rebuilt(output)


def test_open_source_with_another_tokenizer_names_both(tmp_path: Path) -> None:
    run = tokens_run(tmp_path, splits=["train"], num_shards=1)
    words = next(name for name in Folder(run.output).list("vocabulary") if name.endswith("tokenizer.json"))
    Folder(run.output).write_bytes(words, b"{}")
    with pytest.raises(DataError) as found:
        source_of(run.output)
    assert "tokenizer.json has sha256 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" in str(
        found.value
    )
    assert f"tokens 'chunks' ({run.chunks.fingerprint[:16]}) was packed with {run.contract['tokenizer_sha256']}" in str(
        found.value
    )
