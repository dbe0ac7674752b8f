"""What `stages.pack` packs, in any of its ways, comes out of an export as the tokens of each document."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from pipeline import artifact
from pipeline.artifact import artifact_folder
from pipeline.store import Folder
from stages import pack
from tests.pipeline.export.artifacts import cut_at, exported, write_run_json
from tests.pretrain.packed import EOT_ID, PAD_ID, VOCAB_SIZE, byte_tokenizer
from tests.stages.pack_context import MadeArtifact, document_id, run_stage, write_documents


@pytest.mark.parametrize("packing", ["overlap", "best_fit", "concatenate", "document"])
def test_export_of_packed_tokens_is_each_document_once(tmp_path: Path, packing: str) -> None:
    texts = ["a", "word " * 30, "", "汉字" * 200, *(f"{'x' * (i % 37)} {i}" for i in range(150))]
    rows = [(document_id(i), text, "en") for i, text in enumerate(texts)]
    overlap = 5 if packing == "overlap" else None
    config = pack.Config(packing=packing, length=32, overlap=overlap, validation_share=0.1)
    output = packed(tmp_path, [rows[:70], rows[70:]], config)
    exported(output, "nanogpt", tmp_path / "out")
    flat = [np.fromfile(tmp_path / "out" / name, np.uint16) for name in ("train.bin", "val.bin")]
    tokenizer = Tokenizer.from_buffer(byte_tokenizer())
    expected = sorted([*tokenizer.encode(text).ids, EOT_ID] for text in texts if text)
    assert sorted(document for part in flat for document in cut_at(part, EOT_ID)) == expected
    assert all(len(part) for part in flat), "both splits have documents"


def packed(folder: Path, shards: list[list[tuple[bytes, str | None, str]]], config: pack.Config) -> str:
    """A run's folder with the tokens of these documents and their vocabulary."""
    output = Folder(str(folder / "run"))
    sha256 = hashlib.sha256(byte_tokenizer()).hexdigest()
    promised = {"tokenizer_sha256": sha256, "vocab_size": VOCAB_SIZE, "eot_id": EOT_ID, "pad_id": PAD_ID}
    made = {}
    for step in ("vocabulary", "chunks"):
        fingerprint = hashlib.sha256(step.encode()).hexdigest()
        place = artifact_folder(output, step, fingerprint)
        inputs = {}
        if step == "vocabulary":
            place.write_bytes("tokenizer.json", byte_tokenizer())
            contract = promised
        else:
            words = MadeArtifact(
                step="vocabulary", kind="vocabulary", folder=made["vocabulary"].folder, manifest={"contract": promised}
            )
            documents = write_documents(f"{folder}/documents", shards)
            ports = {"documents": documents, "vocabulary": words}
            contract = dict(run_stage(pack.pack, config, ports, place.location)[0].manifest["contract"])
            inputs = {"vocabulary": {"step": "vocabulary", "fingerprint": made["vocabulary"].fingerprint}}
        manifest = {
            "format": 1, "step": step, "kind": "tokens" if inputs else "vocabulary", "fingerprint": fingerprint,
            "inputs": inputs, "contract": contract,
            "files": [artifact.file_entry(place, name) for name in place.list()],
        }  # fmt: skip
        made[step] = artifact.commit(place, manifest)
    write_run_json(folder / "run", list(made.values()))
    return output.location
