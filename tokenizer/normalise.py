"""Texts before they are cut into pretokens, as the tokenizer that is made of them has them.

Reads:  an Arrow array of strings
Writes: the same, normalised, with a space before each for models in sentencepiece's manner
Cost:   nothing without; otherwise a call of `tokenizers` per text, 20 to 50 MB/s
Source: the normalizers of `tokenizers`, so that what is counted is what will be encoded, whatever Unicode they are of
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from tokenizer.train import Model, Normalization

Normaliser = Callable[[pa.LargeStringArray], pa.LargeStringArray]


def counted_texts(model: Model, normalization: Normalization) -> Normaliser:
    """What is counted of an array without nulls, for a model."""
    normalise = normaliser(normalization)
    return normalise if model == "bpe" else lambda texts: _after_space(normalise(texts))


def _after_space(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """A space before every text that is not empty."""
    texts = texts.filter(pc.greater(pc.binary_length(texts), 0))
    space, nothing_between = pa.scalar(" ", pa.large_string()), pa.scalar("", pa.large_string())
    return pc.binary_join_element_wise(space, texts, nothing_between)


def normaliser(normalization: Normalization) -> Normaliser:
    """A function of an array without nulls."""
    if normalization == "none":
        return lambda texts: texts
    [unicode_form] = normalizers_of(normalization)
    normalise = unicode_form.normalize_str
    return lambda texts: pa.array([normalise(text) for text in texts.to_pylist()], pa.large_string())


def normalizers_of(normalization: Normalization) -> list[Any]:
    """The normalizers of `tokenizers` that do it: none or one."""
    from tokenizers import normalizers

    if normalization == "none":
        return []
    return [{"NFC": normalizers.NFC, "NFKC": normalizers.NFKC}[normalization]()]
