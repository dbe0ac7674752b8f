"""The bundled model goes with the features that this version computes: it finds the text of gold pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.html.assembling import TextOptions
from stages.html.extractor import extract_pages
from stages.html.model import MODEL_FILE, load_model
from stages.html.training.examples import html_bytes, page_runs
from stages.html.training.gold import GoldPage, read_pages
from stages.html.training.scoring import page_rates, score
from tests.shared_data import SHARED, needs_shared


@needs_shared
@pytest.mark.slow
def test_bundled_model_on_two_shards_of_gold_pages_finds_their_text(tmp_path: Path) -> None:
    shards = sorted((SHARED / "data/warc").glob("*.warc.gz"))
    for shard in shards[3:5]:
        (tmp_path / shard.name).symlink_to(shard)
    pages: list[GoldPage] = sorted(read_pages(SHARED / "data", tmp_path), key=lambda page: page.fold)
    rates = []
    for part in page_runs(pages):
        texts = extract_pages(html_bytes(pages[part]), load_model(), TextOptions()).text.to_pylist()
        rates += [page_rates(page.gold.main_text, text) for page, text in zip(pages[part], texts, strict=True)]
    assert len(rates) > 100
    # 0.965, since it was learned from these pages; 0.936 with a table of other hashes, 0.15 with other features
    assert score(rates).f1 > 0.955


def test_bundled_model_is_small() -> None:
    assert MODEL_FILE.stat().st_size < 1_500_000
