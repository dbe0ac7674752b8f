"""stages/vocabulary.py: weights, balance, cap, reserved ids, other models and formats, against repeated documents,
plain counts and the libraries that read the files."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from pipeline.errors import DataError
from stages import pack, vocabulary
from stages.vocab import counting
from stages.vocab.weights import MAX_REPEATS
from tests.stages.pack_context import run_stage, write_documents
from tests.stages.test_vocabulary import CORPUS, Document, config, run
from tests.tokenizer.corpus import texts
from tests.tokenizer.oracle import train_with_tokenizers
from tokenizer.sorted_counts import Counts
from tokenizer.train import train, untrained

LANGUAGES = ("en", "zh", "en", "en", "sw")
MIXED: list[Document] = [(id_, text, LANGUAGES[i % 5]) for i, (id_, text, _) in enumerate(CORPUS[:250])]
METASPACE = pytest.mark.parametrize("model", ["bpe_byte_fallback", "unigram"])


def repeated(rows: list[Document], weights: dict[str, int]) -> list[str]:
    return [text for _, text, language in rows if text for _ in range(weights[language])]


def table(report: Any, column: str = "language") -> dict[str, dict[str, Any]]:
    return {row[column]: row for row in report.samples[f"learned from, by {column}"]}


def test_vocabulary_weights_are_documents_repeated_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "SIZES_PER_TASK", 1)
    cfg = config(held_out=0.0, weights={"zh": 3, "sw": 7, "tlh": 5, "xx": 2})
    artifact, report = run([MIXED[:99], MIXED[99:]], tmp_path, cfg)
    expected = train_with_tokenizers(repeated(MIXED, {"en": 1, "zh": 3, "sw": 7}), cfg.options())
    assert artifact.folder.read_bytes("tokenizer.json") == expected
    assert expected != train_with_tokenizers(repeated(MIXED, {"en": 1, "zh": 1, "sw": 1}), cfg.options())
    assert report.figures["weights_without_documents"] == "tlh, xx"
    rows = table(report)
    assert {name: row["weight"] for name, row in rows.items()} == {"en": 1, "zh": 3, "sw": 7}
    assert rows["zh"]["bytes"] == sum(len(t.encode()) for _, t, of in MIXED if t and of == "zh")
    assert rows["zh"]["documents"] == 50 and sum(row["share"] for row in rows.values()) == pytest.approx(1, abs=1e-5)
    assert report.counters["documents_learned_from"] == 250


def test_vocabulary_balance_weighs_by_bytes_in_hundredths(tmp_path: Path) -> None:
    cfg = config(held_out=0.0, balance=0.3, weights={"sw": 2}, min_frequency=3)
    artifact, report = run([MIXED], tmp_path, cfg)
    num_bytes = Counter[str]()
    for _, text, language in MIXED:
        num_bytes[language] += len((text or "").encode())
    hundredths = {name: round(100 * (num_bytes["en"] / n) ** 0.7) for name, n in num_bytes.items()}
    hundredths["sw"] *= 2
    assert hundredths["en"] == 100 and 150 < hundredths["zh"] < hundredths["sw"] < 200 * MAX_REPEATS
    expected = train_with_tokenizers(repeated(MIXED, hundredths), cfg.options())
    assert cfg.options().min_frequency == 300
    assert artifact.folder.read_bytes("tokenizer.json") == expected
    assert {name: round(row["weight"] * 100) for name, row in table(report).items()} == hundredths


def test_vocabulary_column_to_weigh_by_is_read_where_it_is_needed() -> None:
    assert vocabulary.vocabulary.reads(config(weights={"sw": 2})) == ("text", "id", "language")
    assert vocabulary.vocabulary.reads(config(weight_by="source")) == ("text", "id")
    assert vocabulary.vocabulary.reads(config(weight_by="source", balance=0.5)) == ("text", "id", "source")


def test_vocabulary_weights_beyond_64_bits_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MAX_WEIGHT", 2**62)
    with pytest.raises(DataError, match=r"counted with their weights; expected less than 2 \*\* 63"):
        run([MIXED], tmp_path, config(weights={"en": 2**55}))


@pytest.mark.parametrize("weights", [{}, {"zh": 3}])
def test_vocabulary_cap_counts_a_pretoken_at_most_so_often_per_document(
    weights: dict[str, int], tmp_path: Path
) -> None:
    cfg = config(held_out=0.0, max_count_per_document=2, weights=weights)
    artifact, _ = run([MIXED[:100], MIXED[100:]], tmp_path, cfg)
    assert artifact.folder.read_bytes("tokenizer.json") == train(capped_counts(cfg, weights), cfg.options())
    assert artifact.folder.read_bytes("tokenizer.json") != run(
        [MIXED], tmp_path / "uncapped", config(held_out=0.0, weights=weights)
    )[0].folder.read_bytes("tokenizer.json")


def capped_counts(cfg: vocabulary.Config, weights: dict[str, int]) -> Counts:
    """Pretokens as `tokenizers` cuts them, at most two of each per document."""
    pre = untrained(cfg.options()).pre_tokenizer
    total: Counter[bytes] = Counter()
    for _, text, language in MIXED:
        data = (text or "").encode()
        byte_at = np.cumsum([0, *(len(c.encode()) for c in text or "")])
        spans = [span for _, span in pre.pre_tokenize_str(text or "")]
        of_document = Counter(data[byte_at[start] : byte_at[end]] for start, end in spans)
        for word, count in of_document.items():
            total[word] += min(2, count) * weights.get(language, 1)
    words = sorted(total)
    offsets = np.cumsum([0, *map(len, words)])
    return Counts(np.frombuffer(b"".join(words), np.uint8), offsets, np.array([total[w] for w in words]))


def test_vocabulary_reserved_tokens_are_the_last_ids(tmp_path: Path) -> None:
    names = ("<|end_of_text|>", "<|pad|>", "<|user|>")
    artifact, _ = run([CORPUS], tmp_path, config(special_tokens=names, reserved_tokens=20))
    tokenizer = Tokenizer.from_str(artifact.folder.read_bytes("tokenizer.json").decode())
    assert tokenizer.get_vocab_size() == 600
    assert [tokenizer.token_to_id(name) for name in names] == [577, 578, 579]
    assert [tokenizer.id_to_token(580 + k) for k in range(20)] == [f"<|reserved_{k}|>" for k in range(20)]
    assert artifact.manifest["contract"]["eot_id"] == 577


def test_config_default_names_are_two_special_and_four_reserved() -> None:
    assert vocabulary.Config().options().special_tokens == (
        "<|end_of_text|>", "<|pad|>", "<|reserved_0|>", "<|reserved_1|>", "<|reserved_2|>", "<|reserved_3|>"
    )  # fmt: skip


@METASPACE
def test_vocabulary_other_models_same_files_for_any_layout(model: str, tmp_path: Path) -> None:
    cfg = config(model=model, vocab_size=700, weights={"zh": 2}, max_count_per_document=9)
    one, one_report = run([CORPUS], tmp_path / "one", cfg)
    many, many_report = run([CORPUS[200:], [], CORPUS[7:200], CORPUS[:7]], tmp_path / "many", cfg)
    assert one.folder.list() == ["card.html", "card.json", "tokenizer.json", "tokenizer_config.json"]
    for name in one.folder.list():
        assert one.folder.read_bytes(name) == many.folder.read_bytes(name)
    assert one.manifest == many.manifest and one_report == many_report


@METASPACE
def test_vocabulary_other_models_load_in_transformers_and_are_packed(model: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    artifact, _ = run([CORPUS], tmp_path, config(model=model, vocab_size=700))
    contract = artifact.manifest["contract"]
    assert contract["model"] == model and contract["vocab_size"] == contract["eot_id"] + 6 <= 700
    loaded = transformers.AutoTokenizer.from_pretrained(artifact.folder.local_path())
    tokenizer = Tokenizer.from_str(artifact.folder.read_bytes("tokenizer.json").decode())
    assert (loaded.eos_token_id, loaded.pad_token_id) == (contract["eot_id"], contract["pad_id"])
    inputs = {"documents": write_documents(f"{tmp_path}/more", [CORPUS[:60]]), "vocabulary": artifact}
    packed, _ = run_stage(pack.pack, pack.Config(length=64, overlap=8, validation_share=0.0), inputs, f"{tmp_path}/p")
    expected = 0
    for _, text, _ in CORPUS[:60]:
        ids = loaded(text or "")["input_ids"]
        assert ids == tokenizer.encode(text or "").ids and loaded.decode(ids) == text
        expected += len(ids) + 1 if ids else 0
    assert packed.manifest["contract"]["num_tokens"] == expected


def test_vocabulary_byte_fallback_beyond_what_tokenizers_counts_right_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenizer.metaspace.MAX_CHARACTERS", 1000)
    with pytest.raises(DataError, match=r"step step: [\d,]+ characters.*expected at most 1,000.*max_bytes"):
        run([CORPUS], tmp_path, config(model="bpe_byte_fallback"))


@METASPACE
def test_vocabulary_other_models_learn_from_a_sample_where_nothing_is_said(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "SAMPLE_BYTES", 20_000)
    _, report = run([CORPUS], tmp_path, config(model=model, vocab_size=700))
    assert 10_000 < report.counters["bytes_learned_from"] < 30_000


def test_vocabulary_files_of_gpt2_and_tiktoken_hold_the_same_vocabulary(tmp_path: Path) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    artifact, report = run([CORPUS], tmp_path, config())
    tokenizer = Tokenizer.from_str(artifact.folder.read_bytes("tokenizer.json").decode())
    assert json.loads(artifact.folder.read_bytes("vocab.json")) == tokenizer.get_vocab()
    lines = artifact.folder.read_bytes("tokenizer.tiktoken").splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, lines)}
    settings = json.loads(artifact.folder.read_bytes("tokenizer.tiktoken.json"))
    encoding = tiktoken.Encoding(name="ours", mergeable_ranks=ranks, **settings)
    for text in texts(40, seed=77):
        assert encoding.encode(text) == tokenizer.encode(text).ids
    assert "formats_left_out" not in report.figures


def test_vocabulary_normalised_has_no_tiktoken_file_and_says_why(tmp_path: Path) -> None:
    artifact, report = run([CORPUS], tmp_path, config(normalization="NFC"))
    assert "tokenizer.tiktoken" not in artifact.folder.list() and "vocab.json" in artifact.folder.list()
    assert report.figures["formats_left_out"] == "tokenizer.tiktoken: tiktoken cannot normalise texts to NFC"


def test_vocabulary_text_of_null_and_empty_documents_count_for_nothing(tmp_path: Path) -> None:
    rows: list[Document] = [(CORPUS[i][0], text, "en") for i, text in enumerate([None, "", "a b", "a b"])]
    artifact, report = run([rows], tmp_path, config(model="unigram", held_out=0.0))
    assert report.counters["bytes_learned_from"] == 6
    assert artifact.manifest["contract"]["vocab_size"] < 600
