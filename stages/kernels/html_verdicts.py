"""What becomes of every block, and why: kept, not main text, a comment, the headline, a byline, nothing but links.

Reads:  which blocks the model takes for main text, kinds, counts and features, the rows of a scan
Writes: `verdict_B` uint8[B], places in VERDICTS; characters by kind
Cost:   2 to 10 ns a block
Source: docs/design.md, "Main text"; titles as stages/kernels/html_word_sums.py compares them

Where comments make up more than half of what the model kept of a page, they are what the page is for (a forum, a
discussion), and stay. An article has its headline: where the model left it out, the heading like the title comes back.
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_assemble_links import is_linked_out
from stages.kernels.html_bylines import is_byline
from stages.kernels.html_features import TITLE_COVERED, TITLE_SHARE
from stages.kernels.html_kinds import BYLINE, COMMENT, HEADING, KINDS
from stages.kernels.html_text import B_END, B_LINK_BYTES, B_START, Scanned
from stages.kernels.html_words import CHARS, HALF_WORDS
from stages.kernels.inlined import inlined

VERDICTS = (
    "not main text", "kept", "kept as comment", "kept as headline", "comment", "headline", "byline", "only links",
)  # fmt: skip
NOT_MAIN, KEPT, KEPT_COMMENT, KEPT_HEADLINE, AS_COMMENT, AS_HEADLINE, AS_BYLINE, ONLY_LINKS = range(len(VERDICTS))
KEPT_VERDICTS = (KEPT, KEPT_COMMENT, KEPT_HEADLINE)

COMMENT_HALF_WORDS = 12  # of a comment worth keeping: six words
LONG_HALF_WORDS = 40  # twenty words: a paragraph of a text, before which its headline and byline stand
BYLINE_HALF_WORDS = 30  # of a byline: fifteen words; a longer one tells something
HEAD_PARAGRAPHS, HEAD_BLOCKS = 2, 12  # a byline comes before the third paragraph, and among the first blocks
SAME_TITLE, COVERS_TITLE = 153, 128  # of 255: 60 % of the block's words, 50 % of the title's
OF_A_HEADING = 1000  # more than any overlap
HEADLINE_BLOCKS = 30  # between a headline that the model left out and the text: pictures, sharing, dates


@inlined
def _of_comments(
    first: int, last: int, rows: Scanned, kind_B: np.ndarray, counts: np.ndarray, with_comments: bool,
    verdict_B: np.ndarray,
) -> None:  # fmt: skip
    if with_comments:
        for b in range(first, last):
            num_bytes = rows.blocks[b, B_END] - rows.blocks[b, B_START]
            is_long = counts[b, HALF_WORDS] >= COMMENT_HALF_WORDS and 2 * rows.blocks[b, B_LINK_BYTES] < num_bytes
            if kind_B[b] == COMMENT and verdict_B[b] == NOT_MAIN and is_long:
                verdict_B[b] = KEPT_COMMENT
        return
    num_chars, of_comments = 0, 0
    for b in range(first, last):
        if verdict_B[b] == KEPT:
            num_chars += counts[b, CHARS]
            of_comments += counts[b, CHARS] * (kind_B[b] == COMMENT)
    if 2 * of_comments <= num_chars:
        for b in range(first, last):
            if verdict_B[b] == KEPT and kind_B[b] == COMMENT:
                verdict_B[b] = AS_COMMENT


@inlined
def _headline(
    first: int, last: int, kind_B: np.ndarray, counts: np.ndarray, features: np.ndarray, verdict_B: np.ndarray
) -> int:
    """The kept block most like the page's title, before the first long paragraph; -1 where none is like it."""
    best, most = -1, 0
    for b in range(first, last):
        if verdict_B[b] != KEPT:
            continue
        is_heading = kind_B[b] == HEADING
        if counts[b, HALF_WORDS] >= LONG_HALF_WORDS and not is_heading:
            break
        share, covered = np.int64(features[b, TITLE_SHARE]), np.int64(features[b, TITLE_COVERED])
        overlap = share + covered + OF_A_HEADING * is_heading
        if share >= SAME_TITLE and covered >= COVERS_TITLE and overlap > most:
            best, most = b, overlap
    return best


