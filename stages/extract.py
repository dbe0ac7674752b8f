"""The main text of HTML pages.

Reads:  `payload` (the HTTP body), `content_type` (the HTTP header), `text` (where the source already had text: WET)
Writes: `text`, large_string, valid UTF-8 without NULs, paragraphs and list items on lines of their own; takes `payload`
        and `content_type` away. A row that has text already passes through
Cost:   1.2 to 2 ms a page of 85 KB with resiliparse, 24 ms with trafilatura, all of it in one child process of at most
        1 GiB (pipeline/sandbox.py); here a copy of the batch's payloads, 8 MiB at a time
Source: stages/decoding (charset and engines). Limits are ours

A page is given `page_timeout_s` of CPU time; one that overruns it twice, the second time alone in a fresh child, is
dropped, and so is one that crashes the parser twice. Nothing a page holds reaches this process but its text.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import FieldError
from pipeline.sandbox import Limits, Outcome, Sandbox
from pipeline.stage import BatchFunction, Drops, Measure, NarrowContext, Verdict, narrow
from stages.decoding.main_text import PAGE_TEXT, Engine, open_engine

REASONS = (
    "payload_too_large", "extraction_timeout", "extraction_crashed", "undecodable", "no_text", "text_too_long",
)  # fmt: skip
TOO_LARGE, TIMEOUT, CRASHED, UNDECODABLE, NO_TEXT, TOO_LONG = range(len(REASONS))
MEMORY_BYTES = 1 << 30  # of the child beyond its start; a page of the largest size allowed here takes about 0.3 GiB


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which engine, and what a page may cost."""

    engine: Literal["resiliparse", "trafilatura"] = "resiliparse"
    list_bullets: bool = True  # resiliparse: `•` and numbers before list items, which Gopher's bullet rule looks at
    comments: bool = False  # readers' comments below an article
    alt_texts: bool = False  # resiliparse: images' descriptions
    favor_precision: bool = True  # trafilatura: less text, less of it boilerplate
    min_chars: int = 1  # of text; a page with fewer is dropped as no_text
    max_text_chars: int = 2_000_000  # longer than the longest novel; what is longer is a log or a dump
    max_payload_bytes: int = 16 << 20  # Common Crawl itself cuts at 1 MiB, since 2025 at 5 MiB
    page_timeout_s: float = 10.0  # thousands of times the usual page
    max_undecodable: float = 0.05  # share of U+FFFD and control characters; binaries sent as HTML have 0.1 and more

    def __post_init__(self) -> None:
        for name in ("min_chars", "max_text_chars", "max_payload_bytes"):
            if getattr(self, name) < 1:
                raise FieldError(name, getattr(self, name), "a whole number of at least 1")
        if not 0 < self.page_timeout_s < float("inf"):
            raise FieldError("page_timeout_s", self.page_timeout_s, "seconds, more than 0")
        if not 0 <= self.max_undecodable <= 1:
            raise FieldError("max_undecodable", self.max_undecodable, "a share from 0 to 1")


