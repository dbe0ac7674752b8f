"""Scores against transformers, against single predictions, and against what a uniform model must get."""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from torch import Tensor, nn

from pipeline.cli import main
from pipeline.errors import DagError, DataError, RunError, StoreError
from pipeline.store import Folder
from pretrain import evaluate, export, lm_eval, text_files, text_windows
from pretrain.model import Shape, Transformer
from pretrain.token_bytes import begins_with_a_space, token_bytes
from tests.pretrain.packed import EOT_ID, PAD_ID, VOCAB_SIZE, byte_tokenizer, pack, write_shard
from tokenizer.encode import load_encoder

LENGTH = 64
SHAPE = Shape(
    vocab_size=VOCAB_SIZE, dim=32, num_layers=2, num_heads=4, num_kv_heads=2, ffn_dim=48, rope_theta=1e3, norm_eps=1e-6
)
CONTRACT = {"length": LENGTH, "eot_id": EOT_ID, "bos_id": EOT_ID, "pad_id": PAD_ID}
TEXTS = ["A short text.", "", "Z\u00fcrich \u4e2d\u6587 \U0001f600", "a longer one " * 8, "<|end|> is plain text here"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Uniform(nn.Module):
    """All tokens equally likely."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(()))
        self.vocab_size = vocab_size

    def forward(self, ids_BT: Tensor, segment_BT: Tensor, position_BT: Tensor) -> Tensor:
        return self.zero.expand(*ids_BT.shape, self.vocab_size)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """An export of random weights, large ones, so that logits vary."""
    path = tmp_path_factory.mktemp("export")
    model = Transformer(SHAPE).eval()
    torch.manual_seed(5)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    export.write(path, model.state_dict(), SHAPE, CONTRACT, byte_tokenizer())
    return Folder(str(path))


def ids_of(text: str) -> list[int]:
    """A document's tokens; the name of a special token in it is text."""
    tokenizer = Tokenizer.from_buffer(byte_tokenizer())
    tokenizer.encode_special_tokens = True
    found: list[int] = tokenizer.encode(text).ids
    return found


def one_by_one(evaluator: evaluate.Evaluator, text: str, length: int, stride: int) -> float:
    """The loss of each token from a forward pass of its own, over exactly the tokens it may see."""
    stream = [EOT_ID, *ids_of(text)]
    total, end = 0.0, min(length, len(stream) - 1)
    ends = [end]
    while ends[-1] < len(stream) - 1:
        ends.append(min(ends[-1] + stride, len(stream) - 1))
    for target in range(1, len(stream)):
        start = max(0, next(e for e in ends if e >= target) - length)
        ids = torch.tensor([stream[start:target]])
        with torch.no_grad():
            logits = evaluator.model(ids, torch.zeros_like(ids), torch.arange(ids.shape[1])[None])
        total += F.cross_entropy(logits[0, -1:], torch.tensor([stream[target]])).item()
    return total


@settings(max_examples=200, deadline=None)
@given(num=st.integers(1, 60), length=st.integers(1, 20), data=st.data())
def test_windows_score_each_token_once_with_enough_before_it(num: int, length: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, length))
    stream = np.arange(num + 1)
    scored: list[int] = []
    for window in text_windows.windows(stream, length, stride):
        assert 1 <= len(window.ids) <= length
        assert (window.targets == window.ids + 1).all()
        assert not scored or window.first >= length - stride
        assert (len(window.ids) == length) == (num >= length)
        scored += window.targets[window.first :].tolist()
    assert scored == list(range(1, num + 1))


@pytest.mark.parametrize(("length", "stride"), [(64, 32), (16, 16), (16, 5)])
def test_score_equals_that_of_single_predictions(folder: Folder, length: int, stride: int) -> None:
    evaluator = evaluate.load(folder)
    score = evaluate.score_texts(evaluator, TEXTS, length, stride)
    assert score.loss == pytest.approx(sum(one_by_one(evaluator, t, length, stride) for t in TEXTS), rel=1e-5)
    assert score.num_bytes == sum(len(t.encode()) for t in TEXTS)
    assert score.tokens == score.num_bytes  # a token per byte in this vocabulary
    assert score.documents == len(TEXTS)


