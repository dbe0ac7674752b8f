from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import DataError
from pretrain import contract
from tests.pretrain.packed import context, random_documents


@pytest.mark.parametrize("field", ["tokenizer_sha256", "vocab_size", "eot_id"])
def test_agreed_with_another_vocabulary_is_refused_and_names_both(tmp_path: Path, field: str) -> None:
    inputs = context(tmp_path, random_documents(5, 20, 1), 16).inputs
    words = inputs["vocabulary"]
    words.manifest = {"contract": words.manifest["contract"] | {field: "another"}}
    with pytest.raises(DataError) as caught:
        contract.agreed(inputs["chunks"], words)
    message = str(caught.value)
    assert "tokens 'chunks'" in message
    assert "vocabulary 'vocabulary'" in message
    assert f"{field} {inputs['chunks'].manifest['contract'][field]}" in message
    assert "another" in message


def test_agreed_without_a_field_is_refused_and_names_it(tmp_path: Path) -> None:
    inputs = context(tmp_path, random_documents(5, 20, 1), 16).inputs
    chunks = inputs["chunks"]
    chunks.manifest = {"contract": {k: v for k, v in chunks.manifest["contract"].items() if k != "length"}}
    with pytest.raises(DataError, match="lacks length"):
        contract.agreed(chunks, inputs["vocabulary"])


def test_tokenizer_changed_after_the_step_is_refused(tmp_path: Path) -> None:
    words = context(tmp_path, random_documents(5, 20, 1), 16).inputs["vocabulary"]
    assert contract.tokenizer(words) == words.folder.read_bytes("tokenizer.json")
    words.folder.write_bytes("tokenizer.json", words.folder.read_bytes("tokenizer.json") + b" ")
    with pytest.raises(DataError, match=r"tokenizer\.json of vocabulary"):
        contract.tokenizer(words)
