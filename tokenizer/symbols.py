"""The symbols that stand for bytes in a byte-level tokenizer.json.

Reads:  nothing
Cost:   none
Source: GPT-2's `bytes_to_unicode` (Radford et al. 2019)
"""

from __future__ import annotations


def _symbol_bytes() -> dict[str, int]:
    """The byte behind each byte-level symbol: printable Latin-1 is itself, the others follow from U+0100 on (GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}


BYTE_OF_SYMBOL = _symbol_bytes()


def token_bytes(symbols: str) -> bytes:
    """The bytes of a token as it is written in tokenizer.json."""
    return bytes(BYTE_OF_SYMBOL[s] for s in symbols)
