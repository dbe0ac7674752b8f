"""An artifact exists once its manifest does, and any changed byte is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import artifact
from pipeline.errors import DataError
from pipeline.store import Folder


def committed(folder: Folder) -> artifact.Artifact:
    folder.write_bytes("shards/00000.parquet", b"first" * 1000)
    folder.write_bytes("shards/00001.parquet", b"")
    files = [artifact.file_entry(folder, f"shards/{i:05d}.parquet", rows=i) for i in range(2)]
    manifest = {
        "format": 1, "step": "clean", "uses": "stages.x", "kind": "documents", "fingerprint": "f" * 64, "files": files,
    }  # fmt: skip
    return artifact.commit(folder, manifest)


def test_open_artifact_before_commit_is_none(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "a"))
    folder.write_bytes("shards/00000.parquet", b"x")
    assert artifact.open_artifact(folder) is None


def test_commit_removes_files_no_manifest_names(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.write_bytes("shards/00000.parquet.77.tmp", b"left by a killed task")
    made = committed(folder)
    assert folder.list() == ["artifact.json", "shards/00000.parquet", "shards/00001.parquet"]
    opened = artifact.open_artifact(folder)
    assert opened == made
    assert made.shards() == ["shards/00000.parquet", "shards/00001.parquet"]


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_verify_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    made = committed(Folder(str(tmp_path)))
    assert artifact.verify(made) == []
    path = tmp_path / "shards/00000.parquet"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[17] ^= 1
        path.write_bytes(data)
    elif damage == "cut":
        path.write_bytes(data[:-1])
    else:
        path.unlink()
    (problem,) = artifact.verify(made)
    assert str(path) in problem


def test_open_artifact_damaged_manifest_says_how_to_mend(tmp_path: Path) -> None:
    committed(Folder(str(tmp_path)))
    (tmp_path / "artifact.json").write_text('{"format": 1, "step"')
    with pytest.raises(DataError, match="Delete this folder and run again"):
        artifact.open_artifact(Folder(str(tmp_path)))


def test_fingerprint_of_key_order_does_not_matter() -> None:
    one = artifact.fingerprint_of({"a": 1, "b": {"c": [1, 2], "d": "é"}})
    two = artifact.fingerprint_of({"b": {"d": "é", "c": [1, 2]}, "a": 1})
    assert one == two
    assert one != artifact.fingerprint_of({"a": 1, "b": {"c": [2, 1], "d": "é"}})