def test_score_equals_the_loss_transformers_computes(folder: Folder) -> None:
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder.location).eval()
    text = "Forty bytes of text are enough for it."
    ids = torch.tensor([[EOT_ID, *ids_of(text)]])
    mean = peer(ids, labels=ids).loss.item()
    score = evaluate.score_texts(evaluate.load(folder), [text], LENGTH, 32)
    fields = score.fields()
    assert fields["loss"] == pytest.approx(mean, rel=1e-5)
    assert fields["perplexity"] == pytest.approx(math.exp(mean), rel=1e-4)
    assert fields["bits_per_byte"] == pytest.approx(
        mean / math.log(2) * (ids.shape[1] - 1) / len(text.encode()), rel=1e-5
    )


def test_score_does_not_depend_on_batches_or_order(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = evaluate.load(folder)
    whole = evaluate.score_texts(evaluator, TEXTS, 16, 8).loss
    monkeypatch.setattr(evaluate, "LOGITS_BYTES", 1)
    monkeypatch.setattr(evaluate, "WINDOWS", 3)
    monkeypatch.setattr(evaluate, "TEXTS", 2)
    assert evaluate.score_texts(evaluator, TEXTS[::-1], 16, 8).loss == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("vocab_size", [VOCAB_SIZE, 50_000])
def test_a_uniform_model_gets_log2_of_the_vocabulary_per_token(vocab_size: int) -> None:
    evaluator = evaluate.Evaluator(
        model=Uniform(vocab_size), encoder=load_encoder(byte_tokenizer()), tokenizer=byte_tokenizer(), length=LENGTH,
        begin_id=EOT_ID, vocab_size=vocab_size,
    )  # fmt: skip
    score = evaluate.score_texts(evaluator, TEXTS, LENGTH, 32)
    assert score.bits_per_byte == pytest.approx(math.log2(vocab_size) * score.tokens / score.num_bytes, rel=1e-6)
    assert score.fields()["perplexity"] == pytest.approx(vocab_size, rel=1e-5)


def test_shard_is_scored_by_its_targets_and_its_documents_bytes(folder: Folder, tmp_path: Path) -> None:
    path = tmp_path / "validation-00000.arrow"
    streams = [[EOT_ID, *ids_of(text), EOT_ID] for text in TEXTS if text]
    rows = pack(streams, LENGTH, 8)
    write_shard(path, rows, LENGTH)
    evaluator = evaluate.load(folder)
    score = evaluate.score_shard(evaluator, path)
    assert score.tokens == sum(len(stream) - 1 for stream in streams)
    assert score.num_bytes == sum(len(text.encode()) for text in TEXTS)
    assert score.documents == len(streams)
    ids_BT = torch.tensor([row["input_ids"] for row in rows])
    expected = 0.0
    for row, ids_T in zip(rows, ids_BT, strict=True):
        ends = [*row["segment_starts"][1:], row["num_real"]]
        for start, end, first in zip(row["segment_starts"], ends, row["loss_starts"], strict=True):
            ids = ids_T[None, start:end]
            with torch.no_grad():
                logits = evaluator.model(ids, torch.zeros_like(ids), torch.arange(ids.shape[1])[None])[0]
            first = max(first - start, 1)
            expected += F.cross_entropy(logits[first - 1 : -1], ids[0, first:], reduction="sum").item()
    assert score.loss == pytest.approx(expected, rel=1e-5)


def test_shard_of_another_tokenizer_or_of_longer_rows_is_refused(folder: Folder, tmp_path: Path) -> None:
    evaluator = evaluate.load(folder)
    longer = write_shard(tmp_path / "longer.arrow", pack([[1, 2]], 128, 8), 128)
    with pytest.raises(DataError, match="rows of 128 tokens"):
        evaluate.score_shard(evaluator, Path(longer))
    unsaid = write_shard(tmp_path / "unsaid.arrow", pack([[1, 2]], LENGTH, 8), LENGTH, metadata={})
    with pytest.raises(DataError, match="no contract"):
        evaluate.score_shard(evaluator, Path(unsaid))
    (tmp_path / "noise.arrow").write_bytes(b"noise")
    with pytest.raises(DataError, match="token shard"):
        evaluate.score_shard(evaluator, tmp_path / "noise.arrow")


def test_files_of_every_kind_give_their_documents(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": text}) + "\n\n" for text in TEXTS).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    with pa.CompressedOutputStream(str(tmp_path / "a.jsonl.zst"), "zstd") as file:
        file.write(lines)
    pq.write_table(pa.table({"text": [*TEXTS, None]}), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"):
        assert list(text_files.documents(tmp_path / name)) == TEXTS, name
    (tmp_path / "a.txt").write_bytes(b"one\r\n\ntwo")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one\r\n\ntwo"))
    assert list(text_files.documents(tmp_path / "a.txt")) == ["one\r\n\ntwo"]
    assert list(text_files.documents(tmp_path / "a.txt.gz")) == ["one\r\n\ntwo"]


@pytest.mark.parametrize(("name", "content", "words"), [
    ("a.txt", b"\xff\xfe", "no UTF-8"), ("a.jsonl", b'{"text": "a"}\n{"body": 1}\n', r"a.jsonl:2: KeyError"),
    ("a.jsonl", b"[]\n", "TypeError"), ("a.jsonl", b'{"text": 3}\n', "text is int"),
    ("a.jsonl.gz", b"plain", "a.jsonl.gz"), ("a.parquet", b"PAR1", "damaged"),
])  # fmt: skip
def test_file_that_does_not_hold_what_its_name_says_is_refused(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        list(text_files.documents(tmp_path / name))
    with pytest.raises(StoreError, match="no such file"):
        list(text_files.documents(tmp_path / "nothing.txt"))


def test_token_bytes_of_a_sentencepiece_vocabulary_count_the_texts_bytes() -> None:
    pieces = ["<unk>", "<0x0A>", "<0xE4>", "\u2581a", "\u4e2d", "b\u2581"]
    bpe = {"type": "BPE", "unk_token": "<unk>", "vocab": {piece: id for id, piece in enumerate(pieces)}}
    unigram = {"type": "Unigram", "unk_id": 0, "vocab": [[piece, -1.0] for piece in pieces]}
    for model in (bpe, unigram):
        tokenizer = json.dumps({"model": model, "added_tokens": [{"id": 6, "special": True}]}).encode()
        assert token_bytes(tokenizer, 8).tolist() == [0, 1, 1, 2, 3, 2, 0, 0]
        assert begins_with_a_space(tokenizer)
    assert not begins_with_a_space(byte_tokenizer())
    assert token_bytes(byte_tokenizer(), VOCAB_SIZE).tolist() == [1] * 256 + [0, 0]


def test_evaluate_verb_prints_a_line_per_file_or_json(
    folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "some_text.txt"
    text.write_text("hello there")
    assert main(["evaluate", folder.location, str(text), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["files"]
    assert [f["file"] for f in found] == [str(text)]
    assert found[0]["bytes"] == 11
    assert main(["evaluate", folder.location, str(text)]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"{text}: bits per byte {found[0]['bits_per_byte']:.3f}"[:-2])
    for arguments, words in (
        ([], "nothing to evaluate on"), ([str(text), "--stride", "65"], "--stride"),
        ([str(text), "--context", "0"], "--context"),
    ):  # fmt: skip
        assert main(["evaluate", folder.location, *arguments]) == 2
        assert words in capsys.readouterr().err


def test_lm_eval_that_is_not_installed_is_named(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DagError, match="pip install 'lm-eval") as found:
        lm_eval.run(folder, ["hellaswag"])
    assert "network" in str(found.value)


def test_lm_eval_results_are_read_and_its_failure_is_told(folder: Folder, tmp_path: Path) -> None:
    script = tmp_path / "harness.py"
    script.write_text(
        "import json, pathlib, sys\n"
        "given = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "if given['--tasks'] == 'bad': sys.exit('no such task')\n"
        "out = pathlib.Path(given['--output_path'], 'model'); out.mkdir(parents=True)\n"
        "results = {task: {'acc': 0.5, 'given': given['--model_args']} for task in given['--tasks'].split(',')}\n"
        "(out / 'results_1.json').write_text(json.dumps({'results': results}))\n"
    )
    command = [sys.executable, str(script)]
    found = lm_eval.run(folder, ["a", "b"], command)
    assert set(found) == {"a", "b"}
    assert f"pretrained={folder.location}" in found["a"]["given"]
    with pytest.raises(RunError, match="no such task"):
        lm_eval.run(folder, ["bad"], command)
