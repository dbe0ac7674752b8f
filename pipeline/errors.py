"""Errors a user can act on: where it is, what was found, what was expected, how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CrawlmillError(ValueError):
    """Something a user can mend. `str()` is the whole message: where, found, expected, mend."""

    def __init__(self, found: str, *, where: str = "", expected: str = "", mend: str = "") -> None:
        self.found, self.where, self.expected, self.mend = found, where, expected, mend
        message = f"{where}: {found}" if where else found
        if expected:
            message += f"; expected {expected}"
        if mend:
            message += f". {mend}"
        super().__init__(message)


class DagError(CrawlmillError):
    """The DAG file, an override or a flag is wrong; nothing has run. Exit code 2."""


class FieldError(CrawlmillError):
    """A config field holds a value its stage cannot use. Raised by a Config's `__post_init__`; becomes a DagError."""

    def __init__(self, field: str, found: object, expected: str, mend: str = "") -> None:
        self.field = field
        super().__init__(f"{field}: {found!r}", expected=expected, mend=mend)


class DataError(CrawlmillError):
    """An input file, a model or an artifact does not hold what it should. Exit code 1."""


class StoreError(CrawlmillError):
    """A file or address could not be read or written. Exit code 1."""


class RunError(CrawlmillError):
    """A run failed after it started; what was finished stays. Exit code 1."""


def close_match(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known name, or nothing."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {matches[0]!r}?" if matches else ""
