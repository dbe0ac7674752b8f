"""Score every document with a fastText model, and drop by score.

Reads:  `text`; a model: the side input `model` (an artifact of stages.train_classifier) or a file named by `model`
Writes: `{column}`, float32: the probability, 0 to 1, that the model gives its positive label; null for an empty text
Cost:   20 MB/s per core of what is looked at, 80 without character n-grams, most of it fetching the n-grams' rows; the
        model in memory
Source: the score is fastText's softmax over the mean of the text's vectors (Joulin et al. 2016). It is what the model
        learned from its training texts, not a calibrated frequency; choose thresholds by histogram and samples

A page is dropped where its score is below `drop_below` or above `drop_above`; one without a score is kept and counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from pipeline.config import LOCATION
from pipeline.errors import DataError, FieldError, close_match
from pipeline.http_reader import shown
from pipeline.stage import BatchFunction, Drops, Measure, NarrowContext, Verdict, narrow
from stages.classifiers import fasttext_model
from stages.classifiers.fasttext_text import LABEL_PREFIX, POSITIVE, Preparation, prepare
from stages.classifiers.model_file import local_file


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which model, which column, and what is dropped."""

    column: str  # the score column's name, also in the reasons: quality_too_low
    model: str = field(default="", metadata=LOCATION)  # a .bin or .ftz; empty: the side input
    sha256: str = ""  # of the model; checked where given
    label: str = ""  # whose probability is the score, with or without __label__; empty: the contract's positive label
    drop_below: float | None = None
    drop_above: float | None = None
    max_chars: int | None = None  # of each text; null: what the model was trained on, 10,000 for a model file
    prepare: Preparation | Literal["auto"] = "auto"  # auto: as the model was trained; `plain` for a model file

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.column):
            raise FieldError("column", self.column, "a column name of a-z, 0-9 and _")
        for name in ("drop_below", "drop_above"):
            threshold = getattr(self, name)
            if threshold is not None and not 0 <= threshold <= 1:
                raise FieldError(name, threshold, "a number from 0 to 1, or null")
        if self.drop_below is not None and self.drop_above is not None and self.drop_below > self.drop_above:
            raise FieldError("drop_below", self.drop_below, f"at most drop_above, which is {self.drop_above}")
        if self.max_chars is not None and self.max_chars < 1:
            raise FieldError("max_chars", self.max_chars, "a whole number of at least 1, or null")


NUM_LISTED = 50  # labels in an error message
FOREIGN_MAX_CHARS = 10_000  # a page's first 10,000 characters say what it is, and bound the time it takes


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """An opened model and how to feed it."""

    model: fasttext_model.Model
    label: str
    prepare: Preparation
    max_chars: int


def _one_model(cfg: Config, ports: Sequence[str]) -> None:
    if ("model" in ports) == bool(cfg.model):
        raise FieldError(
            "model", cfg.model, "one model: `inputs: {documents: ..., model: a classifier step}`, or a path or URL here"
        )


@narrow(
    version=2,
    reads=("text",),
    adds=lambda cfg: {cfg.column: pa.float32()},
    side_inputs={"model": "classifier"},
    files=lambda cfg: (cfg.model,) if cfg.model else (),
    measures=lambda cfg: (cfg.column,),
    check_inputs=_one_model,
)
def classify(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Score and judge every document of a batch. DataError where there is no model, two, or one without the label."""
    classifier = _open(cfg, ctx)

    def judge(batch: pa.RecordBatch) -> Verdict:
        lines = prepare(batch["text"], classifier.prepare, classifier.max_chars)
        score_N = fasttext_model.score(classifier.model, lines, classifier.label)
        measure = Measure(
            value_N=score_N.astype(np.float64), low=0.0, high=1.0, drop_below=cfg.drop_below, drop_above=cfg.drop_above
        )
        return Verdict(
            columns={cfg.column: pa.array(score_N, pa.float32(), from_pandas=True)},
            drops=_drops(cfg, score_N),
            measures={cfg.column: measure},
            counters={"without_score": int(np.isnan(score_N).sum())} | classifier.model.counters(batch.num_rows),
        )

    return judge


def _drops(cfg: Config, score_N: np.ndarray) -> Drops | None:
    if cfg.drop_below is None and cfg.drop_above is None:
        return None
    low = -np.inf if cfg.drop_below is None else cfg.drop_below
    high = np.inf if cfg.drop_above is None else cfg.drop_above
    value_N = score_N.astype(np.float64)
    too_low_N, too_high_N = value_N < low, value_N > high
    return Drops(
        reasons=(f"{cfg.column}_too_low", f"{cfg.column}_too_high"),
        code_N=np.select([too_low_N, too_high_N], [0, 1], -1).astype(np.int16),
        value_N=value_N,
        threshold_N=np.select([too_low_N, too_high_N], [low, high], np.nan),
    )


def _open(cfg: Config, ctx: NarrowContext) -> Classifier:
    artifact = ctx.inputs.get("model")
    if (artifact is None) == (not cfg.model):
        raise DataError(
            "two models, a side input and a location" if cfg.model else "no model", where=f"step {ctx.step}",
            expected="one: `inputs: {documents: ..., model: a classifier step}` or `with: {model: a path or URL}`",
        )  # fmt: skip
    if artifact is None:
        contract: Mapping[str, Any] = {}
        location, name = cfg.model, shown(cfg.model)
    else:
        contract = artifact.manifest["contract"]
        location, name = artifact.folder.join(contract["file"]), f"step {artifact.step}"
    model = fasttext_model.load(local_file(location, cfg.sha256))
    preparation: Preparation = contract.get("prepare", "plain") if cfg.prepare == "auto" else cfg.prepare
    return Classifier(
        model=model,
        label=positive_label(cfg.label, contract, list(model.labels), name),
        prepare=preparation,
        max_chars=cfg.max_chars or contract.get("max_chars", FOREIGN_MAX_CHARS),
    )


def positive_label(wanted: str, contract: Mapping[str, Any], labels: list[str], name: str) -> str:
    """The label whose probability is the score; DataError naming the labels where it is not said or not there."""
    for label in (wanted, LABEL_PREFIX + wanted) if wanted else (contract.get("positive", POSITIVE),):
        if label in labels:
            return label
    listed = ", ".join(x.removeprefix(LABEL_PREFIX) for x in sorted(labels)[:NUM_LISTED]) + (
        ", ..." if len(labels) > NUM_LISTED else ""
    )
    raise DataError(
        f"the model has no label {wanted!r}" if wanted else "the model does not say which of its labels is the score",
        where=name, expected=f"`label` to be one of {listed}", mend=close_match(wanted, listed.split(", ")),
    )  # fmt: skip
