"""An export that is killed anywhere goes on and ends in the same bytes; a folder of anything else is left alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import DataError, RunError
from pipeline.export import exporting, flat_files, litdata, llmc, mds
from pipeline.export.source import find, open_source
from pipeline.folder_lock import locked
from pipeline.store import Folder
from tests.e2e.s3_server import s3_server
from tests.pipeline.export.artifacts import TokensRun, documents_run, documents_table, exported, tokens_run, tree
from tests.shared_data import REPOSITORY

TOKENS = ("hf", "megatron", "mds", "litdata", "nanogpt", "llmc")
DOCUMENTS = {"hf": {}, "mds": {}, "jsonl": {"compress": "zstd"}, "webdataset": {}}


class Killed(BaseException):
    """A kill in the middle of something."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TokensRun:
    return tokens_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> str:
    shards = [documents_table([f"text {i}" * 20 for i in range(20)], first=20 * k) for k in range(3)]
    return documents_run(tmp_path_factory.mktemp("documents"), shards)


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several files where a format has parts."""
    monkeypatch.setattr(mds, "SIZE_LIMIT", 3000)
    monkeypatch.setattr(litdata, "CHUNK_BYTES", 1500)
    monkeypatch.setattr(llmc, "TOKENS_PER_FILE", 700)


def killed_at(event: int, patch: pytest.MonkeyPatch) -> None:
    """Kill when so many files were put into place and pieces appended; every other one of a kind before it is done."""
    count = 0

    def counted(function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            if count > event and event % 2 == 0:
                raise Killed
            result = function(*arguments)
            if count > event:
                raise Killed
            return result

        return call

    patch.setattr(os, "replace", counted(os.replace))
    patch.setattr(flat_files._Writer, "write", counted(flat_files._Writer.write))


def killed_everywhere(output: str, format_: str, kinds: list[str], folder: Path, **options: str) -> int:
    """Kill an export at its first event, go on with it, kill that at its second event and so on, until one is whole."""
    kills = 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            killed_at(kills, patch)
            try:
                exported(output, format_, folder, kinds, **options)
            except Killed:
                kills += 1
                continue
        return kills


@pytest.mark.parametrize("format_", TOKENS)
def test_export_of_tokens_killed_anywhere_ends_in_the_same_bytes(run: TokensRun, tmp_path: Path, format_: str) -> None:
    exported(run.output, format_, tmp_path / "whole")
    assert killed_everywhere(run.output, format_, ["tokens"], tmp_path / "killed") > 3
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")
    assert not (tmp_path / "killed" / ".work").exists()


@pytest.mark.parametrize("format_", TOKENS)
def test_export_killed_once_at_any_event_ends_in_the_same_bytes(run: TokensRun, tmp_path: Path, format_: str) -> None:
    exported(run.output, format_, tmp_path / "whole")
    for event in (0, 1, 4, 9, 14, 21):
        shutil.rmtree(tmp_path / "killed", ignore_errors=True)
        with pytest.MonkeyPatch.context() as patch:
            killed_at(event, patch)
            try:
                exported(run.output, format_, tmp_path / "killed")
            except Killed:
                assert not (tmp_path / "killed" / "crawlmill.json").exists() or event > 5
        exported(run.output, format_, tmp_path / "killed")
        assert tree(tmp_path / "killed") == tree(tmp_path / "whole"), event


@pytest.mark.parametrize("format_", list(DOCUMENTS))
def test_export_of_documents_killed_anywhere_ends_in_the_same_bytes(
    documents: str, tmp_path: Path, format_: str
) -> None:
    options = DOCUMENTS[format_]
    exported(documents, format_, tmp_path / "whole", ["documents"], **options)
    assert killed_everywhere(documents, format_, ["documents"], tmp_path / "killed", **options) > 3
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")


def test_export_that_is_whole_writes_nothing_again(run: TokensRun, tmp_path: Path) -> None:
    first = exported(run.output, "mds", tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = exported(run.output, "mds", tmp_path)
    assert (first.num_reused, again.num_reused) == (0, first.num_shards)
    assert again.record == first.record
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == times


@pytest.mark.parametrize("format_", ["mds", "nanogpt"])
def test_export_with_a_file_taken_away_is_made_again(run: TokensRun, tmp_path: Path, format_: str) -> None:
    exported(run.output, format_, tmp_path)
    before = tree(tmp_path)
    next(tmp_path.glob({"mds": "train/*.mds", "nanogpt": "train.bin"}[format_])).unlink()
    exported(run.output, format_, tmp_path)
    assert tree(tmp_path) == before


def test_export_goes_on_at_the_shard_it_lost(run: TokensRun, tmp_path: Path) -> None:
    source = open_source(find(run.output, ["tokens"], None))

    def killed(done: int, total: int) -> None:
        if done == 2:
            raise Killed

    for format_ in ("nanogpt", "mds"):
        into = Folder(str(tmp_path / format_))
        with pytest.raises(Killed):
            exporting.export(source, format_, into, {}, killed)
        assert exporting.export(source, format_, into, {}, lambda done, total: None).num_reused == 2


def test_flat_export_whose_unfinished_file_lost_bytes_says_so(run: TokensRun, tmp_path: Path) -> None:
    source = open_source(find(run.output, ["tokens"], None))

    def killed(done: int, total: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        exporting.export(source, "nanogpt", Folder(str(tmp_path)), {}, killed)
    os.truncate(tmp_path / ".work" / "train.bin", 10)
    with pytest.raises(DataError, match=r"10 bytes; expected \d+ bytes, as the shards exported before filled"):
        exported(run.output, "nanogpt", tmp_path)


def test_export_into_a_folder_of_something_else_leaves_it_alone(run: TokensRun, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="a folder with other files in it; expected no folder, an empty one"):
        exported(run.output, "mds", tmp_path)
    assert tree(tmp_path) == {"mine.txt": b"mine"}
    with pytest.raises(DataError, match="a folder with other files in it"):
        exported(run.output, "mds", Path(run.output))
    with pytest.raises(DataError, match="a folder with other files in it"):
        exported(run.output, "mds", tmp_path / "mine.txt")


def test_export_into_another_export_names_it(run: TokensRun, documents: str, tmp_path: Path) -> None:
    exported(documents, "jsonl", tmp_path, ["documents"], compress="gzip")
    before = tree(tmp_path)
    for output, format_, kinds, options in (
        (run.output, "mds", ["tokens"], {}), (documents, "jsonl", ["documents"], {"compress": "zstd"}),
    ):  # fmt: skip
        with pytest.raises(DataError, match=r"an export of documents 'clean' \(\w{16}\) to jsonl --compress gzip"):
            exported(output, format_, tmp_path, kinds, **options)
    (tmp_path / "crawlmill.json").write_text("[1]")
    with pytest.raises(DataError, match=r"a crawlmill.json that no export wrote"):
        exported(documents, "jsonl", tmp_path, ["documents"], compress="gzip")
    assert tree(tmp_path) == before | {"crawlmill.json": b"[1]"}


def test_two_exports_at_once_are_refused(run: TokensRun, tmp_path: Path) -> None:
    source = open_source(find(run.output, ["tokens"], None))

    def meanwhile(done: int, total: int) -> None:
        with pytest.raises(RunError, match="another export is writing here"):
            exported(run.output, "mds", tmp_path)

    exporting.export(source, "mds", Folder(str(tmp_path)), {}, meanwhile)
    with locked(Folder(str(tmp_path / "other")), "", expected="", mend=""):
        pass


def test_unfinished_files_of_a_killed_writer_are_removed(run: TokensRun, tmp_path: Path) -> None:
    exported(run.output, "mds", tmp_path / "whole")
    source = open_source(find(run.output, ["tokens"], None))

    def left(done: int, total: int) -> None:
        (tmp_path / "out" / "train" / "shard.00009.000.mds.4711.tmp").write_bytes(b"half")
        raise Killed

    with pytest.raises(Killed):
        exporting.export(source, "mds", Folder(str(tmp_path / "out")), {}, left)
    exported(run.output, "mds", tmp_path / "out")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


@pytest.mark.slow
def test_export_process_killed_by_a_signal_goes_on(run: TokensRun, tmp_path: Path) -> None:
    exported(run.output, "hf", tmp_path / "whole")
    kill = (
        "import os, signal, sys; from pipeline.cli import main; from pipeline.export import session\n"
        "def kill(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        "count = [0]; write = session.write_receipt\n"
        "def counted(*a):\n count[0] += 1\n kill() if count[0] == 3 else write(*a)\n"
        "session.write_receipt = counted; sys.exit(main(sys.argv[1:]))"
    )
    command = ["export", run.output, "--to", "hf", "--into", str(tmp_path / "killed"), "--json"]
    done = subprocess.run([sys.executable, "-c", kill, *command], cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode == -9
    again = subprocess.run(
        [sys.executable, "-m", "pipeline", *command], cwd=REPOSITORY, capture_output=True, check=True
    )
    assert json.loads(again.stdout)["skipped"] == 2
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")


def test_export_to_s3_equals_a_local_one(run: TokensRun, documents: str, tmp_path: Path) -> None:
    with s3_server() as options:
        for output, format_, kinds, more in (
            (run.output, "mds", ["tokens"], {}), (run.output, "hf", ["tokens"], {}),
            (documents, "webdataset", ["documents"], {}),
        ):  # fmt: skip
            exported(output, format_, tmp_path / format_, kinds, **more)
            folder = Folder(f"s3://bucket/{format_}{options}")
            source = open_source(find(output, kinds, None))
            exporting.export(source, format_, folder, more, lambda done, total: None)
            assert {name: folder.read_bytes(name) for name in folder.list()} == tree(tmp_path / format_)
            done = exporting.export(source, format_, folder, more, lambda done, total: None)
            assert done.num_reused == done.num_shards


def test_export_from_s3_equals_a_local_one(run: TokensRun, tmp_path: Path) -> None:
    exported(run.output, "nanogpt", tmp_path / "local")
    with s3_server() as options:
        remote = Folder(f"s3://bucket/run{options}")
        for name, data in tree(Path(run.output)).items():
            remote.write_bytes(name, data)
        exported(remote.location, "nanogpt", tmp_path / "remote")
    assert tree(tmp_path / "remote") == tree(tmp_path / "local")
