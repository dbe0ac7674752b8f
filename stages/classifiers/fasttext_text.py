"""Text as fastText is to see it: the one place that prepares text, for training and for classifying alike.

Reads:  Arrow string arrays
Writes: Utf8, a line per text
Cost:   see stages/kernels/fasttext_text.py, which does it
Source: fastText's own advice (lower-case, punctuation apart: its tutorial on text classification); Han characters and
        kana apart is ours: fastText splits words at white space, and Chinese has none
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from stages.kernels.fasttext_text_table import LABEL_PREFIX

if TYPE_CHECKING:
    from stages.kernels.utf8 import Utf8

Preparation = Literal["words", "plain"]

POSITIVE, NEGATIVE = LABEL_PREFIX + "positive", LABEL_PREFIX + "negative"  # the labels of the models trained here


def prepare(text: pa.Array, preparation: Preparation, max_chars: int) -> Utf8:
    """N lines from N texts; an empty line where the text is null or white space.

    Of each text the first `max_chars` characters count. `plain` collapses white space and does nothing else, which is
    what published fastText models expect. `words` also lower-cases and sets punctuation, Han characters and kana apart
    as words of their own, so that fastText's word n-grams are character n-grams where the text is Chinese.
    """
    from stages.kernels import fasttext_text

    return fasttext_text.lines(text, preparation == "words", max_chars)
