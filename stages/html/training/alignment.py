r"""How many words of each text block of a page stand in the page's gold text.

Reads:  the blocks' texts in page order and the gold text
Writes: per block the number of its words and of those matched
Cost:   about 5 ms for a page of 1,500 words, 0.3 s for the largest
Source: the words are those of \w+, case kept, as the scorer of extraction has them; Chinese and Japanese characters
        are a word each. Anchors as in patience diff (Bram Cohen)

Words are matched in the order of both texts and in runs (word_runs.py): a headline that stands in the navigation too is
matched where the article is, and a stray `of the` nowhere. Gold that is not in the page's order is found by shingles
afterwards. Words divided or joined at the gold's line ends count as found. Gold written in another case, or with `?`
for every character beyond ASCII, is compared so.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise

import numpy as np

from stages.html.training.word_runs import NONE, extend_runs, match_runs

# A run of Chinese or Japanese is one word to \w+, which no alignment could cut.
_CHARACTER = "\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CHARACTER}]|[^\W{_CHARACTER}]+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_DAMAGE = re.compile(r"\w\?\w|\s\?\s")  # what `?` in the place of quotes, dashes and accented letters looks like

_GAP_COST = 1  # of WORD, per skipped word: a run of 3 words reaches over 4,000 others
_MAX_PAIRS = 1 << 24  # bytes of the table; over this, words are matched between anchors
_ANCHORS = (8, 4)  # words of the shingles that hold a large table together, and those tried where it is still too large
_MAX_DIVIDED = 8  # words
_SHINGLE = 4
_MIN_STRAY_WORDS = 8  # of a block whose gold stands elsewhere in the order
_MIN_STRAY_SHARE = 0.9  # of its shingles
_WELL_COVERED = 0.95  # of the gold's words: other spellings are not tried
_BETTER = 0.02  # of the gold's words: by how much another spelling has to cover more of them


@dataclass(frozen=True, slots=True)
class Alignment:
    """`num_words_N`, `matched_N` int64: a block's words, and those of them in the gold text. `gold_share`: of the
    gold's words, 0 to 1 (1 for gold without words). `spelling`: a key of SPELLINGS."""

    num_words_N: np.ndarray
    matched_N: np.ndarray
    gold_share: float
    spelling: str


def matched_words(blocks: Sequence[str], gold: str) -> tuple[np.ndarray, np.ndarray]:
    """Alignment.num_words_N and matched_N."""
    alignment = align(blocks, gold)
    return alignment.num_words_N, alignment.matched_N


def align(blocks: Sequence[str], gold: str) -> Alignment:
    """The blocks' words matched with the gold's, in the spelling in which most of the gold is found."""
    best = _align_spelled("as_is", blocks, gold)
    if best.gold_share >= _WELL_COVERED:
        return best
    for spelling in _other_spellings(blocks, gold):
        other = _align_spelled(spelling, blocks, gold)
        if other.gold_share > best.gold_share + _BETTER:
            best = other
    return best


def _ascii(text: str) -> str:
    return _NOT_ASCII.sub("?", text)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as_is": str,
    "ascii": _ascii,
    "folded": str.casefold,
    "ascii_folded": lambda text: _ascii(text).casefold(),
}


def _other_spellings(blocks: Sequence[str], gold: str) -> list[str]:
    damaged = gold.isascii() and _DAMAGE.search(gold) and not all(block.isascii() for block in blocks)
    return ["ascii", "folded", "ascii_folded"] if damaged else ["folded"]


def _align_spelled(spelling: str, blocks: Sequence[str], gold: str) -> Alignment:
    spell = SPELLINGS[spelling]
    gold_words = _WORD.findall(spell(gold))
    number_of = {word: number for number, word in enumerate(dict.fromkeys(gold_words))}
    words_of_N = [_WORD.findall(spell(block)) for block in blocks]
    starts = np.fromiter(accumulate(map(len, words_of_N), initial=0), np.int64, len(blocks) + 1)
    words_W = list(chain.from_iterable(words_of_N))
    page_W = np.fromiter((number_of.get(word, NONE) for word in words_W), np.int32, len(words_W))
    gold_M = np.fromiter(map(number_of.__getitem__, gold_words), np.int32, len(gold_words))
    gold_of_W = match_words(page_W, gold_M)
    _match_divided(words_W, gold_words, gold_of_W)
    _match_strays(page_W, gold_M, gold_of_W, starts)
    matched_so_far = np.concatenate(([0], np.cumsum(gold_of_W != NONE)))
    num_matched = int(matched_so_far[-1])
    return Alignment(
        num_words_N=np.diff(starts), matched_N=matched_so_far[starts[1:]] - matched_so_far[starts[:-1]],
        gold_share=min(num_matched / len(gold_words), 1.0) if gold_words else 1.0, spelling=spelling,
    )  # fmt: skip


def match_words(page_W: np.ndarray, gold_M: np.ndarray) -> np.ndarray:
    """As match_runs: int64[W] of word numbers int32[W] (negative: not in the gold) and int32[M]. Exact up to 16 million
    pairs of words in question, which also bounds its memory; above, between anchors."""
    kept, gap_cost = _without_long_gaps(page_W)
    gold_of_kept = np.full(len(kept), NONE, np.int64)
    _match_between(page_W[kept], gap_cost, gold_M, gold_of_kept, _ANCHORS)
    gold_of_W = np.full(len(page_W), NONE, np.int64)
    gold_of_W[kept] = gold_of_kept
    return gold_of_W


