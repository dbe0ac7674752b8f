"""What is written, what is fused, and what the difference between two identities is called."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pipeline.dag import load_dag
from pipeline.plan import Plan, differences, make_plan

CHAIN = """\
version: 1
output: {output}
steps:
  books: {{uses: stages.documents, with: {{source: {source}}}}}
  gopher: {{uses: stages.gopher_quality, inputs: books{keep}}}
  c4: {{uses: stages.c4_quality, inputs: gopher}}
  signed: {{uses: stages.signatures, inputs: c4}}
  unique: {{uses: stages.minhash, inputs: signed}}
{more}"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "books"
    folder.mkdir()
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps({"text": "A page."}).encode() + b"\n", mtime=0))
    return folder


def plan_of(tmp_path: Path, source: Path, keep: str = "", more: str = "") -> Plan:
    path = tmp_path / "dag.yaml"
    path.write_text(CHAIN.format(output=tmp_path / "out", source=source, keep=keep, more=more))
    return make_plan(load_dag(str(path)))


def chains(plan: Plan) -> list[list[str]]:
    return [[step.name for step in segment.chain] for segment in plan.segments]


def test_plan_narrow_chain_is_fused_up_to_the_wide_step(tmp_path: Path, source: Path) -> None:
    plan = plan_of(tmp_path, source)
    assert chains(plan) == [["books", "gopher", "c4", "signed"], ["unique"]]
    assert plan.steps["gopher"].state == "fused"
    assert plan.steps["gopher"].written_with == "signed"


def test_plan_keep_cuts_the_chain(tmp_path: Path, source: Path) -> None:
    plan = plan_of(tmp_path, source, keep=", keep: true")
    assert chains(plan) == [["books", "gopher"], ["c4", "signed"], ["unique"]]


def test_plan_second_reader_cuts_the_chain(tmp_path: Path, source: Path) -> None:
    plan = plan_of(tmp_path, source, more="  other: {uses: stages.fineweb_quality, inputs: gopher}\n")
    assert chains(plan) == [["books", "gopher"], ["c4", "signed"], ["unique"], ["other"]]


def test_plan_fusion_does_not_change_fingerprints(tmp_path: Path, source: Path) -> None:
    fused = plan_of(tmp_path, source)
    cut = plan_of(tmp_path, source, keep=", keep: true")
    assert {n: s.fingerprint for n, s in fused.steps.items()} == {n: s.fingerprint for n, s in cut.steps.items()}


def test_plan_changed_content_changes_every_fingerprint_behind_it(tmp_path: Path, source: Path) -> None:
    before = plan_of(tmp_path, source)
    (source / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps({"text": "B page."}).encode() + b"\n", mtime=0))
    after = plan_of(tmp_path, source)
    assert all(before.steps[name].fingerprint != after.steps[name].fingerprint for name in before.steps)


def test_plan_annotate_changes_the_fingerprint_and_is_named_as_the_cause(tmp_path: Path, source: Path) -> None:
    plain = plan_of(tmp_path, source)
    annotating = plan_of(tmp_path, source, keep=", annotate: true")
    for name in ("gopher", "c4", "signed", "unique"):
        assert plain.steps[name].fingerprint != annotating.steps[name].fingerprint
    assert plain.steps["books"].fingerprint == annotating.steps["books"].fingerprint
    before, after = (p.steps["gopher"].identity for p in (plain, annotating))
    (change,) = differences(before, after)
    assert change.startswith("annotate: false -> true (num_words, mean_word_chars, ")
    assert differences(after, before)[0].endswith(" -> false")


def test_plan_renamed_annotating_step_makes_its_readers_run_again(tmp_path: Path, source: Path) -> None:
    named = "  {}: {{uses: stages.gopher_quality, inputs: books, annotate: true}}\n"
    reader = "  words: {{uses: stages.signatures, inputs: {}, keep: true}}\n"
    plans = [plan_of(tmp_path, source, more=named.format(n) + reader.format(n)) for n in ("strict", "loose")]
    assert plans[0].steps["words"].fingerprint != plans[1].steps["words"].fingerprint
    before, after = (plan.steps[name].identity for plan, name in zip(plans, ("strict", "loose"), strict=True))
    assert "as loose_" in differences(before, after)[0]


def test_differences_name_the_field_and_both_values() -> None:
    before = {"uses": "s", "version": 1, "config": {"a": 0.65, "gone": 1}, "inputs": {"documents": "x"}, "files": []}
    after = {"uses": "s", "version": 2, "config": {"a": 0.7}, "inputs": {"documents": "y"}, "files": ["f"]}
    assert differences(before, after) == [
        "version: 1 -> 2",
        "config.a: 0.65 -> 0.7",
        'config.gone: 1 -> "(not there)"',
        "its input 'documents' changed",
        "the content of a file it names changed",
    ]
    assert differences(before, before) == []
