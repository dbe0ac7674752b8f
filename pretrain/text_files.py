"""The documents of a file that a model is evaluated on.

Reads:  `.jsonl` (an object with `text` a line), `.parquet` (a column `text`); any other file is one document of UTF-8
        text. All but Parquet may be compressed, as their names then say (`.jsonl.gz`, `.txt.zst`)
Writes: texts
Cost:   a document in memory, for Parquet 1,024 of them
Source: -
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from pipeline.document_reader import read_documents
from pipeline.errors import DataError, StoreError
from pipeline.store import Folder

COMPRESSED = (".gz", ".zst", ".bz2", ".lz4")


def documents(path: Path) -> Iterator[str]:
    """The texts in a file, in its order. DataError where it does not hold what its name says, or no UTF-8."""
    if not path.is_file():
        raise StoreError("no such file", where=str(path), expected="a file of text, .jsonl or .parquet")
    name = path.stem if path.suffix in COMPRESSED else path.name
    if name.endswith(".parquet"):
        yield from _parquet(path)
        return
    try:
        with io.BufferedReader(pa.input_stream(str(path))) as file:  # decompresses by the name's ending
            if name.endswith(".jsonl"):
                yield from _json_lines(path, file)
            else:
                yield file.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"bytes that are no UTF-8 ({error.reason})", where=str(path), expected="text") from error
    except OSError as error:
        raise DataError(str(error), where=str(path), expected="a readable file") from error


def _parquet(path: Path) -> Iterator[str]:
    for batch in read_documents(Folder(str(path.parent)), path.name, ["text"]):
        if "text" not in batch.schema.names:
            raise DataError("no column `text`", where=str(path), expected="a Parquet file of documents")
        yield from (text for text in batch["text"].to_pylist() if text is not None)


def _json_lines(path: Path, file: io.BufferedReader) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{type(error).__name__}: {error}", where=f"{path}:{number}", expected='an object with "text"'
            ) from error
        if not isinstance(text, str):
            raise DataError(f"text is {type(text).__name__}", where=f"{path}:{number}", expected="a string")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise DataError("half of a surrogate pair", where=f"{path}:{number}", expected="whole characters")
        yield text
