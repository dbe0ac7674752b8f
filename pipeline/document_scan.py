"""Finding documents by URL or id in artifacts; text is read of single documents only, where it is asked for.

Reads:  shards/*.parquet and dropped/*.parquet of documents artifacts, through pyarrow.dataset
Writes: nothing
Costs:  one pass over the filtered column per artifact (row groups whose statistics rule the value out are skipped), the
        other columns only for what matched; batches of BATCH_ROWS, read one ahead. `read_place` reads a row group. The
        hint for a URL that is not there looks at HINT_URLS URLs at most
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipeline.artifact import Artifact
from pipeline.errors import DataError
from pipeline.store import filesystem

BATCH_ROWS = 16_384
HINT_URLS = 500_000  # about a second's work
HINT_CANDIDATES = 2_000  # URLs of the same host that are compared letter by letter
NUM_HINTS = 3


@dataclass(frozen=True, kw_only=True)
class Row:
    """A document found: in which artifact and file of it, the step that dropped it (None: kept), its small columns."""

    artifact: str
    shard: str
    dropped_by: str | None
    columns: Mapping[str, Any]

    def identity(self) -> Any:
        """What tells one document from another: its id, or its place where it has none."""
        keys = ("id",) if self.columns.get("id") is not None else ("url", "warc_path", "warc_offset")
        return tuple(self.columns.get(key) for key in keys)


@dataclass(frozen=True, kw_only=True)
class Hint:
    """URLs that resemble one that was not found, and how many records were dropped without any URL."""

    close_urls: Sequence[str]
    num_without_url: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """A document's row: the shard of an artifact, a row group in it, the row in that."""

    shard: str
    group: int
    row: int


def _files(artifact: Artifact, folder: str) -> list[str]:
    names = [entry["name"] for entry in artifact.manifest["files"]]
    return [name for name in names if name.startswith(f"{folder}/") and name.endswith(".parquet")]


def _dataset(artifact: Artifact, names: Sequence[str]) -> ds.Dataset:
    system, _ = filesystem(artifact.folder.location)
    paths = [filesystem(artifact.folder.join(name))[1] for name in names]
    return ds.dataset(paths, format="parquet", filesystem=system)


def _batches(
    artifact: Artifact, names: Sequence[str], columns: Sequence[str], where: pc.Expression | None
) -> Iterator[pa.RecordBatch]:
    """Batches of `columns` and, as `__filename`, the file each row is from."""
    if not names:
        return
    with _reading(artifact):
        scanner = _dataset(artifact, names).scanner(
            columns=[*columns, "__filename"],
            filter=where,
            batch_size=BATCH_ROWS,
            batch_readahead=1,
            fragment_readahead=2,
        )
        yield from scanner.to_batches()


@contextlib.contextmanager
def _reading(artifact: Artifact) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"a Parquet file that cannot be read ({error})", where=artifact.folder.location,
            expected="the files its artifact.json names", mend="`crawlmill verify` names the damaged ones.",
        ) from error  # fmt: skip


def _small(column: pa.Field) -> bool:
    """Whether a column is one a person would be shown: numbers, names, dates; no text, no payload, no lists."""
    type_ = column.type
    return column.name not in ("text", "payload") and (
        pa.types.is_primitive(type_) or pa.types.is_string(type_) or pa.types.is_fixed_size_binary(type_)
        or pa.types.is_dictionary(type_)
    )  # fmt: skip


def find_rows(name: str, artifact: Artifact, column: str, wanted: str | bytes) -> Iterator[Row]:
    """All rows, kept and dropped, of the artifact called `name` whose `column` (`url` or `id`) is `wanted`."""
    where = pc.field(column) == pa.scalar(wanted, pa.binary(16) if column == "id" else pa.string())
    for folder in ("dropped", "shards"):
        names = _files(artifact, folder)
        if not names:
            continue
        shown = [f.name for f in _dataset(artifact, names).schema if _small(f)]
        for batch in _batches(artifact, names, shown, where):
            for columns in batch.to_pylist():
                file = f"{folder}/{columns.pop('__filename').rsplit('/', 1)[-1]}"
                dropped_by = columns.get("step") if folder == "dropped" else None
                yield Row(artifact=name, shard=file, dropped_by=dropped_by, columns=columns)


