"""What was kept of a page, in numbers: the headline, characters by kind, what can be hidden.

Reads:  Extracted
Writes: Markup
"""

from __future__ import annotations

import numpy as np

from pipeline.markup import Markup, element
from pipeline.report_parts import row_bar, table, values
from pipeline.wording import count, plural, share
from stages.html.assembling import kept
from stages.html.explaining import ABOUT
from stages.html.extractor import Extracted
from stages.kernels.html_kinds import KINDS
from stages.kernels.html_verdicts import KEPT_VERDICTS, VERDICTS, num_chars

_COLUMNS = ("Kind", "Kept and dropped", "Blocks", "Characters", "Kept", "Dropped")


def headline(extracted: Extracted) -> Markup:
    """How much came in, how much is kept."""
    chars = _chars(extracted)
    of_text = int(chars[:, KEPT_VERDICTS].sum())
    num_kept = int(kept(extracted.verdict_B).sum())
    return element(
        "p", {"class": "headline"},
        "Of ", element("strong", None, count(int(chars.sum()))), " characters in ",
        plural(len(extracted.kind_B), "block"), ", ", element("strong", None, count(of_text)),
        f" in {plural(num_kept, 'block')} are main text ({share(of_text, int(chars.sum()))}).",
    )  # fmt: skip


def by_kind(extracted: Extracted) -> Markup:
    """A table of the kinds of blocks there are, and what dropped blocks were dropped for."""
    chars = _chars(extracted)
    total_K, kept_K = chars.sum(axis=1), chars[:, KEPT_VERDICTS].sum(axis=1)
    blocks_K = np.bincount(extracted.kind_B, minlength=len(KINDS))
    most = float(total_K.max(initial=0))
    rows = [
        _row(KINDS[k], int(blocks_K[k]), int(total_K[k]), int(kept_K[k]), most)
        for k in sorted(np.flatnonzero(blocks_K).tolist(), key=lambda k: -int(total_K[k]))
    ]
    of_verdict = [
        (name[:1].upper() + name[1:], f"{count(int(chars[:, v].sum()))} characters")
        for v, name in enumerate(VERDICTS)
        if v not in KEPT_VERDICTS and chars[:, v].any()
    ]
    body = element("tbody", None, rows)
    shown = table("kinds", "By kind of block", _COLUMNS, [body], _COLUMNS[2:])
    return element("div", None, shown, values([*of_verdict], "amounts") if of_verdict else None)


def navigation(extracted: Extracted) -> Markup:
    """What is shown: all blocks, kept ones, ones in doubt; which kinds. Works by the style alone."""
    choices = [("all", "All blocks"), ("kept", "Kept alone"), ("near", "In doubt alone")]
    radios = [
        element(
            "label", None,
            element("input", {"type": "radio", "name": "show", "id": f"show-{key}", "checked": key == "all"}), words,
        )
        for key, words in choices
    ]  # fmt: skip
    blocks_K = np.bincount(extracted.kind_B, minlength=len(KINDS))
    boxes = [
        element(
            "label", None,
            element("input", {"type": "checkbox", "id": f"kind-{k}", "checked": True}), KINDS[k],
            element("span", {"class": "amount"}, count(int(blocks_K[k]))),
        )
        for k in np.flatnonzero(blocks_K).tolist()
    ]  # fmt: skip
    return element(
        "nav", {"aria-label": "What is shown"},
        element("fieldset", None, element("legend", None, "Show"), radios),
        element("fieldset", None, element("legend", None, "Kinds"), boxes),
        element("h2", None, "What speaks for a block, or against it"),
        values(list(ABOUT.items()), "groups"),
    )  # fmt: skip


def _row(kind: str, num_blocks: int, total: int, of_text: int, most: float) -> Markup:
    dropped = total - of_text
    return element(
        "tr", None,
        element("th", {"scope": "row"}, kind),
        element("td", {"class": "bar-cell"}, row_bar([("kept", of_text), ("dropped", dropped)], most)),
        element("td", {"class": "num"}, count(num_blocks)),
        element("td", {"class": "num"}, count(total)),
        element("td", {"class": "num"}, count(of_text)),
        element("td", {"class": "num loss" if dropped else "num none"}, count(dropped)),
    )  # fmt: skip


def _chars(extracted: Extracted) -> np.ndarray:
    """int64[kinds, verdicts]."""
    return num_chars(extracted.kind_B, extracted.verdict_B, extracted.judged.of.counts)
