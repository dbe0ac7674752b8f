"""Reading a documents shard, row group by row group.

Reads:  one Parquet shard of an artifact
Costs:  one row group in memory (32 MiB of text and one batch more, as pipeline/shard_writer.py cuts them)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.store import Folder

READ_ROWS = 1024


def read_documents(
    folder: Folder, name: str, columns: Sequence[str] | None = None, rows: int = READ_ROWS
) -> Iterator[pa.RecordBatch]:
    """Batches of at most so many rows and of one row group, with those of `columns` that the shard has, or all.

    DataError where the file is no readable Parquet shard.
    """
    try:
        with folder.open_input(name) as file, pq.ParquetFile(file) as shard:
            wanted = None if columns is None else [c for c in shard.schema_arrow.names if c in columns]
            for group in range(shard.num_row_groups):
                yield from shard.iter_batches(rows, row_groups=[group], columns=wanted, use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"a damaged shard ({str(error).splitlines()[0]})", where=folder.shown(name),
            expected="the Parquet file its artifact.json describes",
            mend="`crawlmill verify` names every damaged file; delete its artifact's folder and run again.",
        ) from error  # fmt: skip
