"""How well a model predicts: bits per byte and perplexity, on texts and on held-out rows.

Reads:  an export (config.json, model.safetensors, tokenizer.json); files of text, or token shards
Writes: nothing
Cost:   texts: two forward passes over each token, with the default stride; rows: one. Memory: the logits of a batch,
        LOGITS_BYTES at most, several times over; WINDOWS windows
Source: bits per byte as in the Pile (Gao et al. 2020): the model's loss in bits over the UTF-8 bytes of the text, so
        that models with different tokenizers compare. Perplexity, by token, does not compare them

A text is scored as the stream `begin, its tokens`, each token once; its end is not scored, for it stands for no byte.
Rows of token shards are scored as they were packed, each target once, the documents' ends as well, as in training: that
gives a little more than the same texts do. Their bytes are those of the text as the tokenizer's normaliser left it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from pipeline.errors import DagError, DataError
from pipeline.store import Folder
from pretrain import data, generate, objectives, text_files, text_windows
from pretrain.example import IGNORED
from pretrain.segment_losses import token_losses
from pretrain.token_bytes import begins_with_a_space, token_bytes
from tokenizer.encode import Encoder, load_encoder

LOGITS_BYTES = 64 << 20
WINDOWS = 1024  # gathered before they are sorted by length and run
TEXTS = 64  # encoded at a time


@dataclass(frozen=True, kw_only=True)
class Score:
    """The loss over some tokens, in nats, and the bytes these stand for."""

    documents: int
    num_bytes: int
    tokens: int
    loss: float

    @property
    def bits_per_byte(self) -> float | None:
        return self.loss / math.log(2) / self.num_bytes if self.num_bytes else None

    def fields(self) -> dict[str, Any]:
        mean = self.loss / self.tokens if self.tokens else None
        return {
            "bits_per_byte": self.bits_per_byte,
            "perplexity": None if mean is None else math.exp(min(mean, 700.0)),
            "loss": mean,
            "bytes_per_token": self.num_bytes / self.tokens if self.tokens else None,
            "documents": self.documents, "bytes": self.num_bytes, "tokens": self.tokens,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """A model and its tokenizer, ready to score. `begin_id` is what a document's first token is predicted from."""

    model: nn.Module
    encoder: Encoder
    tokenizer: bytes
    length: int
    begin_id: int
    vocab_size: int


