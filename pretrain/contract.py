"""What tokens and vocabulary must agree on before a model is trained on them.

Reads:  the `contract` of both manifests
Writes: nothing
Cost:   -
Source: docs/design.md: a tokens artifact names the tokenizer it was encoded with
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pipeline.errors import DataError
from pipeline.stage import InputArtifact

TOKENS_FIELDS = ("tokenizer_sha256", "vocab_size", "dtype", "length", "eot_id")
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
