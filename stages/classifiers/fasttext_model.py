"""Open a fastText model and score lines with it; train one in a child process so that its bytes repeat.

Reads:  a `.bin` or `.ftz` file; a text file of labelled lines
Writes: probabilities of labels; a model file
Cost:   see stages/kernels/fasttext_score.py; where a model is left to fastText, 10 to 60 MB/s. Opening reads the file
        twice. Training is fastText's own, on one thread
Source: fastText 0.9.3 (Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification") is the definition. The
        kernel scores only where it said the same of a check batch when the model was opened

fasttext 0.9.3 fills a tenth of its weights with random numbers per thread and leaves the rest of the memory as it came:
with fewer than 11 threads models can differ from run to run. `MALLOC_PERTURB_=255` makes glibc hand out zeroed memory;
it must be set before the process starts, hence the child. With another C library training works but bytes may differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.errors import DataError, RunError
from stages.classifiers.fasttext_file import HIERARCHICAL_SOFTMAX, ModelFile, Unsupported, read

if TYPE_CHECKING:
    from stages.kernels.utf8 import Utf8

REPOSITORY = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-6  # of a probability, on the check batch
NUM_CHECKED = 5  # labels per line of the check batch, the most probable ones
CELLS = 1 << 22  # probabilities in memory at a time: lines times labels


@dataclass(frozen=True, kw_only=True)
class Model:
    """An opened model: `labels`, and either the kernel's `table` or fastText's own `model`, and `why` then."""

    labels: tuple[str, ...]
    table: Any = None  # ScoringTable, imported late
    model: Any = None  # fastText's own class
    why: str = ""

    def counters(self, num_lines: int) -> dict[str, int]:
        """For the report: nothing where the kernel scores."""
        return {f"left to fastText, {self.why}": num_lines} if self.why else {}


def load(path: Path) -> Model:
    """The fastText model at `path`; DataError where the file is none."""
    import fasttext

    from stages.kernels import fasttext_score, utf8

    try:
        model = fasttext.load_model(str(path))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise DataError(str(error), where=str(path), expected="a fastText .bin or .ftz model") from error
    try:
        tables = read(path)
    except Unsupported as signal:
        return Model(labels=tuple(model.get_labels()), model=model, why=str(signal))
    fast = Model(
        labels=tables.labels,
        table=fasttext_score.table(
            word_bytes=tables.word_bytes, word_start=tables.word_start, pruned_row=tables.pruned_row,
            min_chars=tables.min_chars, max_chars=tables.max_chars, word_ngrams=tables.word_ngrams,
            bucket=tables.bucket, input_RD=tables.input_RD, output_LD=tables.output_LD, tree=_tree(tables),
        ),
    )  # fmt: skip
    check = utf8.view(pa.array(list(_check_lines(tables)), pa.large_string()))
    if not _agree(fast, model, check):
        return Model(labels=tables.labels, model=model, why="the kernel's scores differ on the check batch")
    return fast


def score(model: Model, lines: Utf8, label: str) -> np.ndarray:
    """float32[N]: the probability the model gives `label` for each line, 0 to 1; NaN for an empty line.

    fastText adds 1e-5 to a probability before it takes the logarithm, so values may exceed 1 by that much: they are
    clipped.
    """
    score_N = np.zeros(len(lines), np.float32)
    if model.table is None:
        for i, line in enumerate(_strings(lines)):
            score_N[i] = next((p for p, name in _ask(model.model, line, -1) if name == label), 0.0)
    else:
        column = model.labels.index(label)
        for first, part_NL in _parts(model, lines):
            score_N[first : first + len(part_NL)] = part_NL[:, column]
    score_N[np.diff(lines.offsets) == 0] = np.nan
    return np.clip(score_N, 0.0, 1.0)


def best(model: Model, lines: Utf8) -> tuple[list[str], np.ndarray]:
    """(the most probable label of each line, float64[N] its probability, 0 to 1); "" and 0 where there is none."""
    names, score_N = [""] * len(lines), np.zeros(len(lines))
    if model.table is None:
        for i, line in enumerate(_strings(lines)):
            for score_N[i], names[i] in _ask(model.model, line, 1):
                pass
    else:
        for first, part_NL in _parts(model, lines):
            for i, (column, highest) in enumerate(zip(part_NL.argmax(axis=1), part_NL.max(axis=1), strict=True), first):
                if highest > 0 and lines.offsets[i + 1] > lines.offsets[i]:
                    names[i], score_N[i] = model.labels[column], highest
    return names, np.clip(score_N, 0.0, 1.0)


def _ask(model: Any, line: str, num_labels: int) -> list[tuple[float, str]]:
    """fastText's answer; not `model.predict`, which in 0.9.3 fails on NumPy 2."""
    return model.f.predict(line + "\n", num_labels, 0.0, "replace") if line else []


