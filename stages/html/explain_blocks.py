"""The blocks of a page in its order, each with its text, its score and what speaks for and against it.

Reads:  Extracted, the model
Writes: Markup of bounded size: MAX_BLOCKS blocks, their texts cut
Cost:   about 1 ms a block
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipeline.markup import Markup, element, fragment
from pipeline.wording import count, plural, share
from stages.html.assembling import kept
from stages.html.explaining import GROUPS, Explained, explain
from stages.html.explaining_words import STEP, weigh_words
from stages.html.extractor import Extracted
from stages.html.model import Model
from stages.kernels.html_kinds import KINDS
from stages.kernels.html_second import NUM_FIRST
from stages.kernels.html_structure import LEAST, MOST, SUM
from stages.kernels.html_tags import TAGS
from stages.kernels.html_text import B_END, B_LINK_BYTES, B_START, B_TEXT_ELEMENT, E_PARENT, E_TAG
from stages.kernels.html_trees import SCALE
from stages.kernels.html_verdicts import VERDICTS
from stages.kernels.html_words import CHARS, FIRST_WORD, MAX_WORDS

MAX_BLOCKS = 5000  # shown; on a longer page kept ones and ones in doubt come first
MAX_TEXT_CHARS = 1500  # of a block, and fewer where there are many
ALL_TEXT_CHARS = 2_000_000
MAX_TAGS = 9  # of an element path: the outermost two and the innermost ones
DOUBT = (0.3, 0.7)
NUM_TOLD = 3  # groups that are named in a block's own line
THE_PAGE = "the page"  # what all its blocks have


def probability(logit: float) -> float:
    """Of a sum of trees in 1/SCALE of a logit."""
    return 1 / (1 + math.exp(-max(min(logit / SCALE, 30), -30)))


def choose(extracted: Extracted) -> np.ndarray:
    """int64[S]: the blocks that are shown, in page order: all, or kept ones, ones in doubt, then the first others."""
    num_blocks = len(extracted.verdict_B)
    if num_blocks <= MAX_BLOCKS:
        return np.arange(num_blocks)
    first = kept(extracted.verdict_B) | _in_doubt(extracted.judged.logit_B)
    ranked = np.argsort(~first, kind="stable")
    return np.sort(ranked[:MAX_BLOCKS])


def block_list(extracted: Extracted, model: Model, shown_S: np.ndarray) -> Markup:
    """The blocks `shown_S`, and a line wherever some are left out."""
    if not len(extracted.verdict_B):
        return element("p", {"class": "missing"}, "The page has no text.")
    features = extracted.judged.of.features
    first = explain(model.first, features[:, :NUM_FIRST], shown_S)
    second = explain(model.second, features, shown_S)
    max_chars = min(MAX_TEXT_CHARS, max(ALL_TEXT_CHARS // max(len(shown_S), 1), 200))
    items, end = [], 0
    for s, b in enumerate(shown_S.tolist()):
        items.append(_left_out(extracted, end, b))
        items.append(_block(extracted, model, b, s, (first, second), max_chars))
        end = b + 1
    items.append(_left_out(extracted, end, len(extracted.verdict_B)))
    return element("ol", {"class": "blocks"}, items)


def _in_doubt(logit_B: np.ndarray) -> np.ndarray:
    low, high = (SCALE * math.log(p / (1 - p)) for p in DOUBT)
    doubt_B: np.ndarray = (logit_B >= low) & (logit_B <= high)
    return doubt_B


def _left_out(extracted: Extracted, start: int, end: int) -> Markup | None:
    """A line for blocks[start:end], which are not shown."""
    if start == end:
        return None
    chars = int(extracted.judged.of.counts[start:end, CHARS].sum())
    num_kept = int(kept(extracted.verdict_B[start:end]).sum())
    words = (
        f"{plural(end - start, 'block')} of {plural(chars, 'character')} left out here, {count(num_kept)} of them kept"
    )
    return element("li", {"class": "left-out"}, words)


def _block(
    extracted: Extracted, model: Model, b: int, s: int, explained: tuple[Explained, Explained], max_chars: int
) -> Markup:  # fmt: skip
    is_kept = bool(kept(extracted.verdict_B[b : b + 1])[0])
    in_doubt = bool(_in_doubt(extracted.judged.logit_B[b : b + 1])[0])
    kind = int(extracted.kind_B[b])
    text = _text(extracted, b)
    left = len(text) - max_chars
    more = element("span", {"class": "more"}, f" … {plural(left, 'more character')}") if left > 0 else None
    score = element(
        "div", {"class": "score"},
        f"{probability(int(extracted.judged.logit_B[b])):.2f}",
        element("small", None, f"first {probability(int(extracted.judged.first_logit_B[b])):.2f}"),
    )  # fmt: skip
    body = element(
        "div", None,
        _line(extracted, b, is_kept, in_doubt),
        element("p", {"class": "said", "dir": "auto"}, text[:max_chars], more),
        _why(extracted, model, b, s, explained, text),
    )  # fmt: skip
    state = f"{'kept' if is_kept else 'dropped-block'}{' near' if in_doubt else ''}"
    return element("li", {"class": f"block {state} kind-{kind}", "value": b + 1}, score, body)


def _text(extracted: Extracted, b: int) -> str:
    start, end = extracted.scan.rows.blocks[b, [B_START, B_END]].tolist()
    return extracted.scan.rows.text[start:end].tobytes().decode("utf-8", "replace")


def _line(extracted: Extracted, b: int, is_kept: bool, in_doubt: bool) -> Markup:
    """Verdict, kind, length, linked share, path."""
    block = extracted.scan.rows.blocks[b]
    linked = int(block[B_LINK_BYTES])
    parts = [
        element("span", {"class": "verdict yes" if is_kept else "verdict"}, VERDICTS[int(extracted.verdict_B[b])]),
        element("span", {"class": "doubt"}, "in doubt") if in_doubt else None,
        KINDS[int(extracted.kind_B[b])],
        plural(int(extracted.judged.of.counts[b, CHARS]), "character"),
        f"{share(linked, int(block[B_END] - block[B_START]))} linked" if linked else None,
        element("code", None, _path(extracted.scan.rows.elements, int(block[B_TEXT_ELEMENT]))),
    ]
    told = [part for part in parts if part is not None]
    return element("p", {"class": "line"}, [(" · " if i else None, part) for i, part in enumerate(told)])


def _path(elements: np.ndarray, e: int) -> str:
    """The tags around a block, outermost first; elements of no known name are `?`."""
    tags: list[str] = []
    while int(elements[e, E_PARENT]) != e:
        tags.append(TAGS[int(elements[e, E_TAG])] or "?")
        e = int(elements[e, E_PARENT])
    tags.reverse()
    if len(tags) > MAX_TAGS:
        tags = [*tags[:2], f"({len(tags) - MAX_TAGS} more)", *tags[2 - MAX_TAGS :]]
    return " › ".join(tags)


def _why(
    extracted: Extracted, model: Model, b: int, s: int, explained: tuple[Explained, Explained], text: str
) -> Markup:  # fmt: skip
    """The groups that moved the score most; open, all of them in both stages, and the block's own words."""
    named = [(THE_PAGE, explained[1].base), *zip(GROUPS, explained[1].by_group_SG[s].tolist(), strict=True)]
    largest = sorted(named, key=lambda item: -abs(item[1]))[:NUM_TOLD]
    told = [(", " if i else None, name, " ", _signed(value)) for i, (name, value) in enumerate(largest)]
    return element(
        "details", None,
        element("summary", None, "Why: ", told), _contributions(s, explained), _learned(extracted, model, b, text),
    )  # fmt: skip


