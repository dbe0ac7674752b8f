"""What tokens, their shards and the vocabulary must agree on before a model is trained on them.

Reads:  the `contract` of both manifests, and the metadata of every shard
Writes: nothing
Cost:   -
Source: docs/design.md: a tokens artifact and each of its shards name the tokenizer they were encoded with
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.errors import DataError
from pipeline.stage import InputArtifact

TOKENS_FIELDS = ("tokenizer_sha256", "vocab_size", "dtype", "length", "eot_id")
METADATA_KEY = b"crawlmill"  # of a shard's schema: a JSON object with these fields
SHARED_FIELDS = ("tokenizer_sha256", "vocab_size", "eot_id")


def agreed(chunks: InputArtifact, vocabulary: InputArtifact) -> Mapping[str, Any]:
    """The tokens artifact's contract. DataError, naming both artifacts, where the vocabulary is another one."""
    tokens = _contract(chunks, TOKENS_FIELDS)
    words = _contract(vocabulary, SHARED_FIELDS)
    for name in SHARED_FIELDS:
        if tokens[name] != words[name]:
            raise DataError(
                f"{_name(chunks)} was packed with {name} {tokens[name]}, but {_name(vocabulary)} has {words[name]}",
                where=chunks.folder.location, expected="chunks packed with this vocabulary",
                mend=f"Give the step that packed them and this one the same vocabulary ({vocabulary.folder.location}).",
            )  # fmt: skip
    return tokens


def agreed_by_all(chunks: Sequence[InputArtifact], vocabulary: InputArtifact) -> Mapping[str, Any]:
    """The contract of several tokens artifacts. DataError where their rows are not alike."""
    first, *others = [agreed(each, vocabulary) for each in chunks]
    for artifact, tokens in zip(chunks[1:], others, strict=True):
        for name in ("length", "dtype"):
            if tokens[name] != first[name]:
                raise DataError(
                    f"{_name(artifact)} was packed with {name} {tokens[name]}, {_name(chunks[0])} with {first[name]}",
                    where=artifact.folder.location, expected=f"the same {name} in all chunks",
                    mend="Give the steps that packed them the same settings.",
                )  # fmt: skip
    return first


def check_shard(path: str, schema: pa.Schema, tokens: Mapping[str, Any]) -> None:
    """DataError, naming both, where a shard was packed with anything else than the tokens artifact's contract says."""
    found = _metadata(path, schema)
    missing = [name for name in TOKENS_FIELDS if name not in found]
    if missing:
        raise DataError(
            f"a shard whose schema does not say its {', '.join(missing)}", where=path,
            expected=f"the metadata {METADATA_KEY.decode()!r} with {', '.join(TOKENS_FIELDS)}",
            mend="It is no shard of a tokens artifact, or an old one: run the step that packed it again.",
        )  # fmt: skip
    different = [name for name in TOKENS_FIELDS if found[name] != tokens[name]]
    if different:
        raise DataError(
            f"a shard packed with {', '.join(f'{name} {found[name]}' for name in different)}", where=path,
            expected=f"{', '.join(f'{name} {tokens[name]}' for name in different)}, as its artifact's contract says",
            mend="Shards of several artifacts were mixed: run the step that packed them again.",
        )  # fmt: skip


def _metadata(path: str, schema: pa.Schema) -> Mapping[str, Any]:
    text = (schema.metadata or {}).get(METADATA_KEY, b"{}")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DataError(
            f"metadata {METADATA_KEY.decode()!r} that is no JSON ({error})", where=path, expected="a JSON object",
            mend="Pack the shards again.",
        ) from error  # fmt: skip
    return found if isinstance(found, dict) else {}


def tokenizer(vocabulary: InputArtifact) -> bytes:
    """The vocabulary's tokenizer.json. DataError where it is not the file its contract names."""
    data = vocabulary.folder.read_bytes("tokenizer.json")
    found, promised = hashlib.sha256(data).hexdigest(), vocabulary.manifest["contract"]["tokenizer_sha256"]
    if found != promised:
        raise DataError(
            f"tokenizer.json of {_name(vocabulary)} has sha256 {found}", where=vocabulary.folder.location,
            expected=promised, mend="The file was changed after the step ended: run it again.",
        )  # fmt: skip
    return data


def _contract(artifact: InputArtifact, fields: tuple[str, ...]) -> Mapping[str, Any]:
    found = artifact.manifest.get("contract") or {}
    missing = [name for name in fields if name not in found]
    if missing:
        raise DataError(
            f"the contract of {_name(artifact)} lacks {', '.join(missing)}", where=artifact.folder.location,
            expected=f"{', '.join(fields)}", mend="Run the step again with this version.",
        )  # fmt: skip
    return found


def _name(artifact: InputArtifact) -> str:
    return f"{artifact.kind} {artifact.step!r} ({artifact.fingerprint[:16]})"
