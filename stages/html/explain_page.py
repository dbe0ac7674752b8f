"""A page that shows what became of every block of one crawled page, and why: what `crawlmill explain --text` writes.

Reads:  a page's payload and headers, the settings of the step that extracts its text, the model
Writes: HTML as text, nothing outside it, no script. The same page and settings give the same bytes
Cost:   2.5 kB and about 1 ms a block that is shown; at most MAX_BLOCKS are
Source: Content Security Policy Level 3 for the hash that lets our style, and nothing else, take effect

Crawled text is on it as text: pipeline/markup.py escapes whatever is not markup of ours.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pyarrow as pa

from pipeline.errors import DataError
from pipeline.markup import Markup, element, fragment, inline
from pipeline.report_parts import url_link, values
from pipeline.wording import NOTHING, count, one_line, plural, share, size
from stages.classifiers.model_file import local_file
from stages.decoding.charset import Decoded, decode
from stages.html import explain_blocks, explain_summary
from stages.html.assembling import TextOptions
from stages.html.extractor import Extracted, extract_pages
from stages.html.judging import HOPELESS
from stages.html.metadata import MetadataColumns, crawled_of, metadata_columns
from stages.html.model import MODEL_FILE, Model, ModelError, load_model
from stages.html.scanning import scan
from stages.kernels import utf8
from stages.kernels.html_kinds import KINDS
from stages.kernels.html_text import DEEP, UNCLOSED_COMMENT, UNCLOSED_RAW_TEXT

ENGINE = "crawlmill"  # the one engine that knows why
WHERE = "explain --text"
MOST_BLOCKS = 1_000_000
MAX_TEXT_CHARS = 200_000  # of the whole text
MAX_FACT_CHARS = 300
_HOW = {
    "bom": "by its byte order mark", "valid": "its bytes are valid UTF-8", "declared": "as the page declares",
    "repaired": "UTF-8 with some damaged characters", "overridden": "the page declares another, which it is not",
    "detected": "detected from its bytes", "fallback": "nothing declared, nothing detected",
}  # fmt: skip
_ODDITIES = {
    UNCLOSED_COMMENT: "A comment in its HTML is not closed: nothing behind it is read.",
    UNCLOSED_RAW_TEXT: "A script, style or the like in its HTML is not closed.",
    DEEP: "Its elements are nested deeper than browsers go.",
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page and all that was found of it."""

    row: Mapping[str, Any]
    decoded: Decoded
    metadata: MetadataColumns
    extracted: Extracted
    options: TextOptions
    model: Model


def explain_page(cfg: Any, row: Mapping[str, Any]) -> str:
    """The page for a row of PAGE (`payload`, and where known `content_type`, `url`, `date`, `text`), read with the
    settings of a step of stages/extract.py. Raises DataError where no block was judged: another engine, no HTML, more
    than the step takes on; DataError or StoreError where the model is unusable."""
    if cfg.engine != ENGINE:
        raise DataError(
            f"engine {cfg.engine}", where=WHERE, expected=f"engine: {ENGINE}, the only one that explains its blocks",
            mend=f"{cfg.engine} does not say what it thinks of them; set `engine: {ENGINE}` in the step's settings.",
        )  # fmt: skip
    if row.get("text") is not None or row.get("payload") is None:
        raise DataError("a page that came as text", where=WHERE, expected="a page with its HTML: WET files have none")
    if len(row["payload"]) > cfg.max_payload_bytes:
        raise DataError(
            size(len(row["payload"])), where=WHERE,
            expected=f"a page of at most {size(cfg.max_payload_bytes)}, as the step's max_payload_bytes says",
        )  # fmt: skip
    try:
        model = load_model(local_file(cfg.model) if cfg.model else MODEL_FILE)
    except ModelError as error:
        raise DataError(str(error), expected="a model of main text") from error
    options = TextOptions(links=cfg.links, list_bullets=cfg.list_bullets, mode=cfg.mode, comments=cfg.comments)
    return render(read_page(row, model, options, alt_texts=cfg.alt_texts, max_blocks=cfg.max_blocks))


def read_page(
    row: Mapping[str, Any],
    model: Model,
    options: TextOptions,
    *,
    alt_texts: bool = False,
    max_blocks: int = MOST_BLOCKS,
) -> Page:
    """Decode and extract one page, as the step does. DataError where it has more than `max_blocks`."""
    decoded = decode(row["payload"], row.get("content_type"))
    pages = utf8.padded(utf8.view(pa.array([decoded.text], pa.large_string())))
    if decoded.text.count("<") > max_blocks and len(scan(pages).rows.blocks) > max_blocks:
        raise DataError(
            f"more than {count(max_blocks)} blocks", where=WHERE, expected="no more than the step's max_blocks"
        )
    extracted = extract_pages(pages, model, options, alt_texts=alt_texts)
    scanned, notes = extracted.scan, extracted.scan.rows.notes
    date, url = pa.array([row.get("date")], pa.timestamp("s", tz="UTC")), pa.array([row.get("url")], pa.string())
    metadata = metadata_columns(
        pages.data, scanned.note_offsets, notes[:, 0].astype("uint8"), notes[:, 1].copy(), notes[:, 2].copy(),
        crawled_of(1, date, url),
    )  # fmt: skip
    return Page(row=row, decoded=decoded, metadata=metadata, extracted=extracted, options=options, model=model)