def _contributions(s: int, explained: tuple[Explained, Explained]) -> Markup:
    """Every group in both stages, and their sum."""
    columns = ("Group", "First stage", "Second stage")
    head = [element("th", {"scope": "col", "class": "num" if i else None}, name) for i, name in enumerate(columns)]
    rows = [(THE_PAGE, [e.base for e in explained])]
    rows += [(name, [float(e.by_group_SG[s, g]) for e in explained]) for g, name in enumerate(GROUPS)]
    body = [
        element("tr", None, element("th", {"scope": "row"}, name), [_cell(value) for value in values])
        for name, values in rows
    ]
    sums = [e.base + float(e.by_group_SG[s].sum()) for e in explained]
    total = element("tr", {"class": "total"}, element("th", {"scope": "row"}, "logit"), [_cell(v) for v in sums])
    head_row = element("thead", None, element("tr", None, head))
    return element("table", {"class": "why"}, head_row, element("tbody", None, body, total))


def _cell(value: float) -> Markup:
    return element("td", {"class": "num"}, _signed(value))


def _learned(extracted: Extracted, model: Model, b: int, text: str) -> Markup:
    """What the tables of learned weights say: the words most for main text and most against it, the path's elements."""
    of = extracted.judged.of
    first = int(of.counts[b, FIRST_WORD])
    most, least = weigh_words(text, of.words[first : first + MAX_WORDS], model.vocabulary)
    told = [_spoken(label, words) for label, words in (("words for it", most), ("words against it", least)) if words]
    path = of.path[int(extracted.scan.rows.blocks[b, B_TEXT_ELEMENT])]
    of_path = _signed(int(path[SUM]) / STEP), _signed(int(path[LEAST]) / STEP), _signed(int(path[MOST]) / STEP)
    told.append(fragment("elements around it ", of_path[0], " in sum, ", of_path[1], " to ", of_path[2], " each"))
    lines = [("; " if i else None, line) for i, line in enumerate(told)]
    return element("p", {"class": "spoken"}, "Weights learned: ", lines)


def _spoken(label: str, words: Sequence[tuple[str, float]]) -> Markup:
    told = [
        (", " if i else None, element("bdi", None, word[:60]), " ", _signed(weight))
        for i, (word, weight) in enumerate(words)
    ]
    return fragment(f"{label}: ", told)


def _signed(value: float) -> Markup | str:
    if abs(value) < 0.005:
        return "0"
    words = f"{'+' if value > 0 else '−'}{abs(value):.2f}"
    return element("span", {"class": "for" if value > 0 else "against"}, words)
