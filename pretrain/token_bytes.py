"""The bytes of text that each token stands for.

Reads:  a tokenizer.json: byte-level, or in sentencepiece's manner (tokenizer/metaspace.py)
Writes: int64 [V]
Cost:   one pass over the vocabulary
Source: GPT-2's byte symbols (one character, one byte); sentencepiece's `▁` for a space and `<0x0A>` for a byte

The bytes are those of the text as the tokenizer's normaliser leaves it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_SPACE = "\u2581"


def token_bytes(tokenizer: bytes, vocab_size: int) -> np.ndarray:
    """Int64 [V]. Special tokens, and ids that are no token, stand for none."""
    parsed = json.loads(tokenizer)
    special = {added["id"] for added in parsed.get("added_tokens", ()) if added["special"]}
    is_byte_level = _is_byte_level(parsed)
    unknown = parsed["model"].get("unk_token")
    sizes_V = np.zeros(vocab_size, np.int64)
    for text, id in _entries(parsed["model"]):
        if id not in special and text != unknown and id < vocab_size:
            sizes_V[id] = len(text) if is_byte_level else _size(text)
    return sizes_V


def begins_with_a_space(tokenizer: bytes) -> bool:
    """Whether each text gets a space put before it, which stands for no byte of it."""
    return not _is_byte_level(json.loads(tokenizer))


def _is_byte_level(parsed: Mapping[str, Any]) -> bool:
    return '"ByteLevel"' in json.dumps([parsed.get("pre_tokenizer"), parsed.get("decoder")])


def _entries(model: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Tokens and their ids. A Unigram model lists them with their scores, its unknown token among them."""
    if model["type"] == "Unigram":
        return [(text, id) for id, (text, _) in enumerate(model["vocab"]) if id != model.get("unk_id")]
    return list(model["vocab"].items())


def _size(text: str) -> int:
    return 1 if _BYTE.fullmatch(text) else len(text.replace(_SPACE, " ").encode())
