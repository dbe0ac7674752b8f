"""stages/vocab/measuring.py: the card against a count over the held-out documents, and that no layout changes it."""

from __future__ import annotations

import functools
import importlib.metadata
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from pipeline.errors import DataError
from pipeline.schemas import ID
from pipeline.store import Folder
from stages.kernels.document_hash import id_bytes, share_of
from stages.vocab import measuring
from stages.vocab.measuring import Measuring, described
from stages.vocab.selection import Documents
from tests.stages.pack_context import HereContext, document_id, write_documents
from tests.stages.vocab.described import Document, card_of
from tests.tokenizer.corpus import texts
from tests.tokenizer.test_encode import trained
from tokenizer import references
from tokenizer.card_usage import efficiency

CORPUS: list[Document] = [
    (document_id(i), text if i % 50 else None, "en" if i % 3 else "zh") for i, text in enumerate(texts(300, seed=9))
]


@functools.cache
def tokenizer() -> Tokenizer:
    return Tokenizer.from_str(trained().decode())


def held_out(from_share: float = 0.5) -> list[tuple[float, Document]]:
    """In the order of their shares."""
    shares = share_of(id_bytes(pa.array([row[0] for row in CORPUS], ID)), 1).tolist()
    return sorted((s, row) for s, row in zip(shares, CORPUS, strict=True) if s >= from_share)


def kept_at_first(count: int) -> tuple[float, list[str]]:
    """A share below which a sample of about `count` documents lies, and their texts."""
    rows = held_out()
    share = 0.5 + 0.5 * min(1.0, count / len(rows))
    return share, [text for s, (_, text, _) in rows if s < share and text]


def test_described_measures_every_held_out_document_as_counted_by_hand(tmp_path: Path) -> None:
    card, _ = card_of([CORPUS[:100], [], CORPUS[100:]], tmp_path, trained())
    rows = [(text, language) for _, (_, text, language) in held_out() if text]
    counts = Counter(i for text, _ in rows for i in tokenizer().encode(text).ids)
    assert card["held_out"]["documents"] == len(rows) > 100
    assert card["held_out"]["tokens"] == sum(counts.values()) == card["seen_in_held_out"]["tokens"]
    chinese = [text for text, language in rows if language == "zh"]
    assert card["languages"]["zh"]["words"] == sum(len(text.split()) for text in chinese)
    assert card["languages"]["zh"]["tokens"] == sum(len(tokenizer().encode(text).ids) for text in chinese)
    assert card["rank_frequency"]["occurrences"][:3] == [n for _, n in counts.most_common(3)]
    assert sum(row["occurrences"] for row in card["kinds"]) == sum(counts.values())
    assert card["unused_in_held_out"]["number"] == sum(not counts[i] for i in range(256, 597))
    assert card["sample"]["held_out_documents"] == len(held_out())


def test_described_other_order_and_shards_same_card(tmp_path: Path) -> None:
    expected = card_of([CORPUS], tmp_path / "one", trained())
    for seed in (1, 2):
        rows = random.Random(seed).sample(CORPUS, len(CORPUS))
        assert card_of([rows[:7], [], rows[7:120], rows[120:]], tmp_path / str(seed), trained()) == expected


def test_described_samples_the_same_documents_whatever_the_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "MEASURED_DOCUMENTS", 60)
    monkeypatch.setattr(measuring, "COMPARED_DOCUMENTS", 20)
    card, page = card_of([CORPUS], tmp_path / "one", trained())
    for key, (share, kept) in (("held_out", kept_at_first(60)), ("compared", kept_at_first(20))):
        found = card[key] if key == "held_out" else card["compared"][0]["held_out"]
        assert found["bytes"] == sum(len(text.encode()) for text in kept), share
        assert found["documents"] == len(kept) > 10
    assert card_of([CORPUS[:40], CORPUS[40:41], CORPUS[41:]], tmp_path / "many", trained()) == (card, page)


def test_described_measures_the_start_of_a_long_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "MEASURED_CHARS", 50)
    card, _ = card_of([CORPUS], tmp_path, trained())
    assert card["held_out"]["characters"] == sum(len(text[:50]) for _, (_, text, _) in held_out() if text)


def test_described_compares_all_on_the_same_text(tmp_path: Path) -> None:
    names = references.available()
    if not names:
        pytest.skip("no published tokenizer is installed")
    card, page = card_of([CORPUS[:100], CORPUS[100:]], tmp_path, trained())
    assert [row["name"] for row in card["compared"]] == ["this", *names]
    kept = pa.array([text for _, (_, text, _) in held_out() if text])
    for row in card["compared"][1:]:
        ids, _ = references.load(row["name"]).encode(kept)
        assert row["held_out"]["tokens"] == len(ids) == sum(sums["tokens"] for sums in row["languages"].values())
        counts = list(Counter(ids.tolist()).values())
        padded = pa.array(counts + [0] * (row["vocab_size"] - len(counts)), pa.int64()).to_numpy()
        assert row["efficiency"] == efficiency(padded)
        assert row["source"] and row["title"] in page
        for measure in ("documents", "bytes", "characters", "words"):
            assert row["held_out"][measure] == card["held_out"][measure]
    assert card["compared"][0]["held_out"] == card["held_out"]


def test_described_without_published_tokenizers_says_what_would_bring_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    references.load.cache_clear()
    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    card, page = card_of([CORPUS], tmp_path, trained())
    assert [row["name"] for row in card["compared"]] == ["this"]
    assert [row["name"] for row in card["not_compared"]] == ["gpt2", "cl100k_base", "o200k_base"]
    assert "GPT-2 is not compared" in page and "pip install" in page


def test_measure_on_a_machine_that_lacks_a_reference_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "available", lambda: ["o200k_base"])
    monkeypatch.setattr(references, "_ranks", lambda name: None)
    references.load.cache_clear()
    with pytest.raises(DataError, match="no o200k_base on this machine"):
        card_of([CORPUS], tmp_path, trained())


@pytest.mark.parametrize("rows", [[], [(document_id(1), None, "en")], [(document_id(1), "", "en")]])
def test_described_of_nothing_to_measure_is_a_card_all_the_same(rows: list[Document], tmp_path: Path) -> None:
    card, page = card_of([rows, []], tmp_path, trained(), from_share=0.0)
    assert card["held_out"]["tokens"] == 0 and card["held_out"]["bytes_per_token"] is None
    assert card["passages"] == card["worst_compressed"] == []
    assert "No text was held out" in page


def test_described_without_a_language_column_is_unknown(tmp_path: Path) -> None:
    artifact = write_documents(f"{tmp_path}/documents", [CORPUS])
    path = artifact.folder.local_path("shards/00000.parquet")
    pq.write_table(pq.read_table(path).drop_columns("language"), path)
    output = Folder(f"{tmp_path}/vocabulary")
    output.write_bytes("tokenizer.json", trained())
    ctx = HereContext(inputs={"documents": artifact}, output=output, work=Folder(f"{tmp_path}/work"))
    which = Measuring(documents=Documents(folder=artifact.folder, seed=1), from_share=0.5)
    card = described(ctx, which, artifact.shards(), 600)
    assert list(card["languages"]) == ["unknown"]
