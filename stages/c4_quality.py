r"""C4's rules: lines that are no prose are taken out, then documents with filler text, code or too few sentences go.

Reads:  text; language, where `word_rules` is by_language
Writes: text, rewritten: the lines that stay, each without white space around it and without citations like [1], joined
        by `\n`; dropped documents keep their text as it was
Cost:   about 4 ns per byte and 4 to split words where no step before has
Source: Raffel et al. 2020 (jmlr.org/papers/v21/20-074.html); definitions, thresholds and order of datatrove 0.10.1's
        C4QualityFilter as FineWeb sets it (lines need no terminal punctuation); sentences as spaCy's sentencizer finds
        them

Per line, in this order: a word of more than `max_word_chars` characters, no terminal punctuation (if asked for), fewer
than `min_words_per_line` words, `lorem ipsum`, `javascript`, a curly bracket, a cookie or privacy phrase. `lorem ipsum`
and a curly bracket drop the document, the others take out the line. Words of a line stand between white space, and are
counted before citations go. Lines are counted in all texts, those of dropped documents too.

East Asian text (more than half of the letters Han, kana or Hangul): every Han or kana character is a word, of a line
and for the sentencizer; 。 ！ ？ and closing quotation marks end a line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import FieldError
from pipeline.stage import BatchFunction, NarrowContext, Verdict, narrow
from stages.kernels.word_rules import check_word_rules, columns_read


@dataclass(frozen=True, kw_only=True)
class Config:
    """Defaults: datatrove 0.10.1 in FineWeb's pipeline. `null` turns a limit off."""

    word_rules: str = "en"  # of which language words are split by; by_language: of the `language` column
    min_sentences: int | None = 5
    min_words_per_line: int | None = 3
    max_word_chars: int | None = 1000
    remove_citations: bool = True
    need_terminal_punctuation: bool = False  # C4 itself: true
    drop_lorem_ipsum: bool = True
    remove_javascript_lines: bool = True
    drop_curly_brackets: bool = True
    remove_policy_lines: bool = True

    def __post_init__(self) -> None:
        check_word_rules(self.word_rules)
        for name in ("min_sentences", "min_words_per_line", "max_word_chars"):
            limit = getattr(self, name)
            if limit is not None and limit < 0:
                raise FieldError(name, limit, "0 or more, or null")


@narrow(
    version=1,
    reads=lambda cfg: columns_read(cfg.word_rules),
    adds={"text": pa.large_string()},
    measures=("lorem_ipsum", "curly_brackets", "num_sentences"),
)
def c4_quality(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Clean the lines, then drop documents. A null text counts as an empty one and stays null."""
    from stages.kernels import analysis, c4_lines, c4_phrases, limits, utf8

    longest = c4_lines.NO_LIMIT if cfg.max_word_chars is None else min(cfg.max_word_chars, c4_lines.NO_LIMIT)
    rules = c4_lines.Rules(
        max_word_chars=longest, min_words=min(cfg.min_words_per_line or 0, c4_lines.NO_LIMIT),
        citations=cfg.remove_citations, terminal=cfg.need_terminal_punctuation, lorem_ipsum=cfg.drop_lorem_ipsum,
        javascript=cfg.remove_javascript_lines, curly_bracket=cfg.drop_curly_brackets, policy=cfg.remove_policy_lines,
    )  # fmt: skip

    def judge(batch: pa.RecordBatch) -> Verdict:
        found = analysis.analyse(batch, cfg.word_rules)
        cleaned = c4_lines.clean(found, rules)
        forbidden_N = (cleaned.counts[:, [c4_phrases.LOREM_IPSUM, c4_phrases.CURLY_BRACKET]] > 0).any(axis=1)
        checks: list[limits.Limit | limits.Flag] = [
            limits.Limit(
                measure="lorem_ipsum", value_N=cleaned.counts[:, c4_phrases.LOREM_IPSUM].astype(np.float64),
                low=0, high=5, at_most=0, too_high="lorem_ipsum",
            ),
            limits.Limit(
                measure="curly_brackets", value_N=cleaned.counts[:, c4_phrases.CURLY_BRACKET].astype(np.float64),
                low=0, high=5, at_most=0, too_high="curly_bracket",
            ),
            limits.Limit(
                measure="num_sentences", value_N=np.where(forbidden_N, np.nan, cleaned.sentences_N),
                low=0, high=200, at_least=cfg.min_sentences, too_low="too_few_sentences",
            ),
        ]  # fmt: skip
        drops = limits.drops(checks, batch.num_rows)
        rewritten = pc.if_else(
            pa.array(drops.code_N < 0),
            utf8.array(cleaned.text),
            batch["text"].cast(pa.large_string()),
        )
        analysis.remember_rewritten(cleaned.text, cleaned.words, found)
        counters = {f"lines_{name}": int(cleaned.counts[:, k].sum()) for k, name in enumerate(c4_lines.LINE_KINDS)}
        return Verdict(columns={"text": rewritten}, drops=drops, measures=limits.measures(checks), counters=counters)

    return judge
