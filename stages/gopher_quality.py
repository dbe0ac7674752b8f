"""Gopher's document quality rules: word count, word length, symbols, bullet points, ellipses, letters, stop words.

Reads:  text; language, where `word_rules` is by_language
Writes: nothing; drops documents
Cost:   about 2 ns per byte and 4 to split words where no step before has; 10 bytes of scratch per byte of a batch
Source: Rae et al. 2021 (arXiv 2112.11446), section A1.1; definitions, thresholds and order of datatrove 0.10.1's
        GopherQualityFilter, words as spaCy's blank tokenizers split them, English unless
        `word_rules` says otherwise (stages/kernels/words.py)

East Asian text, where more than half of the letters are Han, kana or Hangul: every Han or kana character is a word, so
that the word limits count characters; Hangul is split at its spaces. The mean word length is not held against its
limits there (NaN in the report). Stop words come from `east_asian_stop_words`, the least share of words with a letter
from `min_east_asian_alphabetic_word_share`. Symbols per word keep their limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.errors import FieldError
from pipeline.stage import BatchFunction, NarrowContext, Verdict, narrow
from stages.kernels.word_rules import check_word_rules, columns_read

ENGLISH_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")  # Gopher's


@dataclass(frozen=True, kw_only=True)
class Config:
    """Defaults: datatrove 0.10.1. `null` turns a limit off. Words of symbols alone do not count as words for
    `min_words`, `max_words` and the mean length."""

    word_rules: str = "en"  # of which language words are split by; by_language: of the `language` column
    min_words: int | None = 50
    max_words: int | None = 100_000
    min_mean_word_chars: float | None = 3
    max_mean_word_chars: float | None = 10
    max_symbols_per_word: float | None = 0.1  # number signs and ellipses, each by itself
    max_bullet_line_share: float | None = 0.9
    max_ellipsis_line_share: float | None = 0.3
    min_alphabetic_word_share: float | None = 0.8
    # ours: 99 of 100 encyclopedia paragraphs (DRCD, CMRC) have more; numbers and punctuation are words too
    min_east_asian_alphabetic_word_share: float | None = 0.7
    min_stop_words: int | None = 2  # different ones
    stop_words: tuple[str, ...] = ENGLISH_STOP_WORDS
    # the most frequent function characters and words of Chinese, Japanese and Korean; ours
    east_asian_stop_words: tuple[str, ...] = (
        "的", "是", "在", "不", "了", "有", "和", "人", "一", "為", "为", "中", "以", "於", "于", "與", "与", "之",
        "の", "は", "を", "に", "が", "と", "た", "で", "る",
        "이", "그", "및", "수", "등", "것", "있는", "있다", "한", "위해", "대한",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_word_rules(self.word_rules)
        for low, high in (("min_words", "max_words"), ("min_mean_word_chars", "max_mean_word_chars")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise FieldError(low, least, f"at most {high}, {most}")
        for name in ("min_words", "max_words", "min_mean_word_chars", "max_mean_word_chars", "max_symbols_per_word",
                     "min_stop_words"):  # fmt: skip
            limit = getattr(self, name)
            if limit is not None and limit < 0:
                raise FieldError(name, limit, "0 or more, or null")
        if self.word_rules != "en" and self.min_stop_words and self.stop_words == ENGLISH_STOP_WORDS:
            raise FieldError(
                "stop_words", "English ones", f"those of the texts' languages, with word_rules: {self.word_rules}",
                mend="List them, or set min_stop_words: null.",
            )  # fmt: skip
        shares = ("max_bullet_line_share", "max_ellipsis_line_share", "min_alphabetic_word_share")
        for name in (*shares, "min_east_asian_alphabetic_word_share"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise FieldError(name, share, "a share from 0 to 1, or null")


@narrow(
    version=1,
    reads=lambda cfg: columns_read(cfg.word_rules),
    measures=(
        "num_words", "mean_word_chars", "hashes_per_word", "ellipses_per_word", "bullet_line_share",
        "ellipsis_line_share", "alphabetic_word_share", "east_asian_alphabetic_word_share", "num_stop_words",
    ),
)  # fmt: skip
def gopher_quality(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Drop documents by Gopher's quality rules; a null text counts as an empty one and is dropped."""
    from stages.kernels import analysis, limits, lines, word_statistics

    wanted = word_statistics.word_set(cfg.stop_words)
    east_asian_wanted = word_statistics.word_set(cfg.east_asian_stop_words)

    def measure(text: analysis.TextAnalysis) -> list[limits.Limit | limits.Flag]:
        num_all_N, num_N, chars_N, with_letter_N = word_statistics.counts(text.text, text.words).T
        stop_words_N = word_statistics.distinct(text.text, text.words, wanted)
        east_asian_N = text.east_asian_N
        if east_asian_N.any():
            east_asian_found_N = word_statistics.distinct(text.text, text.words, east_asian_wanted)
            stop_words_N = np.where(east_asian_N, east_asian_found_N, stop_words_N)
        num_lines_N, bullets_N, ellipsis_lines_N, hashes_N, ellipses_N = lines.marks(text.text, text.lines).T
        mean_chars_N = np.where(east_asian_N, np.nan, limits.ratio(chars_N, num_N))
        return _limits(
            cfg, num_N.astype(np.float64), mean_chars_N, limits.ratio(hashes_N, num_all_N),
            limits.ratio(ellipses_N, num_all_N), limits.ratio(bullets_N, num_lines_N),
            limits.ratio(ellipsis_lines_N, num_lines_N), limits.ratio(with_letter_N, num_all_N), east_asian_N,
            stop_words_N.astype(np.float64),
        )  # fmt: skip

    def judge(batch: pa.RecordBatch) -> Verdict:
        checks = measure(analysis.analyse(batch, cfg.word_rules))
        return Verdict(drops=limits.drops(checks, batch.num_rows), measures=limits.measures(checks))

    return judge


