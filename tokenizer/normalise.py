"""Unicode normalisation of texts before they are cut into pretokens, as the tokenizer that is made of them does it.

Reads:  an Arrow array of strings
Writes: the same, normalised
Cost:   nothing without; otherwise a call of `tokenizers` per text, 20 to 50 MB/s
Source: the normalizers of `tokenizers`, so that what is counted is what will be encoded, whatever Unicode they are of
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from tokenizer.train import Normalization


def normaliser(normalization: Normalization) -> Callable[[pa.LargeStringArray], pa.LargeStringArray]:
    """A function of an array without nulls."""
    if normalization == "none":
        return lambda texts: texts
    from tokenizers import normalizers

    normalise = {"NFC": normalizers.NFC, "NFKC": normalizers.NFKC}[normalization]().normalize_str
    return lambda texts: pa.array([normalise(text) for text in texts.to_pylist()], pa.large_string())
