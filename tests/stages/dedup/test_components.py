"""Both ways to find components against a plain graph search, and a whole run by either of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.store import Folder
from stages import minhash
from stages.dedup import components, corpus
from stages.dedup.corpus import Part
from stages.dedup.documents import ROW_BITS
from stages.dedup.verification import EDGE
from tests.stages.dedup.dedup_runs import context, exchange_of, laid_out, rows_of, run_minhash, signed

NUM_PARTS = 7
UNION_FIND, STARS = 50_000_000, -1  # values of UNION_FIND_EDGES that choose one or the other
Labels = dict[int, int]


def _oracle(edges_E2: np.ndarray) -> Labels:
    """For each node of an edge the least node it reaches, by a search from the least node on."""
    near: dict[int, list[int]] = {}
    for a, b in edges_E2.tolist():
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    least: Labels = {}
    for start in sorted(near):
        todo = [start] if start not in least else []
        while todo:
            node = todo.pop()
            if node not in least:
                least[node] = start
                todo += near[node]
    return least


def _found(edges_E2: np.ndarray, num_nodes: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Labels, int]:
    """(label by node, rounds of stars). The nodes lie in NUM_PARTS shards, two and two in a group; the edges come from
    three producers, in any direction, as rows for both of their ends."""
    rows_each = -(-num_nodes // NUM_PARTS)
    monkeypatch.setattr(corpus, "TASK_DOCS", rows_each + 1)
    parts = [Part(number=n, folder=Folder("nowhere"), name="", num_rows=rows_each) for n in range(NUM_PARTS)]
    groups, grouping = corpus.grouped(parts)
    assert len(groups) == 4
    doc_E2 = edges_E2 // rows_each << ROW_BITS | edges_E2 % rows_each
    producers = []
    for part_E2 in np.array_split(doc_E2, 3):
        doc, neighbour = np.concatenate([part_E2, part_E2[:, ::-1]]).T
        producers.append((grouping.keys(doc), doc, neighbour, np.ones(len(doc))))
    ctx = context(folder)
    edges = exchange_of(ctx, "edges", EDGE, producers, grouping.num_groups)
    labels = rows_of(components.labels(ctx, edges, len(edges_E2), groups, grouping), components.LABEL)
    doc, label = (labels[name].to_numpy() for name in ("doc", "label"))
    assert len(np.unique(doc)) == len(doc), "a document has two labels"
    node, root = ((n >> ROW_BITS) * rows_each + (n & (1 << ROW_BITS) - 1) for n in (doc, label))
    rounds = ctx.step_report.counters["star_rounds"]
    return dict(zip(node.tolist(), root.tolist(), strict=True)), rounds


def _random(num_nodes: int, num_edges: int) -> np.ndarray:
    edges_E2 = np.random.default_rng(num_edges).integers(0, num_nodes, (num_edges, 2))
    return edges_E2[edges_E2[:, 0] != edges_E2[:, 1]]


def _chain(num_nodes: int) -> np.ndarray:
    return np.stack([np.arange(num_nodes - 1), np.arange(1, num_nodes)], axis=1)


def _star(hub: int, first: int, last: int) -> np.ndarray:
    leaves = np.delete(np.arange(first, last), hub - first)
    return np.stack([np.full(len(leaves), hub), leaves], axis=1)


def _renamed(edges_E2: np.ndarray, num_nodes: int) -> np.ndarray:
    """The same graph under shuffled names, its edges in shuffled order."""
    rng = np.random.default_rng(num_nodes)
    return rng.permutation(rng.permutation(num_nodes)[edges_E2])


def _tree(num_nodes: int) -> np.ndarray:
    child = np.arange(1, num_nodes)
    return np.stack([(child - 1) // 2, child], axis=1)


def _caterpillar(spine: int) -> np.ndarray:
    """A chain each of whose nodes has two leaves."""
    leaves = np.stack([np.repeat(np.arange(spine), 2), np.arange(spine, 3 * spine)], axis=1)
    return np.concatenate([_chain(spine), leaves])


GRAPHS: dict[str, Callable[[], tuple[np.ndarray, int]]] = {
    "no edges": lambda: (np.empty((0, 2), np.int64), 700),
    "one edge": lambda: (np.array([[699, 3]]), 700),
    "sparse": lambda: (_random(2_000, 300), 2_000),
    "at the threshold of one giant": lambda: (_random(2_000, 1_000), 2_000),
    "dense": lambda: (_random(2_000, 12_000), 2_000),
    "complete": lambda: (np.argwhere(np.triu(np.ones((60, 60)), 1)), 60),
    "star of 20,000 about its last": lambda: (_star(20_000, 0, 20_001), 20_001),
    "star of 20,000 shuffled": lambda: (_renamed(_star(20_000, 0, 20_001), 20_001), 20_001),
    "two stars joined": lambda: (
        np.concatenate([_star(999, 0, 1_000), _star(1_500, 1_000, 2_000), np.array([[1_999, 0]])]), 2_000,
    ),
    "binary tree": lambda: (_renamed(_tree(2_047), 2_047), 2_047),
    "caterpillar": lambda: (_renamed(_caterpillar(400), 1_200), 1_200),
    "ring": lambda: (_renamed(np.concatenate([_chain(500), [[499, 0]]]), 500), 500),
    "every edge three times and turned": lambda: (
        np.concatenate([_random(900, 700), _random(900, 700)[:, ::-1], _random(900, 700)]), 900,
    ),
}  # fmt: skip


@pytest.mark.parametrize("limit", [UNION_FIND, STARS], ids=["union-find", "stars"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_labels_of_a_graph_are_the_least_nodes_a_search_reaches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graph: str, limit: int
) -> None:
    edges_E2, num_nodes = GRAPHS[graph]()
    monkeypatch.setattr(components, "UNION_FIND_EDGES", limit)
    monkeypatch.setattr(components, "YIELD_ROWS", 301)  # labels leave a task in several batches
    found, rounds = _found(edges_E2, num_nodes, tmp_path, monkeypatch)
    assert found == _oracle(edges_E2)
    assert (rounds > 0) == (limit == STARS)


@pytest.mark.parametrize("num_nodes", [300, 3_000, 30_000])
@pytest.mark.parametrize("order", ["in order", "shuffled", "zigzag"])
def test_stars_of_a_chain_need_logarithmically_many_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, num_nodes: int
) -> None:
    """Documents in a line, in order, shuffled, or small and large numbers by turns. Measured: 10, 13 and 16 rounds for
    the three lengths, and 8, 10 and 13 where shuffled."""
    edges_E2 = _chain(num_nodes)
    if order == "shuffled":
        edges_E2 = _renamed(edges_E2, num_nodes)
    elif order == "zigzag":
        names = np.empty(num_nodes, np.int64)
        names[::2], names[1::2] = np.arange(num_nodes // 2), np.arange(num_nodes - 1, num_nodes // 2 - 1, -1)
        edges_E2 = names[edges_E2]
    monkeypatch.setattr(components, "UNION_FIND_EDGES", STARS)
    found, rounds = _found(edges_E2, num_nodes, tmp_path, monkeypatch)
    assert found == dict.fromkeys(range(num_nodes), 0)
    assert rounds <= math.log2(num_nodes) + 2


@pytest.mark.parametrize("limit, most", [("UNION_FIND_EDGES", 99), ("UNION_FIND_DOCS", 210)])
def test_labels_beyond_a_limit_come_from_stars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    """99 edges among the documents of seven shards of 30; the limit itself is still within."""
    for less, by_stars in ((0, False), (1, True)):
        monkeypatch.setattr(components, limit, most - less)
        found, rounds = _found(_chain(100), 210, tmp_path / str(less), monkeypatch)
        assert found == dict.fromkeys(range(100), 0) and (rounds > 0) == by_stars


def test_minhash_by_stars_writes_the_bytes_that_union_find_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Families of edited copies, each copy made from the one before it, so that a family is a chain."""
    rng = np.random.default_rng(3)
    texts = []
    for size in rng.integers(1, 12, 60).tolist():
        words = ["".join(letters) for letters in rng.choice(list("abcdefgh"), (60, 6))]
        for _ in range(size):
            texts.append(" ".join(words))
            words[int(rng.integers(0, 60))] = "".join(rng.choice(list("abcdefgh"), 6))
    shards = laid_out(signed(texts), 6, 0)
    monkeypatch.setattr(corpus, "TASK_DOCS", len(texts) // 4)
    results = {}
    for name, limit in (("union-find", UNION_FIND), ("stars", STARS)):
        monkeypatch.setattr(components, "UNION_FIND_EDGES", limit)
        results[name] = run_minhash(minhash.Config(threshold=0.6), shards, tmp_path / name)
    assert results["stars"].files == results["union-find"].files
    assert results["stars"].report.counters.pop("star_rounds") > 1
    assert results["stars"].report.to_json() == results["union-find"].report.to_json()
    assert results["stars"].report.dropped["near_duplicate"] > 100
