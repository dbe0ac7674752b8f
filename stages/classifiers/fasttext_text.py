"""Text as fastText is to see it: the one place that prepares text, for training and for classifying alike.

Reads:  Arrow string arrays
Writes: a list of strings, one line each
Cost:   passes of Arrow's RE2 over the batch, 25 MB/s for `words`, 42 for `plain`; the only Python objects are the lines
Source: fastText's own advice (lower-case, punctuation apart: its tutorial on text classification); Han characters and
        kana apart is ours: fastText splits words at white space, and Chinese has none

A line never holds `__label__`, which fastText would read as a label wherever it stands, nor a line break.
"""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

Preparation = Literal["words", "plain"]

# White space of all scripts and control characters: fastText ends a line at \n and a word at \0 and \v too.
SPACE = r"[\s\pZ\x{0}-\x{1f}\x{7f}-\x{9f}]+"
APART = r"([\p{Han}\p{Hiragana}\p{Katakana}]|[\pP\pS])"
LABEL_PREFIX = "__label__"
POSITIVE, NEGATIVE = LABEL_PREFIX + "positive", LABEL_PREFIX + "negative"  # the labels of the models trained here


def prepare(text: pa.Array | pa.ChunkedArray, preparation: Preparation, max_chars: int) -> list[str]:
    """N lines from N texts; an empty line where the text is null or white space.

    Of each text the first `max_chars` characters count. `plain` collapses white space and does nothing else, which is
    what published fastText models expect. `words` also lower-cases and sets punctuation, Han characters and kana apart
    as words of their own, so that fastText's word n-grams are character n-grams where the text is Chinese.
    """
    text = pc.utf8_slice_codeunits(pc.fill_null(text, ""), 0, max_chars)
    if preparation == "words":
        text = pc.replace_substring_regex(pc.utf8_lower(text), APART, r" \1 ")
    text = pc.replace_substring(text, LABEL_PREFIX, "label ")
    lines: list[str] = pc.utf8_trim_whitespace(pc.replace_substring_regex(text, SPACE, " ")).to_pylist()
    return lines
