"""Train a fastText classifier from labelled texts, and measure it on texts it has not seen.

Reads:  labelled JSONL or Parquet files (`stages/classifiers/labelled_rows.py`); no artifact
Writes: `model.bin` (or `model.ftz`), contract {file, labels, positive, prepare, max_chars}
Cost:   one task on one thread; 80,000 tweets take 15 s; the texts go through temporary files, not memory
Source: Joulin et al. 2016; split and shuffle are ours: by xxh3-64 of the prepared text, so that equal texts fall on the
        same side, and because fastText reads its file in order and would end on whatever label comes last
"""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from pipeline.config import location
from pipeline.errors import DataError, FieldError
from pipeline.schemas import EXCERPT_CHARS
from pipeline.stage import JSON, StepReportWriter, TaskContext, WideContext, wide
from stages.classifiers import fasttext_model
from stages.classifiers.fasttext_text import NEGATIVE, POSITIVE, Preparation, prepare
from stages.classifiers.labelled_rows import data_files, read_labelled
from stages.kernels import ranking

NUM_BUCKETS = 64  # of the shuffle; one bucket at a time is in memory
NUM_MISTAKES = 20
THRESHOLDS = tuple(i / 20 for i in range(21))


@dataclass(frozen=True, kw_only=True)
class Config:
    """Where the labelled texts are, which label is positive, and fastText's settings under fastText's names."""

    data: str = location()  # a file, a folder, a glob, sample:quality or sample:toxicity
    positive: tuple[str, ...]  # values of the label column that make a text positive
    negative: tuple[str, ...] = ()  # values that make it negative; none: all others
    text_column: str = "text"
    label_column: str = "label"
    held_out: float = 0.1  # share of the texts that is measured on and not trained on
    prepare: Preparation = "words"
    max_chars: int = 10_000  # of each text; the same when classifying
    dim: int = 16
    epoch: int = 10
    lr: float = 0.1
    word_ngrams: int = 2  # over Chinese these are character bigrams, see stages/classifiers/fasttext_text.py
    minn: int = 3
    maxn: int = 5  # character n-grams inside words; 0 turns them off
    bucket: int = 200_000  # rows for n-grams: bucket x dim x 4 bytes of model
    min_count: int = 2
    seed: int = 1
    quantize: bool = False  # a .ftz, about a fifth of the size

    def __post_init__(self) -> None:
        if not self.positive:
            raise FieldError("positive", self.positive, "at least one value of the label column")
        if set(self.positive) & set(self.negative):
            raise FieldError("negative", self.negative, "values that are not positive ones as well")
        if not 0 < self.held_out < 1:
            raise FieldError("held_out", self.held_out, "a share above 0 and below 1")
        for name in ("max_chars", "dim", "epoch", "word_ngrams", "min_count", "bucket"):
            if getattr(self, name) < 1:
                raise FieldError(name, getattr(self, name), "a whole number of at least 1")
        if not 0 <= self.minn <= self.maxn:
            raise FieldError("minn", self.minn, f"a number from 0 to maxn, which is {self.maxn}")
        if self.lr <= 0:
            raise FieldError("lr", self.lr, "a number above 0")

    @property
    def file(self) -> str:
        return "model.ftz" if self.quantize else "model.bin"


