"""How evenly a tokenizer's entries are used: entropies, the rank-frequency curve, entries that hardly ever occur.

Reads:  how often each id occurred, int64 [vocab_size]
Writes: plain dictionaries, for card.json
Cost:   a sort of the vocabulary
Source: Zouhar et al. 2023, "Tokenization and the Noiseless Channel": with p the share of each id among the tokens and V
        the vocabulary, H_a = log(sum p^a) / (1 - a), and the Rényi efficiency is H_a / log |V|; a = 2.5 went best with
        translation quality there. Shannon's is the same with a -> 1. V is every id there is, used or not, so that a
        vocabulary that is too large shows. Land & Bartolo 2024, "Fishing for Magikarp": entries that hardly ever occur
        stay untrained. Hanley & Lippman-Hand 1983: what did not occur among N is rarer than 3 / N, with 95% confidence
"""

from __future__ import annotations

from typing import Any

import numpy as np

ALPHA = 2.5
NUM_POINTS = 200  # of the rank-frequency curve
CLASSES = ((0, 0), (1, 9), (10, 99), (100, 999), (1000, None))  # occurrences, first and last


def efficiency(count_V: np.ndarray) -> dict[str, float | None]:
    """Entropies in bits per token, and as a share of the largest one possible; None where there are no tokens."""
    names = ("shannon_entropy_bits", "shannon_efficiency", "renyi_entropy_bits", "renyi_efficiency")
    seen = count_V[count_V > 0]
    if not len(seen) or len(count_V) < 2:
        return {"renyi_alpha": ALPHA, **dict.fromkeys(names)}
    p = seen / seen.sum()
    shannon = float(-(p * np.log2(p)).sum())
    renyi = float(np.log2((p**ALPHA).sum()) / (1 - ALPHA))
    largest = float(np.log2(len(count_V)))
    values = (shannon, shannon / largest, renyi, renyi / largest)
    return {"renyi_alpha": ALPHA, **{name: round(v, 4) + 0.0 for name, v in zip(names, values, strict=True)}}


def rank_frequency(count_V: np.ndarray) -> dict[str, list[int]]:
    """How often the most frequent id occurs, the second, ...: at most NUM_POINTS ranks, evenly on a log scale."""
    ordered = np.sort(count_V[count_V > 0])[::-1]
    if not len(ordered):
        return {"rank": [], "occurrences": []}
    rank = np.unique(np.rint(np.geomspace(1, len(ordered), NUM_POINTS)).astype(np.int64))
    return {"rank": rank.tolist(), "occurrences": ordered[rank - 1].tolist()}


def seen(count_V: np.ndarray, learned: np.ndarray) -> dict[str, Any]:
    """Learned entries (ids int64) by how often they occur; shares are of all entries, as the embedding table's are."""
    count = count_V[learned]
    num_tokens = int(count_V.sum())

    def row(first: int, last: int | None) -> dict[str, Any]:
        chosen = count[(count >= first) & (count <= (num_tokens if last is None else last))]
        return {
            "from": first, "to": last, "entries": len(chosen),
            "share_of_vocabulary": _share(len(chosen), len(count_V)),
            "share_of_tokens": _share(int(chosen.sum()), num_tokens),
        }  # fmt: skip

    return {
        "tokens": num_tokens,
        "never_seen_is_rarer_than": float(f"{3 / num_tokens:.3g}") if num_tokens else None,
        "classes": [row(first, last) for first, last in CLASSES],
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
