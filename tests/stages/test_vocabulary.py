"""stages/vocabulary.py: which documents it learns from, the files it writes, and what it says about them."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from pipeline.errors import DataError, FieldError
from pipeline.schemas import ID
from stages import vocabulary
from stages.kernels.document_hash import id_bytes, share_of
from tests.stages.pack_context import MadeArtifact, Report, document_id, run_stage, write_documents
from tests.tokenizer.corpus import texts
from tests.tokenizer.oracle import train_with_tokenizers

Document = tuple[bytes, str | None, str]
CORPUS: list[Document] = [
    (document_id(i), text, "en" if i % 3 else "zh") for i, text in enumerate(texts(400))
]  # fmt: skip


def config(**changes: Any) -> vocabulary.Config:
    return vocabulary.Config(**({"vocab_size": 600, "held_out": 0.2} | changes))


def run(
    shards: Sequence[Sequence[Document]], location: Path, cfg: vocabulary.Config
) -> tuple[MadeArtifact, Report]:  # fmt: skip
    inputs = {"documents": write_documents(f"{location}/documents", shards)}
    return run_stage(vocabulary.vocabulary, cfg, inputs, f"{location}/vocabulary")


def shares(documents: Sequence[Document], seed: int = 1) -> list[float]:
    return share_of(id_bytes(pa.array([d[0] for d in documents], ID)), seed).tolist()


def test_vocabulary_learns_from_all_but_the_held_out_documents(tmp_path: Path) -> None:
    artifact, report = run([CORPUS], tmp_path, config())
    learned = [text for (_, text, _), share in zip(CORPUS, shares(CORPUS), strict=True) if share < 0.8]
    assert artifact.folder.read_bytes("tokenizer.json") == train_with_tokenizers(
        filter(None, learned), config().options()
    )
    assert report.counters["documents_learned_from"] == len(learned)
    assert report.counters["documents_measured"] == 400 - len(learned) > 40
    assert report.counters["bytes_learned_from"] == sum(len(t.encode()) for t in learned if t)


def test_vocabulary_other_order_and_shards_same_files(tmp_path: Path) -> None:
    shuffled = random.Random(1).sample(CORPUS, len(CORPUS))
    one, one_report = run([CORPUS], tmp_path / "one", config())
    many, many_report = run([shuffled[:7], [], shuffled[7:300], shuffled[300:]], tmp_path / "many", config())
    assert one.folder.list() == many.folder.list() == [
        "card.html", "card.json", "merges.txt", "tokenizer.json", "tokenizer.tiktoken", "tokenizer.tiktoken.json",
        "tokenizer_config.json", "vocab.json",
    ]  # fmt: skip
    for name in one.folder.list():
        assert one.folder.read_bytes(name) == many.folder.read_bytes(name)
    assert one.manifest == many.manifest and one_report == many_report


def test_vocabulary_contract_names_the_tokenizer_and_its_special_ids(tmp_path: Path) -> None:
    artifact, _ = run([CORPUS], tmp_path, config())
    tokenizer_json = artifact.folder.read_bytes("tokenizer.json")
    tokenizer = Tokenizer.from_str(tokenizer_json.decode())
    assert artifact.manifest["contract"] == {
        "tokenizer_sha256": hashlib.sha256(tokenizer_json).hexdigest(), "model": "bpe", "vocab_size": 600,
        "eot_id": tokenizer.token_to_id("<|end_of_text|>"), "pad_id": tokenizer.token_to_id("<|pad|>"),
        "eot_token": "<|end_of_text|>",
    }  # fmt: skip
    assert tokenizer.get_vocab_size() == 600


def test_vocabulary_folder_loads_in_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    artifact, _ = run([CORPUS], tmp_path, config())
    loaded = transformers.AutoTokenizer.from_pretrained(artifact.folder.local_path())
    contract = artifact.manifest["contract"]
    assert (loaded.eos_token_id, loaded.pad_token_id) == (contract["eot_id"], contract["pad_id"])
    tokenizer = Tokenizer.from_str(artifact.folder.read_bytes("tokenizer.json").decode())
    for text in texts(20, seed=30):
        assert loaded(text)["input_ids"] == tokenizer.encode(text).ids


def test_vocabulary_max_bytes_samples_by_id(tmp_path: Path) -> None:
    total = sum(len(t.encode()) for (_, t, _), s in zip(CORPUS, shares(CORPUS), strict=True) if t and s < 0.8)
    artifact, report = run([CORPUS[:100], CORPUS[100:]], tmp_path, config(max_bytes=total // 2))
    below = 0.8 * (total // 2) / total
    learned = [text for (_, text, _), share in zip(CORPUS, shares(CORPUS), strict=True) if text and share < below]
    assert artifact.folder.read_bytes("tokenizer.json") == train_with_tokenizers(learned, config().options())
    assert 0.4 * total < report.counters["bytes_learned_from"] < 0.6 * total
    assert report.figures["share_learned_from"] == round(below, 6)
    assert report.counters["documents_measured"] == sum(share >= 0.8 for share in shares(CORPUS))


def test_vocabulary_more_entries_than_the_text_yields_are_counted(tmp_path: Path) -> None:
    artifact, report = run([CORPUS[:20]], tmp_path, config(vocab_size=50_000))
    found = artifact.manifest["contract"]["vocab_size"]
    assert found < 50_000 and report.counters["vocabulary_entries_not_found"] == 50_000 - found
    assert Tokenizer.from_str(artifact.folder.read_bytes("tokenizer.json").decode()).get_vocab_size() == found


def test_vocabulary_nothing_to_learn_or_measure_still_encodes_bytes(tmp_path: Path) -> None:
    rows: list[Document] = [(document_id(1), None, "en"), (document_id(2), "", "en")]
    artifact, report = run([rows, []], tmp_path, config(max_bytes=1000))
    assert artifact.manifest["contract"]["vocab_size"] == 256 + 6
    assert report.counters["bytes_learned_from"] == 0
    assert "bytes_per_token" not in report.figures


def test_vocabulary_card_and_report_equal_a_count_over_the_held_out(tmp_path: Path) -> None:
    artifact, report = run([CORPUS[:150], CORPUS[150:]], tmp_path, config())
    card = json.loads(artifact.folder.read_bytes("card.json"))
    tokenizer = Tokenizer.from_str(artifact.folder.read_bytes("tokenizer.json").decode())
    held_out = [d for d, share in zip(CORPUS, shares(CORPUS), strict=True) if share >= 0.8]
    for language in ("en", "zh"):
        mine = [text for _, text, of in held_out if text and of == language]
        tokens = sum(len(tokenizer.encode(t).ids) for t in mine)
        assert card["languages"][language]["tokens"] == tokens
        assert card["languages"][language]["bytes_per_token"] == round(sum(len(t.encode()) for t in mine) / tokens, 4)
        assert card["languages"][language]["tokens_per_word"] == round(tokens / sum(len(t.split()) for t in mine), 4)
    assert report.figures["bytes_per_token"] == card["held_out"]["bytes_per_token"] > 1.5
    assert [row["language"] for row in report.samples["held-out text by language"]] == ["en", "zh"]
    assert len(report.samples["learned merges"]) == len(report.samples["longest tokens"]) == 30


def test_vocabulary_without_a_language_column_is_measured_as_unknown(tmp_path: Path) -> None:
    documents = write_documents(f"{tmp_path}/documents", [CORPUS])
    path = documents.folder.local_path("shards/00000.parquet")
    pq.write_table(pq.read_table(path).drop_columns("language"), path)
    artifact, _ = run_stage(vocabulary.vocabulary, config(), {"documents": documents}, f"{tmp_path}/vocabulary")
    assert list(json.loads(artifact.folder.read_bytes("card.json"))["languages"]) == ["unknown"]


def test_vocabulary_special_token_that_is_a_word_is_refused(tmp_path: Path) -> None:
    rows: list[Document] = [(document_id(i), "here\n", "en") for i in range(50)]
    with pytest.raises(DataError, match="'here' was learned"):
        run([rows], tmp_path, config(special_tokens=("<|end_of_text|>", "<|pad|>", "here")))


@pytest.mark.parametrize(
    "field, settings",
    [
        ("vocab_size", {"vocab_size": 261}),
        ("vocab_size", {"vocab_size": 600, "reserved_tokens": 343}),
        ("vocab_size", {"vocab_size": 357, "model": "unigram"}),
        ("min_frequency", {"min_frequency": 0}),
        ("max_token_length", {"max_token_length": 1}),
        ("special_tokens", {"special_tokens": ("<|a|>",)}),
        ("special_tokens", {"special_tokens": ("<|a|>", "<|a|>")}),
        ("special_tokens", {"special_tokens": ("<|a|>", "")}),
        ("special_tokens", {"special_tokens": ("<|a|>", "<|reserved_3|>")}),
        ("reserved_tokens", {"reserved_tokens": -1}),
        ("weights", {"weights": {"en": 1, "de": 0}}),
        ("balance", {"balance": 1.5}),
        ("max_count_per_document", {"max_count_per_document": 0}),
        ("digits", {"pattern": "gpt2", "digits": "1"}),
        ("max_bytes", {"max_bytes": 0}),
        ("held_out", {"held_out": 1.0}),
    ],
)
def test_config_of_impossible_values_names_the_field(field: str, settings: dict[str, Any]) -> None:
    with pytest.raises(FieldError, match=f"^{field}"):
        config(**settings)


def test_stages_import_without_slow_packages() -> None:
    slow = "{'numba', 'tokenizers', 'gigatoken', 'awkward', 'torch', 'ray'}"
    code = f"import sys, stages.vocabulary, stages.pack; print(sorted({slow} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
