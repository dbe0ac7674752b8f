"""Rows led back to documents, packed by hand and by the packing stage."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from pretrain import data, provenance
from stages import pack
from tests.pretrain.packed import contract
from tests.pretrain.traced import Document, commit, id_of, stream, write_inputs, write_run
from tests.stages.pack_context import run_stage

LENGTH = 32
DOCUMENTS = [Document(text=f"document {n} " + "abc " * (n % 13), url=f"https://h{n}.example/") for n in range(20)]


def test_pieces_are_the_documents_tokens_in_the_rows_as_training_reads_them(tmp_path: Path) -> None:
    source = write_run(tmp_path, DOCUMENTS, LENGTH)
    rows = data.open_rows(source.shards, contract(LENGTH))
    found = provenance.pieces((source,), np.arange(rows.num_rows))
    batch = data.read_batch(rows, np.arange(rows.num_rows))
    streams = {id_of(n): stream(d.text) for n, d in enumerate(DOCUMENTS)}
    assert set(found.ids) == set(streams)
    for n, id in enumerate(found.ids):
        offset, size = int(found.offset_N[n]), int(found.num_tokens_N[n])
        tokens = streams[id][offset : offset + size]
        assert found.tokens[n].tolist() == tokens
        row, segment = found.row_N[n], found.segment_N[n]
        assert batch.ids_BT[row][batch.segment_BT[row] == segment].tolist()[:size] == tokens
    assert (np.diff(provenance.key_of(found.row_N, found.segment_N)) > 0).all()


def test_pieces_of_two_sources_are_numbered_one_after_the_other(tmp_path: Path) -> None:
    first, second = (write_run(tmp_path / name, DOCUMENTS[a:b], LENGTH) for name, a, b in (("1", 0, 8), ("2", 8, 20)))
    num_first = data.open_rows(first.shards, contract(LENGTH)).num_rows
    found = provenance.pieces((first, second), np.array([num_first]))
    assert found.source_N.tolist() == [1] * len(found.ids)
    alone = provenance.pieces((second,), np.array([0]))
    assert found.ids == alone.ids


def test_look_up_finds_the_columns_of_the_documents(tmp_path: Path) -> None:
    source = write_run(tmp_path, DOCUMENTS, LENGTH)
    segments = provenance.pieces((source,), np.array([0, 3, 4]))
    found = provenance.look_up((source,), segments, text_chars=12)
    assert set(found.documents) == set(segments.ids)
    assert found.missing == ""
    for id, columns in found.documents.items():
        document = DOCUMENTS[int.from_bytes(id)]
        assert (columns["url"], columns["language"], columns["quality"]) == (document.url, "en", 0.5)
        assert columns["text"] == document.text[:12]
    assert "text" not in next(iter(provenance.look_up((source,), segments).documents.values()))
    some = provenance.select(segments, [1])
    assert set(provenance.look_up((source,), some).documents) == {segments.ids[1]}


@pytest.mark.parametrize("lost", ["clean", "shard", "unsaid"])
def test_look_up_of_documents_that_are_gone_says_so_and_fails_nothing(tmp_path: Path, lost: str) -> None:
    source = write_run(tmp_path, DOCUMENTS, LENGTH)
    segments = provenance.pieces((source,), np.array([0]))
    if lost == "clean":
        shutil.rmtree(tmp_path / "clean")
    elif lost == "shard":
        (Path(source.documents) / "shards" / "00000.parquet").write_bytes(b"PAR1")
    else:
        source = provenance.Source(name=source.name, shards=source.shards)
    found = provenance.look_up((source,), segments)
    assert found.documents == {}
    expected = {
        "clean": "the documents that chunks was packed from, of step 'clean', are gone",
        "shard": "clean/shards/00000.parquet cannot be read", "unsaid": "chunks does not say which documents",
    }  # fmt: skip
    assert expected[lost] in found.missing


def test_pieces_of_what_the_packing_stage_wrote_are_its_documents(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path, DOCUMENTS)
    cfg = pack.Config(length=LENGTH, overlap=4, validation_share=0.4)
    written, _ = run_stage(pack.pack, cfg, inputs, str(tmp_path / "packed"))
    files = {name: written.folder.read_bytes(name) for name in written.shards()}
    chunks = commit(tmp_path, "chunks", "tokens", inputs, files, written.manifest["contract"])
    met = []
    for split in ("train", "validation"):
        shards = tuple(str(chunks.folder.local_path(name)) for name in chunks.shards() if f"/{split}-" in name)
        source = provenance.source_of(chunks, shards)
        rows = data.open_rows(shards, chunks.manifest["contract"])
        segments = provenance.pieces((source,), np.arange(rows.num_rows))
        found = provenance.look_up((source,), segments, text_chars=1000)
        assert set(found.documents) == set(segments.ids)
        assert found.missing == ""
        tokenizer = Tokenizer.from_file(f"{source.tokenizer}/tokenizer.json")
        for n, id in enumerate(segments.ids):
            if segments.offset_N[n] == 0:
                assert found.documents[id]["text"].startswith(tokenizer.decode(segments.tokens[n].tolist()))
        met += sorted(set(segments.ids))
    assert sorted(met) == [id_of(n) for n in range(len(DOCUMENTS))]
