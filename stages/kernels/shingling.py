"""What a shingle is: the settings that signing and exact verification must share.

Reads:  nothing
Cost:   none; no kernel is loaded
Source: stages/signatures.py, whose fields these are
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Shingling:
    """`ngram` words or characters of the text after a normalisation (stages/kernels/fold_table.py)."""

    ngram: int
    normalisation: Literal["datatrove", "plain"]
    shingles: Literal["words", "characters"]
