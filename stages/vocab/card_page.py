"""The tokenizer card a person looks at: one HTML file, nothing outside it, no script.

Reads:  a card, as it is written to card.json; web/report.css of the engine's package
Writes: HTML as text. The same card gives the same bytes: no clock, no randomness
Cost:   some 300 kB with 40 languages: every list is bounded
Source: Content Security Policy Level 3 for the hash that lets our style, and nothing else, take effect

Crawled text is on it as text: pipeline/markup.py escapes whatever is not markup of ours.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from collections.abc import Mapping
from typing import Any

from pipeline.markup import Markup, element, fragment, inline
from pipeline.report_parts import values
from pipeline.wording import NOTHING, count, number, plural, share, size
from stages.vocab import card_page_compared, card_page_texts, card_page_vocabulary
from stages.vocab.card_page_parts import note

Card = Mapping[str, Any]

_STYLE = """
.contents { margin: 0; padding: 0; list-style: none; font-size: 0.9rem; }
.contents a { display: block; padding: 0.22rem 0.45rem; border-radius: 4px; color: inherit; text-decoration: none; }
.contents a:hover { background: var(--raised); }
.token { padding: 0.05em 0.2em; border-radius: 3px; background: var(--raised); white-space: pre-wrap; }
.tokens { display: flex; flex-wrap: wrap; gap: 0.35rem; margin: 0 0 1.4rem; padding: 0; list-style: none; }
.pair { margin-right: 0.8rem; }
.pair .token + .token { margin-left: 0.15rem; }
.passages { margin: 0 0 1.4rem; padding: 0; list-style: none; display: grid; gap: 1.05rem; }
.passages p { margin: 0; overflow-wrap: anywhere; }
.passages .cut { max-width: 76ch; font: 1.02rem/1.75 var(--serif); white-space: pre-wrap; }
.piece { padding: 0.13em 0; border-radius: 2px; }
.even { background: color-mix(in srgb, var(--kept) 19%, transparent); }
.odd { background: color-mix(in srgb, var(--lost) 19%, transparent); }
.several { border-bottom: 2px dotted var(--quiet); }
.measures tbody th, .tokenizers td { white-space: nowrap; }
.beside { table-layout: fixed; min-width: 21rem; }
.beside th:first-child { width: 5.4rem; }
.measures thead th { white-space: normal; vertical-align: bottom; }
.steps details { margin: -0.6rem 0 1.6rem; }
.best { font-weight: 650; color: var(--kept); }
.ours { background: var(--raised); }
.documents { margin: 0 0 1.6rem; padding: 0; list-style: none; display: grid; gap: 1.1rem; }
.documents li { padding-left: 1rem; border-left: 2px solid var(--rule); min-width: 0; }
.step h3 { margin: 1.2rem 0 0.5rem; font: 600 1.05rem/1.4 var(--serif); }
.step > .note { max-width: 76ch; }
@media (max-width: 40rem) { .measures thead th:empty, .measures .bar-cell { display: none; } }
"""


def render(card: Card, tokenizer_json: bytes) -> str:
    """The page of a card, as a whole HTML document."""
    shared = importlib.resources.files("pipeline").joinpath("web", "report.css").read_text(encoding="utf-8")
    style = shared + _STYLE
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'"
    head = element(
        "head", None,
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "referrer", "content": "no-referrer"}),
        element("meta", {"name": "color-scheme", "content": "light dark"}),
        element("title", None, "Tokenizer card · crawlmill"),
        inline("style", style),
    )  # fmt: skip
    page = element("html", {"lang": "en"}, head, element("body", None, _body(card, tokenizer_json)))
    return f"<!doctype html>\n{page}\n"


def _body(card: Card, tokenizer_json: bytes) -> Markup:
    sections = [
        ("cut", "How text is cut", card_page_texts.passages(card["passages"])),
        ("languages", "By language", card_page_compared.languages(card)),
        ("compared", "Against published tokenizers", card_page_compared.compared(card)),
        ("use", "How the vocabulary is used", card_page_vocabulary.use(card)),
        ("unused", "Entries without use", card_page_vocabulary.unused(card)),
        ("learned", "What was learned", card_page_vocabulary.learned(card)),
        ("documents", "Documents to look at", card_page_texts.documents(card)),
        ("how", "How it was measured", _how(card)),
    ]
    links = [element("li", None, element("a", {"href": f"#{anchor}"}, name)) for anchor, name, _ in sections]
    steps = [
        element("section", {"id": anchor, "class": "step"}, element("h2", None, name), body)
        for anchor, name, body in sections
    ]
    sha256 = hashlib.sha256(tokenizer_json).hexdigest()
    return fragment(
        element("a", {"class": "skip", "href": "#overview"}, "Skip to the overview"),
        element(
            "header", None, element("h1", None, "Tokenizer card"),
            element("p", {"class": "where"}, "tokenizer.json, sha256 ", element("code", {"title": sha256}, sha256)),
        ),
        element(
            "main", {"class": "layout"},
            element("section", {"id": "overview", "class": "overview"}, _overview(card)),
            element(
                "nav", {"aria-label": "Sections"},
                element("h2", None, "On this page"), element("ul", {"class": "contents"}, links),
            ),
            element("div", {"class": "steps"}, steps),
        ),
        element("footer", None, "crawlmill"),
    )  # fmt: skip


def _overview(card: Card) -> Markup:
    held_out, seen, unused = card["held_out"], card["seen_in_held_out"], card["unused_in_held_out"]
    vocab_size = card["compared"][0]["vocab_size"]
    if not held_out["tokens"]:
        headline: tuple[Markup | str, ...] = (_strong(count(vocab_size)), " entries. No text was held out to measure.")
    else:
        headline = (
            _strong(number(held_out["bytes_per_token"])), " bytes per token and ",
            _strong(number(held_out["tokens_per_word"])), " tokens per word, with ", _strong(count(vocab_size)),
            " entries.",
        )  # fmt: skip
    facts: list[tuple[str, Markup | str]] = [
        ("Text measured", f"{plural(held_out['documents'], 'document')}, {size(held_out['bytes'])}"),
        ("Languages", count(len(card["languages"]))),
        ("Tokens", count(seen["tokens"])),
        ("Rényi efficiency", _efficiency(card["efficiency"]["renyi_efficiency"])),
        ("Shannon efficiency", _efficiency(card["efficiency"]["shannon_efficiency"])),
        ("Entries never seen", f"{count(unused['number'])} ({share(unused['number'], vocab_size)})"),
        ("Entries out of reach", count(card["unreachable"]["number"])),
    ]
    return fragment(element("p", {"class": "headline"}, *headline), values(facts, "figures"))


def _strong(text: str) -> Markup:
    return element("strong", None, text)


def _efficiency(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _how(card: Card) -> Markup:
    sample = card["sample"]
    held_out = count(sample["held_out_documents"])
    measured = count(card["held_out"]["documents"])
    chars = count(sample["measured_characters_of_each"])
    return fragment(
        note(
            f"{held_out} documents were held out: the tokenizer was not learned from them. {measured} of them, chosen "
            f"by their ids, were measured, the first {chars} characters of each. A word is what stands between white "
            "space; languages written without spaces have words as long as sentences, and tokens per character says "
            "more there."
        ),
        note(
            "Efficiency: the entropy of the tokens as a share of the largest one that a vocabulary of this size could "
            "have, 1 being a vocabulary whose entries all occur equally often. Rényi's (order 2.5; Zouhar et al. 2023) "
            "gives more weight to the most frequent entries than Shannon's. Both shrink as a vocabulary grows, and "
            "compare best between tokenizers of one size."
        ),
        note(
            "Out of reach: an entry whose text, encoded by itself, gives other ids (Land & Bartolo 2024). Entries that "
            "are no valid UTF-8 by themselves, as parts of characters are, cannot be asked that way."
        ),
        note("All of it, and every language, is in card.json."),
    )
