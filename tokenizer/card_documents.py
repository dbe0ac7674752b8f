"""Documents to look at: the worst and the best compressed ones, and a passage of each language cut into tokens.

Reads:  batches of texts with their ids, languages, and how many tokens each has
Writes: plain dictionaries, for card.json; at most NUM_LISTED documents and one passage per language are held
Cost:   a sort per batch; text is looked at only where a document is among the first
Source: -

Both choices follow from the documents alone, ties by id: no order and no layout of shards changes them.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

MIN_BYTES = 200  # of a document that is listed: few bytes say little of compression
NUM_LISTED = 10
EXCERPT_CHARS = 200
PASSAGE_CHARS = 160
PASSAGE_BYTES = 60  # the least of a passage: navigation and headings are shorter
CUT_BACK_CHARS = 30  # to the last space, so that a passage ends with a word

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Texts with what is known of each. `share_N` is the place of a document in the sample, by its id."""

    texts: pa.Array
    id_hex: Sequence[str]
    languages: Sequence[str]
    share_N: np.ndarray
    bytes_N: np.ndarray
    tokens_N: np.ndarray


@dataclass(kw_only=True)
class Chosen:
    """What was chosen so far; `passages` by language."""

    worst: list[Row] = field(default_factory=list)
    best: list[Row] = field(default_factory=list)
    passages: dict[str, Row] = field(default_factory=dict)

    def add(self, batch: Batch) -> None:
        large_N = np.flatnonzero((batch.bytes_N >= MIN_BYTES) & (batch.tokens_N > 0))
        ratio_N = batch.bytes_N[large_N] / batch.tokens_N[large_N]
        ids = np.array(batch.id_hex, dtype="U32")[large_N]
        for sign, into in ((1, self.worst), (-1, self.best)):
            first = large_N[np.lexsort((ids, sign * ratio_N))[:NUM_LISTED]]
            into[:] = _first([*into, *(_row(batch, n) for n in first.tolist())], sign)
        for n in np.argsort(batch.share_N, kind="stable").tolist():
            self._offer_passage(batch, n)

    def _offer_passage(self, batch: Batch, n: int) -> None:
        language, place = batch.languages[n], [float(batch.share_N[n]), batch.id_hex[n]]
        if language in self.passages and self.passages[language]["place"] <= place:
            return
        text = passage(batch.texts[n].as_py())
        if text is not None:
            self.passages[language] = {"place": place, "text": text}


def merge(parts: Sequence[Mapping[str, Any]]) -> Chosen:
    """What was chosen of several parts (each a Chosen as a dictionary)."""
    chosen = Chosen(
        worst=_first([row for part in parts for row in part["worst"]], 1),
        best=_first([row for part in parts for row in part["best"]], -1),
    )
    for language in sorted({language for part in parts for language in part["passages"]}):
        offered = [part["passages"][language] for part in parts if language in part["passages"]]
        chosen.passages[language] = min(offered, key=lambda row: row["place"])
    return chosen


def _first(rows: Sequence[Row], sign: int) -> list[Row]:
    return sorted(rows, key=lambda row: (sign * row["bytes"] / row["tokens"], row["id"]))[:NUM_LISTED]


def _row(batch: Batch, n: int) -> Row:
    num_bytes, num_tokens = int(batch.bytes_N[n]), int(batch.tokens_N[n])
    return {
        "id": batch.id_hex[n], "language": batch.languages[n], "bytes": num_bytes, "tokens": num_tokens,
        "bytes_per_token": round(num_bytes / num_tokens, 4), "excerpt": batch.texts[n].as_py()[:EXCERPT_CHARS],
    }  # fmt: skip


def passage(text: str) -> str | None:
    """The start of the first line that is long enough to be a sentence; None where there is none."""
    line = next((line for line in map(str.strip, text.split("\n")) if len(line.encode()) >= PASSAGE_BYTES), None)
    if line is None or len(line) <= PASSAGE_CHARS:
        return line
    space = line.rfind(" ", PASSAGE_CHARS - CUT_BACK_CHARS, PASSAGE_CHARS)
    return line[: space if space > 0 else PASSAGE_CHARS]


def pieces(ids: Sequence[int], tokens: Mapping[int, bytes]) -> list[dict[str, Any]]:
    """A text of these ids as pieces of one token each, or of several where a character is spread over them."""
    cut: list[dict[str, Any]] = []
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    waiting: list[int] = []
    text = ""
    for id_ in ids:
        text += decoder.decode(tokens.get(id_, b""))
        waiting.append(id_)
        if not decoder.getstate()[0]:
            cut.append({"text": text, "ids": waiting})
            waiting, text = [], ""
    if waiting:
        cut.append({"text": text + decoder.decode(b"", final=True), "ids": waiting})
    return cut