def _without_long_gaps(page_W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the words in question, with one in place of each run of others; and the cost of skipping each."""
    absent = page_W < 0
    kept = np.flatnonzero(~(absent & np.concatenate(([False], absent[:-1]))))
    return kept, (np.diff(kept, append=len(page_W)) * _GAP_COST).astype(np.int32)


def _match_between(
    page_N: np.ndarray, gap_cost_N: np.ndarray, gold_M: np.ndarray, gold_of_N: np.ndarray, anchors: Sequence[int]
) -> None:
    """Fill in `gold_of_N`, all NONE so far."""
    if len(page_N) * len(gold_M) <= _MAX_PAIRS:
        gold_of_N[:] = match_runs(page_N, gap_cost_N, gold_M)
        return
    if not anchors:  # the same few words over and over: what is in order among them does not matter
        return
    for n, m in _increasing(_unique_in_both(page_N, gold_M, anchors[0])):
        gold_of_N[n] = m
    extend_runs(page_N, gold_M, gold_of_N)
    places = np.flatnonzero(gold_of_N != NONE)
    matches = [(-1, -1), *zip(places.tolist(), gold_of_N[places].tolist(), strict=True), (len(page_N), len(gold_M))]
    for (n0, m0), (n1, m1) in pairwise(matches):
        if n1 - n0 > 1 and m1 - m0 > 1:
            page, gold = slice(n0 + 1, n1), slice(m0 + 1, m1)
            between = np.full(n1 - n0 - 1, NONE, np.int64)
            _match_between(page_N[page], gap_cost_N[page], gold_M[gold], between, anchors[1:])
            gold_of_N[page] = np.where(between == NONE, NONE, between + m0 + 1)


def _unique_in_both(page_N: np.ndarray, gold_M: np.ndarray, width: int) -> np.ndarray:
    """int64[K, 2], places of the shingles that both sequences have once, in the page's order."""
    once = [_shingles_found_once(words, width) for words in (page_N, gold_M)]
    _, in_page, in_gold = np.intersect1d(once[0][0], once[1][0], assume_unique=True, return_indices=True)
    pairs = np.stack((once[0][1][in_page], once[1][1][in_gold]), axis=1)
    return pairs[np.argsort(pairs[:, 0])]


def _shingles_found_once(words: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the shingles without an absent word in them, and their places."""
    num_shingles = max(len(words) - width + 1, 0)
    hashes, whole = np.zeros(num_shingles, np.uint64), np.ones(num_shingles, bool)
    for k in range(width):
        part = words[k : k + num_shingles]
        whole &= part >= 0
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + part.astype(np.uint64) + np.uint64(1)
        hashes ^= hashes >> np.uint64(29)
    places = np.flatnonzero(whole)
    unique, first, counts = np.unique(hashes[places], return_index=True, return_counts=True)
    return unique[counts == 1], places[first[counts == 1]]


def _increasing(pairs: np.ndarray) -> list[tuple[int, int]]:
    """The longest sequence of pairs (in rising order of the first) that rises in both, by patience sorting."""
    ends: list[int] = []  # lowest second of the pair that ends a sequence of each length
    holders: list[int] = []
    before = [NONE] * len(pairs)
    for k, m in enumerate(pairs[:, 1].tolist()):
        length = bisect_left(ends, m)
        ends[length : length + 1] = [m]
        holders[length : length + 1] = [k]
        before[k] = holders[length - 1] if length else NONE
    rising, k = [], holders[-1] if holders else NONE
    while k != NONE:
        rising.append((int(pairs[k, 0]), int(pairs[k, 1])))
        k = before[k]
    return rising[::-1]


def _match_divided(words_W: list[str], gold_words: list[str], gold_of_W: np.ndarray) -> None:
    """Match the words between two matched ones that are the same characters as the gold's words between them: gold that
    was broken into lines anywhere, or had its line ends taken out."""
    places = np.flatnonzero(gold_of_W != NONE)
    found = gold_of_W[places]
    divided = np.flatnonzero((np.diff(places) > 1) & (np.diff(found) > 1))
    for k in divided.tolist():
        n0, n1, m0, m1 = places[k] + 1, places[k + 1], found[k] + 1, found[k + 1]
        if max(n1 - n0, m1 - m0) <= _MAX_DIVIDED and "".join(words_W[n0:n1]) == "".join(gold_words[m0:m1]):
            gold_of_W[n0:n1] = np.linspace(m0, m1 - 1, n1 - n0).astype(np.int64)


def _match_strays(page_W: np.ndarray, gold_M: np.ndarray, gold_of_W: np.ndarray, starts: np.ndarray) -> None:
    """Match the blocks that were not, where nearly all their shingles are among those of the gold that were not."""
    free_M = np.ones(len(gold_M), bool)
    free_M[gold_of_W[gold_of_W != NONE]] = False
    gold = gold_M.tolist()
    places_of: dict[tuple[int, ...], list[int]] = {}
    for m in range(len(gold) - _SHINGLE, -1, -1):
        if free_M[m : m + _SHINGLE].all():
            places_of.setdefault(tuple(gold[m : m + _SHINGLE]), []).append(m)
    if not places_of:
        return
    for first, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        if end - first < _MIN_STRAY_WORDS or (gold_of_W[first:end] != NONE).sum() * 2 >= end - first:
            continue
        words = page_W[first:end].tolist()
        shingles = Counter(tuple(words[k : k + _SHINGLE]) for k in range(len(words) - _SHINGLE + 1))
        num_found = sum(min(count, len(places_of.get(shingle, ()))) for shingle, count in shingles.items())
        if num_found >= _MIN_STRAY_SHARE * shingles.total():
            gold_of_W[first:end] = 0  # matched; with what is not asked any more
            for shingle, count in shingles.items():
                if shingle in places_of:
                    del places_of[shingle][max(len(places_of[shingle]) - count, 0) :]
