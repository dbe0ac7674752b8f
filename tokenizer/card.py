"""What there is to say about a tokenizer: how well it compresses held-out text, and what it learned.

Reads:  a tokenizer.json; batches of held-out texts with their languages
Writes: plain dictionaries, for card.json and the report
Cost:   that of encoding, and of splitting every text at white space
Source: bytes per token and tokens per word ("fertility", Rust et al. 2021); a word is a run of characters between
        Unicode white space, so for scripts without spaces tokens per character is the one to look at. The other parts
        of a card: tokenizer/card_usage.py, card_vocabulary.py, card_documents.py, references.py
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenizer import card_usage, card_vocabulary
from tokenizer.card_vocabulary import shown

if TYPE_CHECKING:
    from tokenizer.encode import Encoder

MEASURES = ("documents", "bytes", "characters", "words", "tokens")
NUM_LISTED = 30  # tokens and merges shown
UNKNOWN = "unknown"  # language of a text that names none
Totals = dict[str, dict[str, int]]  # language -> measure -> sum


def sizes(texts: pa.Array) -> dict[str, np.ndarray]:
    """MEASURES of each text but its tokens, int64 [N]."""
    return {
        "documents": np.ones(len(texts), np.int64),
        "bytes": np.asarray(pc.binary_length(texts), np.int64),
        "characters": np.asarray(pc.utf8_length(texts), np.int64),
        "words": np.array([len(text.split()) for text in texts.to_pylist()], np.int64),
    }


def add(totals: Totals, languages: Sequence[str], sizes: Mapping[str, np.ndarray], tokens_N: np.ndarray) -> None:
    """Add a batch to the sums per language."""
    names, language_N = np.unique(np.array(languages, dtype=object), return_inverse=True)
    for measure, value_N in {**sizes, "tokens": tokens_N}.items():
        sum_L = np.zeros(len(names), np.int64)
        np.add.at(sum_L, language_N, value_N)
        for language, value in zip(names, sum_L.tolist(), strict=True):
            totals.setdefault(language, dict.fromkeys(MEASURES, 0))[measure] += value


def merge(parts: Sequence[Totals]) -> Totals:
    """The sums of several parts, languages in alphabetical order."""
    languages = sorted({language for part in parts for language in part})
    return {
        language: {name: sum(p[language][name] for p in parts if language in p) for name in MEASURES}
        for language in languages
    }


def whole(totals: Totals) -> dict[str, int]:
    """The sums over all languages."""
    return {name: sum(sums[name] for sums in totals.values()) for name in MEASURES}


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


def compared(
    name: str, title: str, source: str | None, totals: Totals, count_V: np.ndarray
) -> dict[str, Any]:  # fmt: skip
    """What one of several tokenizers did to the same texts. `source`: the package it comes from."""
    return {
        "name": name, "title": title, "source": source, "vocab_size": len(count_V),
        "held_out": rates(whole(totals)), "languages": {language: rates(sums) for language, sums in totals.items()},
        "efficiency": card_usage.efficiency(count_V),
    }  # fmt: skip


def card(tokenizer_json: bytes, totals: Totals, count_V: np.ndarray, encoder: Encoder) -> dict[str, Any]:
    """The card: rates over all held-out text and by language, longest tokens, first merges, how the vocabulary is
    used, tokens never used and tokens that cannot be."""
    tokens = card_vocabulary.tokens_of(tokenizer_json)
    merges = card_vocabulary.merges_of(tokenizer_json)
    longest = sorted(tokens, key=lambda id_: (-len(tokens[id_]), id_))[:NUM_LISTED]
    learned = card_vocabulary.learned_ids(tokens)
    unused = learned[count_V[learned] == 0].tolist()
    return {
        "held_out": rates(whole(totals)),
        "languages": {language: rates(sums) for language, sums in totals.items()},
        "efficiency": card_usage.efficiency(count_V),
        "seen_in_held_out": card_usage.seen(count_V, learned),
        "unused_in_held_out": {
            "number": len(unused),
            "of": len(learned),
            "parts_of_longer": card_vocabulary.parts_of_longer(tokens, merges, unused),
            "first": [shown(tokens[i]) for i in unused[:NUM_LISTED]],
        },
        "unreachable": card_vocabulary.unreachable(
            tokens, count_V, encoder, card_vocabulary.asks_by_text(tokenizer_json)
        ),
        "kinds": card_vocabulary.kinds(tokens, count_V),
        "lengths": card_vocabulary.lengths(tokens, count_V),
        "rank_frequency": card_usage.rank_frequency(count_V),
        "longest_tokens": [
            {"id": i, "bytes": len(tokens[i]), "occurrences": int(count_V[i]), "token": shown(tokens[i])}
            for i in longest
        ],
        "first_merges": [
            {"rank": rank, "left": shown(left), "right": shown(right)}
            for rank, (left, right) in enumerate(merges[:NUM_LISTED])
        ],
    }  # fmt: skip