def _limits(
    cfg: Config, num_words_N: np.ndarray, mean_chars_N: np.ndarray, hashes_N: np.ndarray, ellipses_N: np.ndarray,
    bullets_N: np.ndarray, ellipsis_lines_N: np.ndarray, alphabetic_N: np.ndarray, east_asian_N: np.ndarray,
    stop_words_N: np.ndarray,
) -> list:  # fmt: skip
    """The rules in datatrove's order."""
    from stages.kernels.limits import Limit

    return [
        Limit(
            measure="num_words", value_N=num_words_N, low=0, high=5000, at_least=cfg.min_words,
            too_low="too_few_words", at_most=cfg.max_words, too_high="too_many_words",
        ),
        Limit(
            measure="mean_word_chars", value_N=mean_chars_N, low=0, high=15, at_least=cfg.min_mean_word_chars,
            too_low="too_short_words", at_most=cfg.max_mean_word_chars, too_high="too_long_words",
        ),
        Limit(
            measure="hashes_per_word", value_N=hashes_N, low=0, high=0.5,
            at_most=cfg.max_symbols_per_word, too_high="too_many_hashes",
        ),
        Limit(
            measure="ellipses_per_word", value_N=ellipses_N, low=0, high=0.5,
            at_most=cfg.max_symbols_per_word, too_high="too_many_ellipses",
        ),
        Limit(
            measure="bullet_line_share", value_N=bullets_N, low=0, high=1,
            at_most=cfg.max_bullet_line_share, too_high="too_many_bullet_lines",
        ),
        Limit(
            measure="ellipsis_line_share", value_N=ellipsis_lines_N, low=0, high=1,
            at_most=cfg.max_ellipsis_line_share, too_high="too_many_ellipsis_lines",
        ),
        Limit(
            measure="alphabetic_word_share", value_N=np.where(east_asian_N, np.nan, alphabetic_N), low=0, high=1,
            at_least=cfg.min_alphabetic_word_share, too_low="too_few_alphabetic_words",
        ),
        Limit(
            measure="east_asian_alphabetic_word_share", value_N=np.where(east_asian_N, alphabetic_N, np.nan), low=0,
            high=1, at_least=cfg.min_east_asian_alphabetic_word_share, too_low="too_few_alphabetic_words",
        ),
        Limit(
            measure="num_stop_words", value_N=stop_words_N, low=0, high=10,
            at_least=cfg.min_stop_words, too_low="too_few_stop_words",
        ),
    ]  # fmt: skip
