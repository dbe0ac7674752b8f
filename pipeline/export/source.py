"""What an export reads: one artifact of a run, the contract of its tokens, and the tokenizer it was made with.

Reads:  run.json or artifact.json; of a tokens artifact also its vocabulary's tokenizer files
Writes: nothing
Cost:   a few small files
Source: -
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.artifact import Artifact, artifact_folder, open_artifact
from pipeline.errors import DagError, DataError, close_match
from pipeline.run_file import read_run
from pipeline.store import Folder, is_remote

TOKENIZER = "tokenizer.json"
TOKENIZER_FILES = (TOKENIZER, "tokenizer_config.json")  # what transformers.AutoTokenizer reads
CONTRACT = ("tokenizer_sha256", "vocab_size", "dtype", "length", "eot_id")
TRAIN, VALIDATION = "train", "validation"
SPLITS = (TRAIN, VALIDATION)
_TOKENS_SHARD = re.compile(r"shards/(train|validation)-(\d+)\.arrow")
_DOCUMENTS_SHARD = re.compile(r"shards/(\d+)\.parquet")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A shard of the artifact: its file, and the split and number that its exported files are named by."""

    name: str
    split: str
    index: int


@dataclass(frozen=True, kw_only=True)
class Source:
    """An artifact with the shards in the order in which they are exported. Of documents `contract` is empty."""

    artifact: Artifact
    shards: tuple[Shard, ...]
    contract: Mapping[str, Any]
    tokenizer_files: Mapping[str, bytes]

    @property
    def folder(self) -> Folder:
        return self.artifact.folder

    def title(self) -> str:
        """`tokens 'chunks' (9b7cceb038bf12b1)`."""
        return artifact_title(self.artifact)


def artifact_title(artifact: Artifact) -> str:
    return f"{artifact.kind} {artifact.step!r} ({artifact.fingerprint[:16]})"


def find(location: str, kinds: Sequence[str], step: str | None) -> Artifact:
    """The artifact in `location`, or the one of `step`, or the last of those kinds, of the run that wrote there.

    DataError where there is none; DagError where `step` is not one that was written, and of these kinds.
    """
    # from the root on: the vocabulary is looked for beside the artifact's own folder
    folder = Folder(location if is_remote(location) else os.path.abspath(location))
    artifact = open_artifact(folder)
    if artifact is not None:
        return _checked_artifact(artifact, kinds, step)
    run = read_run(folder)
    if run is None:
        raise DataError(
            "no run.json and no artifact.json", where=folder.shown(),
            expected="the output folder of a run, or the folder of one artifact", mend="Run `crawlmill run` first.",
        )  # fmt: skip
    chosen = _chosen_step(folder, run["steps"], kinds, step)
    found = open_artifact(folder.child(chosen["artifact"]))
    if found is None:
        raise DataError(
            "no artifact.json", where=folder.shown(chosen["artifact"]), expected=f"what step {chosen['step']!r} wrote",
            mend="Run the DAG again.",
        )  # fmt: skip
    return found


def _checked_artifact(artifact: Artifact, kinds: Sequence[str], step: str | None) -> Artifact:
    where = artifact.folder.shown()
    if step not in (None, artifact.step):
        raise DagError(f"the artifact of step {artifact.step!r}, not of {step!r}", where=where,
                       expected="no --step, or the folder of the whole run")  # fmt: skip
    if artifact.kind not in kinds:
        raise DagError(f"an artifact of {artifact.kind}", where=where, expected=f"one of {' or '.join(kinds)}",
                       mend="Choose another format, or another step.")  # fmt: skip
    return artifact


