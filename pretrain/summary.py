"""What the report says of a training run: figures, curves, generated text.

Reads:  the loss log, the export, the rows that were measured
Writes: the step's report, through its writer
Cost:   num_samples * sample_tokens forward passes; the measured rows once
Source: bits per byte: total loss of the targets in bits over the bytes these tokens stand for, as in the Pile (Gao et
        al. 2020), so that models with different tokenizers compare
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from pipeline.stage import StepReportWriter
from pretrain import data, generate, loop, objectives
from pretrain.config import Config

TEMPERATURE, TOP_K = 0.8, 50  # of the samples: usual values that keep a small model's text varied and on its words


def write_curves(report: StepReportWriter, records: Sequence[Mapping[str, Any]]) -> None:
    """Loss, learning rate and gradient norm over the steps. `records` are those of loss.jsonl."""
    steps = [r for r in records if "loss" in r]
    measured = [r for r in records if "validation_loss" in r]
    x = [r["step"] for r in steps]
    if measured:
        lines = {"train": _means_between(steps, [r["step"] for r in measured])}
        lines["validation"] = [r["validation_loss"] for r in measured]
        report.series("loss", "step", [r["step"] for r in measured], lines)
    else:
        report.series("loss", "step", x, {"train": [r["loss"] for r in steps]})
    report.series("loss of each step", "step", x, {"train": [r["loss"] for r in steps]})
    report.series("learning rate", "step", x, {"learning rate": [r["lr"] for r in steps]})
    report.series("gradient norm", "step", x, {"before clipping": [r["grad_norm"] for r in steps]})


def _means_between(steps: Sequence[Mapping[str, Any]], points: Sequence[int]) -> list[float]:
    """The mean training loss of the steps after the point before, up to each point; at 0 that of the first step."""
    means = []
    before = -1
    for point in points:
        window = [r["loss"] for r in steps if before < r["step"] <= point] or [steps[0]["loss"]]
        means.append(math.fsum(window) / len(window))
        before = point
    return means


def write_figures(
    report: StepReportWriter, cfg: Config, records: Sequence[Mapping[str, Any]], train: data.Rows, num_parameters: int
) -> None:
    steps = [r for r in records if "loss" in r]
    measured = [r["validation_loss"] for r in records if "validation_loss" in r]
    report.figure("parameters", num_parameters)
    report.figure("steps", len(steps))
    report.figure("tokens_predicted", sum(r["num_targets"] for r in steps))
    report.figure("epochs", round(cfg.num_steps * cfg.batch_rows / train.num_rows, 4))
    report.figure("final_train_loss", steps[-1]["loss"])
    if measured:
        report.figure("final_validation_loss", measured[-1])


def bits_per_byte(loss: float, rows: data.Rows, cfg: Config, tokenizer: bytes) -> float:
    """The validation `loss` (nats per token) as bits per byte of UTF-8. Special tokens stand for no bytes."""
    _, target_BT = loop.read_with_targets(rows, loop.validation_rows(rows, cfg))
    target_N = target_BT[target_BT != objectives.IGNORED].numpy()
    num_bytes = int(token_bytes(tokenizer, rows.vocab_size)[target_N].sum())
    return loss * len(target_N) / math.log(2) / max(1, num_bytes)


def token_bytes(tokenizer: bytes, vocab_size: int) -> np.ndarray:
    """Int64 [V]: the bytes each token of a byte-level vocabulary stands for; one character is one byte there."""
    fields = json.loads(tokenizer)
    special = {added["id"] for added in fields.get("added_tokens", ()) if added["special"]}
    sizes = np.zeros(vocab_size, np.int64)
    for text, id in fields["model"]["vocab"].items():
        if id not in special:
            sizes[id] = len(text)
    return sizes


def samples(generator: generate.Generator, rows: data.Rows, cfg: Config) -> list[dict[str, str]]:
    """The first pieces of a few rows, each with what the model makes of its beginning and how it really went on."""
    batch = data.read_batch(
        rows, data.rows_at(0, min(cfg.evaluation.num_samples, rows.num_rows), rows.num_rows, cfg.seed)
    )
    num_tokens = cfg.evaluation.sample_tokens
    found = []
    for i, (ids_T, segment_T) in enumerate(zip(batch.ids_BT, batch.segment_BT, strict=True)):
        ids = ids_T[segment_T == 0].tolist()
        cut = max(1, min(num_tokens, len(ids) // 2))
        pieces = generate.continue_text(generator, ids[:cut], num_tokens, TEMPERATURE, TOP_K, cfg.seed + i)
        found.append({
            "prompt": generator.tokenizer.decode(ids[:cut]),
            "generated": "".join(pieces),
            "document": generator.tokenizer.decode(ids[cut : cut + num_tokens]),
        })  # fmt: skip
    return found


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums split over threads depend on how many there are; what goes into an artifact must not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
