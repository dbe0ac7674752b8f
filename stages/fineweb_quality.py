"""FineWeb's quality rules: lines without final punctuation, short lines, duplicate lines, lists.

Reads:  text; language, where `word_rules` is by_language
Writes: nothing; drops documents
Cost:   about 1 ns per byte and 4 to split words where no step before has; 10 bytes of scratch per byte of a batch
Source: Penedo et al. 2024 (arXiv 2406.17557), section 3.6; definitions, thresholds and order of datatrove 0.10.1's
        FineWebQualityFilter, words as spaCy's blank tokenizers split them, English unless
        `word_rules` says otherwise (stages/kernels/words.py)

Lines stand between single line feeds; lines of white space alone do not count.

East Asian text (more than half of the letters Han, kana or Hangul): every Han or kana character is a word, a line is
short with up to `east_asian_short_line_chars` characters, and a closing mark (U+201D, U+2019, U+300D, U+300F, U+FF09)
may follow the punctuation that ends it. The terminal punctuation of all scripts counts in every text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.errors import FieldError
from pipeline.stage import BatchFunction, NarrowContext, Verdict, narrow
from stages.kernels.word_rules import check_word_rules, columns_read


@dataclass(frozen=True, kw_only=True)
class Config:
    """Defaults: datatrove 0.10.1. `null` turns a limit off."""

    word_rules: str = "en"  # of which language words are split by; by_language: of the `language` column
    min_punctuated_line_share: float | None = 0.12
    keep_without_punctuated_lines: bool = False  # datatrove's line_punct_exclude_zero
    max_short_line_share: float | None = 0.67
    short_line_chars: int = 30
    east_asian_short_line_chars: int = 10  # ours: what takes 30 characters in English takes about 10 in Chinese
    max_duplicate_char_share: float | None = 0.01
    max_newlines_per_word: float | None = 0.3

    def __post_init__(self) -> None:
        check_word_rules(self.word_rules)
        for name in ("min_punctuated_line_share", "max_short_line_share", "max_duplicate_char_share"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise FieldError(name, share, "a share from 0 to 1, or null")
        for name in ("short_line_chars", "east_asian_short_line_chars"):
            if not 0 <= getattr(self, name) <= 1 << 31:
                raise FieldError(name, getattr(self, name), "0 or more characters")
        if self.max_newlines_per_word is not None and self.max_newlines_per_word < 0:
            raise FieldError("max_newlines_per_word", self.max_newlines_per_word, "0 or more, or null")


@narrow(
    version=1,
    reads=lambda cfg: columns_read(cfg.word_rules),
    measures=("punctuated_line_share", "short_line_share", "duplicate_char_share", "newlines_per_word"),
)
def fineweb_quality(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Drop documents by FineWeb's rules; a null text counts as an empty one and is dropped."""
    from stages.kernels import analysis, limits, repetition

    def judge(batch: pa.RecordBatch) -> Verdict:
        text = analysis.analyse(batch, cfg.word_rules)
        short_N = np.where(text.east_asian_N, cfg.east_asian_short_line_chars, cfg.short_line_chars)
        lines_N, punctuated_N, short_lines_N, seen_chars_N, newlines_N = repetition.line_shapes(
            text.text, text.lines, short_N, text.east_asian_N
        ).T
        words_N = text.words.end - text.words.begin
        punctuated_share_N = limits.ratio(punctuated_N, lines_N)
        checks = _limits(
            cfg, lines_N == 0, punctuated_share_N, limits.ratio(short_lines_N, lines_N),
            limits.ratio(seen_chars_N, text.num_chars_N - newlines_N), limits.ratio(newlines_N, words_N),
        )  # fmt: skip
        return Verdict(drops=limits.drops(checks, batch.num_rows), measures=limits.measures(checks))

    return judge


def _limits(
    cfg: Config, empty_N: np.ndarray, punctuated_N: np.ndarray, short_N: np.ndarray, seen_N: np.ndarray,
    newlines_N: np.ndarray,
) -> list:  # fmt: skip
    """The rules in datatrove's order."""
    from stages.kernels.limits import Flag, Limit

    if cfg.keep_without_punctuated_lines:
        punctuated_N = np.where(punctuated_N == 0, np.nan, punctuated_N)
    return [
        Flag(reason="empty", violated_N=empty_N),
        Limit(
            measure="punctuated_line_share", value_N=punctuated_N, low=0, high=1,
            at_least=cfg.min_punctuated_line_share, too_low="too_few_punctuated_lines",
        ),
        Limit(
            measure="short_line_share", value_N=short_N, low=0, high=1,
            at_most=cfg.max_short_line_share, too_high="too_many_short_lines",
        ),
        Limit(
            measure="duplicate_char_share", value_N=seen_N, low=0, high=1,
            at_most=cfg.max_duplicate_char_share, too_high="too_many_duplicate_chars",
        ),
        Limit(
            measure="newlines_per_word", value_N=newlines_N, low=0, high=1,
            at_most=cfg.max_newlines_per_word, too_high="too_many_newlines",
        ),
    ]  # fmt: skip
