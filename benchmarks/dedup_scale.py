"""Signatures with known clusters, in any number: the same cost per document at eight times the size, and at 3 billion.

Reads:  nothing; signatures are drawn
Writes: documents artifacts of SHARD_ROWS documents a shard (short text and URL), below the folder it is given
Cost:   about 0.5 GB of disk per million documents for the input, twice that while it is deduplicated

Two documents of a cluster agree in each row of their signatures with the chance SIMILARITY: each has kept the row of
the cluster's own signature with its square root. Sizes of clusters follow s^-2.5 up to LARGEST, with CLUSTERED of the
documents in them; `boilerplate` of the documents are one cluster more, and the rest are alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pyarrow as pa

from benchmarks.dedup_compare import compare_known
from benchmarks.dedup_run import (
    NUM_ROWS,
    Phase,
    ids_of,
    labels_of,
    ray_backend,
    run_dedup,
    signature_column,
    write_artifact,
)
from pipeline.artifact import Artifact

SIMILARITY = 0.9
CLUSTERED, EXPONENT, LARGEST = 0.4, 2.5, 1000
BOILERPLATE = 0.01
SIZES = (1, 2, 4, 8)
TARGET, NODES, CORES = 3_000_000_000, 64, 32


def draw_clusters(num_documents: int, boilerplate: float, seed: int) -> np.ndarray:
    """int64[N]: each document's cluster, members anywhere."""
    generator = np.random.default_rng(seed)
    sizes = np.arange(2, LARGEST + 1)
    chance = sizes**-EXPONENT / (sizes**-EXPONENT).sum()
    room = int(CLUSTERED * num_documents)
    drawn = generator.choice(sizes, room // 2 + 1, p=chance)  # more than fit
    drawn = drawn[: np.searchsorted(np.cumsum(drawn), room)]
    alone = num_documents - int(drawn.sum()) - int(boilerplate * num_documents)
    sizes_C = np.concatenate([[int(boilerplate * num_documents)], drawn, np.ones(alone, np.int64)]).astype(np.int64)
    return generator.permutation(np.repeat(np.arange(len(sizes_C)), sizes_C))


@numba.njit
def _mix(value: Any) -> Any:
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@numba.njit
def _draw(clusters: np.ndarray, first: int, kept_of_2_32: int, signatures: np.ndarray) -> None:
    """A row is the cluster's where a draw by (document, row) says so, otherwise the document's own."""
    num_rows = signatures.shape[1]
    for n in range(len(clusters)):
        for row in range(num_rows):
            own = _mix(np.uint64(first + n) * np.uint64(num_rows) + np.uint64(row) + np.uint64(1 << 60))
            value = own
            if (own >> np.uint64(32)) < np.uint64(kept_of_2_32):
                value = _mix(np.uint64(clusters[n]) * np.uint64(num_rows) + np.uint64(row) + np.uint64(1))
            signatures[n, row] = np.uint32(value & np.uint64(0xFFFFFFFF))


def draw_signatures(clusters: np.ndarray, first: int) -> np.ndarray:
    """uint32[len(clusters), K] of documents first, first + 1, ..."""
    signatures = np.empty((len(clusters), NUM_ROWS), np.uint32)
    _draw(clusters, first, int(SIMILARITY**0.5 * 2**32), signatures)
    return signatures


def draw_artifact(clusters: np.ndarray, shard_rows: int, folder: Path) -> Artifact:
    return write_artifact(folder, _shards(clusters, shard_rows))


def _shards(clusters: np.ndarray, shard_rows: int) -> Iterator[pa.Table]:
    for first in range(0, len(clusters), shard_rows):
        part = clusters[first : first + shard_rows]
        numbers = np.arange(first, first + len(part))
        texts = [f"document {n}" for n in numbers.tolist()]
        yield pa.table(
            {
                "id": ids_of(numbers), "url": pa.array([f"https://drawn.example/{n}" for n in numbers.tolist()]),
                "text": pa.array(texts, pa.large_string()),
                "signature": signature_column(draw_signatures(part, first)),
            }
        )  # fmt: skip


def run_size(num_documents: int, shard_rows: int, folder: Path, largest: bool) -> list[dict[str, Any]]:
    """What a run over so many documents took; for the largest size what one with star contraction took, too."""
    clusters = draw_clusters(num_documents, BOILERPLATE, seed=num_documents)
    documents = draw_artifact(clusters, shard_rows, folder / "in")
    rows = [_taken(clusters, documents, folder)]
    if largest:
        with star_contraction():
            rows.append(_taken(clusters, documents, folder))
    shutil.rmtree(folder / "in")
    return rows


@contextmanager
def star_contraction() -> Iterator[None]:
    """Let no process hold all edges, however few there are."""
    from stages.dedup import components

    limit, components.UNION_FIND_EDGES = components.UNION_FIND_EDGES, -1
    try:
        yield
    finally:
        components.UNION_FIND_EDGES = limit


def _taken(clusters: np.ndarray, documents: Artifact, folder: Path) -> dict[str, Any]:
    """A run on a Ray of its own, so that its workers' memory is its own."""
    with ray_backend(folder) as backend:
        run = run_dedup({}, documents, folder / "run", backend)
    known = compare_known(clusters, labels_of(run))
    shutil.rmtree(folder / "run")
    num_documents = run.num_documents
    return {
        "documents": num_documents, "shards": len(documents.shards()),
        "wall_us_per_document": run.wall_s / num_documents * 1e6,
        "cpu_us_per_document": run.cpu_s / num_documents * 1e6, "wall_s": run.wall_s, "cpu_s": run.cpu_s,
        "peak_memory_mb": run.peak_memory_bytes / 1e6,
        "exchanged_bytes_per_document": run.exchanged_bytes / num_documents,
        "scratch_bytes_per_document": run.scratch_bytes / num_documents,
        "known": known,
        "phases": [phase_row(phase, num_documents) for phase in run.phases],
    }  # fmt: skip


def phase_row(phase: Phase, num_documents: int) -> dict[str, Any]:
    return {
        "phase": phase.name, "tasks": phase.num_tasks, "wall_s": phase.wall_s, "cpu_s": phase.cpu_s,
        "cpu_us_per_document": phase.cpu_s / num_documents * 1e6, "longest_task_cpu_s": phase.longest_task_s,
        "peak_memory_mb": phase.peak_memory_bytes / 1e6,
        "exchanged_bytes_per_document": phase.exchanged_bytes / num_documents, "partitions": phase.num_partitions,
    }  # fmt: skip


def measure(documents_1x: int, shard_rows: int, folder: Path) -> list[dict[str, Any]]:
    """1x, 2x, 4x, 8x, and 8x with star contraction; each is printed as it is done."""
    rows = []
    print(f"{'documents':>12} {'shards':>7} {'wall, us each':>14} {'CPU, us each':>13} {'peak, MB':>9} "
          f"{'exchanged, B each':>18} {'pairs found':>12} {'clusters equal':>15}")  # fmt: skip
    for size in SIZES:
        for row in run_size(size * documents_1x, shard_rows, folder, size == SIZES[-1]):
            rows.append(row)
            print(f"{row['documents']:12,} {row['shards']:7,} {row['wall_us_per_document']:14.2f} "
                  f"{row['cpu_us_per_document']:13.2f} {row['peak_memory_mb']:9.0f} "
                  f"{row['exchanged_bytes_per_document']:18.1f} {row['known']['pairs_found']:12.6f} "
                  f"{row['known']['clusters_equal']:15.6f}{'' if len(rows) <= len(SIZES) else '  (stars)'}",
                  flush=True)  # fmt: skip
    return rows


def extrapolate(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A Markdown table for TARGET documents on NODES nodes, from the CPU seconds per phase of the run with stars.

    A phase whose tasks (or partitions) have grown with the documents is taken to go on so, and so is one of stars (its
    rounds grow with the logarithm of a cluster's size alone); one whose tasks have not runs on as many cores as it had
    tasks. Disks, networks and the driver are not in it. `bytes a piece` are those that one task has for one partition:
    a reader fetches one piece of every task's file.
    """
    small, large = rows[0], rows[-1]
    if large["phases"][0]["tasks"] < len(SIZES):
        return ["Too few tasks to extrapolate from: give --scale-documents 1_000_000 or more."]
    factor = TARGET / large["documents"]
    before = {phase["phase"]: phase for phase in small["phases"]}
    least = large["documents"] / small["documents"] / 2

    def at_target(phase: dict[str, Any], count: str) -> int:
        known = before.get(phase["phase"])
        grows = phase[count] >= least * known[count] if known else phase[count] > 1
        return round(phase[count] * factor) if grows else int(phase[count])

    lines = [
        f"Extrapolated from {large['documents']:,} to {TARGET:,} documents, {NODES} nodes of {CORES} cores:",
        "",
        "| phase | tasks | CPU hours | hours | exchanged | partitions | bytes a piece |",
        "|---|---|---|---|---|---|---|",
    ]
    totals = [0.0, 0.0, 0.0]
    for phase in large["phases"]:
        num_tasks, num_partitions = at_target(phase, "tasks"), at_target(phase, "partitions")
        cpu_h = phase["cpu_s"] * factor / 3600
        hours = cpu_h / min(num_tasks, NODES * CORES)
        exchanged = phase["exchanged_bytes_per_document"] * TARGET
        totals = [total + value for total, value in zip(totals, (cpu_h, hours, exchanged), strict=True)]
        line = f"| {phase['phase']} | {num_tasks:,} | {cpu_h:,.1f} | {hours:.3f} |"
        if exchanged:
            line += f" {exchanged / 1e12:.2f} TB | {num_partitions:,} | {exchanged / num_tasks / num_partitions:,.0f} |"
        lines.append(line if exchanged else f"{line} | | |")
    lines.append(f"| all | | {totals[0]:,.1f} | {totals[1]:.3f} | {totals[2] / 1e12:.2f} TB | | |")
    return lines
