"""Ranges that a config's fields must lie in.

Reads:  a dataclass and names of its fields
Writes: FieldError
Cost:   -
Source: -
"""

from __future__ import annotations

import math
from typing import Any

from pipeline.errors import FieldError


def positive(config: Any, *names: str) -> None:
    """FieldError where one of them is not above 0; not a number is not."""
    for name in names:
        if not 0 < getattr(config, name) < math.inf:
            raise FieldError(name, getattr(config, name), "more than 0")


def at_least_zero(config: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) < math.inf:
            raise FieldError(name, getattr(config, name), "0 or more")


def share(config: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) <= 1:
            raise FieldError(name, getattr(config, name), "from 0 to 1")
