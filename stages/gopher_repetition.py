"""Gopher's repetition rules: duplicate paragraphs and lines, too frequent and duplicate word n-grams.

Reads:  text; language, where `word_rules` is by_language
Writes: nothing; drops documents
Cost:   about 6 ns per byte and 4 to split words; scratch of 80 bytes per word of the longest document
Source: Rae et al. 2021 (arXiv 2112.11446), table A1; definitions, thresholds and order of datatrove 0.10.1's
        GopherRepetitionFilter, words as spaCy's blank tokenizers split them, English unless
        `word_rules` says otherwise (stages/kernels/words.py)

Shares are of the text's characters, white space included; an n-gram's own characters are counted without separators
where it is a duplicate and with single spaces where it is the most frequent one.

East Asian text (more than half of the letters Han, kana or Hangul): every Han or kana character is a word. Where Han
and kana are the majority, an n-gram has 2n of them, since a word there takes about two; the limits are the same.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.errors import FieldError
from pipeline.stage import BatchFunction, NarrowContext, Verdict, narrow
from stages.kernels.word_rules import check_word_rules, columns_read


@dataclass(frozen=True, kw_only=True)
class Config:
    """Shares from 0 to 1 that may not be exceeded; `null` turns a limit off. Defaults: Gopher's table A1."""

    duplicate_paragraphs: float | None = 0.30
    duplicate_paragraph_chars: float | None = 0.20
    duplicate_lines: float | None = 0.30
    duplicate_line_chars: float | None = 0.20
    top_2_gram_chars: float | None = 0.20
    top_3_gram_chars: float | None = 0.18
    top_4_gram_chars: float | None = 0.16
    duplicate_5_gram_chars: float | None = 0.15
    duplicate_6_gram_chars: float | None = 0.14
    duplicate_7_gram_chars: float | None = 0.13
    duplicate_8_gram_chars: float | None = 0.12
    duplicate_9_gram_chars: float | None = 0.11
    duplicate_10_gram_chars: float | None = 0.10
    word_rules: str = "en"  # of which language words are split by; by_language: of the `language` column

    def __post_init__(self) -> None:
        check_word_rules(self.word_rules)
        for name in _shares():
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise FieldError(name, share, "a share from 0 to 1, or null")


def _shares() -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(Config) if field.name != "word_rules")


@narrow(version=1, reads=lambda cfg: columns_read(cfg.word_rules), measures=_shares())
def gopher_repetition(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Drop documents that repeat themselves; a null text counts as an empty one and is dropped."""
    from stages.kernels import analysis, limits, n_grams, repetition

    def shares(text: analysis.TextAnalysis) -> dict[str, np.ndarray]:
        num_chars_N = text.num_chars_N
        paragraphs_N, seen_paragraphs_N, paragraph_chars_N, lines_N, seen_lines_N, line_chars_N = (
            repetition.duplicate_lines(text.text, text.lines).T
        )
        times_N = np.where(text.han_kana_N, 2, 1)
        n_gram_chars_N9 = n_grams.n_gram_chars(text.text, text.words, times_N)
        names = [f"top_{n}_gram_chars" for n in n_grams.TOP]
        names += [f"duplicate_{n}_gram_chars" for n in n_grams.DUPLICATE]
        return {
            "duplicate_paragraphs": limits.ratio(seen_paragraphs_N, paragraphs_N),
            "duplicate_paragraph_chars": limits.ratio(paragraph_chars_N, num_chars_N),
            "duplicate_lines": limits.ratio(seen_lines_N, lines_N),
            "duplicate_line_chars": limits.ratio(line_chars_N, num_chars_N),
            **{name: limits.ratio(n_gram_chars_N9[:, k], num_chars_N) for k, name in enumerate(names)},
        }

    def judge(batch: pa.RecordBatch) -> Verdict:
        text = analysis.analyse(batch, cfg.word_rules)
        checks: list[limits.Limit | limits.Flag] = [limits.Flag(reason="empty", violated_N=text.num_chars_N == 0)]
        for name, share_N in shares(text).items():
            reason = f"too_frequent_{name[4:10]}" if name.startswith("top") else f"too_many_{name}"
            checks.append(
                limits.Limit(measure=name, value_N=share_N, low=0, high=1, at_most=getattr(cfg, name), too_high=reason)
            )
        return Verdict(drops=limits.drops(checks, batch.num_rows), measures=limits.measures(checks))

    return judge