def render(page: Page) -> str:
    """The whole HTML document."""
    web = importlib.resources.files("pipeline").joinpath("web")
    style = "".join(web.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "explain_text.css"))
    style += "".join(
        f"main:has(#kind-{k}:not(:checked)) .kind-{k} {{ display: none; }}\n" for k in range(len(KINDS))
    )  # fmt: skip
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'"
    title = one_line(page.metadata.title[0].as_py() or "A page without a title", MAX_FACT_CHARS)
    head = element(
        "head", None,
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "referrer", "content": "no-referrer"}),
        element("meta", {"name": "color-scheme", "content": "light dark"}),
        element("title", None, f"{title} · main text · crawlmill"),
        inline("style", style),
    )  # fmt: skip
    document = element("html", {"lang": "en"}, head, element("body", None, _body(page, title)))
    return f"<!doctype html>\n{document}\n"


def _body(page: Page, title: str) -> Markup:
    url = page.row.get("url")
    header = element(
        "header", None,
        element("h1", {"dir": "auto"}, title),
        element("p", {"class": "where"}, url_link(url) if url else "a page without a URL"),
    )  # fmt: skip
    overview = element(
        "section", {"class": "overview"},
        explain_summary.headline(page.extracted), values(_facts(page), "facts"), _oddities(page),
        explain_summary.by_kind(page.extracted), _whole_text(page),
    )  # fmt: skip
    shown = explain_blocks.choose(page.extracted)
    blocks = element(
        "section", {"class": "steps"},
        element("h2", {"class": "parts"}, "Block by block"),
        element("p", {"class": "note"}, _legend(page.model)),
        explain_blocks.block_list(page.extracted, page.model, shown),
    )  # fmt: skip
    main = element("main", {"class": "layout"}, overview, explain_summary.navigation(page.extracted), blocks)
    return fragment(header, main, element("footer", None, "crawlmill"))


def _facts(page: Page) -> list[tuple[str, Markup | str]]:
    found = page.metadata
    published = found.published[0].as_py()
    said = {
        "Byline": found.byline[0].as_py(),
        "Published": f"{published:%-d %B %Y, %H:%M} UTC" if published else None,
        "Site": found.site_name[0].as_py(),
        "Declared language": found.declared_language[0].as_py(),
    }
    facts: list[tuple[str, Markup | str]] = [
        (name, element("bdi", None, one_line(value, MAX_FACT_CHARS)) if value else NOTHING)
        for name, value in said.items()
    ]
    bad = f"; {share(page.decoded.bad_share, 1)} of its characters damaged" if page.decoded.bad_share else ""
    facts.append(("Charset", f"{page.decoded.charset}: {_HOW[page.decoded.how]}{bad}"))
    facts.append(("Size", size(len(page.row["payload"]))))
    set_to = [f"{f.name}: {str(getattr(page.options, f.name)).lower()}" for f in fields(TextOptions)]
    facts.append(("Settings", ", ".join(set_to)))
    return facts


def _oddities(page: Page) -> list[Markup]:
    bits = int(page.extracted.scan.oddities_N[0])
    return [element("p", {"class": "note"}, words) for bit, words in _ODDITIES.items() if bits & bit]


def _whole_text(page: Page) -> Markup:
    text = page.extracted.text[0].as_py()
    summary = element("summary", None, f"The text as it is written: {plural(len(text), 'character')}")
    left = len(text) - MAX_TEXT_CHARS
    rest = element("p", {"class": "more"}, f"{count(left)} more characters are left out here.") if left > 0 else None
    return element("details", {"class": "whole"}, summary, element("pre", {"dir": "auto"}, text[:MAX_TEXT_CHARS]), rest)


def _legend(model: Model) -> str:
    return (
        f"A block is main text where its score, the probability by the second stage, is above"
        f" {explain_blocks.probability(model.threshold):.2f}; below it stands the first stage's, which is"
        f" the score where it is less than {explain_blocks.probability(HOPELESS):.2f}. What is between"
        f" {explain_blocks.DOUBT[0]} and {explain_blocks.DOUBT[1]} is marked as in doubt. Contributions are in logits,"
        " held against the page's other blocks; with “the page”, what all its blocks have, they add up to the score."
    )
