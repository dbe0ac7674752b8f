"""Pages read in pieces: what a page gives is its own, and pages of too many blocks are counted, not judged."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest

import stages.html.reading
from stages.html.assembling import TextOptions
from stages.html.metadata import MetadataColumns, crawled_of
from stages.html.model import load_model
from stages.html.reading import Extractor, Reading, read_pages
from stages.kernels import utf8

SENTENCE = (
    "The harbour wall was finished in the spring, after three winters of work, and the first boats came in by May."
)
PAGES = [
    f"<title>Page {n}</title><body><nav><a href=/>Home</a></nav>{f'<p>{SENTENCE}</p>' * n}</body>" for n in range(6)
]


def read(pages: list[str], max_blocks: int | None = 100) -> list[Reading]:
    array = pa.array(pages, pa.large_string())
    crawled = pa.array([datetime.datetime(2026, 4, 1)] * len(pages), pa.timestamp("s", tz="UTC"))
    extractor = None
    if max_blocks is not None:
        extractor = Extractor(model=load_model(), options=TextOptions(), alt_texts=False, max_blocks=max_blocks)
    return list(read_pages(utf8.padded(utf8.view(array)), crawled_of(len(pages), crawled), extractor))


def titles(metadata: MetadataColumns) -> list[str | None]:
    found: list[str | None] = metadata.title.to_pylist()
    return found


@pytest.mark.parametrize("piece_tags", [1, 20, 60])
def test_read_pages_pieces_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch, piece_tags: int) -> None:
    [whole] = read(PAGES)
    monkeypatch.setattr(stages.html.reading, "PIECE_TAGS", piece_tags)
    parts = read(PAGES)
    assert len(parts) > 1
    assert pa.concat_arrays([part.text for part in parts]) == whole.text
    assert [t for part in parts for t in titles(part.metadata)] == titles(whole.metadata)
    assert titles(whole.metadata) == [f"Page {n}" for n in range(6)]
    np.testing.assert_array_equal(np.concatenate([part.num_blocks_N for part in parts]), whole.num_blocks_N)
    np.testing.assert_array_equal(sum(part.chars for part in parts), whole.chars)


def test_read_pages_too_many_blocks_have_no_text_but_their_number_and_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages.html.reading, "PIECE_TAGS", 1)
    parts = read(PAGES, max_blocks=4)
    assert [part.text.null_count for part in parts] == [0, 0, 0, 0, 1, 1]
    assert [int(part.num_blocks_N[0]) for part in parts] == [1, 2, 3, 4, 5, 6]
    assert titles(parts[5].metadata) == ["Page 5"]
    assert parts[5].chars.sum() == 0


def test_read_pages_without_extractor_metadata_alone_is_read() -> None:
    [reading] = read(PAGES, max_blocks=None)
    assert reading.text.null_count == len(PAGES)
    assert titles(reading.metadata)[3] == "Page 3"
