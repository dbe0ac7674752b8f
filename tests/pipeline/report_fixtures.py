"""run.json and reports as the engine writes them, for a realistic run."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

Report = dict[str, Any]


def step(
    name: str,
    uses: str,
    kind: str,
    produces: str,
    inputs: Mapping[str, str],
    docs_in: int | None,
    dropped: Mapping[str, int],
    **more: Any,
) -> dict[str, Any]:
    docs_out = (docs_in or 0) - sum(dropped.values()) if produces == "documents" else None
    row = {
        "step": name,
        "uses": uses,
        "kind": kind,
        "produces": produces,
        "inputs": dict(inputs),
        "state": "ran",
        "artifact": f"{name}/0123456789abcdef",
        "docs_in": docs_in,
        "docs_out": docs_out,
        "dropped": dict(dropped),
        "bytes_in": (docs_in or 0) * 5200,
        "bytes_out": (docs_out or 0) * 3900,
        "seconds": 12.34,
        "cpu_s": 20.5,
        "peak_memory_bytes": 612_000_000,
    }
    return {**row, **more}


def bell(low: float, high: float, middle: float, spread: float, total: int, num_bins: int = 50) -> list[int]:
    """Counts of a normal distribution, for histograms that look like something."""
    centers = [low + (i + 0.5) * (high - low) / num_bins for i in range(num_bins)]
    weights = [math.exp(-(((c - middle) / spread) ** 2) / 2) for c in centers]
    return [round(total * w / sum(weights)) for w in weights]


def sample(i: int, text: str = "", **more: Any) -> dict[str, Any]:
    words = text or (
        "The ferry leaves the north pier at ten past every hour and comes back by way of the lighthouse; in winter "
        "it stays in harbour when the wind is above seven, which happens more often than the timetable admits."
    )
    return {
        "id": f"{i:032x}",
        "url": f"https://site{i % 9}.example/articles/{i}/the-long-winter?page={i}",
        "excerpt": words,
        **more,
    }


STEPS = (
    step("labels", "stages.corpus", "source", "documents", {}, 2400, {}, state="reused"),
    step(
        "train_quality",
        "stages.train_classifier",
        "wide",
        "classifier",
        {"documents": "labels"},
        2400,
        {},
        state="reused",
    ),
    step(
        "crawl",
        "stages.commoncrawl",
        "source",
        "documents",
        {},
        4162,
        {"not_html": 211, "revisit": 64, "truncated_member": 3},
        state="fused",
    ),
    step(
        "extract",
        "stages.extract",
        "narrow",
        "documents",
        {"documents": "crawl"},
        3884,
        {"no_main_content": 302, "page_too_large": 4},
        state="fused",
    ),
    step(
        "language",
        "stages.language",
        "narrow",
        "documents",
        {"documents": "extract"},
        3578,
        {"other_language": 611, "language_score_too_low": 143},
        state="fused",
    ),
    step(
        "gopher",
        "stages.gopher_quality",
        "narrow",
        "documents",
        {"documents": "language"},
        2824,
        {
            "too_few_words": 402,
            "too_few_stop_words": 97,
            "mean_word_length_too_high": 31,
            "too_many_bullet_lines": 22,
            "too_many_ellipsis_lines": 9,
        },
    ),
    step(
        "unique",
        "stages.minhash",
        "wide",
        "documents",
        {"documents": "gopher"},
        2263,
        {"near_duplicate": 588},
        seconds=71.2,
    ),
    step(
        "quality",
        "stages.classify",
        "narrow",
        "documents",
        {"documents": "unique", "classifier": "train_quality"},
        1675,
        {"quality_too_low": 391},
        state="fused",
    ),
    step("clean", "stages.classify", "narrow", "documents", {"documents": "quality"}, 1284, {"toxicity_too_high": 19}),
    step(
        "vocabulary",
        "stages.vocabulary",
        "wide",
        "vocabulary",
        {"documents": "clean"},
        1265,
        {},
        bytes_out=604_211,
        seconds=8.1,
    ),
    step(
        "chunks",
        "stages.pack",
        "wide",
        "tokens",
        {"documents": "clean", "vocabulary": "vocabulary"},
        1265,
        {},
        bytes_out=2_843_000,
    ),
    step(
        "model",
        "pretrain.train",
        "wide",
        "model",
        {"chunks": "chunks", "vocabulary": "vocabulary"},
        None,
        {},
        bytes_out=18_200_344,
        seconds=4210.0,
    ),
)


def realistic_run() -> dict[str, Any]:
    return {
        "format": 1, "crawlmill": "0.1.0", "dag": "dag.yaml", "output": "runs/demo", "status": "done", "error": None,
        "started": "2026-03-02T09:14:05+00:00", "finished": "2026-03-02T10:28:49+00:00",
        "steps": copy.deepcopy(list(STEPS)),
    }  # fmt: skip


def report_of(row: Mapping[str, Any], **more: Any) -> Report:
    keys = ("step", "uses", "kind", "produces", "docs_in", "docs_out", "dropped", "bytes_in", "bytes_out")
    dropped = {
        reason: [sample(7 * i + 1, value=0.13 + i / 9, threshold=2.0) for i in range(5)] for reason in row["dropped"]
    }
    base = {
        **{key: row[key] for key in keys},
        "bytes_dropped": {reason: n * 5100 for reason, n in row["dropped"].items()},
        "counters": {},
        "figures": {},
        "histograms": {},
        "bars": {},
        "tallies": {},
        "series": {},
        "tables": {},
        "samples_kept": [sample(i) for i in range(5)] if row["produces"] == "documents" else [],
        "samples_dropped": dropped,
    }
    return {**base, **more}


def histogram(
    low: float, high: float, counts: list[int], below: float | None, above: float | None, missing: int = 0
) -> Report:
    return {
        "low": low,
        "high": high,
        "counts": counts,
        "num_missing": missing,
        "drop_below": below,
        "drop_above": above,
    }


SPECIAL: dict[str, Report] = {
    "train_quality": {
        "figures": {
            "held_out_precision": 0.9312,
            "held_out_recall": 0.9044,
            "auc": 0.97213,
            "training_documents": 2160,
        },
        "series": {
            "precision_recall": {
                "x_label": "recall",
                "x": [i / 50 for i in range(51)],
                "lines": {"precision": [1 - 0.4 * (i / 50) ** 4 for i in range(51)]},
            }
        },
    },
    "crawl": {
        "tallies": {
            "host": {f"site{i}.example": 900 // (i + 1) for i in range(240)},
            "http_status": {"200": 3871, "404": 180, "301": 90, "503": 21},
            "charset": {"utf-8": 3302, "gb18030": 311, "windows-1252": 208, "none declared": 63},
        }
    },
    "language": {
        "histograms": {"language_score": histogram(0, 1, bell(0, 1, 0.93, 0.1, 3578), 0.65, None, 12)},
        "tallies": {
            "language": {
                "en": 2301,
                "zh": 523,
                "de": 204,
                "ru": 160,
                "fr": 122,
                "ja": 98,
                "es": 77,
                "ar": 52,
                "he": 41,
            }
        },
    },
    "gopher": {
        "histograms": {
            "num_words": histogram(0, 2000, bell(0, 2000, 420, 300, 2824), 50, 100_000),
            "mean_word_length": histogram(0, 15, bell(0, 15, 4.9, 1.1, 2824), 3, 10, 3),
            "stop_words": histogram(0, 60, bell(0, 60, 22, 11, 2824), 2, None),
            "bullet_line_share": histogram(0, 1, [2500, 120, *[7] * 47, 22], None, 0.9),
        }
    },
    "unique": {
        "bars": {
            "cluster_size": {
                "labels": ["2", "3", "4", "5", "6–10", "11–50", "over 50"],
                "counts": [162, 51, 22, 9, 11, 4, 1],
            }
        },
        "counters": {"clusters": 260, "band_collisions": 4311, "documents_without_signature": 14},
        "tables": {
            "largest_clusters": [
                {
                    "size": 61 - 9 * i,
                    "url": f"https://site{i}.example/legal/cookies",
                    "excerpt": "We and our partners store information on a device",
                }
                for i in range(5)
            ]
        },
    },
    "quality": {"histograms": {"quality": histogram(0, 1, bell(0, 1, 0.55, 0.24, 1675), 0.3, None)}},
    "clean": {"histograms": {"toxicity": histogram(0, 1, [1100, 90, 40, *[1] * 47], None, 0.7)}},
    "vocabulary": {
        "figures": {"vocab_size": 8192, "merges": 7933, "bytes_per_token": 4.213, "pattern": "llama-3"},
        "tables": {
            "longest_tokens": [
                {"token": " international", "id": 7712, "count": 190},
                {"token": "人民共和国", "id": 8011, "count": 44},
            ]
        },
    },
    "chunks": {
        "counters": {"train_text_tokens": 1_194_332, "validation_text_tokens": 60_000},
        "figures": {
            "fill": 0.9931,
            "duplication_factor": 1.104,
            "truncated_tokens": 0,
            "rows": 2703,
        },
    },
    "model": {
        "figures": {
            "parameters": 4_412_160,
            "validation_loss": 4.8123,
            "perplexity": 123.01,
            "tokens_per_s": 9120.4,
            "device": "cpu",
        },
        "series": {
            "loss": {
                "x_label": "step",
                "x": list(range(0, 2000, 2)),
                "lines": {
                    "training": [4.6 + 4.4 * math.exp(-i / 130) + 0.09 * math.sin(i * 1.7) for i in range(1000)],
                    "validation": [4.8 + 4.2 * math.exp(-i / 130) if i % 50 == 0 else None for i in range(1000)],
                },
            },
            "learning_rate": {
                "x_label": "step",
                "x": list(range(100)),
                "lines": {"rate": [3e-4 * min(1, i / 10) for i in range(100)]},
            },
        },
        "tables": {
            "generated_text": [
                {
                    "prompt": "The ferry",
                    "text": "The ferry is the most common way to get to the island, and it is\nopen all year.",
                }
            ]
        },
    },
}


def realistic_reports(run: Mapping[str, Any]) -> dict[str, Report]:
    return {row["step"]: report_of(row, **copy.deepcopy(SPECIAL.get(row["step"], {}))) for row in run["steps"]}