def representatives(artifacts: Mapping[str, Artifact], ids: Collection[bytes]) -> dict[bytes, str | None]:
    """URLs of the documents with these ids, found wherever they ended; an id that no artifact holds is not in it."""
    known: dict[bytes, str | None] = {}
    for artifact in artifacts.values():
        missing = sorted(set(ids) - set(known))
        if not missing:
            break
        where = pc.field("id").isin(pa.array(missing, pa.binary(16)))
        for folder in ("shards", "dropped"):
            for batch in _batches(artifact, _files(artifact, folder), ["id", "url"], where):
                known |= {row["id"]: row["url"] for row in batch.to_pylist()}
    return known


def dropping_steps(artifacts: Mapping[str, Artifact], ids: Collection[bytes]) -> dict[bytes, str]:
    """The steps that dropped the documents with these ids; those that no step dropped are not in it."""
    found: dict[bytes, str] = {}
    where = pc.field("id").isin(pa.array(sorted(ids), pa.binary(16)))
    for artifact in artifacts.values() if ids else ():
        for batch in _batches(artifact, _files(artifact, "dropped"), ["id", "step"], where):
            found |= {row["id"]: row["step"] for row in batch.to_pylist()}
    return found


def duplicates(artifact: Artifact, ids: Collection[bytes]) -> Iterator[pa.Table]:
    """Ledger rows (without excerpt and reason) of what was dropped for the documents with these ids."""
    where = pc.field("duplicate_of").isin(pa.array(sorted(ids), pa.binary(16)))
    columns = ["id", "url", "step", "duplicate_of", "value", "threshold"]
    for batch in _batches(artifact, _files(artifact, "dropped"), columns, where):
        if batch.num_rows:
            yield pa.Table.from_batches([batch]).select(columns)


def find_places(artifact: Artifact, ids: Collection[bytes]) -> dict[bytes, Place]:
    """Where the documents with these ids lie, as far as the artifact keeps them; only `id` is read."""
    found: dict[bytes, Place] = {}
    wanted = pa.array(sorted(ids), pa.binary(16))
    for shard in _files(artifact, "shards"):
        if len(found) == len(wanted):
            break
        with _reading(artifact), artifact.folder.open_input(shard) as file, pq.ParquetFile(file) as parquet:
            for group in range(parquet.num_row_groups):
                column = parquet.read_row_group(group, columns=["id"])["id"]
                for row in pc.indices_nonzero(pc.is_in(column, wanted)).to_pylist():
                    found.setdefault(column[row].as_py(), Place(shard=shard, group=group, row=row))
    return found


def read_place(artifact: Artifact, place: Place, columns: Sequence[str]) -> dict[str, Any]:
    """One document's `columns`, as far as the artifact has them."""
    with _reading(artifact), artifact.folder.open_input(place.shard) as file, pq.ParquetFile(file) as parquet:
        present = [name for name in columns if name in parquet.schema_arrow.names]
        rows = parquet.read_row_group(place.group, columns=present).slice(place.row, 1).to_pylist()
    row: dict[str, Any] = rows[0]
    return row


def search_hint(artifacts: Mapping[str, Artifact], url: str) -> Hint:
    """The NUM_HINTS URLs most like `url`: of its host where the host is known, else of the host most like it."""
    host = _host(url)
    same_host: dict[str, None] = {}
    a_url_of: dict[str, str] = {}  # one URL for each other host
    num_seen = num_without = 0
    for batch in _url_batches(artifacts):
        urls = batch["url"]
        num_without += urls.null_count
        if url and num_seen < HINT_URLS:
            num_seen += len(urls)
            for known in urls.drop_null().to_pylist():
                known_host = _host(known)
                if known_host == host and len(same_host) < HINT_CANDIDATES:
                    same_host.setdefault(known)
                elif len(a_url_of) < HINT_CANDIDATES:
                    a_url_of.setdefault(known_host, known)
    close = difflib.get_close_matches(url, list(same_host), n=NUM_HINTS, cutoff=0.5)
    if not close:
        close = [a_url_of[h] for h in difflib.get_close_matches(host, list(a_url_of), n=NUM_HINTS, cutoff=0.75)]
    return Hint(close_urls=close, num_without_url=num_without)


def _url_batches(artifacts: Mapping[str, Artifact]) -> Iterator[pa.RecordBatch]:
    for artifact in artifacts.values():
        for folder in ("dropped", "shards"):
            yield from _batches(artifact, _files(artifact, folder), ["url"], None)


def _host(url: str) -> str:
    """The host, in lower case, without `www.`; a URL without a scheme is read as if it had one."""
    try:
        host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:  # a bracketed host that is no address
        return ""
    return host.removeprefix("www.")
