"""The main text of HTML pages, and what they say of themselves.

Reads:  `payload` (the HTTP body), `content_type` (the HTTP header), `text` (where the source already had text: WET);
        `date`, `url` (stages/html/metadata.py)
Writes: `text`, large_string, valid UTF-8 without NULs: paragraphs a blank line apart, list items and rows of tables on
        lines of their own; `title`, `byline`, `site_name`, large_string; `published`, timestamp[s, UTC];
        `declared_language`, string; each null where a page does not say it. Takes `payload` and `content_type` away. A
        row that has text already passes through, without metadata
Cost:   0.4 ms a page of 85 KB; with resiliparse 1.2 to 2 ms more, with trafilatura 24 ms, in a child process. Memory
        beside the batch: 50 MiB, 0.9 GiB for a page of 16 MiB that is nothing but tags
Source: stages/html (the learned extractor), stages/decoding (charsets, the other engines). Limits are ours

The learned extractor works in this process, in time linear in a page's bytes. For the others a page is given
`page_timeout_s` of CPU time; one that overruns it twice, the second time alone in a fresh child, is dropped, and so is
one that crashes the parser twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import location
from pipeline.errors import DataError, FieldError
from pipeline.stage import BatchFunction, Drops, Measure, NarrowContext, Verdict, narrow
from stages.classifiers.model_file import local_file
from stages.decoding.batch import Room, decode_batch
from stages.decoding.main_text import Engine
from stages.decoding.sandboxed import Texts, open_sandboxed
from stages.html.assembling import TextOptions
from stages.html.explain_page import explain_page as explain_page  # what crawlmill explain --text calls
from stages.html.metadata import Crawled, crawled_of
from stages.html.model import MODEL_FILE, ModelError, load_model
from stages.html.reading import Extractor, read_pages
from stages.kernels.html_kinds import KINDS
from stages.kernels.html_text import DEEP, UNCLOSED_COMMENT, UNCLOSED_RAW_TEXT
from stages.kernels.html_verdicts import KEPT_VERDICTS, NOT_MAIN, VERDICTS

# Of the rules that a page breaks, the first in this order is its reason.
REASONS = (
    "payload_too_large", "extraction_timeout", "extraction_crashed", "undecodable", "too_many_blocks", "no_text",
    "text_too_long",
)  # fmt: skip
TOO_LARGE, TIMEOUT, CRASHED, UNDECODABLE, TOO_MANY_BLOCKS, NO_TEXT, TOO_LONG = range(len(REASONS))
SLICE_BYTES = 4 << 20  # of payloads decoded at a time; a larger page stands alone. With 8 MiB memory is returned and
# taken again for every slice, a tenth of the time

METADATA = {
    "title": pa.large_string(), "byline": pa.large_string(), "published": pa.timestamp("s", tz="UTC"),
    "site_name": pa.large_string(), "declared_language": pa.string(),
}  # fmt: skip
# What is found of a page; `failed` is a reason's place, `num_blocks` null where blocks do not matter.
FOUND = pa.schema(
    {
        "text": pa.large_string(), **METADATA, "charset": pa.string(), "charset_from": pa.string(),
        "bad_share": pa.float64(), "num_blocks": pa.int64(), "failed": pa.int16(),
    }
)  # fmt: skip
ODDITIES = {"unclosed_comment": UNCLOSED_COMMENT, "unclosed_raw_text": UNCLOSED_RAW_TEXT, "nested_over_512": DEEP}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which engine, what of a page is text, and what a page may cost."""

    engine: Literal["crawlmill", "resiliparse", "trafilatura"] = "crawlmill"  # the first is the learned extractor
    mode: Literal["article", "body"] = "article"  # crawlmill: body leaves out headline, byline and date
    comments: bool = False  # readers' comments below an article
    links: Literal["text", "drop", "markdown"] = (
        "text"  # crawlmill: linked text as it is, left out, or with its address
    )
    list_bullets: bool = True  # not trafilatura: `•` and numbers before list items, which Gopher's bullet rule looks at
    alt_texts: bool = False  # not trafilatura: images' descriptions
    favor_precision: bool = True  # trafilatura: less text, less of it boilerplate
    model: str = location("")  # crawlmill: a model file by path or address; empty: the bundled one
    min_chars: int = 1  # of text; a page with fewer is dropped as no_text
    max_text_chars: int = 2_000_000  # longer than the longest novel; what is longer is a log or a dump
    max_payload_bytes: int = 16 << 20  # Common Crawl itself cuts at 1 MiB, since 2025 at 5 MiB
    max_blocks: int = 200_000  # crawlmill: hundreds of times the usual page; more are a log or a dump
    page_timeout_s: float = 10.0  # not crawlmill: thousands of times the usual page
    max_undecodable: float = 0.05  # share of U+FFFD and control characters; binaries sent as HTML have 0.1 and more

    def __post_init__(self) -> None:
        for name in ("min_chars", "max_text_chars", "max_payload_bytes", "max_blocks"):
            if getattr(self, name) < 1:
                raise FieldError(name, getattr(self, name), "a whole number of at least 1")
        if not 0 < self.page_timeout_s < float("inf"):
            raise FieldError("page_timeout_s", self.page_timeout_s, "seconds, more than 0")
        if not 0 <= self.max_undecodable <= 1:
            raise FieldError("max_undecodable", self.max_undecodable, "a share from 0 to 1")
        if self.model and self.engine != "crawlmill":
            raise FieldError("model", self.model, "nothing where the engine is not crawlmill")