def _strings(lines: Utf8) -> list[str]:
    from stages.kernels import utf8

    strings: list[str] = utf8.array(lines).to_pylist()
    return strings


def _parts(model: Model, lines: Utf8) -> Iterator[tuple[int, np.ndarray]]:
    """(number of a first line, float32[n, L] probabilities), few enough lines at a time for many labels."""
    from stages.kernels import fasttext_score
    from stages.kernels.utf8 import Utf8

    size = max(1, CELLS // len(model.labels))
    for first in range(0, len(lines), size):
        part = Utf8(
            offsets=lines.offsets[first : first + size + 1], data=lines.data, null_N=lines.null_N[first : first + size]
        )
        yield first, fasttext_score.probabilities(part, model.table)


def _tree(tables: ModelFile) -> np.ndarray:
    """int32[L - 1, 2]: the children of the inner nodes of fastText's Huffman tree; empty for plain softmax.

    Labels come in descending order of their counts, so the two rarest are at the end of the labels or at the beginning
    of the inner nodes not yet used.
    """
    num_labels = len(tables.labels) if tables.loss == HIERARCHICAL_SOFTMAX else 1
    counts = [*tables.label_counts.tolist(), *[10**15] * (num_labels - 1)]
    tree_I2 = np.empty((num_labels - 1, 2), np.int32)
    leaf, inner = num_labels - 1, num_labels
    for i in range(num_labels - 1):
        for side in range(2):
            if leaf >= 0 and counts[leaf] < counts[inner]:
                tree_I2[i, side], leaf = leaf, leaf - 1
            else:
                tree_I2[i, side], inner = inner, inner + 1
        counts[num_labels + i] = sum(counts[child] for child in tree_I2[i])
    return tree_I2


def _check_lines(tables: ModelFile) -> Iterator[str]:
    """Prepared lines with the model's own words, words it cannot know, several scripts, and awkward ones."""
    starts = tables.word_start
    stride = max(1, (len(starts) - 1) // 1000)
    raw = [tables.word_bytes[starts[w] : starts[w + 1]].tobytes() for w in range(0, len(starts) - 1, stride)]
    known = [word.decode("utf-8", "ignore") for word in raw]
    words = [word for word in known if word]
    mixed = [word[::-1] + words[i - 1][:4] if i % 3 == 0 else word for i, word in enumerate(words)]
    yield from (" ".join(mixed[i : i + 25]) for i in range(0, len(mixed), 25))
    yield " ".join(mixed * 3)
    yield from ("a", "the end </s> and more", "</s>", "x" * 3000)
    yield from ("中 文 , 字 符", "Ελληνικά кириллица العربية 😀😀 한국어")


def _agree(fast: Model, model: Any, lines: Utf8) -> bool:
    from stages.kernels import fasttext_score

    place = {label: i for i, label in enumerate(fast.labels)}
    part_NL = fasttext_score.probabilities(lines, fast.table)
    for line, found_L in zip(_strings(lines), part_NL, strict=True):
        answer = _ask(model, line, NUM_CHECKED)
        if not all(abs(found_L[place[label]] - p) <= TOLERANCE for p, label in answer):
            return False
        if abs(found_L.max() - max((p for p, _ in answer), default=0.0)) > TOLERANCE:
            return False
    return True


def train(labelled: Path, output: Path, settings: Mapping[str, Any], quantize: bool) -> None:
    """Train on `labelled` (`__label__x text`, a line each) and save to `output`; RunError with fastText's own words."""
    order = {"input": str(labelled), "output": str(output), "settings": dict(settings), "quantize": quantize}
    paths = [str(REPOSITORY), *(p for p in sys.path if p)]
    child = subprocess.run(
        [sys.executable, "-m", "stages.classifiers.fasttext_model", json.dumps(order)],
        env={**os.environ, "MALLOC_PERTURB_": "255", "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        errors="replace",
    )
    if child.returncode or not output.exists():
        raise RunError(
            f"fastText's training ended with code {child.returncode}: {child.stderr.strip()[-500:]}",
            where=str(labelled), mend="A lower lr helps against NaN; a smaller bucket or dim against lack of memory.",
        )  # fmt: skip


def _train_here(order: Mapping[str, Any]) -> None:
    import fasttext

    model = fasttext.train_supervised(input=order["input"], thread=1, verbose=0, **order["settings"])
    if order["quantize"]:
        model.quantize(qnorm=True)
    model.save_model(order["output"])


if __name__ == "__main__":
    _train_here(json.loads(sys.argv[1]))