@wide(version=1, ports={}, produces="classifier", files=lambda cfg: data_files(cfg.data))
def train_classifier(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    """Train in one task and report what it measured. DataError where a label is missing on either side of the split."""
    [result] = ctx.map("train", _train, [0], shared=cfg)
    _report(ctx.report, result)
    return {
        "file": cfg.file, "labels": [POSITIVE, NEGATIVE], "positive": POSITIVE, "prepare": cfg.prepare,
        "max_chars": cfg.max_chars,
    }  # fmt: skip


def _train(cfg: Config, item: int, task: TaskContext) -> JSON:
    with tempfile.TemporaryDirectory(prefix="crawlmill-classifier-") as name:
        folder = Path(name)
        counts, labels = _split(cfg, folder)
        _check_classes(cfg, counts)
        fasttext_model.train(folder / "train.txt", folder / cfg.file, _settings(cfg), cfg.quantize)
        measured = _measure(folder / cfg.file, folder / "held_out.jsonl")
        task.output.write_bytes(cfg.file, (folder / cfg.file).read_bytes())
    return {"counts": dict(sorted(counts.items())), "labels": dict(sorted(labels.items())), **measured}


def _settings(cfg: Config) -> dict[str, Any]:
    return {
        "dim": cfg.dim, "epoch": cfg.epoch, "lr": cfg.lr, "wordNgrams": cfg.word_ngrams, "minn": cfg.minn,
        "maxn": cfg.maxn, "bucket": cfg.bucket, "minCount": cfg.min_count, "seed": cfg.seed,
    }  # fmt: skip


def _split(cfg: Config, folder: Path) -> tuple[Counter[str], Counter[str]]:
    """Write `train.txt`, shuffled, and `held_out.jsonl`; (rows by what became of them, rows by label)."""
    counts: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    held_out_below = int(cfg.held_out * 2**64)
    with contextlib.ExitStack() as stack:
        held_out = stack.enter_context(open(folder / "held_out.jsonl", "w", encoding="utf-8"))
        buckets = [
            stack.enter_context(open(folder / f"bucket-{i:02}", "w", encoding="utf-8", newline="\n"))
            for i in range(NUM_BUCKETS)
        ]
        for line, label, excerpt in _lines(cfg, counts):
            labels[label] += 1
            positive = label in cfg.positive
            name = "positive" if positive else "negative"
            if not positive and cfg.negative and label not in cfg.negative:
                counts["other_label"] += 1
                continue
            digest = xxhash.xxh3_64_intdigest(line.encode())
            if digest < held_out_below:
                counts[f"held_out_{name}"] += 1
                json.dump({"line": line, "positive": positive, "excerpt": excerpt}, held_out, ensure_ascii=False)
                held_out.write("\n")
            else:
                counts[f"train_{name}"] += 1
                buckets[digest % NUM_BUCKETS].write(f"{digest:016x} {POSITIVE if positive else NEGATIVE} {line}\n")
    _join_shuffled(folder)
    return counts, labels


def _lines(cfg: Config, counts: Counter[str]) -> Iterator[tuple[str, str, str]]:
    """(prepared line, label, excerpt) of every usable row, in file order."""
    from stages.kernels import utf8

    for file in data_files(cfg.data):
        for batch in read_labelled(file, cfg.text_column, cfg.label_column, counts):
            lines = utf8.array(prepare(batch["text"], cfg.prepare, cfg.max_chars)).to_pylist()
            excerpts = pc.utf8_slice_codeunits(batch["text"], 0, EXCERPT_CHARS).to_pylist()
            yield from zip(lines, batch["label"].to_pylist(), excerpts, strict=True)


def _join_shuffled(folder: Path) -> None:
    with open(folder / "train.txt", "w", encoding="utf-8", newline="\n") as train:
        for i in range(NUM_BUCKETS):
            bucket = folder / f"bucket-{i:02}"
            lines = sorted(bucket.read_text(encoding="utf-8").split("\n")[:-1])
            train.writelines(f"{line[17:]}\n" for line in lines)
            bucket.unlink()


def _check_classes(cfg: Config, counts: Counter[str]) -> None:
    for name in ("train_positive", "train_negative", "held_out_positive", "held_out_negative"):
        if not counts[name]:
            rows = ", ".join(f"{k}: {v}" for k, v in sorted(counts.items()))
            raise DataError(
                f"no {name.replace('_', ' ')} rows ({rows})", where=cfg.data,
                expected=f"positive and negative rows by {cfg.label_column!r} in both parts",
                mend="Check `positive`, or give more rows or a larger `held_out`.",
            )  # fmt: skip


def _measure(model_path: Path, held_out: Path) -> dict[str, JSON]:
    """Figures, curves and the worst mistakes on the held-out texts."""
    from stages.kernels import utf8

    model = fasttext_model.load(model_path)
    scores, positives = [], []
    with open(held_out, encoding="utf-8") as file:
        while rows := [json.loads(line) for line in islice(file, 1024)]:
            lines = utf8.view(pa.array([r["line"] for r in rows], pa.large_string()))
            scores.append(fasttext_model.score(model, lines, POSITIVE))
            positives.append([r["positive"] for r in rows])
    score_N = np.concatenate(scores).astype(np.float64)
    positive_N = np.concatenate(positives).astype(bool)
    curve = [ranking.precision_recall(score_N, positive_N, t) for t in THRESHOLDS]
    return {
        "figures": _figures(score_N, positive_N),
        "curve": {"precision": [c[0] for c in curve], "recall": [c[1] for c in curve]},
        "mistakes": _mistakes(held_out, score_N, positive_N),
    }


def _figures(score_N: np.ndarray, positive_N: np.ndarray) -> dict[str, float]:
    precision, recall, f1 = ranking.precision_recall(score_N, positive_N, 0.5)
    return {
        "auc": ranking.auc(score_N, positive_N), "average_precision": ranking.average_precision(score_N, positive_N),
        "precision": precision, "recall": recall, "f1": f1,
    }  # fmt: skip


def _mistakes(held_out: Path, score_N: np.ndarray, positive_N: np.ndarray) -> list[dict[str, JSON]]:
    """The held-out rows furthest on the wrong side of 0.5, worst first."""
    wrong_N = np.where((score_N >= 0.5) != positive_N, np.abs(score_N - positive_N), -math.inf)
    worst = [int(i) for i in np.argsort(-wrong_N, kind="stable")[:NUM_MISTAKES] if wrong_N[i] >= 0]
    with open(held_out, encoding="utf-8") as file:
        excerpts = {i: json.loads(line)["excerpt"] for i, line in enumerate(file) if i in worst}
    return [
        {
            "score": round(float(score_N[i]), 4),
            "label": "positive" if positive_N[i] else "negative",
            "text": excerpts[i],
        }
        for i in worst
    ]


def _report(report: StepReportWriter, result: Mapping[str, Any]) -> None:
    for name, count in result["counts"].items():
        report.counter(name, count)
    for name, value in result["figures"].items():
        report.figure(name, round(value, 4))
    labels: Sequence[str] = list(result["labels"])
    report.histogram("rows by label", labels, list(result["labels"].values()))
    report.series("precision and recall", "threshold", THRESHOLDS, result["curve"])
    report.sample("worst mistakes", result["mistakes"])
