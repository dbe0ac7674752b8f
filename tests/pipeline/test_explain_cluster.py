"""Clusters as `explain` tells them, of a run over planted copies: JSON lines, signatures, exact, near-duplicates.

The oracles are the planted corpus itself and sets of 5-word tuples.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from pipeline import explain_cluster
from pipeline.artifact import Artifact
from pipeline.cli import main
from pipeline.document_scan import find_places, read_place
from pipeline.explain import Fate, StepFate, explain, format_fate
from pipeline.explain_cluster import MEMBERS, Cluster, Member
from pipeline.explain_lines import kept_lines
from pipeline.store import Folder
from stages.dedup import comparison

HOSTILE = "\x1b]0;owned\x07 \x9b31m \u202e\u2066 \x00\r\n"
HOSTILE_URL = f"https://bad.example/{HOSTILE}/{'x' * 5000}"
STEPS = """\
  crawl: {{uses: stages.documents, with: {{source: {source}, url_column: url, id_column: name}}}}
  signatures: {{uses: stages.signatures, inputs: crawl}}
  exact: {{uses: stages.exact, inputs: signatures}}
  unique: {{uses: stages.minhash, inputs: exact, with: {{threshold: 0.6{settings}}}}}
"""


def words(seed: int, num: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(num)]


def edited(text: Sequence[str], *places: int) -> list[str]:
    return [f"edit{at}" if at in places else word for at, word in enumerate(text)]


def corpus() -> dict[str, str]:
    """Texts by name. The longest of each family, whose name ends in 0, is the one that is kept."""
    base, many, bad = words(1, 200), words(2, 200), words(3, 100)
    texts = {
        "f0": [*base, "longest"], "f1": edited(base, 100), "f2": edited(base, 20, 150), "f1_copy": edited(base, 100),
        "f1_upper": [word.upper() for word in edited(base, 100)],
        "alone": words(4, 80), "nothing": [], "short": ["too", "short"],
        "bad0": [HOSTILE, *bad, "longest"], "bad1": [HOSTILE, *edited(bad, 2)],
        "many0": [*many, "longest"],
    }  # fmt: skip
    texts |= {f"many{n}": edited(many, n * 9) for n in range(1, 21)}
    return {name: " ".join(text) for name, text in texts.items()}


CORPUS = corpus()
COPIES = ("f1", "f1_copy", "f1_upper")


def url(name: str) -> str | None:
    if name == "many1":
        return None
    return f"{HOSTILE_URL}{name}" if name.startswith("bad") else f"https://site.example/{name}"


def id_of(name: str) -> str:
    return xxhash.xxh3_128_hexdigest(name.encode())


KEPT_COPY = min(COPIES, key=id_of)  # of equally long texts the one with the least id stays


def shingles(name: str) -> set[tuple[str, ...]]:
    text = CORPUS[name].lower().split()
    return {tuple(text[i : i + 5]) for i in range(len(text) - 4)}


def jaccard(one: str, other: str) -> float:
    return len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))


def write_dag(folder: Path, name: str, names: Sequence[str], settings: str = "") -> Path:
    """A corpus of two files and the DAG that reads it and writes to `folder/name`."""
    (folder / f"{name}-in").mkdir()
    for number in range(2):
        rows = [{"name": n, "url": url(n), "text": CORPUS[n]} for n in names[number::2]]
        (folder / f"{name}-in" / f"{number}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dag = folder / f"{name}.yaml"
    steps = STEPS.format(source=folder / f"{name}-in", settings=settings)
    dag.write_text(f"version: 1\noutput: {folder / name}\nsteps:\n{steps}")
    return dag


def run(folder: Path, name: str, names: Sequence[str], settings: str = "") -> Folder:
    dag = write_dag(folder, name, names, settings)
    assert main(["run", str(dag), "--in-process", "--json"]) == 0
    return Folder(str(folder / name))


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return run(tmp_path_factory.mktemp("clusters"), "out", list(CORPUS))


def fate_of(output: Folder, name: str, compare_members: bool = False) -> Fate:
    [fate] = explain(output, id_of(name), comparison, compare_members)
    return fate


def step_of(fate: Fate, name: str) -> StepFate:
    [step] = [step for step in fate.steps if step.step == name]
    return step


def cluster_of(output: Folder, name: str, step: str = "unique", compare_members: bool = False) -> Cluster:
    cluster = step_of(fate_of(output, name, compare_members), step).cluster
    assert cluster is not None
    return cluster


def signatures_of(output: Folder) -> dict[str, list[int]]:
    [folder] = (output.local_path() / "exact").iterdir()
    rows = [row for path in (folder / "shards").iterdir() for row in pq.read_table(path).to_pylist()]
    return {row["id"].hex(): row["signature"] for row in rows}


def test_cluster_near_duplicate_names_representative_and_exact_similarity(output: Folder) -> None:
    fate = fate_of(output, "f2")
    step, cluster = step_of(fate, "unique"), cluster_of(output, "f2")
    assert (step.outcome, step.reason, step.duplicate_of) == ("dropped", "near_duplicate", id_of("f0"))
    assert (cluster.representative, cluster.representative_url) == (id_of("f0"), url("f0"))
    assert (cluster.documents, cluster.of_earlier_run, cluster.note) == (3, False, None)
    assert [(m.id, m.url) for m in cluster.members] == [(id_of(KEPT_COPY), url(KEPT_COPY))]
    assert cluster.similarity == jaccard("f2", "f0")
    signature = signatures_of(output)
    one, other = signature[id_of("f2")], signature[id_of("f0")]
    assert cluster.estimate == sum(a == b for a, b in zip(one, other, strict=True)) / len(one)
    assert cluster.differs is not None
    left, right = cluster.differs
    assert left.split("▸ ")[1].split()[0] == "edit20"
    assert right.split("▸ ")[1].split()[0] == CORPUS["f0"].split()[20]


def test_cluster_member_dropped_by_exact_first_is_told_where_its_representative_went(output: Folder) -> None:
    copies = set(COPIES) - {KEPT_COPY}
    for name in copies:
        fate, cluster = fate_of(output, name), cluster_of(output, name, "exact")
        assert [s.step for s in fate.steps] == ["crawl", "signatures", "exact"]
        assert (cluster.representative, cluster.documents) == (id_of(KEPT_COPY), 3)
        assert [m.id for m in cluster.members] == [id_of(other) for other in copies - {name}]
        assert (cluster.representative_dropped_by, cluster.estimate, cluster.similarity) == ("unique", None, None)
        assert (list(cluster.differs or ()) == ["", ""]) == (CORPUS[name] == CORPUS[KEPT_COPY])
        assert "      which unique dropped in turn" in format_fate(fate).splitlines()


def test_cluster_of_copies_and_near_copies_is_counted_by_each_step(output: Folder) -> None:
    fate = fate_of(output, KEPT_COPY)
    first, second = step_of(fate, "exact"), step_of(fate, "unique")
    assert (first.outcome, second.outcome) == ("passed", "dropped")
    assert first.cluster is not None and second.cluster is not None
    assert {m.id for m in first.cluster.members} == {id_of(name) for name in COPIES} - {id_of(KEPT_COPY)}
    assert (first.cluster.documents, second.cluster.documents) == (3, 3)
    assert second.cluster.similarity == jaccard(KEPT_COPY, "f0")
    [place] = fate_of(output, "f0").kept_in
    assert place.columns["duplicate_count"] == 5


def test_cluster_representative_tells_what_was_dropped_for_it(output: Folder) -> None:
    fate, cluster = fate_of(output, "f0"), cluster_of(output, "f0")
    assert step_of(fate, "unique").outcome == "passed" and fate.kept_in
    assert (cluster.representative, cluster.representative_url, cluster.documents) == (id_of("f0"), url("f0"), 3)
    assert {m.id for m in cluster.members} == {id_of("f2"), id_of(KEPT_COPY)}
    assert (cluster.similarity, cluster.estimate, cluster.differs) == (None, None, None)
    assert "  unique      kept for 3 documents; dropped for it:" in format_fate(fate).splitlines()


def test_cluster_members_asked_for_are_compared_with_the_representative(output: Folder) -> None:
    names = {id_of(name): name for name in CORPUS}
    cluster = cluster_of(output, "many3", compare_members=True)
    assert len(cluster.members) == MEMBERS
    for member in cluster.members:
        assert member.similarity == jaccard(names[member.id], "many0")
        assert member.differs is not None and "edit" in member.differs[0] and "edit" not in member.differs[1]
    assert all(m.similarity is None for m in cluster_of(output, "many3").members)


def test_cluster_larger_than_what_is_named_counts_all_and_names_the_least_ids(output: Folder) -> None:
    others = sorted(id_of(f"many{n}") for n in range(1, 21))
    of_representative = cluster_of(output, "many0")
    assert of_representative.documents == 21
    assert {m.id for m in of_representative.members} == set(others[:MEMBERS])
    assert "      and 10 more" in format_fate(fate_of(output, "many0")).splitlines()
    last = next(name for name in CORPUS if id_of(name) == others[0])
    of_member = cluster_of(output, last)
    assert {m.id for m in of_member.members} == set(others[1 : MEMBERS + 1]), "not itself, nor the representative"
    assert "      and 9 more" in format_fate(fate_of(output, last)).splitlines()
    values = [m.value or 0 for m in of_member.members]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("name", ["alone", "short"])
def test_cluster_of_a_singleton_is_none(output: Folder, name: str) -> None:
    fate = fate_of(output, name)
    assert [s.outcome for s in fate.steps] == ["passed"] * 4
    assert [s.cluster for s in fate.steps] == [None] * 4


def test_cluster_of_a_document_dropped_before_dedup_is_none(output: Folder) -> None:
    fate = fate_of(output, "nothing")
    assert [(s.step, s.reason, s.cluster) for s in fate.steps] == [("crawl", "empty_text", None)]


def test_cluster_by_url_is_the_one_by_id(output: Folder) -> None:
    for name in ("f2", "f0", "many5", "bad1"):
        assert explain(output, str(url(name)), comparison) == explain(output, id_of(name), comparison)


def test_cluster_without_a_comparison_names_documents_only(output: Folder) -> None:
    [fate] = explain(output, id_of("f2"))
    cluster = step_of(fate, "unique").cluster
    assert cluster is not None
    assert (cluster.documents, cluster.similarity, cluster.differs, cluster.note) == (3, None, None, None)


def test_cluster_whose_texts_are_gone_says_so(output: Folder, tmp_path: Path) -> None:
    shutil.copytree(output.local_path(), tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "exact")
    fate = fate_of(Folder(str(tmp_path / "out")), "f2", compare_members=True)
    cluster = step_of(fate, "unique").cluster
    assert cluster is not None and cluster.note is not None
    assert cluster.note.startswith("its texts are not there any more: exact/")
    assert (cluster.documents, cluster.representative_url, cluster.similarity) == (3, url("f0"), None)
    assert f"    {cluster.note}" in format_fate(fate).splitlines()


def test_cluster_hostile_urls_and_texts_reach_no_terminal_control(output: Folder) -> None:
    for name in ("bad0", "bad1"):
        text = format_fate(fate_of(output, name, compare_members=True))
        assert not set(text) & set("\x1b\x07\x9b\x00\u202e\u2066\r")
        assert "edit2" in text and "␛]0;owned␇" in text
        assert max(map(len, text.splitlines())) < 500


def test_cluster_as_json_has_every_field_and_stays_compatible(
    output: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", id_of("f2"), "--output", output.location, "--members", "--json"]) == 0
    printed = capsys.readouterr().out
    [fate] = json.loads(printed)
    step = fate["steps"][-1]
    assert (step["duplicate_of"], step["duplicate_of_url"]) == (id_of("f0"), url("f0"))
    cluster = step["cluster"]
    assert (cluster["step"], cluster["representative"], cluster["documents"]) == ("unique", id_of("f0"), 3)
    assert cluster["similarity"] == jaccard("f2", "f0") and 0 < cluster["estimate"] <= 1
    assert len(cluster["differs"]) == 2
    [member] = cluster["members"]
    assert set(member) == {"id", "url", "value", "estimate", "similarity", "differs", "note"}
    assert [s["cluster"] for s in fate["steps"][:-1]] == [None] * 3
    assert main(["explain", id_of("bad1"), "--output", output.location, "--json"]) == 0
    assert "\x1b" not in capsys.readouterr().out, "JSON escapes controls"


def test_cluster_text_shows_similarities_and_both_passages(output: Folder) -> None:
    lines = format_fate(fate_of(output, "f2")).splitlines()
    at = lines.index(f"    duplicate of {id_of('f0')}: {url('f0')}")
    assert lines[at + 1].startswith("    similarity to it: 0.") and " exactly, 0." in lines[at + 1]
    assert lines[at + 2].startswith("    first difference: “") and "▸ edit20" in lines[at + 2]
    assert lines[at + 3].startswith("                  to: “")
    assert lines[at + 4] == "    cluster of 3 documents; also in it:"
    assert lines[at + 5].startswith("      measured 0.")


def test_cluster_of_many_documents_with_one_url_compares_none_but_by_id(
    output: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_cluster, "MAX_COMPARED", 0)
    cluster = cluster_of(output, "f2")
    assert cluster.note == "not compared: 1 documents have this URL; ask for one by its id"
    assert (cluster.documents, cluster.similarity) == (3, None)


def test_cluster_of_an_earlier_run_is_told_from_its_index(output: Folder, tmp_path: Path) -> None:
    settings = f", index: {tmp_path / 'index'}"
    run(tmp_path, "first", ["f0", "alone"], settings)
    second = run(tmp_path, "second", ["f1", "f2", "many0"], settings)
    cluster = cluster_of(second, "f1")
    assert (cluster.representative, cluster.of_earlier_run, cluster.documents) == (id_of("f0"), True, 3)
    assert cluster.representative_url == url("f0")
    assert cluster.estimate == cluster_of(output, KEPT_COPY).estimate
    assert (cluster.similarity, cluster.differs) == (None, None)
    assert cluster.note == "the text of an earlier run's document is not kept"
    text = format_fate(fate_of(second, "f1"))
    assert "      which an earlier run has seen\n" in text
    assert "    cluster of 2 documents of this run and that one; also in it:\n" in text


@pytest.mark.parametrize("lost", ["dag", "index", "other threshold"])
def test_cluster_of_an_earlier_run_whose_index_cannot_be_asked_is_told_as_seen(tmp_path: Path, lost: str) -> None:
    settings = f", index: {tmp_path / 'index'}"
    run(tmp_path, "first", ["f0", "alone"], settings)
    second = run(tmp_path, "second", ["f2", "many0"], settings)
    dag = tmp_path / "second.yaml"
    if lost == "index":
        shutil.rmtree(tmp_path / "index")
    elif lost == "dag":
        dag.unlink()
    else:
        dag.write_text(dag.read_text().replace("0.6", "0.5"))
    cluster = cluster_of(second, "f2")
    assert (cluster.of_earlier_run, cluster.representative_url, cluster.estimate) == (True, None, None)
    assert "its URL is not known\n      which an earlier run has seen\n" in format_fate(fate_of(second, "f2"))


def test_cluster_members_of_one_url_are_told_apart_by_their_ids(output: Folder) -> None:
    members = [Member(id=f"{n:032x}", url=url, value=None) for n, url in enumerate(("a", "a", "b", None, "c"))]
    cluster = replace(cluster_of(output, "f0"), members=members, documents=6, representative_url="c")
    assert kept_lines(cluster)[1:] == [
        f"  a (id {0:032x})", f"  a (id {1:032x})", "  b", f"  {3:032x}", f"  c (id {4:032x})",
    ]  # fmt: skip


def test_cluster_chained_document_below_the_threshold_says_what_links_it() -> None:
    cluster = Cluster(
        step="unique", representative="00", representative_url=None, representative_dropped_by=None,
        of_earlier_run=False, documents=3, threshold=0.7, similarity=0.5, estimate=0.55, differs=("", ""),
    )  # fmt: skip
    step = StepFate(step="unique", outcome="dropped", value=0.9, threshold=0.7, duplicate_of="00", cluster=cluster)
    lines = format_fate(Fate(id="01", url="u", steps=(step,))).splitlines()
    assert lines[-5:] == [
        "    similarity to it: 0.5 exactly, 0.55 by signatures",
        "      below the threshold: other members of the cluster link the two",
        "    their words are the same",
        "    cluster of 3 documents; also in it:",
        "      and 1 more",
    ]


def test_find_places_reads_back_every_document_of_several_row_groups(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    ids = [n.to_bytes(16, "big") for n in range(10)]
    files = []
    for number, part in enumerate((ids[:7], ids[7:])):
        table = pa.table({"id": pa.array(part, pa.binary(16)), "text": [f"text {id_.hex()}" for id_ in part]})
        pq.write_table(table, tmp_path / "shards" / f"{number:05d}.parquet", row_group_size=3)
        files.append({"name": f"shards/{number:05d}.parquet"})
    manifest: dict[str, Any] = {"files": files}
    artifact = Artifact(step="s", kind="documents", fingerprint="", manifest=manifest, folder=Folder(str(tmp_path)))
    places = find_places(artifact, [*ids, b"x" * 16])
    assert set(places) == set(ids)
    for id_ in ids:
        assert read_place(artifact, places[id_], ["text", "signature"]) == {"text": f"text {id_.hex()}"}