@inlined
def _add_headline(
    first: int, last: int, kind_B: np.ndarray, counts: np.ndarray, features: np.ndarray, verdict_B: np.ndarray
) -> None:
    """Keep the last heading like the page's title that stands up to HEADLINE_BLOCKS before the text, where no block up
    to its first long paragraph is like it."""
    start = first
    while start < last and verdict_B[start] != KEPT:
        start += 1
    if start == last or _headline(first, last, kind_B, counts, features, verdict_B) >= 0:
        return
    for b in range(start - 1, max(first, start - HEADLINE_BLOCKS) - 1, -1):
        is_like = features[b, TITLE_SHARE] >= SAME_TITLE and features[b, TITLE_COVERED] >= COVERS_TITLE
        if kind_B[b] == HEADING and is_like:
            verdict_B[b] = KEPT_HEADLINE
            return


@inlined
def _of_bylines(
    first: int, last: int, rows: Scanned, kind_B: np.ndarray, counts: np.ndarray, verdict_B: np.ndarray
) -> None:  # fmt: skip
    num_paragraphs, num_blocks = 0, 0
    for b in range(first, last):
        if verdict_B[b] != KEPT:
            continue
        num_blocks += 1
        if num_paragraphs > HEAD_PARAGRAPHS or num_blocks > HEAD_BLOCKS:
            return
        is_named = kind_B[b] == BYLINE and counts[b, HALF_WORDS] <= BYLINE_HALF_WORDS
        if not is_named and kind_B[b] != HEADING:
            is_named = is_byline(rows.text, rows.blocks[b, B_START], rows.blocks[b, B_END])
        if is_named:
            verdict_B[b] = AS_BYLINE
        else:
            num_paragraphs += counts[b, HALF_WORDS] >= LONG_HALF_WORDS


@kernel
def fill_verdicts(
    rows: Scanned, block_offsets: np.ndarray, main_B: np.ndarray, kind_B: np.ndarray, counts: np.ndarray,
    features: np.ndarray, with_comments: bool, body_alone: bool, without_links: bool, verdict_B: np.ndarray,
) -> None:  # fmt: skip
    """Fill `verdict_B`. `main_B` bool[B]: what the model takes for main text; `counts` int32[B, NUM_COUNTS] and
    `features` uint8[B, F] as stages/kernels/html_pages.py fills them."""
    for n in range(len(block_offsets) - 1):
        first, last = block_offsets[n], block_offsets[n + 1]
        for b in range(first, last):
            verdict_B[b] = KEPT if main_B[b] else NOT_MAIN
        _of_comments(first, last, rows, kind_B, counts, with_comments, verdict_B)
        if body_alone:
            headline = _headline(first, last, kind_B, counts, features, verdict_B)
            if headline >= 0:
                verdict_B[headline] = AS_HEADLINE
            _of_bylines(first, last, rows, kind_B, counts, verdict_B)
        else:
            _add_headline(first, last, kind_B, counts, features, verdict_B)
        if without_links:
            for b in range(first, last):
                is_kept = verdict_B[b] == KEPT or verdict_B[b] == KEPT_COMMENT or verdict_B[b] == KEPT_HEADLINE
                if is_kept and is_linked_out(rows.text, b, rows.blocks, rows.links):
                    verdict_B[b] = ONLY_LINKS


@kernel
def _count(kind_B: np.ndarray, verdict_B: np.ndarray, counts: np.ndarray, chars: np.ndarray) -> None:
    for b in range(len(kind_B)):
        chars[kind_B[b], verdict_B[b]] += counts[b, CHARS]


def num_chars(kind_B: np.ndarray, verdict_B: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """int64[kinds, verdicts]: code points of the blocks of each kind with each verdict. A row sums up to what came in
    of that kind; what was kept is its columns KEPT_VERDICTS, linked text that is left out included."""
    chars = np.zeros((len(KINDS), len(VERDICTS)), np.int64)
    _count(kind_B, verdict_B, counts, chars)
    return chars
