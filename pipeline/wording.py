"""How numbers, names and crawled text are put into words for a person: on the report page and on a terminal.

Reads:  values out of JSON reports, which may be null, NaN or of the wrong type
Writes: plain text, not yet escaped for HTML
Source: decimal byte units (1 kB = 1000 B) as SI has them; Unicode 16 for the characters that nobody can see
"""

from __future__ import annotations

import math
import re
from typing import Any

NOTHING = "–"
INITIALS = frozenset({"auc", "cpu", "html", "http", "id", "mime", "pdf", "url", "utf", "warc", "xml"})

# Characters that act on their surroundings, or on a terminal, without being seen: C0 and C1 controls but tab and
# newline, bidi marks, embeddings, overrides and isolates, line separators, the byte order mark, tag characters, and
# surrogates (which UTF-8 cannot hold). Zero-width joiners stay: Persian, Hindi and emoji are written with them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_EMPTY_LINES = re.compile(r"\n\s*\n")


def visible(text: str) -> str:
    """`text` with each control and bidi character as a sign one can see: ␛ for ESC, ⟨U+202E⟩ for an override."""
    return _UNSEEN.sub(_sign, text)


def _sign(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def one_line(text: str, max_chars: int) -> str:
    """`text` on one line, its middle left out where it is longer than `max_chars`."""
    flat = visible(" ".join(text.split()))
    if len(flat) <= max_chars:
        return flat
    tail = max_chars // 4
    return f"{flat[: max_chars - tail - 1]}…{flat[len(flat) - tail :]}"


def shortened(text: str, max_chars: int) -> str:
    """The first `max_chars` characters of `text`, its lines as they are but for empty ones."""
    return visible(_EMPTY_LINES.sub("\n", text[:max_chars])) + ("…" if len(text) > max_chars else "")


def sentence(name: str) -> str:
    """`too_few_stop_words` -> `too few stop words`, `not_html` -> `not HTML`."""
    words = name.replace("_", " ").split()
    return " ".join(word.upper() if word in INITIALS else word for word in words) or NOTHING


def title(name: str) -> str:
    """`top_host` -> `Top host`."""
    words = sentence(name)
    return words[:1].upper() + words[1:]


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number (a bool is not)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def whole(value: Any) -> int:
    """A count out of a report; 0 for what is not a number, so that a damaged report still shows."""
    return int(value) if is_number(value) else 0


def count(value: Any) -> str:
    """1234567 -> `1,234,567`."""
    return f"{int(value):,}" if is_number(value) else NOTHING


def plural(value: int, one: str) -> str:
    """`1 shard`, `1,200 shards`."""
    return f"{count(value)} {one}{'' if value == 1 else 's'}"


def number(value: Any) -> str:
    """A measured value: whole numbers in full, others with four significant digits, both with thousands separators."""
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if not is_number(value):
        return NOTHING
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    if abs(value) < 1e-3 or abs(value) >= 1e15:
        return f"{value:.3g}".replace("-", "−")
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def share(part: Any, whole_: Any) -> str:
    """`part` of `whole_` in percent: `28.9 %`; `< 0.1 %` rather than a zero that is none."""
    if not is_number(part) or not is_number(whole_) or not whole_:
        return NOTHING
    percent = 100 * part / whole_
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def size(value: Any) -> str:
    """Bytes: `14.2 MB`."""
    if not is_number(value):
        return NOTHING
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(amount) < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.95 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} PB"


def duration(seconds: Any) -> str:
    """`0.04 s`, `12.3 s`, `3 min 12 s`, `2 h 05 min`."""
    if not is_number(seconds):
        return NOTHING
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02d} min"
