"""A byte-level BPE tokenizer in the formats of GPT-2 and of tiktoken.

Reads:  a tokenizer.json of tokenizer/train.py
Writes: the bytes of vocab.json and merges.txt; of tokenizer.tiktoken, and of the settings that tiktoken wants beside it
Cost:   some 10 us per entry
Source: GPT-2's encoder.json and vocab.bpe (Radford et al. 2019); tiktoken's ranks: a line per token, base64 and rank

None of them says how texts are cut or normalised: vocab.json and merges.txt are the model alone, as GPT-2's are, and
`tokenizer.tiktoken.json` holds the rest of what tiktoken.Encoding takes.

tiktoken joins the two neighbours whose joined bytes have the lowest rank, whatever merge made them; a tokenizer.json
joins those that stand first in its merges. While a token's own bytes are put together by lower ranks alone, nothing
outside has a part in it; so both do the same to every text if each token comes of two parts only, those of its merge.
`unlike_tiktoken` counts the tokens of which that is not so.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizer.symbols import token_bytes

VOCAB, MERGES = "vocab.json", "merges.txt"
TIKTOKEN, TIKTOKEN_SETTINGS = "tokenizer.tiktoken", "tokenizer.tiktoken.json"
_HEADER = "#version"  # readers of merges.txt skip lines that begin so


def gpt2_files(tokenizer_json: bytes) -> dict[str, bytes]:
    """vocab.json with the special tokens, and merges.txt; none where a merge would read as that file's header."""
    model, special = _parsed(tokenizer_json)
    merges = [f"{left} {right}" for left, right in model["merges"]]
    if any(merge.startswith(_HEADER) for merge in merges):
        return {}
    return {
        VOCAB: json.dumps({**model["vocab"], **special}, ensure_ascii=False).encode(),
        MERGES: "".join(f"{line}\n" for line in (f"{_HEADER}: 0.2", *merges)).encode(),
    }


def tiktoken_files(tokenizer_json: bytes, expression: str) -> dict[str, bytes]:
    """Ranks, and the settings: `expression` is the regex that cuts texts."""
    model, special = _parsed(tokenizer_json)
    lines = (f"{base64.b64encode(token_bytes(symbols)).decode()} {rank}\n" for symbols, rank in model["vocab"].items())
    settings = {
        "pat_str": expression, "special_tokens": special, "explicit_n_vocab": len(model["vocab"]) + len(special)
    }  # fmt: skip
    return {
        TIKTOKEN: "".join(lines).encode(),
        TIKTOKEN_SETTINGS: json.dumps(settings, indent=1, ensure_ascii=False).encode(),
    }


def unlike_tiktoken(tokenizer_json: bytes) -> int:
    """How many tokens tiktoken may make of other parts than the merges do, or at another turn."""
    model, _ = _parsed(tokenizer_json)
    rank_of = {token_bytes(symbols): rank for symbols, rank in model["vocab"].items()}
    different, made = 0, set()
    for left, right in model["merges"]:
        parts = [token_bytes(left), token_bytes(right)]
        token = b"".join(parts)
        different += token in made or _parts_below(token, rank_of) != parts
        made.add(token)
    return different


def _parts_below(token: bytes, rank_of: Mapping[bytes, int]) -> Sequence[bytes]:
    """What tiktoken's rule makes of a token's bytes with the ranks below its own."""
    parts, limit = [token[i : i + 1] for i in range(len(token))], rank_of[token]
    while len(parts) > 1:
        ranks = [rank_of.get(parts[i] + parts[i + 1], limit) for i in range(len(parts) - 1)]
        lowest = min(ranks)
        if lowest >= limit:
            break
        i = ranks.index(lowest)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


def _parsed(tokenizer_json: bytes) -> tuple[Mapping[str, Any], dict[str, int]]:
    """The model, and the special tokens with their ids."""
    parsed = json.loads(tokenizer_json)
    return parsed["model"], {token["content"]: token["id"] for token in parsed["added_tokens"]}
