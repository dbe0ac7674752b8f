"""HTML and SVG as nested function calls, in which text is escaped unless it is markup already.

Reads:  strings of any origin
Writes: Markup, which `element` alone makes
Source: the HTML standard's serialisation: `&`, `<`, `>` and quotes escaped in text and in quoted attribute values

`element("p", {"class": "note"}, crawled)` cannot be talked into markup by `crawled`. What a browser would run or load
(`on...`, `style`, `src`, links other than `#...` and http) is refused by an assertion, whatever its value.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from typing import Union

from pipeline.wording import visible

VOID = frozenset({"meta", "br", "input", "link", "hr", "wbr"})
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9:-]*")
_FORBIDDEN = re.compile(r"(?i)on.*|style|src|srcdoc|srcset|action|formaction|xlink:href|ping")
_LINK = re.compile(r"(?i)#|https?://[^/]")


class Markup(str):
    """Text that is HTML already. Joined or cut by str's own methods it turns into plain text again, and is escaped."""

    __slots__ = ()


Child = Union[Markup, str, int, None, Iterable["Child"]]  # noqa: UP007 (a string cannot be joined by |)
Attributes = Mapping[str, str | int | float | bool | None]


def escape(text: str) -> Markup:
    """`text` for a text node or a quoted attribute; control and bidi characters become visible signs."""
    return Markup(html.escape(visible(text)))


def fragment(*children: Child) -> Markup:
    """Children one after the other: markup as it is, everything else escaped, None left out."""
    parts: list[str] = []
    for child in children:
        match child:
            case None:
                continue
            case Markup():
                parts.append(child)
            case str() | int():
                parts.append(escape(str(child)))
            case _:
                parts.append(fragment(*child))
    return Markup("".join(parts))


def element(name: str, attributes: Attributes | None = None, *children: Child) -> Markup:
    """One element. An attribute that is None or False is left out; True gives the bare name."""
    assert _NAME.fullmatch(name), name
    start = "".join(_attribute(key, value) for key, value in (attributes or {}).items())
    if name in VOID:
        assert not children, name
        return Markup(f"<{name}{start}>")
    return Markup(f"<{name}{start}>{fragment(*children)}</{name}>")


def _attribute(name: str, value: str | int | float | bool | None) -> str:
    assert _NAME.fullmatch(name), name
    assert not _FORBIDDEN.fullmatch(name), name
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    assert name != "href" or _LINK.match(text), text
    return f' {name}="{escape(text)}"'


def inline(name: str, content: str) -> Markup:
    """A `style` or `script` element around a file of ours, which must not hold its own end tag. Byte for byte what the
    security policy's hash is taken of."""
    assert name in ("style", "script"), name
    assert f"</{name}" not in content.lower(), f"{name} that would end early"
    return Markup(f"<{name}>{content}</{name}>")


def outside_link(url: str, shown: str) -> Markup:
    """`shown` as a link where `url` is http or https, as plain text where it is anything else."""
    text = element("bdi", {"class": "url"}, shown)
    if not _LINK.match(url) or url.startswith("#") or visible(url) != url or any(c.isspace() for c in url):
        return text
    return element("a", {"href": url, "rel": "noreferrer noopener", "target": "_blank"}, text)
