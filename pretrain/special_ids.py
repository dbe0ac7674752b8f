r"""Which token ids serve an objective as masks, sentinels and marks, and which tokens begin a word.

Reads:  tokenizer.json, the contract of the tokens
Writes: nothing
Cost:   one pass over the vocabulary at the start of a run, 1 s for 128,000 entries
Source: reserved tokens: stages/vocabulary.py. Words: whole-word masking, as in BERT's later releases (Devlin et al.
        2019)

An objective takes reserved tokens from `<|reserved_0|>` on, in the order of the fields of SpecialIds.

A token begins a word where its text begins with white space or the token before ends with it; where letters meet
punctuation; and at every character of Chinese or Japanese, written without spaces. (Thai, Lao and Khmer are too: there,
a stretch between spaces counts as a word.) Only the first and the last character of a token are looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import DataError
from pretrain.objective_config import FIM_TOKENS, MODES, ObjectiveConfig, num_sentinels
from tokenizer.symbols import BYTE_OF_SYMBOL

RESERVED = re.compile(r"<\|reserved_(\d+)\|>")
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
METASPACE = "▁"
NUM_PAIR_TOKENS = 4
SPACE, LETTER, MARK, IDEOGRAPH, INSIDE = range(5)  # kinds of characters; INSIDE: bytes of one that began before


@dataclass(frozen=True, kw_only=True)
class Words:
    """Kinds of the first and the last character of each token, int8 [V]."""

    first_V: np.ndarray
    last_V: np.ndarray

    def begins(self, ids_BT: np.ndarray) -> np.ndarray:
        """Bool [B, T]: a word begins here, after the token to the left. The first position begins one."""
        before, here = self.last_V[ids_BT][:, :-1], self.first_V[ids_BT][:, 1:]
        parts = (here != before) & (here != INSIDE) & (before != INSIDE)
        begins_BT = np.ones(ids_BT.shape, np.bool_)
        begins_BT[:, 1:] = (here == SPACE) | (here == IDEOGRAPH) | parts
        return begins_BT


@dataclass(frozen=True, kw_only=True)
class SpecialIds:
    """Ids an objective does not use are left out."""

    eot: int
    pad: int
    ordinary_V: np.ndarray  # ids that stand for text
    mask: tuple[int, ...] = ()
    pair: tuple[int, ...] = ()  # before a pair, between its halves; the answers: not neighbours, neighbours
    fim: tuple[int, ...] = ()  # before the prefix, the suffix, the middle
    modes: tuple[int, ...] = ()  # as objective_config.MODES
    sentinels: tuple[int, ...] = ()
    words: Words | None = None


def special_ids(tokenizer_json: bytes, cfg: ObjectiveConfig, tokens: Mapping[str, Any]) -> SpecialIds:
    """`tokens` is the contract of the shards. DataError where the vocabulary has too few reserved tokens."""
    fields = json.loads(tokenizer_json)
    added = {token["id"]: token["content"] for token in fields.get("added_tokens", ()) if token["special"]}
    reserved = sorted((int(match[1]), id) for id, text in added.items() if (match := RESERVED.fullmatch(text)))
    parts = iter([id for _, id in reserved])
    wanted = _roles(cfg, tokens["length"])
    if len(reserved) < sum(wanted.values()):
        raise DataError(
            f"a vocabulary with {len(reserved)} reserved tokens for the objective {cfg.kind}",
            expected=f"{sum(wanted.values())} at least: {', '.join(f'{n} for {role}' for role, n in wanted.items())}",
            mend=f"Set reserved_tokens: {sum(wanted.values())} in the step of stages.vocabulary, and pack again.",
        )  # fmt: skip
    ids = {role: tuple(next(parts) for _ in range(count)) for role, count in wanted.items()}
    text_of = _text_of(fields["model"], tokens["vocab_size"])
    ordinary = [id for id, text in enumerate(text_of) if text and id not in added]
    return SpecialIds(
        eot=tokens["eot_id"], pad=tokens.get("pad_id", tokens["eot_id"]), ordinary_V=np.array(ordinary, np.int64),
        words=_words(text_of, set(added)) if cfg.whole_words else None, **ids,
    )  # fmt: skip


def _roles(cfg: ObjectiveConfig, length: int) -> dict[str, int]:
    """How many reserved tokens each role takes."""
    match cfg.kind:
        case "causal" | "prefix":
            return {}
        case "masked":
            return {"mask": 1, "pair": NUM_PAIR_TOKENS} if cfg.next_sentence else {"mask": 1}
        case "fim":
            return {"fim": FIM_TOKENS}
        case "spans":
            return {"sentinels": num_sentinels(cfg, length)}
        case "ul2":
            return {"modes": len(MODES), "sentinels": num_sentinels(cfg, length)}


def _text_of(model: Mapping[str, Any], vocab_size: int) -> list[bytes]:
    """The bytes of every token; none where an id is no entry of the model, or is its unknown token."""
    vocab: Any = model["vocab"]
    ids = enumerate(entry[0] for entry in vocab) if isinstance(vocab, list) else ((id, t) for t, id in vocab.items())
    is_byte_level = model["type"] == "BPE" and not model.get("byte_fallback")
    unknown = model.get("unk_id") if isinstance(vocab, list) else vocab.get(model.get("unk_token"))
    found = [b""] * vocab_size
    for id, text in ids:
        if id == unknown or id >= vocab_size:
            continue
        found[id] = _byte_level(text) if is_byte_level else _metaspace(text)
    return found


def _byte_level(text: str) -> bytes:
    """A special token may stand in the vocabulary with characters that are no bytes; it is left out by its id."""
    return bytes(BYTE_OF_SYMBOL.get(symbol, 0x20) for symbol in text)


def _metaspace(text: str) -> bytes:
    match = BYTE_PIECE.fullmatch(text)
    return bytes([int(match[1], 16)]) if match else text.replace(METASPACE, " ").encode(errors="replace")


def _words(text_of: list[bytes], special: set[int]) -> Words:
    """Special tokens, and ids without text, stand alone as white space does."""
    first_V, last_V = np.zeros(len(text_of), np.int8), np.zeros(len(text_of), np.int8)
    for id, text in enumerate(text_of):
        if text and id not in special:
            first_V[id] = _kind(text[0])
            lead = len(text) - 1
            while lead > 0 and 0x80 <= text[lead] < 0xC0:
                lead -= 1
            last_V[id] = _kind(text[lead])
    return Words(first_V=first_V, last_V=last_V)


def _kind(byte: int) -> int:
    """Of the character a byte of UTF-8 begins."""
    if byte < 0x80:
        if byte in b" \t\n\v\f\r":
            return SPACE
        return LETTER if chr(byte).isalnum() or byte < 0x20 else MARK
    if byte < 0xC0:
        return INSIDE
    if byte in (0xC2, 0xE2, 0xEF):  # Latin-1's signs; general punctuation and symbols; full-width forms
        return MARK
    # from 0xE3 the kana and Chinese, from 0xEA Hangul and others written with spaces, 0xF0 rare Chinese and pictographs
    return IDEOGRAPH if 0xE3 <= byte <= 0xE9 or byte >= 0xF0 else LETTER
