"""The one error of this package: a tokenizer that cannot be trained, or a tokenizer.json that cannot be used."""

from __future__ import annotations


class TokenizerError(ValueError):
    """Settings, text or a file this package cannot work with; `str()` says what was found and what was expected."""
