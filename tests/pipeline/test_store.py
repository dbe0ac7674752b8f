"""A file is whole or not there, locally and in a real S3 server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.store import Folder
from tests.e2e.s3_server import s3_server


@pytest.fixture(scope="module")
def s3_location() -> Iterator[str]:
    with s3_server() as options:
        yield f"s3://bucket/prefix{options}"


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    location = str(tmp_path / "out") if request.param == "local" else request.getfixturevalue("s3_location")
    made = Folder(location).child(request.node.name.replace("[", "_").replace("]", ""))
    return made


def test_write_then_read_list_and_delete(folder: Folder) -> None:
    assert folder.list() == []
    folder.write_bytes("b/two", b"22")
    folder.write_bytes("a", b"1")
    folder.write_bytes("b/empty", b"")
    assert folder.list() == ["a", "b/empty", "b/two"]
    assert folder.list("b") == ["b/empty", "b/two"]
    assert folder.read_bytes("b/two") == b"22"
    assert folder.read_bytes("b/empty") == b""
    assert folder.size("b/two") == 2
    folder.delete("a")
    assert not folder.exists("a")
    folder.delete()
    assert folder.list() == []
    folder.delete()


def test_open_output_that_fails_leaves_nothing(folder: Folder) -> None:
    folder.write_bytes("kept", b"old")

    def write_and_fail(name: str) -> None:
        with folder.open_output(name) as stream:
            stream.write(b"half of it")
            raise KeyError("the task died")

    for name in ("new", "kept"):
        with pytest.raises(KeyError):
            write_and_fail(name)
    assert folder.list() == ["kept"]
    assert folder.read_bytes("kept") == b"old"


def test_open_input_missing_file_names_it(folder: Folder) -> None:
    with pytest.raises(StoreError, match="nothing-here"):
        folder.open_input("nothing-here").read()


def test_error_of_a_remote_folder_hides_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder("s3://KEY:SECRET@bucket/prefix?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1")
    with pytest.raises(StoreError) as caught:
        folder.read_bytes("x")
    assert "bucket/prefix/x" in str(caught.value)
    assert "SECRET" not in str(caught.value)
