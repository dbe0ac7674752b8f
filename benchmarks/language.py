"""Language identification: accuracy and sentences per second of the default and its alternatives on labelled sentences.

Reads:  ../shared/data/text: langid-*.jsonl.zst (37,089 sentences, 75 languages) and lid.176.ftz
Prints: per model the share of sentences named rightly, over all languages and over those the model can name at all,
        the mean over languages, the same for five sentences joined, and sentences per second; and the ratio of our
        speed to lid.176.ftz's
Models: CLD2 (our default) and lid.176.ftz, both through stages.language; resiliparse's detect_fast, which is installed
        anyway, beside them. All on one core, in turn. Bokmal counts as Norwegian.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import zstandard

from pipeline.stage import NarrowContext
from stages.language import Config, language

TEXTS = Path(__file__).resolve().parents[2] / "shared/data/text"
BATCH_ROWS = 1024
JOINED = 5
Identify = Callable[[Sequence[str]], list[str]]


def read_sentences() -> tuple[list[str], np.ndarray]:
    """The sentences and their codes, as ours."""
    texts, codes = [], []
    for path in sorted(TEXTS.glob("langid-*.jsonl.zst")):
        with path.open("rb") as file:
            for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8"):
                row = json.loads(line)
                texts.append(row["text"])
                codes.append("no" if row["lang"] == "nb" else row["lang"])
    return texts, np.array(codes)


def joined(texts: Sequence[str], codes: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Five sentences of a language at a time, a line each."""
    by_code: dict[str, list[str]] = defaultdict(list)
    for text, code in zip(texts, codes, strict=True):
        by_code[code].append(text)
    groups = [
        ("\n".join(group[i : i + JOINED]), code)
        for code, group in by_code.items()
        for i in range(0, len(group) - JOINED + 1, JOINED)
    ]
    return [text for text, _ in groups], np.array([code for _, code in groups])


def stage_identify(model: str) -> Identify:
    """stages.language with CLD2 or a fastText model, a batch at a time as in a run."""
    judge = language.function(Config(model=model, min_score=0.0), NarrowContext(step="language"))

    def identify(texts: Sequence[str]) -> list[str]:
        found: list[str] = []
        for start in range(0, len(texts), BATCH_ROWS):
            batch = pa.record_batch({"text": pa.array(texts[start : start + BATCH_ROWS], pa.large_string())})
            found += judge(batch).columns["language"].to_pylist()
        return found

    return identify


def resiliparse_identify(texts: Sequence[str]) -> list[str]:
    from resiliparse.parse.lang import detect_fast

    return [detect_fast(text)[0] for text in texts]


def measure(identify: Identify, texts: Sequence[str], codes: np.ndarray) -> dict[str, float]:
    """Accuracies from 0 to 1, and texts per second of CPU time."""
    identify(texts[:100])  # loads what is loaded at first use
    start = time.process_time()
    found = np.array(identify(texts))
    seconds = time.process_time() - start
    right = found == codes
    shares = {code: float(right[codes == code].mean()) for code in sorted(set(codes.tolist()))}
    covered = np.isin(codes, [code for code, share in shares.items() if share > 0])
    return {
        "accuracy": float(right.mean()),
        "accuracy_of_covered": float(right[covered].mean()),
        "accuracy_macro": float(np.mean(list(shares.values()))),
        "accuracy_en": shares["en"],
        "accuracy_zh": shares["zh"],
        "languages": sum(share > 0 for share in shares.values()),
        "per_s": len(texts) / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="last line: the figures as JSON")
    arguments = parser.parse_args()
    if not TEXTS.is_dir():
        sys.exit("the shared data is not beside the project: nothing to measure")
    sentences = read_sentences()
    models = {
        "cld2": stage_identify(""),
        "lid176_ftz": stage_identify(str(TEXTS / "lid.176.ftz")),
        "resiliparse": resiliparse_identify,
    }
    figures: dict[str, float] = {}
    for name, identify in models.items():
        for kind, (texts, codes) in (("sentence", sentences), ("joined", joined(*sentences))):
            result = measure(identify, texts, codes)
            print(f"{name:12} {kind:9}" + "".join(f" {key} {value:.4g}" for key, value in result.items()), flush=True)
            figures |= {f"{name}_{kind}_{key}": round(value, 4) for key, value in result.items()}
    figures["speed_vs_lid176_ftz"] = round(figures["cld2_sentence_per_s"] / figures["lid176_ftz_sentence_per_s"], 3)
    print(f"CLD2 is {figures['speed_vs_lid176_ftz']} times as fast as lid.176.ftz")
    if arguments.json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
