"""tokenizer/card_documents.py: what is chosen against a sort of all documents, whatever the batches and their order."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tests.tokenizer.corpus import texts
from tests.tokenizer.test_encode import encoder, trained
from tokenizer import card_documents
from tokenizer.card_documents import MIN_BYTES, NUM_LISTED, PASSAGE_BYTES, PASSAGE_CHARS, Batch, Chosen, passage, pieces
from tokenizer.card_vocabulary import tokens_of

LANGUAGES = ("en", "zh", "unknown")
Document = tuple[str, str, float, str]  # id, language, share, text


def documents() -> list[Document]:
    rng = random.Random(3)
    short = ["" if n % 5 == 0 else "short " * (n % 9) for n in range(40)]
    contents = [*texts(160), *short, *["the same text of two documents " * 9] * 12]
    return [(f"{rng.randrange(16**32):032x}", LANGUAGES[n % 3], rng.random(), t) for n, t in enumerate(contents)]


def batch(rows: Sequence[Document]) -> Batch:
    array = pa.array([row[3] for row in rows], pa.large_string())
    _, offsets = encoder(True).encode(array)
    return Batch(
        texts=array, id_hex=[row[0] for row in rows], languages=[row[1] for row in rows],
        share_N=np.array([row[2] for row in rows]), tokens_N=np.diff(offsets),
        bytes_N=np.array([len(row[3].encode()) for row in rows], np.int64),
    )  # fmt: skip


def part(rows: Sequence[Document], size: int) -> dict[str, Any]:
    """What a task hands over, of batches of `size`."""
    chosen = Chosen()
    for start in range(0, len(rows), size):
        chosen.add(batch(rows[start : start + size]))
    return json.loads(json.dumps(dataclasses.asdict(chosen)))


def test_chosen_documents_are_the_first_of_a_sort_of_all() -> None:
    rows = documents()
    found = card_documents.merge([part(rows[:50], 7), part(rows[50:], 1000)])
    num_tokens = batch(rows).tokens_N.tolist()
    rates = sorted(
        (len(text.encode()) / n, id_) for (id_, _, _, text), n in zip(rows, num_tokens, strict=True)
        if len(text.encode()) >= MIN_BYTES
    )  # fmt: skip
    assert [row["id"] for row in found.worst] == [id_ for _, id_ in rates[:NUM_LISTED]]
    best = sorted(((-rate, id_) for rate, id_ in rates))[:NUM_LISTED]
    assert [row["id"] for row in found.best] == [id_ for _, id_ in best]
    assert found.best[0]["bytes_per_token"] == round(-best[0][0], 4)


def test_chosen_other_order_and_batches_change_nothing() -> None:
    rows = documents()
    expected = card_documents.merge([part(rows, 1000)])
    for seed, size, cut in ((1, 3, 0), (2, 64, 100), (3, 1000, 211)):
        shuffled = random.Random(seed).sample(rows, len(rows))
        assert card_documents.merge([part(shuffled[:cut], size), part(shuffled[cut:], size)]) == expected


def test_chosen_passage_is_of_the_lowest_share_that_has_a_line() -> None:
    rows = documents()
    found = card_documents.merge([part(rows, 32)])
    for language in LANGUAGES:
        with_line = [(row[2], row[0], passage(row[3])) for row in rows if row[1] == language and passage(row[3])]
        share, id_, text = min(with_line, key=lambda row: row[0])
        assert found.passages[language] == {"place": [share, id_], "text": text}


def test_chosen_of_nothing_is_empty() -> None:
    assert card_documents.merge([]) == card_documents.merge([part([], 1)]) == Chosen()
    tiny = [("0" * 32, "en", 0.5, "tiny")]
    assert card_documents.merge([part(tiny, 1)]) == Chosen()


@given(st.text(alphabet=st.sampled_from("ab \n世é\u0301\t"), max_size=600))
def test_passage_is_a_line_of_the_text_or_its_start(text: str) -> None:
    found = passage(text)
    if found is None:
        assert all(len(line.strip().encode()) < PASSAGE_BYTES for line in text.split("\n"))
    else:
        assert 0 < len(found) <= PASSAGE_CHARS and "\n" not in found
        assert any(line.strip().startswith(found) for line in text.split("\n"))


def test_passage_ends_with_a_word_where_there_are_any() -> None:
    assert passage("menu\nhome\n" + "some words " * 40) == ("some words " * 40)[:159].rstrip()[:160]
    assert passage("世" * 500) == "世" * PASSAGE_CHARS
    assert passage("short") is None


@given(st.lists(st.integers(0, 596), max_size=40))
def test_pieces_hold_every_id_once_and_their_text(ids: list[int]) -> None:
    tokens = tokens_of(trained())
    cut = pieces(ids, tokens)
    assert [id_ for piece in cut for id_ in piece["ids"]] == ids
    content = b"".join(tokens[id_] for id_ in ids)
    assert "".join(piece["text"] for piece in cut) == content.decode("utf-8", "backslashreplace")


def test_pieces_of_text_are_one_token_or_one_character() -> None:
    text = "the weather 世界 🤗 and trade"
    ids, _ = encoder(True).encode(pa.array([text]))
    cut = pieces(ids.tolist(), tokens_of(trained()))
    assert "".join(piece["text"] for piece in cut) == text
    assert any(len(piece["ids"]) > 1 for piece in cut)
    assert all(len(piece["ids"]) == 1 or len(piece["text"].strip()) <= 2 for piece in cut)