@narrow(
    version=2,
    reads=("payload", "content_type", "text", "date", "url"),
    adds={"text": pa.large_string(), **METADATA},
    removes=("payload", "content_type"),
    files=lambda cfg: [cfg.model or str(MODEL_FILE)] if cfg.engine == "crawlmill" else [],
)
def extract(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Extract every page of a batch that has no text yet. StoreError or DataError where the model is unusable."""
    extractor = _extractor(cfg) if cfg.engine == "crawlmill" else None
    sandboxed = None if extractor else _sandboxed(cfg)
    room = Room()

    def extract_batch(batch: pa.RecordBatch) -> Verdict:
        payload_bytes_N = _numbers(pc.binary_length(batch["payload"]))
        had_text_N = _mask(pc.is_valid(batch["text"]))
        todo_N = ~had_text_N & ~np.isnan(payload_bytes_N) & ~(payload_bytes_N > cfg.max_payload_bytes)
        counters = Counter(had_text=int(had_text_N.sum()))
        chars = np.zeros((len(KINDS), len(VERDICTS)), np.int64)
        pages = batch.select(["payload", "content_type", "date", "url"])
        pages = pages if todo_N.all() else pages.filter(pa.array(todo_N))
        crawled = crawled_of(pages.num_rows, pages["date"], pages["url"])
        parts = [
            _find(
                pages.slice(start, stop - start), crawled.part(start, stop), extractor, sandboxed, room, counters, chars
            )
            for start, stop in _slices(payload_bytes_N[todo_N])
        ]
        if extractor is not None:
            _count_chars(chars, counters)
        place_N = np.full(batch.num_rows, -1)
        place_N[todo_N] = np.arange(int(todo_N.sum()))
        found = pa.Table.from_batches(parts, FOUND).take(pa.array(place_N, mask=place_N < 0)).combine_chunks()
        of = {name: _one_chunk(found[name]) for name in FOUND.names}
        text = pc.if_else(pa.array(had_text_N), batch["text"], of["text"])
        chars_N = _numbers(pc.utf8_length(text))
        share_N = np.where(todo_N, chars_N / np.maximum(payload_bytes_N, 1), np.nan)
        return Verdict(
            columns={"text": text, **{name: of[name] for name in METADATA}},
            drops=_drops(cfg, had_text_N, payload_bytes_N, chars_N, of),
            measures={
                "text_chars": Measure(value_N=chars_N, low=0, high=20_000, drop_below=float(cfg.min_chars)),
                "text_per_html_byte": Measure(value_N=share_N, low=0, high=1),
            },
            tallies={name: of[name].fill_null("none") for name in ("charset", "charset_from")},
            counters=counters,
        )

    return extract_batch


Sandboxed = Callable[[pa.Array, pa.Array], Texts]


def _extractor(cfg: Config) -> Extractor:
    path = local_file(cfg.model) if cfg.model else MODEL_FILE
    try:
        model = load_model(path)
    except ModelError as error:
        raise DataError(str(error), expected="a model of main text") from error
    options = TextOptions(links=cfg.links, list_bullets=cfg.list_bullets, mode=cfg.mode, comments=cfg.comments)
    return Extractor(model=model, options=options, alt_texts=cfg.alt_texts, max_blocks=cfg.max_blocks)


def _sandboxed(cfg: Config) -> Sandboxed:
    assert cfg.engine != "crawlmill"
    engine = Engine(
        name=cfg.engine, list_bullets=cfg.list_bullets, comments=cfg.comments, alt_texts=cfg.alt_texts,
        favor_precision=cfg.favor_precision,
    )  # fmt: skip
    return open_sandboxed(engine, cfg.page_timeout_s)


def _slices(payload_bytes_T: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where slices of about SLICE_BYTES begin and end."""
    bytes_before_T = np.append(0, np.cumsum(payload_bytes_T))
    first, num_pages = 0, len(payload_bytes_T)
    for k in range(1, num_pages + 1):
        if k == num_pages or bytes_before_T[k + 1] - bytes_before_T[first] > SLICE_BYTES:
            yield first, k
            first = k


def _find(
    rows: pa.RecordBatch, crawled: Crawled, extractor: Extractor | None, sandboxed: Sandboxed | None, room: Room,
    counters: Counter[str], chars: np.ndarray,
) -> pa.RecordBatch:  # fmt: skip
    """What the engine finds of a slice's rows, with the columns of FOUND; counts into `counters` and `chars`."""
    pages = decode_batch(rows["payload"], rows["content_type"], room)
    readings = list(read_pages(pages.utf8, crawled, extractor))
    failed_N, failed_mask_N = np.zeros(rows.num_rows, np.int16), np.ones(rows.num_rows, np.bool_)
    if sandboxed is None:
        text = pa.concat_arrays([reading.text for reading in readings])
    else:
        text, failures = sandboxed(rows["payload"], rows["content_type"])
        for n, failure in failures.items():
            failed_N[n], failed_mask_N[n] = {"timeout": TIMEOUT, "crash": CRASHED}[failure.kind], False
        counters.update(f"crash: {failure.detail}" for failure in failures.values() if failure.kind == "crash")
    num_blocks_N = np.concatenate([reading.num_blocks_N for reading in readings])
    for name, bit in ODDITIES.items():
        counters[name] += sum(int(np.count_nonzero(reading.oddities_N & bit)) for reading in readings)
    if extractor is not None:
        is_over_N = num_blocks_N > extractor.max_blocks
        failed_N[is_over_N], failed_mask_N[is_over_N] = TOO_MANY_BLOCKS, False
        for reading in readings:
            chars += reading.chars
    columns = {
        "text": text,
        **{name: pa.concat_arrays([getattr(r.metadata, name) for r in readings]) for name in METADATA},
        "charset": pages.charset,
        "charset_from": pages.charset_from,
        "bad_share": pa.array(pages.bad_share_N),
        "num_blocks": pa.array(num_blocks_N),
        "failed": pa.array(failed_N, mask=failed_mask_N),
    }
    return pa.RecordBatch.from_pydict(columns, schema=FOUND)


def _count_chars(chars: np.ndarray, counters: Counter[str]) -> None:
    """Characters kept and dropped by kind of block, which add up to what came in; those dropped by a rule alone."""
    kept_K = chars[:, KEPT_VERDICTS].sum(axis=1)
    for kind, total, kept in zip(KINDS, chars.sum(axis=1), kept_K, strict=True):
        row = f"characters by kind of block/{kind}"
        counters[f"{row}/in"], counters[f"{row}/kept"] = int(total), int(kept)
        counters[f"{row}/dropped"] = int(total - kept)
    for place, verdict in enumerate(VERDICTS):
        if place not in (NOT_MAIN, *KEPT_VERDICTS) and chars[:, place].any():
            counters[f"chars_dropped_as_{verdict}".replace(" ", "_")] = int(chars[:, place].sum())


def _drops(
    cfg: Config, had_text_N: np.ndarray, payload_bytes_N: np.ndarray, chars_N: np.ndarray, of: dict[str, pa.Array]
) -> Drops:
    """The first rule a page breaks, in the order of REASONS."""
    num_rows = len(had_text_N)
    failed_N = of["failed"].fill_null(-1).to_numpy(zero_copy_only=False)
    bad_N, num_blocks_N = _numbers(of["bad_share"]), _numbers(of["num_blocks"])
    nothing_N = np.full(num_rows, np.nan)
    rules = (
        (TOO_LARGE, ~had_text_N & (payload_bytes_N > cfg.max_payload_bytes), payload_bytes_N, cfg.max_payload_bytes),
        (TIMEOUT, failed_N == TIMEOUT, nothing_N, cfg.page_timeout_s),
        (CRASHED, failed_N == CRASHED, nothing_N, np.nan),
        (UNDECODABLE, bad_N > cfg.max_undecodable, bad_N, cfg.max_undecodable),
        (TOO_MANY_BLOCKS, failed_N == TOO_MANY_BLOCKS, num_blocks_N, cfg.max_blocks),
        (NO_TEXT, ~(chars_N >= cfg.min_chars), np.nan_to_num(chars_N), cfg.min_chars),
        (TOO_LONG, chars_N > cfg.max_text_chars, chars_N, cfg.max_text_chars),
    )
    code_N = np.full(num_rows, -1, np.int16)
    value_N, threshold_N = nothing_N.copy(), nothing_N.copy()
    for code, breaks_N, measured_N, threshold in rules:
        hit_N = breaks_N & (code_N < 0)
        code_N[hit_N], value_N[hit_N], threshold_N[hit_N] = code, measured_N[hit_N], threshold
    return Drops(reasons=REASONS, code_N=code_N, value_N=value_N, threshold_N=threshold_N)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _numbers(values: pa.Array) -> np.ndarray:
    """float64[N] with NaN for null."""
    return values.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _mask(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False)
