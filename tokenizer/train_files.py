"""A tokenizer from Parquet files of documents, without the DAG.

Reads:  a column of strings, row group by row group
Writes: the bytes of a tokenizer.json
Cost:   counting runs on several threads, a file at a time each, some 250 MB of text a second and thread; learning on
        one. Memory: a batch of texts and a table of distinct pretokens a thread, then what tokenizer/merge.py takes
Source: tokenizer/count.py, tokenizer/train.py

The result is that of the step `stages.vocabulary` over the same documents, with nothing held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tokenizer.count import WordCounts
from tokenizer.encode import string_buffers
from tokenizer.normalise import normaliser
from tokenizer.pretokenize import Pretokenizer
from tokenizer.sorted_counts import Counts, combine
from tokenizer.train import Options, train

BATCH_ROWS = 512


def train_files(paths: Sequence[Path], options: Options, column: str = "text", num_threads: int = 1) -> bytes:
    """The tokenizer.json learned from a column of all files; it does not depend on their order or `num_threads`.

    Raises TokenizerError where a special token was learned as an ordinary one.
    """
    return train(count_files(paths, options, column, num_threads), options)


def count_files(paths: Sequence[Path], options: Options, column: str = "text", num_threads: int = 1) -> Counts:
    """How often each pretoken occurs in a column of all files. Null counts as an empty text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    normalise = normaliser(options.normalization)
    waiting = list(reversed(paths))  # `pop` of a list is one step: no two threads get the same file

    def count_some(thread: int) -> Counts:
        words = WordCounts(Pretokenizer(options.pattern, options.digits))
        while waiting:
            try:
                path = waiting.pop()
            except IndexError:  # another thread was faster
                break
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=[column], use_threads=False):
                    words.add(*string_buffers(normalise(batch[column].cast(pa.large_string()).fill_null(""))))
        return words.arrays()

    with ThreadPoolExecutor(num_threads) as pool:
        return combine(list(pool.map(count_some, range(num_threads))))
