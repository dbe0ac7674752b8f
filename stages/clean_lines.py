r"""Lines that are no prose are taken out, and documents that lose too many words with them are dropped.

Reads:  text
Writes: text, without those lines; dropped documents keep their text, and so does one that loses no line, byte for byte
Cost:   about 10 ns per byte
Source: RefinedWeb's line-wise correction (Penedo et al. 2023, arXiv 2306.01116, appendix G.2) and C4's phrases; for
        pipelines without stages.c4_quality, which has rules of its own

Rules, in this order; the first that fits is the one counted: a phrase of `javascript_phrases`, `policy_phrases` or
`phrases` anywhere in the line; mainly capital letters; digits without a letter; a counter (`3 likes`); a single word; a
short line with a pattern. RefinedWeb cuts such a pattern out of the line; here the line goes. In text with hard
line breaks the single-word rule takes the last word of some paragraphs; headings in capitals go too. Lines are counted
in all texts, those of dropped documents too.

Between lines that stay stands one `\n`, and blank lines if there were any between them before: as many as the longest
run of them. No blank line stays at the beginning or end of a text that lost a line.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import FieldError
from pipeline.stage import BatchFunction, NarrowContext, Verdict, narrow


@dataclass(frozen=True, kw_only=True)
class Config:
    """Phrases and patterns are found in any case of A to Z; an empty list, `false` or `null` turns a rule off."""

    # C4 takes out every line with the word; of 30 such lines read, 25 were about the language
    javascript_phrases: tuple[str, ...] = (
        "enable javascript", "activate javascript", "turn on javascript", "javascript enabled", "javascript is enabled",
        "javascript disabled", "javascript is disabled", "javascript turned off", "javascript is turned off",
        "javascript is required", "javascript must be", "requires javascript", "require javascript", "needs javascript",
        "relies on javascript", "without javascript", "support javascript",
    )  # fmt: skip
    policy_phrases: tuple[str, ...] = (
        "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies",
    )  # fmt: skip
    phrases: tuple[str, ...] = ()  # your own
    max_uppercase_share: float | None = 0.5  # of a line's letters; RefinedWeb: "mainly"
    remove_numeric: bool = True
    remove_counters: bool = True
    remove_single_words: bool = True
    max_short_line_words: int = 10
    short_line_starts: tuple[str, ...] = ("sign-in", "sign in", "log in")
    short_line_ends: tuple[str, ...] = ("read more", "read more...", "read more…")
    short_line_phrases: tuple[str, ...] = ("items in cart",)
    max_removed_share: float | None = 0.05  # of a document's words

    def __post_init__(self) -> None:
        for f in fields(self):
            texts = getattr(self, f.name)
            if isinstance(texts, tuple) and not all(text.strip() and len(text.splitlines()) == 1 for text in texts):
                raise FieldError(f.name, texts, "texts that are not blank, each on one line")
        for name in ("max_uppercase_share", "max_removed_share"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise FieldError(name, share, "a share from 0 to 1, or null")
        if self.max_short_line_words < 0:
            raise FieldError("max_short_line_words", self.max_short_line_words, "0 or more")


@narrow(version=1, reads=("text",), adds={"text": pa.large_string()}, measures=("removed_word_share",))
def clean_lines(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Clean every text of a batch; a null stays null and is not dropped."""
    from stages.kernels import analysis, limits, utf8
    from stages.kernels import clean_lines as kernels

    rules = kernels.Rules(
        phrases=kernels.phrase_groups(
            cfg.javascript_phrases, cfg.policy_phrases, cfg.phrases, cfg.short_line_phrases
        ),
        max_uppercase_share=1.0 if cfg.max_uppercase_share is None else cfg.max_uppercase_share,
        numeric=cfg.remove_numeric, counters=cfg.remove_counters, single_words=cfg.remove_single_words,
        max_short_words=cfg.max_short_line_words, starts=kernels.patterns(cfg.short_line_starts),
        ends=kernels.patterns(cfg.short_line_ends),
    )  # fmt: skip

    def clean(batch: pa.RecordBatch) -> Verdict:
        found = analysis.TextAnalysis(utf8.view(batch["text"]), np.zeros(batch.num_rows, np.int8))
        cleaned = kernels.clean(found.text, found.lines, rules)
        num_words_N, num_kept_N = cleaned.words.sum(axis=1), cleaned.words[:, kernels.KEPT]
        check = limits.Limit(
            measure="removed_word_share", value_N=limits.ratio(num_words_N - num_kept_N, num_words_N), low=0, high=1,
            at_most=cfg.max_removed_share, too_high="too_many_words_removed",
        )  # fmt: skip
        drops = limits.drops([check], batch.num_rows)
        text = batch["text"].cast(pa.large_string())
        if cleaned.text is not None:
            text = pc.if_else(pa.array(drops.code_N < 0), utf8.array(cleaned.text), text)
        removed_N = cleaned.lines[:, kernels.KEPT + 1 :].any(axis=1)
        counters = {f"lines_{name}": int(cleaned.lines[:, k].sum()) for k, name in enumerate(kernels.LINE_KINDS)}
        return Verdict(
            columns={"text": text},
            drops=drops,
            measures=limits.measures([check]),
            counters={"texts_changed": int((removed_N & (drops.code_N < 0)).sum()), **counters},
        )

    return clean
