"""Labelled texts from JSONL (plain, .gz, .zst) or Parquet files, as batches of text and label.

Reads:  a file, every data file below a folder, files by a glob, or `sample:quality` and `sample:toxicity`
Writes: record batches of LABELLED; rows without a text or a label are left out and counted
Cost:   one batch in memory
Source: ours
"""

from __future__ import annotations

import fnmatch
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DataError, StoreError, close_match
from pipeline.store import Folder, filesystem
from stages.sample.labelled import labelled_texts

LABELLED = pa.schema([pa.field("text", pa.large_string()), pa.field("label", pa.string())])
SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
ROWS_PER_BATCH = 1024


def data_files(location: str) -> list[str]:
    """Locations of the files `location` means, sorted by name; StoreError where there are none."""
    if location.startswith("sample:"):
        return [labelled_texts(location.removeprefix("sample:"))]
    system, path = filesystem(location)
    if system.get_file_info(path).type == pa.fs.FileType.File:
        return [location]
    fixed, pattern = _split_glob(location)
    names = [n for n in Folder(fixed).list() if fnmatch.fnmatch(n, pattern) and n.endswith(SUFFIXES)]
    if not names:
        raise StoreError(
            "no labelled texts here", where=location, expected="files ending in " + ", ".join(SUFFIXES),
            mend="Give a file, a folder, a glob, sample:quality or sample:toxicity.",
        )  # fmt: skip
    return [Folder(fixed).join(n) for n in names]


def _split_glob(location: str) -> tuple[str, str]:
    """The folder before the first wildcard, and the pattern after it (`*`, every file, for a plain folder)."""
    wildcard = re.search(r"[*?\[]", location)
    if wildcard is None:
        return location, "*"
    folder, _, _ = location[: wildcard.start()].rpartition("/")
    return folder or ".", location[len(folder) :].lstrip("/")


def read_labelled(location: str, text_column: str, label_column: str, counts: Counter[str]) -> Iterator[pa.RecordBatch]:
    """Batches of LABELLED from one file; `counts` gains `rows`, `bad_json`, `missing_text` and `missing_label`.

    A label is text: whole numbers without a point, booleans as `true` and `false`. DataError where a Parquet file lacks
    a column, where a JSONL file holds no row with both, or where the file is damaged.
    """
    system, path = filesystem(location)
    try:
        if location.endswith(".parquet"):
            rows = _parquet_rows(system.open_input_file(path), location, (text_column, label_column))
        else:
            rows = _json_rows(io.BufferedReader(system.open_input_stream(path)), (text_column, label_column), counts)
        yield from _batches(rows, location, (text_column, label_column), counts)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(str(error), where=location, expected="JSONL (plain, .gz, .zst) or Parquet") from error


def _parquet_rows(file: Any, location: str, columns: tuple[str, str]) -> Iterator[tuple[Any, Any]]:
    parquet = pq.ParquetFile(file)
    for column in columns:
        if column not in parquet.schema_arrow.names:
            raise _no_column(location, column, parquet.schema_arrow.names)
    for batch in parquet.iter_batches(ROWS_PER_BATCH, columns=list(dict.fromkeys(columns))):
        yield from zip(*(batch[c].to_pylist() for c in columns), strict=True)


def _json_rows(file: Any, columns: tuple[str, str], counts: Counter[str]) -> Iterator[tuple[Any, Any]]:
    text_column, label_column = columns
    for line in file:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            yield row.get(text_column), row.get(label_column)
        else:
            counts["rows"] += 1
            counts["bad_json"] += 1


def _batches(
    rows: Iterator[tuple[Any, Any]], location: str, columns: tuple[str, str], counts: Counter[str]
) -> Iterator[pa.RecordBatch]:
    texts: list[str] = []
    labels: list[str] = []
    num_good = 0
    for text, label in rows:
        counts["rows"] += 1
        if not isinstance(text, str) or not text.strip():
            counts["missing_text"] += 1
        elif label is None or label == "":
            counts["missing_label"] += 1
        else:
            num_good += 1
            texts.append(text)
            labels.append(_label_name(label))
        if len(texts) == ROWS_PER_BATCH:
            yield pa.record_batch([pa.array(texts, pa.large_string()), pa.array(labels)], schema=LABELLED)
            texts, labels = [], []
    if texts:
        yield pa.record_batch([pa.array(texts, pa.large_string()), pa.array(labels)], schema=LABELLED)
    if not num_good:
        raise DataError("no row has both a text and a label", where=location, expected=f"columns {', '.join(columns)}")


def _label_name(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _no_column(location: str, column: str, names: list[str]) -> DataError:
    return DataError(
        f"no column {column!r}", where=location, expected=f"one of {', '.join(names)}", mend=close_match(column, names)
    )
