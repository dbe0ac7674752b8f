"""stages/vocab/card_page.py: crawled text stays text, nothing outside is loaded, the numbers are the card's."""

from __future__ import annotations

import base64
import copy
import functools
import hashlib
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

from stages.vocab import card_page
from stages.vocab.card_page_parts import token
from stages.vocab.card_page_vocabulary import rank_frequency
from tests.pipeline.hostile_report import HOSTILE
from tests.pipeline.parsed_page import Page
from tests.stages.pack_context import document_id
from tests.stages.vocab.described import Document, card_of
from tests.tokenizer.corpus import texts
from tests.tokenizer.test_encode import trained
from tests.tokenizer.test_train import options
from tokenizer.train import train_on

CORPUS: list[Document] = [
    (document_id(i), text, f"language {i % 30}") for i, text in enumerate(texts(300, seed=4))
]  # fmt: skip


@functools.cache
def harmless() -> tuple[dict[str, Any], str]:
    return card_of([CORPUS], Path(tempfile.mkdtemp(prefix="crawlmill-test-")), trained())


@functools.cache
def attacked() -> tuple[dict[str, Any], str]:
    """Languages, texts and learned tokens that try to become markup."""
    hostile = [text.replace("\ud800", "") for text in HOSTILE]
    corpus = [f"{text} and a few more words, so that the line is long enough to be shown\n" * 4 for text in hostile]
    rows = [(document_id(i), text, hostile[i % len(hostile)]) for i, text in enumerate(corpus * 30)]
    tokenizer_json = train_on([*corpus * 9, *texts(50)], options(vocab_size=900))
    return card_of([rows], Path(tempfile.mkdtemp(prefix="crawlmill-test-")), tokenizer_json)


def test_hostile_text_adds_no_element_and_no_attribute() -> None:
    honest, hostile = Page(harmless()[1]), Page(attacked()[1])
    known = {(tag, name) for tag, attributes in honest.tags for name in attributes}
    assert {(tag, name) for tag, attributes in hostile.tags for name in attributes} <= known
    tags = {tag for tag, _ in hostile.tags}
    assert not tags & {"script", "img", "iframe", "object", "embed", "form", "base", "link"}
    assert len(hostile.attributes("style")) == 1
    assert all(not name.startswith("on") and name != "style" for _, attributes in hostile.tags for name in attributes)


def test_hostile_text_is_shown_as_text() -> None:
    text = "".join(text for _, text in Page(attacked()[1]).texts)
    for wanted in ("</script><img src=x onerror=alert(1)>", '"><svg onload=alert(2)>', "⟨U+202E⟩gnp.exe"):
        assert wanted in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", attacked()[1])


def test_page_loads_nothing_and_its_style_is_the_policys() -> None:
    for _, document in (harmless(), attacked()):
        page = Page(document)
        policy = next(a["content"] for a in page.attributes("meta") if a.get("http-equiv") == "Content-Security-Policy")
        style = re.search(r"<style>(.*?)</style>", document, re.DOTALL)
        assert style is not None and "url(" not in style[1] and "@import" not in style[1]
        digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        ids = [a["id"] for _, a in page.tags if "id" in a]
        assert len(ids) == len(set(ids))
        links = [a["href"] or "" for a in page.attributes("a")]
        assert links and all(link.startswith("#") and link[1:] in ids for link in links)


def test_page_passages_read_as_the_documents_do() -> None:
    card, document = harmless()
    text = "".join(text for _, text in Page(document).texts)
    assert len(card["passages"]) == 30
    for row in card["passages"]:
        passage = "".join(piece["text"] for piece in row["pieces"])
        assert passage in text
        assert row["bytes"] == len(passage.encode()) and row["tokens"] == sum(len(p["ids"]) for p in row["pieces"])


def test_page_numbers_are_the_cards() -> None:
    card, document = harmless()
    text = " ".join(text for _, text in Page(document).texts)
    for wanted in (
        f"{card['held_out']['tokens']:,}", f"{card['efficiency']['renyi_efficiency']:.3f}",
        f"{card['worst_compressed'][0]['bytes_per_token']:.4g}", card["worst_compressed"][0]["id"],
        f"{card['languages']['language 7']['bytes_per_token']:.2f}",
    ):  # fmt: skip
        assert wanted in text


def test_page_of_the_same_card_is_the_same_and_leaves_it_alone() -> None:
    card = copy.deepcopy(attacked()[0])
    assert card_page.render(card, trained()) == card_page.render(card, trained())
    assert card == attacked()[0]


def test_page_grows_with_bounded_lists_only() -> None:
    assert len(harmless()[1]) < 400_000


@pytest.mark.parametrize(
    "text, shown",
    [
        ("=" * 64, "=×64"),
        (" " * 9, "␣×9"),
        (" " * 2, "␣␣"),
        ("  x ", "  x "),
        ("x" + " " * 12, "x␣×12"),
        ("\n\t", "↵⇥"),
        (" the", " the"),
        ("\x1b", "␛"),
    ],
)
def test_token_shows_what_cannot_be_seen(text: str, shown: str) -> None:
    assert Page(str(token(text))).inside("code") == [shown]


@pytest.mark.parametrize("occurrences", [[1], [5], [10**9, 1], [3, 3, 3]])
def test_rank_frequency_any_counts_stay_in_the_frame(occurrences: list[int]) -> None:
    drawn = str(rank_frequency({"rank": list(range(1, len(occurrences) + 1)), "occurrences": occurrences}))
    path = re.search(r' d="M([^"]+)"', drawn)
    assert path is not None
    points = [tuple(map(float, point.split(" "))) for point in path[1].split("L")]
    assert all(58 <= x <= 544 and 14 <= y <= 228 for x, y in points)
    assert [y for _, y in points] == sorted(y for _, y in points)


def test_rank_frequency_of_nothing_is_said() -> None:
    assert "No tokens" in str(rank_frequency({"rank": [], "occurrences": []}))
