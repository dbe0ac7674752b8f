"""One page's bytes to its main text, by resiliparse or trafilatura; runs inside the sandbox.

Reads:  a page's payload and Content-Type header
Writes: a tuple in the order of PAGE_TEXT
Cost:   resiliparse 1.2 to 2 ms for a page of 85 KB (a quarter parsing, the rest choosing and writing out the content),
        trafilatura 24 ms; decoding 20 us, 0.2 to 0.6 ms where the bytes are not UTF-8
Source: resiliparse's main-content heuristic (Bevendorff et al. 2021, "FastWARC"; 2023, "An Empirical Comparison of Web
        Content Extraction Algorithms"); trafilatura (Barbaresi 2021). The options are those with the best F1 on
        3,923 pages with gold text: docs/log.md
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from stages.decoding.charset import decode

PAGE_TEXT = pa.schema(
    [
        pa.field("text", pa.large_string()),
        pa.field("charset", pa.string()),
        pa.field("charset_from", pa.string()),
        pa.field("bad_share", pa.float64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Which extractor, and its options; one option's engine ignores the other's."""

    name: Literal["resiliparse", "trafilatura"]
    list_bullets: bool
    comments: bool
    alt_texts: bool
    favor_precision: bool


def open_engine(engine: Engine) -> Callable[[bytes, str | None], tuple[str, str, str, float]]:
    """The function for one page: text (valid UTF-8, no NULs; empty where there is none), charset, how the charset was
    chosen, and the share of characters that no text has."""
    main_text = open_extractor(engine)

    def page_text(payload: bytes, content_type: str | None) -> tuple[str, str, str, float]:
        page = decode(payload, content_type)
        text = main_text(page.text)
        return _clean(text), page.charset, page.how, page.bad_share

    return page_text


def open_extractor(engine: Engine) -> Callable[[str], str]:
    """The engine itself: a page's HTML to its main text, not yet cleaned."""
    return _resiliparse(engine) if engine.name == "resiliparse" else _trafilatura(engine)


def _resiliparse(engine: Engine) -> Callable[[str], str]:
    from resiliparse.extract.html2text import extract_plain_text

    def main_text(html: str) -> str:
        text: str = extract_plain_text(
            html, main_content=True, preserve_formatting=True, list_bullets=engine.list_bullets,
            comments=engine.comments, alt_texts=engine.alt_texts,
        )  # fmt: skip
        return text

    return main_text


def _trafilatura(engine: Engine) -> Callable[[str], str]:
    from trafilatura import extract

    def main_text(html: str) -> str:
        return (
            extract(
                html, favor_precision=engine.favor_precision, include_comments=engine.comments,
                deduplicate=False,  # it would make a page's text depend on the pages before it
            )
            or ""
        )  # fmt: skip

    return main_text


def _clean(text: str) -> str:
    """Without NULs and lone surrogates, which character references can still bring in, and outer white space."""
    text = text.strip().replace("\0", "")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
