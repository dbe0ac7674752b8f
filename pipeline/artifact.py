"""An artifact: an immutable folder `{output}/{step}/{fingerprint[:16]}/` that exists once `artifact.json` is in it.

The manifest names every file with its rows, bytes and xxh3-128, the config, the inputs and the versions, and holds
nothing that two runs of the same thing could differ in: no times, no paths, no worker counts.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from pipeline.errors import DataError
from pipeline.store import Folder

MANIFEST = "artifact.json"
SCRATCH = ".work"  # receipts and intermediate files, below the artifact's folder until it is committed
FORMAT = 1
_HASH_CHUNK_BYTES = 1 << 22
_VERSIONED = ("crawlmill", "ray", "pyarrow", "numba", "fastwarc", "resiliparse", "fasttext", "tokenizers", "torch")


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A finished artifact (pipeline.stage.InputArtifact)."""

    step: str
    kind: str
    fingerprint: str
    manifest: Mapping[str, Any]
    folder: Folder

    def shards(self) -> list[str]:
        return [f["name"] for f in self.manifest["files"] if f["name"].startswith("shards/")]


def canonical_json(value: Any) -> bytes:
    """One byte string per value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def fingerprint_of(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(identity)).hexdigest()


def artifact_folder(output: Folder, step: str, fingerprint: str) -> Folder:
    return output.child(f"{step}/{fingerprint[:16]}")


def versions() -> dict[str, str]:
    """Versions of the packages a result can depend on."""
    return {name: importlib.metadata.version(name) for name in _VERSIONED}


def file_entry(folder: Folder, name: str, rows: int | None = None) -> dict[str, Any]:
    """A manifest's entry for a file: its name, rows where it has rows, size and xxh3-128."""
    digest, num_bytes = xxhash.xxh3_128(), 0
    with folder.open_input(name) as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
            num_bytes += len(chunk)
    return {"name": name, "rows": rows, "bytes": num_bytes, "xxh3": digest.hexdigest()}


def commit(folder: Folder, manifest: Mapping[str, Any]) -> Artifact:
    """Make the artifact exist. Files of killed tasks that no manifest names are removed first; scratch stays."""
    named = {f["name"] for f in manifest["files"]}
    for name in folder.list():
        if name not in named and not name.startswith(f"{SCRATCH}/"):
            folder.delete(name)
    folder.write_bytes(MANIFEST, json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode())
    return _artifact(folder, manifest)


def open_artifact(folder: Folder) -> Artifact | None:
    """The artifact in a folder, or None where none was committed."""
    if not folder.exists(MANIFEST):
        return None
    try:
        manifest = json.loads(folder.read_bytes(MANIFEST))
        if manifest["format"] != FORMAT:
            raise DataError(
                f"artifact format {manifest['format']!r}", where=folder.shown(MANIFEST), expected=f"format {FORMAT}",
                mend="It was written by another version of crawlmill; choose another output folder.",
            )  # fmt: skip
        return _artifact(folder, manifest)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"a damaged manifest ({error})", where=folder.shown(MANIFEST), expected="the JSON crawlmill wrote",
            mend="Delete this folder and run again.",
        ) from error  # fmt: skip


def _artifact(folder: Folder, manifest: Mapping[str, Any]) -> Artifact:
    return Artifact(
        step=manifest["step"],
        kind=manifest["kind"],
        fingerprint=manifest["fingerprint"],
        manifest=manifest,
        folder=folder,
    )


def verify(artifact: Artifact) -> list[str]:
    """What is wrong with an artifact's files, one sentence each; empty when every byte is as the manifest says."""
    problems = []
    for entry in artifact.manifest["files"]:
        name = entry["name"]
        if not artifact.folder.exists(name):
            problems.append(f"{artifact.folder.shown(name)}: missing; expected {entry['bytes']} bytes")
            continue
        found = file_entry(artifact.folder, name)
        for key in ("bytes", "xxh3"):
            if found[key] != entry[key]:
                problems.append(f"{artifact.folder.shown(name)}: {key} is {found[key]}; expected {entry[key]}")
                break
    return problems