@narrow(
    version=1,
    reads=("payload", "content_type", "text"),
    adds={"text": pa.large_string()},
    removes=("payload", "content_type"),
)
def extract(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Extract every page of a batch that has no text yet."""
    engine = Engine(
        name=cfg.engine, list_bullets=cfg.list_bullets, comments=cfg.comments, alt_texts=cfg.alt_texts,
        favor_precision=cfg.favor_precision,
    )  # fmt: skip
    limits = Limits(row_timeout_s=cfg.page_timeout_s, memory_bytes=MEMORY_BYTES)
    sandbox = Sandbox(open_engine, engine, PAGE_TEXT, limits)

    def extract_batch(batch: pa.RecordBatch) -> Verdict:
        payload_bytes_N = _lengths(pc.binary_length(batch["payload"]))
        had_text_N = _mask(pc.is_valid(batch["text"]))
        todo_N = ~had_text_N & ~np.isnan(payload_bytes_N) & ~(payload_bytes_N > cfg.max_payload_bytes)
        rows_T = np.flatnonzero(todo_N)
        pages = pa.record_batch({"payload": batch["payload"], "content_type": batch["content_type"]})
        outcome = sandbox.run(pages if todo_N.all() else pages.filter(pa.array(todo_N)))
        place_N = np.full(batch.num_rows, -1)
        place_N[rows_T] = np.arange(len(rows_T))
        extracted = outcome.results.take(pa.array(place_N, mask=place_N < 0))
        text = pc.if_else(pa.array(had_text_N), batch["text"], extracted["text"])
        chars_N = _lengths(pc.utf8_length(text))
        drops = _drops(cfg, had_text_N, payload_bytes_N, chars_N, extracted["bad_share"], _failed(outcome, rows_T))
        share_N = np.where(todo_N, chars_N / np.maximum(payload_bytes_N, 1), np.nan)
        return Verdict(
            columns={"text": text},
            drops=drops,
            measures={
                "text_chars": Measure(value_N=chars_N, low=0, high=20_000, drop_below=float(cfg.min_chars)),
                "text_per_html_byte": Measure(value_N=share_N, low=0, high=1),
            },
            tallies={
                "charset": extracted["charset"].fill_null("none"),
                "charset_from": extracted["charset_from"].fill_null("none"),
            },
            counters=_counters(outcome, had_text_N),
        )

    return extract_batch


def _failed(outcome: Outcome, rows_T: np.ndarray) -> dict[int, int]:
    """Row of the batch -> reason code, for the pages the sandbox could not finish."""
    codes = {"timeout": TIMEOUT, "crash": CRASHED}
    return {int(rows_T[i]): codes[failure.kind] for i, failure in outcome.failures.items()}


def _drops(
    cfg: Config,
    had_text_N: np.ndarray,
    payload_bytes_N: np.ndarray,
    chars_N: np.ndarray,
    bad_share: pa.Array,
    failed: dict[int, int],
) -> Drops:
    """The first rule a page breaks, in the order of REASONS."""
    num_rows = len(had_text_N)
    failed_N = np.full(num_rows, -1, np.int16)
    failed_N[list(failed)] = list(failed.values())
    bad_N = _lengths(bad_share)
    nothing_N = np.full(num_rows, np.nan)
    rules = (
        (TOO_LARGE, ~had_text_N & (payload_bytes_N > cfg.max_payload_bytes), payload_bytes_N, cfg.max_payload_bytes),
        (TIMEOUT, failed_N == TIMEOUT, nothing_N, cfg.page_timeout_s),
        (CRASHED, failed_N == CRASHED, nothing_N, np.nan),
        (UNDECODABLE, bad_N > cfg.max_undecodable, bad_N, cfg.max_undecodable),
        (NO_TEXT, ~(chars_N >= cfg.min_chars), np.nan_to_num(chars_N), cfg.min_chars),
        (TOO_LONG, chars_N > cfg.max_text_chars, chars_N, cfg.max_text_chars),
    )
    code_N = np.full(num_rows, -1, np.int16)
    value_N, threshold_N = nothing_N.copy(), nothing_N.copy()
    for code, breaks_N, measured_N, threshold in rules:
        hit_N = breaks_N & (code_N < 0)
        code_N[hit_N], value_N[hit_N], threshold_N[hit_N] = code, measured_N[hit_N], threshold
    return Drops(reasons=REASONS, code_N=code_N, value_N=value_N, threshold_N=threshold_N)


def _counters(outcome: Outcome, had_text_N: np.ndarray) -> dict[str, int]:
    crashes = Counter(f"crash: {f.detail}" for f in outcome.failures.values() if f.kind == "crash")
    return {"had_text": int(had_text_N.sum()), **dict(sorted(crashes.items()))}


def _lengths(values: pa.Array) -> np.ndarray:
    """float64[N] with NaN for null."""
    return values.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _mask(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False)
