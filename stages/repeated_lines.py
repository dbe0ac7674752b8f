r"""Lines or paragraphs that many documents of a host have are boilerplate: taken out of all of them, and counted.

Reads:  text; url with scope `host`
Writes: text, without those lines. A document of which nothing is left is dropped as `only_repeated_lines` (value: the
        documents its rarest line is in, threshold: `max_documents`), one that loses more than `max_removed_share` of
        its characters as `too_much_repeated`; a paragraph's reason is `only_repeated_paragraphs`. A document that loses
        no line keeps its text byte for byte
Cost:   5 ns per byte of text to count, 7 to write, Parquet included; 24 bytes exchanged per different line of a group.
        A worker took 750 MiB at most for a group of 246,480 pages (1.6 GB of text), 240 of them for the interpreter and
        its packages: one batch, MAX_TALLY_KEYS counts, the exchange's buffer, what stages/dedup/repeats.py says
Source: Llama 3 (arXiv 2407.21783, 3.1.1) takes out lines "that appeared more than 6 times in each bucket of 30M
        documents", after CCNet (Wenzek et al. 2020, arXiv 1911.00359). That hosts are looked at one by one is our
        choice: over a whole corpus good lines go too, and models got worse in FineWeb's trials of it (Penedo et al.
        2024, arXiv 2406.17557)

Phases, each a set of tasks that commit one by one; a group is some neighbouring shards (stages/dedup/corpus.py):
1. count (per group): in how many of its documents each line is, by a 128-bit hash of host and line.
2. repeated (per partition): counts are added up; lines in more than `max_documents` go to the groups that have them.
3. frequent (per group), 4. examples (of a few groups): the report's table.
5. filter (per shard).

This stage stands behind exact and near-duplicate removal: of a page that was crawled ten times every line is repeated.

A line that a document has several times counts once. `normalisation: plain` compares in lower case, canonically
decomposed, each run of white space as one space, none at the ends; `none` compares the bytes without the line break. A
line of fewer than `min_letters` letters, as it is compared, stays: signs, numbers, brackets of code. A document has
nothing left where nothing but such lines is. With scope `host` a document without a host (no URL, or a malformed one)
is left as it is and counted as `without_host`; `www.example.com` and `example.com` are two hosts, scheme and port do
not matter. A paragraph is a run of lines that are not blank, and goes as a whole.

Between lines that stay stands one `\n`, and blank lines if there were any between them before: as many as the longest
run of them. No blank line stays at the beginning or end of a text that lost a line. The result depends on the documents
alone, not on shards, partitions or order.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from pipeline.errors import FieldError
from pipeline.schemas import EXCERPT_CHARS
from pipeline.stage import (
    JSON,
    BatchFunction,
    ExchangeReader,
    InputArtifact,
    TaskContext,
    Verdict,
    WideContext,
    wide,
)
from stages.dedup import repeats
from stages.dedup.corpus import Group, Grouping, document_parts, grouped
from stages.kernels import limits

if TYPE_CHECKING:
    from stages.kernels.repeated_lines import Removal, Units

BYTES_PER_PARTITION = 128 << 20  # of shard files; about 2 million counts of raw web pages
MAX_TALLY_KEYS = 750_000


@dataclass(frozen=True, kw_only=True)
class Config:
    unit: Literal["lines", "paragraphs"] = "lines"
    scope: Literal["host", "corpus"] = "host"
    max_documents: int = 6  # that may have a line; Llama 3's number, there for a bucket of the corpus
    normalisation: Literal["plain", "none"] = "plain"
    min_letters: int = 2  # our choice: by themselves `|`, `12` and `}` say nothing of where they come from
    max_removed_share: float | None = None  # of a document's characters

    def __post_init__(self) -> None:
        if self.max_documents < 1:
            raise FieldError("max_documents", self.max_documents, "a whole number of at least 1")
        if self.min_letters < 0:
            raise FieldError("min_letters", self.min_letters, "0 or more")
        if self.max_removed_share is not None and not 0 <= self.max_removed_share <= 1:
            raise FieldError("max_removed_share", self.max_removed_share, "a share from 0 to 1, or null")


@dataclass(frozen=True, kw_only=True)
class _Removing:
    cfg: Config
    repeats: ExchangeReader
    grouping: Grouping


@wide(
    version=1, ports={"documents": "documents"}, produces="documents", reads=("text", "url"),
    adds={"text": pa.large_string()},
)  # fmt: skip
def repeated_lines(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    """Count every line over all shards, then write the documents without those that too many have."""
    documents = ctx.inputs["documents"]
    groups, grouping = grouped(document_parts(documents))
    num_partitions = max(1, -(-_num_bytes(documents) // BYTES_PER_PARTITION))
    counts = ctx.exchange("count", _count, groups, num_partitions, cfg)
    summing = repeats.Summing(counts=counts, max_documents=cfg.max_documents, grouping=grouping)
    found = ctx.exchange("repeated", repeats.repeated, range(num_partitions), grouping.num_groups, summing)
    _report(cfg, ctx, groups, ctx.map("frequent", repeats.frequent, groups, found))
    removing = _Removing(cfg=cfg, repeats=found, grouping=grouping)
    ctx.filter_documents(documents, _open_filter, removing)
    return {}


def _num_bytes(documents: InputArtifact) -> int:
    """Bytes of all shards, from the manifest."""
    shards = set(documents.shards())
    return sum(entry["bytes"] for entry in documents.manifest["files"] if entry["name"] in shards)


def _batches(group: Group) -> Iterator[pa.RecordBatch]:
    for part in group.parts:
        for _, batch in part.read(("text", "url")):
            yield batch


def _units(cfg: Config, batch: pa.RecordBatch) -> tuple[Units, np.ndarray]:
    """(the lines or paragraphs of a batch, bool[N]: which documents are without a host, where one is needed)."""
    from stages.dedup.urls import NONE, hosts_of
    from stages.kernels import repeated_lines

    no_host_N, scope_N2 = np.zeros(batch.num_rows, np.bool_), np.zeros((batch.num_rows, 2), np.uint64)
    if cfg.scope == "host":
        found = hosts_of(batch["url"])
        no_host_N, scope_N2 = found.kind_N == NONE, found.key_N2
    units = repeated_lines.find(batch["text"], ~no_host_N, scope_N2, cfg.unit, cfg.normalisation, cfg.min_letters)
    return units, no_host_N


def _count(cfg: Config, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """COUNT rows of a group; a line may have several, where there are more different ones than a tally takes."""
    from stages.kernels.repeated_lines import Tally

    tally = Tally(MAX_TALLY_KEYS)
    for batch in _batches(group):
        units, _ = _units(cfg, batch)
        for full in tally.count(units.once_per_text()):
            yield repeats.count_rows(group.number, *full)
    yield repeats.count_rows(group.number, *tally.take())


def _examples(cfg: Config, wanted: tuple[Group, Sequence[tuple[int, int]]], task: TaskContext) -> JSON:
    """[high, low, row of the report] of lines with these hashes, which the group has."""
    group, keys = wanted[0], set(wanted[1])
    highs = np.array([high for high, _ in keys], np.uint64)
    found: list[tuple[int, int, dict[str, Any]]] = []
    for batch in _batches(group):
        if not keys:
            break
        units, _ = _units(cfg, batch)
        for at in np.flatnonzero(np.isin(units.key_U2[:, 0], highs)).tolist():
            key = int(units.key_U2[at, 0]), int(units.key_U2[at, 1])
            if key in keys:
                keys.remove(key)
                found.append((*key, _described(cfg, batch, units, at)))
    return found


def _described(cfg: Config, batch: pa.RecordBatch, units: Units, at: int) -> dict[str, Any]:
    """A line as it is compared, and its host: both are the same wherever it is found."""
    from stages.dedup.urls import host_name, hosts_of

    line = units.data[units.starts[at] : min(units.stops[at], units.starts[at] + 4 * EXCERPT_CHARS)].tobytes()
    text = unicodedata.normalize("NFC", line.decode("utf-8", "replace"))[:EXCERPT_CHARS]
    if cfg.scope == "corpus":
        return {"text": text}
    row = int(np.searchsorted(units.first_N, at, side="right")) - 1
    return {"host": host_name(hosts_of(batch["url"]), row), "text": text}


def _report(cfg: Config, ctx: WideContext, groups: Sequence[Group], found: Sequence[Mapping[str, Any]]) -> None:
    """How many lines are repeated in how many documents, and a table of the most frequent ones."""
    shown = repeats.most_frequent([line for group in found for line in group["lines"]])
    wanted: dict[int, list[tuple[int, int]]] = {}
    for _, high, low, number in shown:
        wanted.setdefault(number, []).append((high, low))
    examples = ctx.map("examples", _examples, [(groups[number], keys) for number, keys in sorted(wanted.items())], cfg)
    row_of = {(high, low): row for rows in examples for high, low, row in rows}
    sizes = [size for group in found for size in group["sizes"]]
    ctx.report.counter(f"repeated_{cfg.unit}", sum(count for _, count in sizes))
    ctx.report.histogram(f"documents of a repeated {cfg.unit[:-1]}", *repeats.by_power_of_two(sizes))
    table = [{"documents": documents, **row_of[high, low]} for documents, high, low, _ in shown]
    ctx.report.sample(f"most frequent repeated {cfg.unit}", table)


def _open_filter(removing: _Removing, shard: int) -> BatchFunction:
    """Takes the repeated lines out of a shard's batches."""
    from stages.kernels import repeated_lines, utf8
    from stages.kernels.key_set import key_set

    cfg, group = removing.cfg, int(np.searchsorted(removing.grouping.first_part_G, shard, side="right")) - 1
    rows = repeats.of_group(removing.repeats, group)
    keys, row_K = key_set(np.stack([rows["high"].to_numpy(), rows["low"].to_numpy()], axis=1))
    documents_K = rows["documents"].to_numpy()[row_K]

    def rewrite(batch: pa.RecordBatch) -> Verdict:
        units, no_host_N = _units(cfg, batch)
        documents_U = repeated_lines.documents_of(units, keys, documents_K)
        removal = repeated_lines.measure(units, documents_U)
        checks = _checks(cfg, removal)
        drops = limits.drops(checks, batch.num_rows)
        changed_N = (removal.num_removed > 0) & (drops.code_N < 0)
        text = batch["text"].cast(pa.large_string())
        if changed_N.any():
            text = utf8.array(repeated_lines.without(units, documents_U > 0, changed_N))
        return Verdict(
            columns={"text": text},
            drops=drops,
            measures=limits.measures(checks[1:]),
            counters={
                "texts_changed": int(changed_N.sum()),
                f"{cfg.unit}_removed": int(removal.num_removed[changed_N].sum()),
                "chars_removed": int(removal.removed_chars[changed_N].sum()),
                "bytes_removed": int(removal.removed_bytes[changed_N].sum()),
                "without_host": int(no_host_N.sum()),
            },
        )

    return rewrite


def _checks(cfg: Config, removal: Removal) -> list[limits.Limit]:
    """Whether anything is left of each document, and how much was taken out."""
    nothing_left_N = (removal.num_removed > 0) & (removal.num_removed == removal.num_judged)
    return [
        limits.Limit(
            measure="documents_of_rarest", value_N=np.where(nothing_left_N, removal.fewest_documents, np.nan), low=0,
            high=100, at_most=cfg.max_documents, too_high=f"only_repeated_{cfg.unit}",
        ),
        limits.Limit(
            measure="removed_share", value_N=limits.ratio(removal.removed_chars, removal.chars), low=0, high=1,
            at_most=cfg.max_removed_share, too_high="too_much_repeated",
        ),
    ]  # fmt: skip
