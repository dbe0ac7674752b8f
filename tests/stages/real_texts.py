"""Texts of many kinds and languages from the shared test data, for tests that hold two implementations together."""

from __future__ import annotations

import functools
import io
import json

import pyarrow as pa
import zstandard

from tests.shared_data import SHARED
from tests.shared_data import needs_shared as needs_real_texts

__all__ = ["needs_real_texts", "real_texts"]

FILES = ("gold-00.jsonl.zst", "gold-01.jsonl.zst", "text/toxic-03.jsonl.zst", "text/langid-00.jsonl.zst",
         "text/lm-00.jsonl.zst", "text/quality-03.jsonl.zst")  # fmt: skip


@functools.cache
def real_texts() -> pa.Array:
    """The main texts of 3,923 real pages, and short texts in 75 languages; large_string."""
    texts: list[str] = []
    for name in FILES:
        with (SHARED / "data" / name).open("rb") as file:
            for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8"):
                row = json.loads(line)
                text = row.get("text") or row.get("gold") or ""
                texts.append(text if isinstance(text, str) else "\n".join(text.get("with") or ()))
    return pa.array(texts, pa.large_string())