def load(folder: Folder) -> Evaluator:
    """Open an export, on a GPU where there is one."""
    generator = generate.load(folder)
    tokenizer = folder.read_bytes("tokenizer.json")
    vocab_size = int(json.loads(folder.read_bytes("config.json"))["vocab_size"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Evaluator(
        model=generator.model.to(device).eval(), encoder=load_encoder(tokenizer), tokenizer=tokenizer,
        length=generator.length, begin_id=generator.eot_id if generator.bos_id is None else generator.bos_id,
        vocab_size=vocab_size,
    )  # fmt: skip


def run(folder: Folder, files: Sequence[str], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A file's figures as soon as they are there, with its name as `file`. `options`: `stride`, `context`."""
    evaluator = load(folder)
    length = min(options.get("context") or evaluator.length, evaluator.length)
    stride = options.get("stride") or max(1, length // 2)
    if not 1 <= stride <= length:
        raise DagError(f"{stride}", where="--stride", expected=f"from 1 to the window's {length} tokens")
    for file in files:
        path = Path(file)
        if path.suffix == ".arrow":
            score = score_shard(evaluator, path)
        else:
            score = score_texts(evaluator, text_files.documents(path), length, stride)
        yield {"file": file, **score.fields()}


def score_texts(evaluator: Evaluator, texts: Iterable[str], length: int, stride: int) -> Score:
    """Every token of every text once, from windows of at most `length` tokens. An empty text counts as a document."""
    documents = num_bytes = tokens = 0
    losses: list[float] = []
    waiting: list[text_windows.Window] = []
    for some in _in_groups(texts, TEXTS):
        ids_T, offset_N = evaluator.encoder.encode(pa.array(some, pa.large_string()))
        documents += len(some)
        num_bytes += sum(len(text.encode()) for text in some)
        tokens += len(ids_T)
        for begin, end in zip(offset_N[:-1].tolist(), offset_N[1:].tolist(), strict=True):
            stream = np.concatenate([[evaluator.begin_id], ids_T[begin:end]])
            for window in text_windows.windows(stream, length, stride):
                waiting.append(window)
                if len(waiting) == WINDOWS:
                    losses += _window_losses(evaluator, waiting)
                    waiting = []
    losses += _window_losses(evaluator, waiting)
    return Score(documents=documents, num_bytes=num_bytes, tokens=tokens, loss=math.fsum(losses))


def _in_groups(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    group: list[str] = []
    for text in texts:
        group.append(text)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _window_losses(evaluator: Evaluator, found: Sequence[text_windows.Window]) -> list[float]:
    if not found:
        return []
    rows = _batch_rows(evaluator, max(len(window.ids) for window in found))
    return [
        _loss(evaluator, batch.ids_BT, batch.segment_BT, batch.position_BT, batch.target_BT)
        for batch in text_windows.batched(found, rows)
    ]


def _batch_rows(evaluator: Evaluator, length: int) -> int:
    return max(1, LOGITS_BYTES // (4 * length * evaluator.vocab_size))


@torch.no_grad()
def _loss(
    evaluator: Evaluator, ids_BT: Tensor, segment_BT: Tensor, position_BT: Tensor, target_BT: Tensor
) -> float:  # fmt: skip
    """The sum over the targets, added up in float64."""
    device = next(evaluator.model.parameters()).device
    logits_BTV = evaluator.model(ids_BT.to(device), segment_BT.to(device), position_BT.to(device))
    return float(token_losses(logits_BTV, target_BT.to(device)).double().sum())


def score_shard(evaluator: Evaluator, path: Path) -> Score:
    """Every target of a token shard once. DataError where it was encoded with another tokenizer, or its rows are longer
    than the model's window."""
    tokens = _contract(path)
    rows = data.open_rows([str(path)], tokens)
    found = hashlib.sha256(evaluator.tokenizer).hexdigest()
    if tokens["tokenizer_sha256"] != found or rows.length > evaluator.length:
        raise DataError(
            f"rows of {rows.length} tokens of the tokenizer {str(tokens['tokenizer_sha256'])[:16]}", where=str(path),
            expected=f"at most {evaluator.length} tokens of the model's tokenizer {found[:16]}",
        )  # fmt: skip
    size_V = token_bytes(evaluator.tokenizer, rows.vocab_size)
    size = _batch_rows(evaluator, rows.length)
    losses, num_bytes, num_targets = [], 0, 0
    for first in range(0, rows.num_rows, size):
        batch = data.read_batch(rows, np.arange(first, min(first + size, rows.num_rows)))
        target_BT = objectives.next_token_targets(batch.ids_BT, batch.segment_BT, batch.loss_start_BT)
        losses.append(_loss(evaluator, batch.ids_BT, batch.segment_BT, batch.position_BT, target_BT))
        target_N = target_BT[target_BT != IGNORED].numpy()
        num_targets += len(target_N)
        num_bytes += int(size_V[target_N].sum())
    documents = _num_documents(path)
    num_bytes -= documents if begins_with_a_space(evaluator.tokenizer) else 0
    return Score(documents=documents, num_bytes=num_bytes, tokens=num_targets, loss=math.fsum(losses))


def _contract(path: Path) -> dict[str, Any]:
    """What a shard says of itself."""
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
            said = json.loads((reader.schema.metadata or {}).get(b"crawlmill", b"{}"))
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise DataError(str(error), where=str(path), expected="a token shard of crawlmill") from error
    if not isinstance(said, dict) or "tokenizer_sha256" not in said:
        raise DataError("no contract in its metadata", where=str(path), expected="a token shard of crawlmill")
    return said


def _num_documents(path: Path) -> int:
    """Documents that begin in the shard: their segments with offset 0."""
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        return sum(int((batch["segment_offsets"].flatten().to_numpy() == 0).sum()) for batch in reader)
