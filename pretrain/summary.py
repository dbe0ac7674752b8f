"""What the report says of a training run: figures, curves, generated text.

Reads:  the loss log, the export, the rows that were measured
Writes: the step's report, through its writer
Cost:   num_samples * sample_tokens forward passes; the measured rows once
Source: bits per byte: total loss of the targets in bits over the bytes these tokens stand for, as in the Pile (Gao et
        al. 2020), so that models with different tokenizers compare
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from pipeline.stage import StepReportWriter
from pretrain import batches, data, generate, inspection
from pretrain.batches import Reader
from pretrain.config import Config
from pretrain.example import IGNORED
from pretrain.segment_losses import token_losses
from pretrain.token_bytes import token_bytes

MAX_EXAMPLES = 4
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
    report: StepReportWriter, cfg: Config, records: Sequence[Mapping[str, Any]], reader: Reader, num_parameters: int
) -> None:
    steps = [r for r in records if "loss" in r]
    measured = [r["validation_loss"] for r in records if "validation_loss" in r]
    report.figure("parameters", num_parameters)
    report.figure("steps", len(steps))
    report.figure("tokens_predicted", sum(r["num_targets"] for r in steps))
    report.figure("epochs", round(cfg.num_steps * cfg.batch_rows / reader.train.num_rows, 4))
    report.figure("final_train_loss", steps[-1]["loss"])
    if measured:
        report.figure("final_validation_loss", measured[-1])


def write_sources(report: StepReportWriter, reader: Reader, records: Sequence[Mapping[str, Any]]) -> None:
    """Where there are several: how many rows each gave, and how often each was read."""
    if len(reader.mixture.sources) > 1:
        num_rows = sum("loss" in r for r in records) * reader.config.batch_rows
        report.sample("sources", reader.mixture.summary(num_rows))


def bits_per_byte(loss: float, reader: Reader, tokenizer: bytes) -> float:
    """The validation `loss` (nats per token) as bits per byte of UTF-8. Special tokens stand for no bytes."""
    targets = [m.example.target_BT[m.example.target_BT != IGNORED].numpy() for m in reader.validation_batches((0, 1))]
    size_V = token_bytes(tokenizer, reader.validation.vocab_size)
    num_bytes = sum(int(size_V[target_N].sum()) for target_N in targets)
    return loss * sum(map(len, targets)) / math.log(2) / max(1, num_bytes)


@torch.no_grad()
def model_bits_per_byte(model: nn.Module, reader: Reader, tokenizer: bytes) -> float:
    """Of any causal model on the validation rows."""
    loss, count = 0.0, 0
    for microbatch in reader.validation_batches((0, 1)):
        example = microbatch.example
        logits_BTV = model(example.ids_BT, example.segment_BT, example.position_BT)
        loss += token_losses(logits_BTV, example.target_BT).sum().item()
        count += microbatch.num_targets
    return bits_per_byte(loss / max(1, count), reader, tokenizer)


def inputs_and_targets(reader: Reader, tokenizer: bytes, rows: data.Rows) -> list[dict[str, str]]:
    """The first segments of a row as the objective made them."""
    read = Tokenizer.from_buffer(tokenizer)
    row_N = data.rows_at(0, 1, rows.num_rows, reader.config.seed)
    example = batches.make_example(reader.config, data.read_batch(rows, row_N), row_N, reader.special)
    return inspection.describe(example, lambda ids: str(read.decode(list(ids), skip_special_tokens=False)))[
        :MAX_EXAMPLES
    ]


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
