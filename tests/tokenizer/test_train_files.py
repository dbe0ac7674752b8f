"""tokenizer/train_files.py: what is learned from files is what is learned from their texts."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenizer.train import Options, train_on
from tokenizer.train_files import count_files, train_files

OPTIONS = Options(
    vocab_size=400, min_frequency=2, max_token_length=16, pattern="llama3", normalization="NFC",
    special_tokens=("<|end|>", "<|pad|>"),
)  # fmt: skip


def _texts(number: int) -> list[str | None]:
    words = [f"w{k % (number + 3)}x{k * k % 17} e\u0301te\u0301" for k in range(400)]
    return [" ".join(words[:100]), None, "", " ".join(words[100:])]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = []
    for number in range(5):
        paths.append(tmp_path / f"{number}.parquet")
        type_ = pa.string() if number % 2 else pa.large_string()
        pq.write_table(pa.table({"text": pa.array(_texts(number), type_), "other": [1] * 4}), paths[-1])
    return paths


@pytest.mark.parametrize("num_threads", [1, 2, 7])
def test_train_files_any_threads_and_order_equal_the_texts(files: list[Path], num_threads: int) -> None:
    texts = [text for number in range(5) for text in _texts(number) if text]
    assert train_files(files, OPTIONS, num_threads=num_threads) == train_on(texts, OPTIONS)
    assert train_files(files[::-1], OPTIONS, num_threads=num_threads) == train_on(texts, OPTIONS)


def test_count_files_without_files_has_no_words() -> None:
    assert len(count_files([], OPTIONS, num_threads=2).counts) == 0
