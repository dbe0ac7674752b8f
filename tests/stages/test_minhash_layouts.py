"""Near-duplicate dedup of a template site: few are missed; any layout and a kill in any phase give the same.

The pages of a site are a template and modules out of a pool, in the pool's order, so that bands are shared by many
pages that are not near-duplicates: the groups in which not all pairs are compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.artifact import Artifact
from pipeline.backend import LocalBackend
from pipeline.dag import Resources
from stages import minhash, signatures
from stages.dedup import components, corpus, pairing
from stages.kernels import minhash as kernels
from stages.kernels import union_find
from stages.kernels.band_groups import ALL_PAIRS
from tests.stages.dedup.dedup_runs import Result, laid_out, run_minhash, signed
from tests.wide_context import documents_artifact

SMALL = {"template": 60, "pool": 16, "module": 12, "chosen": 6, "edits": 1}


@dataclass(frozen=True)
class Site:
    """Texts of pages, and the planted pairs among them: a page and the same page with some words changed."""

    texts: list[str]
    planted: list[tuple[int, int]]


def _words(rng: np.random.Generator, number: int) -> list[str]:
    return ["".join(letters) for letters in rng.choice(list("abcdefghijklmnop"), (number, 7))]


def _site(num_pages: int, num_planted: int, *, template: int, pool: int, module: int, chosen: int, edits: int) -> Site:
    rng = np.random.default_rng(num_pages)
    head, modules = _words(rng, template), [_words(rng, module) for _ in range(pool)]
    site = Site([], [])
    while len(site.texts) < num_pages:
        own = np.sort(rng.permutation(pool)[:chosen]).tolist()
        words = [*head, *(word for m in own for word in modules[m])]
        site.texts.append(" ".join(words))
        if len(site.planted) < num_planted:
            for place in rng.choice(len(words), edits, replace=False).tolist():
                [words[place]] = _words(rng, 1)
            site.planted.append((len(site.texts) - 1, len(site.texts)))
            site.texts.append(" ".join(words))
    return site


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def _similarity(one: str, other: str) -> float:
    left, right = _shingles(one), _shingles(other)
    return len(left & right) / len(left | right)


def _signature_NK(table: pa.Table) -> np.ndarray:
    return np.array(table["signature"].to_pylist(), np.uint32)


def _band_groups(signature_NK: np.ndarray, num_bands: int) -> Iterator[list[int]]:
    """The pages of each band's keys."""
    for band_N in kernels.band_keys(signature_NK, num_bands, signature_NK.shape[1] // num_bands).T.tolist():
        pages: dict[int, list[int]] = defaultdict(list)
        for page, key in enumerate(band_N):
            pages[key].append(page)
        yield from pages.values()


def _cluster_by_stars(table: pa.Table, num_bands: int, threshold: float) -> np.ndarray:
    """Clusters where each page of a band is compared with one alone, that of the least hash: what dedup tools do that
    keep a band's first document."""
    signature_NK = _signature_NK(table)
    order_N = np.random.default_rng(0).permutation(table.num_rows)
    pairs = {
        (page, hub)
        for group in _band_groups(signature_NK, num_bands)
        for hub in [min(group, key=lambda page: int(order_N[page]))]
        for page in group
        if page != hub
    }
    left_P, right_P = np.array(sorted(pairs)).T
    near_P = (signature_NK[left_P] == signature_NK[right_P]).mean(axis=1) >= threshold
    parent_N = union_find.alone(table.num_rows)
    union_find.link(parent_N, left_P[near_P], right_P[near_P])
    union_find.settle(parent_N)
    return parent_N


def _ledger(result: Result) -> dict[bytes, bytes]:
    """`duplicate_of` of every dropped page."""
    found: dict[bytes, bytes] = {}
    for name, data in result.files.items():
        if name.startswith("dropped/"):
            rows = pa.parquet.read_table(pa.BufferReader(data), columns=["id", "duplicate_of"]).to_pylist()
            found |= {row["id"]: row["duplicate_of"] for row in rows}
    return found


def _placeless(report: Any) -> Any:
    """A report without the rows in which its samples stand in their shards."""
    if isinstance(report, dict):
        return {name: _placeless(value) for name, value in report.items() if name != "row"}
    return [_placeless(value) for value in report] if isinstance(report, list) else report


# Template, modules and edits make two pages alike by 0.6, planted pairs by 0.9.
@pytest.mark.parametrize("num_bands, rows_per_band, star_finds", [(14, 8, 0.85), (20, 5, 0.65)])
def test_minhash_finds_pairs_planted_in_a_template_site(
    tmp_path: Path, num_bands: int, rows_per_band: int, star_finds: float
) -> None:
    """Measured: 0.98 and 0.96 of the planted pairs are in one cluster, and 0.78 and 0.56 by stars alone."""
    site = _site(3_000, 300, template=400, pool=30, module=20, chosen=10, edits=6)
    table = signed(site.texts, signatures.Config(num_bands=num_bands, rows_per_band=rows_per_band))
    rng, planted = np.random.default_rng(0), np.array(site.planted)
    others = [rng.choice(3_000, 2, replace=False).tolist() for _ in range(200)]
    assert 0.55 < np.mean([_similarity(site.texts[a], site.texts[b]) for a, b in others]) < 0.65
    similarity_P = np.array([_similarity(site.texts[a], site.texts[b]) for a, b in site.planted])
    assert 0.89 < similarity_P.mean() < 0.92

    cfg = minhash.Config(num_bands=num_bands, rows_per_band=rows_per_band, threshold=0.84)
    result = run_minhash(cfg, laid_out(table, 3, 0), tmp_path)
    ids, of = table["id"].to_pylist(), _ledger(result)
    together = [of.get(ids[a], ids[a]) == of.get(ids[b], ids[b]) for a, b in site.planted]
    curve = np.mean(1 - (1 - similarity_P**rows_per_band) ** num_bands)
    assert np.mean(together) >= 0.9 * curve
    assert result.report.figures["largest cluster"] < 60, "pages of one cluster prove nothing"
    assert result.report.counters["candidate_pairs"] <= 3 * num_bands * 3_000

    cluster_N = _cluster_by_stars(table, num_bands, 0.84)
    assert (cluster_N[planted[:, 0]] == cluster_N[planted[:, 1]]).mean() < star_finds


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """600 pages, 60 planted pairs, two with the same text, and three that are too short."""
    site = _site(600, 60, **SMALL)
    signed_table = signed([*site.texts, site.texts[5], "too short", "", "a b"])
    groups = list(_band_groups(_signature_NK(signed_table.slice(0, 601)), 14))
    assert sum(len(group) > ALL_PAIRS for group in groups) > 30
    return signed_table


def _rows(result: Result, folder: str) -> pa.Table:
    tables = [
        pa.parquet.read_table(pa.BufferReader(data)) for name, data in result.files.items() if name.startswith(folder)
    ]
    return pa.concat_tables(tables).sort_by("id").combine_chunks()


SETTINGS: dict[str, dict[str, Any]] = {
    "signatures": {}, "exact": {"verify": "exact"}, "split": {"split_large": True, "alarm_size": 3}
}  # fmt: skip


@pytest.fixture(scope="module", params=SETTINGS)
def whole(
    request: pytest.FixtureRequest, table: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> tuple[minhash.Config, Result]:
    """A configuration, and its run over one shard."""
    cfg = minhash.Config(threshold=0.8, keep="shortest_url", **SETTINGS[request.param])
    return cfg, run_minhash(cfg, [table], tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("num_shards, seed", [(1, 1), (2, 2), (2, 3), (5, 4), (5, 5)])
def test_minhash_any_layout_gives_the_same_pages_ledger_and_report(
    tmp_path: Path, table: pa.Table, whole: tuple[minhash.Config, Result], num_shards: int, seed: int
) -> None:
    cfg, expected = whole
    found = run_minhash(cfg, laid_out(table, num_shards, seed), tmp_path)
    for folder in ("shards", "dropped"):
        assert _rows(found, folder).equals(_rows(expected, folder))
    assert _rows(found, "dropped").num_rows > 50
    assert sum(_rows(found, "shards")["duplicate_count"].to_pylist()) == table.num_rows
    assert _placeless(found.report.to_json()) == _placeless(expected.report.to_json())


@pytest.mark.parametrize("rows_per_partition, task_docs, most_edges", [
    (1_000, 10**6, 10**6), (10**6, 200, 10**6), (97, 1, 10**6), (300, 130, -1),
])  # fmt: skip
def test_minhash_any_tasks_and_partitions_write_the_same_bytes(
    tmp_path: Path, table: pa.Table, monkeypatch: pytest.MonkeyPatch, rows_per_partition: int, task_docs: int,
    most_edges: int,
) -> None:  # fmt: skip
    shards, cfg = laid_out(table, 5, 0), minhash.Config(threshold=0.8)
    whole = run_minhash(cfg, shards, tmp_path / "whole")
    monkeypatch.setattr(pairing, "BAND_ROWS_PER_PARTITION", rows_per_partition)
    monkeypatch.setattr(corpus, "TASK_DOCS", task_docs)
    monkeypatch.setattr(components, "UNION_FIND_EDGES", most_edges)
    other = run_minhash(cfg, shards, tmp_path / "other")
    assert other.files == whole.files
    assert bool(other.report.counters.pop("star_rounds", 0)) == (most_edges < 0)
    assert other.report.to_json() == whole.report.to_json()


class _KilledError(Exception):
    """The run is killed."""


def _cut_short(folder: Path, before: dict[Path, bytes]) -> None:
    """Halve every file that is new, and take away what says that the task is done."""
    for path in folder.rglob("*"):
        if path.is_file() and before.get(path) != path.read_bytes():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            if "phases" in path.parts:
                path.unlink()


def _tear(folder: Path, before: dict[Path, bytes]) -> None:
    """Leave half of what says that the task is done."""
    for path in (folder / "work" / "phases").rglob("*"):
        if path.is_file() and path not in before:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@dataclass
class _Backend(LocalBackend):
    """Runs tasks in this process and counts them by phase; kills the run at task `at` of a phase, before the task, or
    behind it when `damage` has spoilt what it wrote."""

    folder: Path
    phase: str = ""
    at: int = 0
    damage: Callable[[Path, dict[Path, bytes]], None] | None = None
    num_run: Counter[str] = field(default_factory=Counter)

    def run(
        self, function: Callable[[Any], Any], items: Sequence[Any], resources: Resources
    ) -> Iterator[tuple[int, Any]]:
        for index, item in enumerate(items):
            phase = item.result_name.split("/")[1]
            meant = phase == self.phase and index == min(self.at, len(items) - 1)
            if meant and self.damage is None:
                raise _KilledError(phase)
            before = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()} if meant else {}
            [(_, result)] = super().run(function, [item], resources)
            self.num_run[phase] += 1
            if meant and self.damage is not None:
                self.damage(self.folder, before)
                raise _KilledError(phase)
            yield index, result


KILLS: dict[str, tuple[int, Callable[[Path, dict[Path, bytes]], None] | None]] = {
    "before the first task": (0, None),
    "before the second task": (1, None),
    "in the middle of a task": (1, _cut_short),
    "at its commit": (0, _tear),
}
VARIANTS: dict[str, tuple[minhash.Config, int]] = {  # with UNION_FIND_EDGES
    "union-find": (minhash.Config(threshold=0.8), 10**6),
    "stars": (minhash.Config(threshold=0.8, verify="exact"), -1),
    "split": (minhash.Config(threshold=0.7, split_large=True, alarm_size=3), 10**6),
}
PHASES = ("bands", "candidates", "witnesses", "edges", "edge_counts", "components", "standings", "clusters",
          "decisions", "largest_clusters", "filter_documents")  # fmt: skip


@dataclass(frozen=True)
class Unbroken:
    """A run that nobody kills: its configuration and documents, its outcome, and how many tasks each phase has."""

    cfg: minhash.Config
    documents: Artifact
    result: Result
    num_tasks: Counter[str]


@pytest.fixture(scope="module")
def unbroken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unbroken]:
    """The run of a variant, in several groups and partitions; the limits stay as they are for the runs to be killed."""
    cfg, most_edges = VARIANTS[request.param]
    folder = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(components, "UNION_FIND_EDGES", most_edges)
        patch.setattr(corpus, "TASK_DOCS", 25)
        patch.setattr(pairing, "BAND_ROWS_PER_PARTITION", 700)
        documents = documents_artifact(folder / "in", laid_out(signed(_site(72, 20, **SMALL).texts), 6, 0))
        backend = _Backend(folder)
        result = run_minhash(cfg, documents, folder, backend)
        assert result.report.dropped["near_duplicate"] > 15
        yield Unbroken(cfg, documents, result, backend.num_run)


@pytest.mark.parametrize("unbroken, kill", [
    *(("union-find", kill) for kill in KILLS),
    ("stars", "before the second task"), ("stars", "in the middle of a task"),
    ("split", "in the middle of a task"), ("split", "at its commit"),
], indirect=["unbroken"])  # fmt: skip
def test_minhash_killed_in_every_phase_goes_on_to_the_same_bytes(tmp_path: Path, unbroken: Unbroken, kill: str) -> None:
    """One folder, killed in one phase after the other, each time with what the runs before have finished."""
    at, damage = KILLS[kill]
    num_run: Counter[str] = Counter()
    for phase in [*unbroken.num_tasks, ""]:  # in the end it is not killed
        backend = _Backend(tmp_path, phase, at, damage)
        with pytest.raises(_KilledError, match=phase) if phase else nullcontext():
            result = run_minhash(unbroken.cfg, unbroken.documents, tmp_path, backend)
        num_run += backend.num_run
    assert result.files == unbroken.result.files
    assert result.report.to_json() == unbroken.result.report.to_json()
    repeated = {phase: num_run[phase] - number for phase, number in unbroken.num_tasks.items()}
    assert set(repeated.values()) == {0 if damage is None else 1}, "only what was not finished is done again"


@pytest.mark.parametrize("unbroken", ["union-find"], indirect=True)
@pytest.mark.parametrize("phase", PHASES)
def test_minhash_killed_once_goes_on_to_the_same_bytes(tmp_path: Path, unbroken: Unbroken, phase: str) -> None:
    with pytest.raises(_KilledError):
        run_minhash(unbroken.cfg, unbroken.documents, tmp_path, _Backend(tmp_path, phase, 1, _cut_short))
    result = run_minhash(unbroken.cfg, unbroken.documents, tmp_path)
    assert result.files == unbroken.result.files
    assert result.report.to_json() == unbroken.result.report.to_json()


@pytest.mark.parametrize("unbroken, more", [
    ("union-find", {"components"}), ("stars", {"large_stars_1", "small_stars_1_moved", "labels"}),
    ("split", {"components", "large_clusters_apart", "split_1_contenders"}),
], indirect=["unbroken"])  # fmt: skip
def test_minhash_phases_that_are_killed_are_all_there_are(unbroken: Unbroken, more: set[str]) -> None:
    """No phase has gone by another name without this file hearing of it."""
    assert {*PHASES} - {"components"} | more <= set(unbroken.num_tasks)
