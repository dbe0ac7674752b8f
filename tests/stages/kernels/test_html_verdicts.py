"""Why blocks are kept or not: comments, headlines, bylines, links alone; and characters that add up."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from stages.html.assembling import TextOptions, kept, verdicts
from stages.html.scanning import scan
from stages.kernels import utf8
from stages.kernels.html_features import OWN_FEATURES, TITLE_COVERED, TITLE_SHARE
from stages.kernels.html_kinds import KINDS, kinds
from stages.kernels.html_verdicts import KEPT, KEPT_VERDICTS, VERDICTS, num_chars
from stages.kernels.html_words import CHARS, HALF_WORDS, NUM_COUNTS

LONG = "The committee met on Tuesday, and after an hour of debate it agreed to put the question off until spring comes."
COMMENT = "<div class=comment><p>I was there and it was good</p></div>"


class Pages:
    """Pages scanned, with counts made in plain Python and title overlaps as given, (share, covered) by text."""

    def __init__(self, *pages: str, overlaps: dict[str, tuple[int, int]] | None = None) -> None:
        view = utf8.padded(utf8.view(pa.array(pages, pa.large_string())))
        self.scan = scan(view)
        rows = self.scan.rows
        self.texts = [rows.text[a:b].tobytes().decode() for a, b in rows.blocks[:, :2]]
        self.kind_B = kinds(rows, self.scan.block_offsets, self.scan.element_offsets, self.scan.token_offsets)
        self.counts = np.zeros((len(self.texts), NUM_COUNTS), np.int32)
        self.features = np.zeros((len(self.texts), len(OWN_FEATURES)), np.uint8)
        for b, text in enumerate(self.texts):
            self.counts[b, HALF_WORDS], self.counts[b, CHARS] = 2 * len(text.split()), len(text)
            self.features[b, TITLE_SHARE], self.features[b, TITLE_COVERED] = (overlaps or {}).get(text, (0, 0))

    def verdicts(self, main: list[bool] | None = None, **options: object) -> np.ndarray:
        main_B = np.ones(len(self.texts), bool) if main is None else np.array(main, bool)
        return verdicts(self.scan, main_B, self.kind_B, self.counts, self.features, TextOptions(**options))  # type: ignore[arg-type]

    def named(self, main: list[bool] | None = None, **options: object) -> list[str]:
        return [VERDICTS[k] for k in self.verdicts(main, **options)]


def test_verdicts_without_options_are_the_models() -> None:
    assert Pages("<p>a<p>b").named([True, False]) == ["kept", "not main text"]


def test_verdicts_article_whose_headline_the_model_left_out_gets_it_back() -> None:
    like = {"Harbour sets record": (200, 200)}
    html = f"<h2>Harbour sets record</h2><p>menu<h1>Harbour sets record</h1><p>share<p>{LONG}"
    page, without = Pages(html, overlaps=like), [False, False, False, False, True]
    assert page.named(without) == ["not main text", "not main text", "kept as headline", "not main text", "kept"]
    assert page.named(without, mode="body") == [*["not main text"] * 4, "kept"]
    assert page.named([False, False, True, False, True])[0] == "not main text"
    assert page.named([False] * 5) == ["not main text"] * 5
    assert Pages(html).named(without)[2] == "not main text"
    far = Pages("<h1>Harbour sets record</h1>" + "<p>x" * 30 + f"<p>{LONG}", overlaps=like)
    assert far.named([False] * 31 + [True])[0] == "not main text"


def test_verdicts_comments_beside_a_text_are_dropped() -> None:
    page = Pages(f"<p>{LONG}</p>{COMMENT}")
    assert page.named() == ["kept", "comment"]
    assert page.named(comments=True) == ["kept", "kept"]


def test_verdicts_comments_that_are_most_of_the_page_stay() -> None:
    assert Pages(f"<p>Off topic?</p>{COMMENT}{COMMENT}").named() == ["kept"] * 3
    assert Pages(f"<p>Off topic?</p>{COMMENT}", f"<p>{LONG}</p>{COMMENT}").named() == [
        "kept",
        "kept",
        "kept",
        "comment",
    ]


def test_verdicts_half_of_the_characters_is_not_most() -> None:
    assert Pages("<p>abcd</p><div class=comment><p>abcd</p></div>").named() == ["kept", "comment"]


def test_verdicts_with_comments_keeps_those_of_six_words_that_are_not_links_nor_hidden() -> None:
    comments = (
        "<p>one two three four five six</p><p>one two three four five</p>"
        "<p>one two <a href=x>three four five six</a></p><p hidden>one two three four five six</p>"
    )
    page = Pages(f"<p>{LONG}</p><p>no</p><div id=comments>{comments}</div>")
    none = ["not main text"] * 3
    assert page.named([True] + [False] * 5, comments=True) == ["kept", "not main text", "kept as comment", *none]
    assert page.named([True] + [False] * 5) == ["kept", "not main text", "not main text", *none]


def test_verdicts_body_leaves_out_headline_byline_and_date() -> None:
    html = f"<h1>News</h1><p>Cats win</p><h2>Cats win again</h2><p class=byline>Ann</p><p>5 May 2021</p><p>{LONG}"
    page = Pages(html, overlaps={"Cats win": (255, 170), "Cats win again": (255, 160), "News": (255, 127)})
    expected = ["kept", "kept", "headline", "byline", "byline", "kept"]
    assert page.named(mode="body") == expected
    assert page.named() == ["kept"] * 6
    assert page.named([True, True, False, True, True, True], mode="body")[:2] == ["kept", "headline"]


def test_verdicts_body_finds_no_headline_after_the_first_paragraph_nor_with_little_overlap() -> None:
    after = Pages(f"<p>{LONG}</p><h2>Cats win</h2>", overlaps={"Cats win": (255, 255)})
    assert after.named(mode="body") == ["kept", "kept"]
    for overlap in ((152, 255), (255, 127)):
        assert Pages("<h1>Cats win</h1>", overlaps={"Cats win": overlap}).named(mode="body") == ["kept"]
    assert Pages("<h1>Cats win</h1>", overlaps={"Cats win": (153, 128)}).named(mode="body") == ["headline"]


def test_verdicts_body_keeps_dates_further_down() -> None:
    html = (
        f"<p>By Ann Lee</p><p>{LONG}</p><p>6 May 2021</p><p>{LONG}</p><p>{LONG}</p><p>7 May 2021</p><h2>8 May 2021</h2>"
    )
    assert Pages(html).named(mode="body") == ["byline", "kept", "byline", "kept", "kept", "kept", "kept"]
    assert Pages("<p>a" * 12 + "<p>5 May 2021").named(mode="body") == ["kept"] * 13
    assert Pages("<h2>5 May 2021</h2><p>b").named(mode="body") == ["kept", "kept"]
    long = f"<p class=byline>{'and ' * 15}</p><p class=byline>{'and ' * 16}</p>"
    assert Pages(long).named(mode="body") == ["byline", "kept"]


def test_verdicts_links_dropped_blocks_without_a_letter_left_go() -> None:
    html = "<p><a href=x>a</a> | <a href=y>b</a><p>c <a href=x>d</a><p>—"
    html += "<p><a href=x>e</a> 日<p><a href=x>f</a> 1"
    assert Pages(html).named(links="drop") == ["only links", "kept", "kept", "kept", "kept"]
    assert Pages(html).named([False] * 5, links="drop") == ["not main text"] * 5
    assert Pages(html).named() == ["kept"] * 5


def test_verdicts_of_a_page_are_its_own_whatever_stands_before_it() -> None:
    pages = [
        f"<p>{LONG}</p>{COMMENT}",
        f"<p>a</p>{COMMENT}",
        "",
        f"<h1>x y</h1><p>By Ann Lee</p><p>{LONG}",
        "<p>7 May 2021",
    ]
    overlaps = {"x y": (255, 255)}
    for options in ({}, {"comments": True}, {"mode": "body"}, {"mode": "body", "links": "drop"}):
        alone = [Pages(page, overlaps=overlaps).named(**options) for page in pages]
        for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [3, 3, 1, 0, 4]):
            together = Pages(*(pages[k] for k in order), overlaps=overlaps).named(**options)
            assert together == [verdict for k in order for verdict in alone[k]]


def test_num_chars_of_a_kind_are_kept_or_dropped_for_a_reason() -> None:
    page = Pages(f"<nav>é menü</nav><p>{LONG}</p>{COMMENT}<p>日本")
    verdict_B = page.verdicts([False, True, True, True])
    chars = num_chars(page.kind_B, verdict_B, page.counts)
    assert chars.shape == (len(KINDS), len(VERDICTS)) and chars.dtype == np.int64
    for k, name in enumerate(KINDS):
        of_kind = [b for b in range(len(page.texts)) if page.kind_B[b] == k]
        assert chars[k].sum() == sum(len(page.texts[b]) for b in of_kind), name
        is_kept = [b for b in of_kind if kept(verdict_B)[b]]
        assert chars[k, KEPT_VERDICTS].sum() == sum(len(page.texts[b]) for b in is_kept), name
    assert chars[KINDS.index("paragraph"), KEPT] == len(LONG) + 2
