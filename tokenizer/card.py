"""What there is to say about a tokenizer: how well it compresses held-out text, and what it learned.

Reads:  a tokenizer.json; batches of held-out texts with their languages
Writes: plain dictionaries, for card.json and the report
Cost:   that of encoding, and of splitting every text at white space
Source: bytes per token and tokens per word ("fertility", Rust et al. 2021); a word is a run of characters between
        Unicode white space, so for scripts without spaces tokens per character is the one to look at
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenizer.encode import Encoder
from tokenizer.symbols import token_bytes

MEASURES = ("documents", "bytes", "characters", "words", "tokens")
NUM_LISTED = 30  # tokens and merges shown
Totals = dict[str, dict[str, int]]  # language -> measure -> sum


def shown(token: bytes) -> str:
    """A token for people: its text, with bytes that are no UTF-8 as \\xNN."""
    return token.decode("utf-8", "backslashreplace")


def measure(
    totals: Totals, count_V: np.ndarray, encoder: Encoder, texts: pa.Array, languages: Sequence[str | None]
) -> None:
    """Add a batch to the sums per language, and to how often each id occurs (int64 [vocab_size])."""
    ids, offsets = encoder.encode(texts)
    count_V += np.bincount(ids, minlength=len(count_V))
    per_text = zip(
        languages,
        pc.binary_length(texts).to_pylist(),
        pc.utf8_length(texts).to_pylist(),
        (len(text.split()) for text in texts.to_pylist()),
        np.diff(offsets).tolist(),
        strict=True,
    )
    for language, *values in per_text:
        sums = totals.setdefault(language or "unknown", dict.fromkeys(MEASURES, 0))
        for name, value in zip(MEASURES, (1, *values), strict=True):
            sums[name] += value


def merge(parts: Sequence[Totals]) -> Totals:
    """The sums of several parts, languages in alphabetical order."""
    languages = sorted({language for part in parts for language in part})
    return {
        language: {name: sum(p[language][name] for p in parts if language in p) for name in MEASURES}
        for language in languages
    }


def rates(sums: Mapping[str, int]) -> dict[str, float | int | None]:
    """Sums with their ratios; None where there is nothing to divide by."""

    def ratio(over: str, under: str) -> float | None:
        return round(sums[over] / sums[under], 4) if sums[under] else None

    return {
        **sums,
        "bytes_per_token": ratio("bytes", "tokens"),
        "tokens_per_word": ratio("tokens", "words"),
        "tokens_per_character": ratio("tokens", "characters"),
    }


def card(tokenizer_json: bytes, totals: Totals, count_V: np.ndarray) -> dict[str, Any]:
    """The card: rates over all held-out text and by language, longest tokens, first merges, tokens never used."""
    model = json.loads(tokenizer_json)["model"]
    tokens = {id_: token_bytes(symbols) for symbols, id_ in model["vocab"].items()}
    longest = sorted(tokens, key=lambda id_: (-len(tokens[id_]), id_))[:NUM_LISTED]
    unused = [id_ for id_ in sorted(tokens) if len(tokens[id_]) > 1 and not count_V[id_]]
    whole = {name: sum(sums[name] for sums in totals.values()) for name in MEASURES}
    return {
        "held_out": rates(whole),
        "languages": {language: rates(sums) for language, sums in totals.items()},
        "longest_tokens": [{"id": i, "bytes": len(tokens[i]), "token": shown(tokens[i])} for i in longest],
        "first_merges": [
            {"rank": rank, "left": shown(token_bytes(left)), "right": shown(token_bytes(right))}
            for rank, (left, right) in enumerate(model["merges"][:NUM_LISTED])
        ],
        "unused_in_held_out": {
            "number": len(unused),
            "of": sum(len(t) > 1 for t in tokens.values()),
            "first": [shown(tokens[i]) for i in unused[:NUM_LISTED]],
        },
    }