def _chosen_step(
    folder: Folder, steps: Sequence[Mapping[str, Any]], kinds: Sequence[str], step: str | None
) -> Mapping[str, Any]:
    """The entry of run.json for `step`; without one the last that fits."""
    where = folder.shown()
    fitting = {s["step"]: s for s in steps if s["produces"] in kinds and s["artifact"] and s["state"] != "fused"}
    if step is None:
        if not fitting:
            raise DataError(
                f"no step that wrote {' or '.join(kinds)}", where=where,
                expected=f"a finished step that makes {' or '.join(kinds)}",
                mend="Let the DAG run to its end, or choose another format.",
            )  # fmt: skip
        return list(fitting.values())[-1]
    if step in fitting:
        return fitting[step]
    entry = next((s for s in steps if s["step"] == step), None)
    expected = f"one of {', '.join(fitting)}" if fitting else f"a step that makes {' or '.join(kinds)}"
    if entry is None:
        raise DagError(f"no step {step!r}", where=where, expected=expected, mend=close_match(step, fitting))
    if entry["produces"] not in kinds:
        raise DagError(f"step {step!r} makes {entry['produces']}", where=where, expected=expected)
    mend = "Give it `keep: true` and run again." if entry["state"] == "fused" else "Let the DAG run to its end."
    raise DagError(f"step {step!r} has not written its output", where=where, expected=expected, mend=mend)


def open_source(artifact: Artifact) -> Source:
    """Read contract and tokenizer. DataError, naming both, where the tokenizer is not the one of the contract."""
    if artifact.kind != "tokens":
        shards = _named_shards(artifact, _DOCUMENTS_SHARD)
        return Source(artifact=artifact, shards=shards, contract={}, tokenizer_files={})
    contract = artifact.manifest.get("contract") or {}
    missing = [name for name in CONTRACT if name not in contract]
    if missing:
        raise DataError(
            f"the contract of {artifact_title(artifact)} lacks {', '.join(missing)}", where=artifact.folder.shown(),
            expected=", ".join(CONTRACT), mend="Run the step again with this version.",
        )  # fmt: skip
    return Source(
        artifact=artifact,
        shards=_named_shards(artifact, _TOKENS_SHARD),
        contract=contract,
        tokenizer_files=_tokenizer_files(artifact, contract["tokenizer_sha256"]),
    )


def _named_shards(artifact: Artifact, pattern: re.Pattern[str]) -> tuple[Shard, ...]:
    shards = []
    for name in artifact.shards():
        match = pattern.fullmatch(name)
        if match is None:
            raise DataError(f"a shard called {name!r}", where=artifact.folder.shown(), expected=pattern.pattern)
        split = match.group(1) if len(match.groups()) > 1 else TRAIN
        shards.append(Shard(name=name, split=split, index=int(match.groups()[-1])))
    return tuple(sorted(shards, key=lambda s: (SPLITS.index(s.split), s.index)))


def _tokenizer_files(artifact: Artifact, sha256: str) -> dict[str, bytes]:
    """tokenizer.json of the vocabulary that the tokens were packed with, and what else transformers reads of it."""
    made_of = artifact.manifest["inputs"].get("vocabulary")
    output = Folder(_parent(_parent(artifact.folder.location)))
    folder = artifact_folder(output, made_of["step"], made_of["fingerprint"]) if made_of else None
    if folder is None or not folder.exists(TOKENIZER):
        raise DataError(
            f"the vocabulary of {artifact_title(artifact)} is not there",
            where=folder.shown(TOKENIZER) if folder else artifact.folder.shown(),
            expected="the tokenizer.json that its tokens were made with",
            mend="Export from the folder of the run that made both.",
        )  # fmt: skip
    files = {name: folder.read_bytes(name) for name in TOKENIZER_FILES if folder.exists(name)}
    found = hashlib.sha256(files[TOKENIZER]).hexdigest()
    if found != sha256:
        raise DataError(
            f"tokenizer.json has sha256 {found}, but {artifact_title(artifact)} was packed with {sha256}",
            where=folder.shown(TOKENIZER), expected="the tokenizer that the tokens were made with",
            mend="The file was changed after the step ended: delete its folder and run the DAG again.",
        )  # fmt: skip
    return files


def _parent(location: str) -> str:
    path, mark, options = location.partition("?")
    return path.rstrip("/").rpartition("/")[0] + mark + options
