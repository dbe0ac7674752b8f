"""One document's fate, told from real artifacts: Parquet shards and ledgers written by the test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from pipeline import artifact, explain
from pipeline.errors import DataError
from pipeline.schemas import DROPPED, ID
from pipeline.store import Folder

KEPT = pa.schema(
    [
        pa.field("id", ID), pa.field("url", pa.string()), pa.field("date", pa.timestamp("s", tz="UTC")),
        pa.field("warc_path", pa.string()), pa.field("warc_offset", pa.int64()), pa.field("text", pa.large_string()),
        pa.field("language", pa.string()), pa.field("quality", pa.float32()),
    ]
)  # fmt: skip
ANNOTATED = pa.schema([*KEPT, pa.field("rule_size", pa.float64()), pa.field("rule_reason", pa.string())])


def key(i: int) -> bytes:
    return i.to_bytes(16, "big")


def url(i: int) -> str:
    return f"https://host{i % 3}.example/page/{i}"


def kept_row(i: int, **more: Any) -> dict[str, Any]:
    row = {"id": key(i), "url": url(i), "warc_path": "a.warc.gz", "warc_offset": i * 100, "text": f"text {i} " * 50}
    return {**row, "language": "en", "quality": 0.25, **more}


def dropped_row(i: int, step: str, reason: str, **more: Any) -> dict[str, Any]:
    row = {
        "id": key(i),
        "url": url(i),
        "warc_path": "a.warc.gz",
        "warc_offset": i * 100,
        "step": step,
        "reason": reason,
    }
    return {**row, "excerpt": f"text {i}", **more}


def write_artifact(
    output: Folder,
    step: str,
    chain: list[str],
    shards: Sequence[list[dict[str, Any]]],
    dropped: list[dict[str, Any]],
    annotates: Mapping[str, list[str]] | None = None,
) -> str:
    """An artifact of `shards` and one ledger file; its path in the output folder. `annotates`: measures by step."""
    name = f"{step}/{step * 3:0<16.16}"
    folder = output.child(name)
    tables = {
        f"shards/{i:05d}.parquet": pa.Table.from_pylist(rows, ANNOTATED if annotates else KEPT)
        for i, rows in enumerate(shards)
    }
    tables["dropped/00000.parquet"] = pa.Table.from_pylist(dropped, DROPPED)
    for file, table in tables.items():
        with folder.open_output(file) as stream:
            pq.write_table(table, stream)
    files = [artifact.file_entry(folder, file, table.num_rows) for file, table in tables.items()]
    artifact.commit(
        folder,
        {
            "format": 1,
            "step": step,
            "kind": "documents",
            "fingerprint": "f" * 64,
            "chain": chain,
            "files": files,
            "identities": {
                s: {"annotate": {"step": s, "measures": measures}} for s, measures in (annotates or {}).items()
            },
        },
    )
    return name


def step(name: str, source: str | None, artifact_name: str | None, produces: str = "documents") -> dict[str, Any]:
    return {
        "step": name,
        "inputs": {"documents": source} if source else {},
        "artifact": artifact_name,
        "fingerprint": "f" * 64,
        "state": "ran",
        "seconds": 1.0,
        "cpu_s": 1.0,
        "peak_memory_bytes": 1,
        "produces": produces,
    }


@pytest.fixture
def output(tmp_path: Path) -> Folder:
    return write_run(Folder(str(tmp_path)))


def write_run(folder: Folder) -> Folder:
    """crawl and language fused; unique; clean, of which a vocabulary is made; ten documents, two cut records."""
    language = write_artifact(
        folder, "language", ["crawl", "language"],
        [[kept_row(i) for i in range(4)], [kept_row(i) for i in range(4, 8)]],
        [
            dropped_row(8, "crawl", "not_html"),
            dropped_row(9, "language", "language_score_too_low", value=0.41, threshold=0.65),
            {**dropped_row(3, "language", "other_language"), "id": key(103)},
            {**dropped_row(0, "crawl", "truncated_member"), "id": None, "url": None},
            {**dropped_row(0, "crawl", "truncated_member"), "id": None, "url": "https://cut.example/"},
        ],
    )  # fmt: skip
    duplicate = dropped_row(5, "unique", "near_duplicate", duplicate_of=key(2), value=0.83, threshold=0.72)
    unique = write_artifact(folder, "unique", ["unique"], [[kept_row(i) for i in (0, 1, 2, 3, 4, 6, 7)]], [duplicate])
    low = dropped_row(2, "clean", "quality_too_low", value=0.1, threshold=0.3)
    clean = write_artifact(
        folder, "clean", ["clean"], [[], [kept_row(i, quality=0.5 + i / 100) for i in (0, 1, 3, 4, 6, 7)]], [low]
    )
    run = {
        "status": "done",
        "steps": [
            step("crawl", None, language), step("language", "crawl", language), step("unique", "language", unique),
            step("clean", "unique", clean), step("vocabulary", "clean", "vocabulary/0", "vocabulary"),
            step("later", "clean", None),
        ]
    }  # fmt: skip
    folder.write_bytes("run.json", json.dumps(run).encode())
    return folder


def test_explain_reads_an_object_store(monkeypatch: pytest.MonkeyPatch, output: Folder) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1").create_bucket(Bucket="bucket")
        remote = write_run(Folder(f"s3://bucket/run?endpoint_override={host}:{port}&scheme=http&region=us-east-1"))
        for i in (2, 4, 5, 9):
            assert explain.explain(remote, url(i)) == explain.explain(output, url(i))
    finally:
        server.stop()


def test_explain_kept_document_shows_every_step_and_its_place(output: Folder) -> None:
    (fate,) = explain.explain(output, url(4))
    assert fate.id == key(4).hex()
    assert [(s.step, s.outcome) for s in fate.steps] == [
        ("crawl", "passed"), ("language", "passed"), ("unique", "passed"), ("clean", "passed"),
    ]  # fmt: skip
    (place,) = fate.kept_in
    assert place.artifact.startswith("clean/")
    assert place.shard == "shards/00001.parquet"
    assert place.columns["language"] == "en"
    assert place.columns["quality"] == pytest.approx(0.54)
    assert "text" not in place.columns


def test_explain_same_document_by_id_gives_the_same_fate(output: Folder) -> None:
    assert explain.explain(output, key(4).hex().upper()) == explain.explain(output, url(4))


def test_explain_dropped_in_a_fused_chain_ends_at_its_step(output: Folder) -> None:
    (fate,) = explain.explain(output, url(9))
    assert [(s.step, s.outcome) for s in fate.steps] == [("crawl", "passed"), ("language", "dropped")]
    last = fate.steps[-1]
    assert (last.reason, last.value, last.threshold, last.excerpt) == ("language_score_too_low", 0.41, 0.65, "text 9")
    assert fate.kept_in == ()


def test_explain_dropped_by_the_source_has_passed_nothing(output: Folder) -> None:
    (fate,) = explain.explain(output, url(8))
    assert [(s.step, s.outcome, s.reason) for s in fate.steps] == [("crawl", "dropped", "not_html")]


def test_explain_duplicate_names_its_representative_although_that_was_dropped_later(output: Folder) -> None:
    (fate,) = explain.explain(output, url(5))
    assert [s.outcome for s in fate.steps] == ["passed", "passed", "dropped"]
    assert (fate.steps[-1].duplicate_of, fate.steps[-1].duplicate_of_url) == (key(2).hex(), url(2))


def test_explain_url_crawled_twice_gives_a_fate_for_each(output: Folder) -> None:
    fates = explain.explain(output, url(3))
    ends = {fate.id: (fate.steps[-1].step, fate.steps[-1].outcome) for fate in fates}
    assert ends == {key(103).hex(): ("language", "dropped"), key(3).hex(): ("clean", "passed")}


def test_explain_record_without_id_is_found_by_url(output: Folder) -> None:
    (fate,) = explain.explain(output, "https://cut.example/")
    assert fate.id is None
    assert fate.steps[0].reason == "truncated_member"


def test_explain_agrees_with_the_tables_for_every_document(output: Folder) -> None:
    ended = {
        i: [s.step for s in explain.explain(output, key(i).hex())[0].steps if s.outcome == "dropped"] for i in range(10)
    }
    assert ended == {2: ["clean"], 5: ["unique"], 8: ["crawl"], 9: ["language"]} | {i: [] for i in (0, 1, 3, 4, 6, 7)}


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ("https://host1.example/page/44", "https://host1.example/page/4"),
        ("http://host1.example/page/4", "https://host1.example/page/4"),
        ("host1.example/page/4/", "https://host1.example/page/4"),
        ("https://cutt.example/", "https://cut.example/"),
    ],
)
def test_explain_unknown_url_offers_the_near_one_and_says_what_was_searched(
    output: Folder, asked: str, offered: str
) -> None:
    with pytest.raises(DataError) as raised:
        explain.explain(output, asked)
    assert repr(offered) in raised.value.mend
    assert "language/" in raised.value.found and "unique/" in raised.value.found and "clean/" in raised.value.found
    assert "some records have no URL" in raised.value.found


@pytest.mark.parametrize("asked", ["ab" * 16, "", "https://[bad", "nothing like it"])
def test_explain_unknown_without_near_matches_offers_nothing(output: Folder, asked: str) -> None:
    with pytest.raises(DataError) as raised:
        explain.explain(output, asked)
    assert raised.value.mend == ""


def test_explain_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no run\.json.*Run `crawlmill run` first"):
        explain.explain(Folder(str(tmp_path)), "https://a.example/")


def test_explain_damaged_shard_is_a_data_error(output: Folder) -> None:
    (name,) = [n for n in output.list("clean") if n.endswith("shards/00001.parquet")]
    output.write_bytes(name, b"PAR1 no parquet at all PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        explain.explain(output, url(4))


def test_format_fate_shows_reason_value_threshold_and_representative(output: Folder) -> None:
    text = explain.format_fate(explain.explain(output, url(5))[0])
    assert url(5) in text and url(2) in text
    assert "unique    dropped, near duplicate (near_duplicate): measured 0.83, threshold 0.72" in text
    kept = explain.format_fate(explain.explain(output, url(0))[0])
    assert "kept in clean/" in kept and "quality: 0.5" in kept


@pytest.fixture
def annotated_output(tmp_path: Path) -> Folder:
    """rule annotates; late, fused behind it, drops document 3 before anything is written; chosen drops document 2."""
    folder = Folder(str(tmp_path))
    values = [(5.0, None), (None, None), (99.5, "too_big")]
    rows = [kept_row(i, rule_size=size, rule_reason=reason) for i, (size, reason) in enumerate(values)]
    rule = write_artifact(
        folder, "late", ["crawl", "rule", "late"], [rows], [dropped_row(3, "late", "odd")], {"rule": ["size"]}
    )
    chosen = write_artifact(
        folder,
        "chosen",
        ["chosen"],
        [rows[:2]],
        [dropped_row(2, "chosen", "rule_size_too_high")],
        {"no_step_of_it": []},
    )
    steps = [
        step("crawl", None, rule), step("rule", "crawl", rule), step("late", "rule", rule),
        step("chosen", "late", chosen),
    ]  # fmt: skip
    folder.write_bytes("run.json", json.dumps({"status": "done", "steps": steps}).encode())
    return folder


def test_explain_annotation_tells_values_and_would_be_reason(annotated_output: Folder) -> None:
    fates = [explain.explain(annotated_output, url(i))[0] for i in range(4)]
    found = [(f.steps[1].outcome, f.steps[1].reason, f.steps[1].measures) for f in fates]
    assert found == [
        ("annotated", None, {"size": 5.0}), ("annotated", None, {"size": None}),
        ("annotated", "too_big", {"size": 99.5}), ("annotated", None, None),
    ]  # fmt: skip
    assert [f.steps[-1].outcome for f in fates] == ["passed", "passed", "dropped", "dropped"]
    texts = [explain.format_fate(f) for f in fates]
    assert "  rule    annotated: would be kept\n    size: 5\n" in texts[0]
    assert "    size: null\n" in texts[1] and "rule_" not in texts[1], "not told again among the place's columns"
    assert "  rule    annotated: would be dropped, too big (too_big)\n    size: 99.5\n" in texts[2]
    assert "  rule   annotated, but dropped before its columns were written\n  late   dropped" in texts[3]


def test_format_fate_hostile_text_reaches_no_terminal_control() -> None:
    bad = "\x1b]0;owned\x07\x9b31m\u202e\r\n"
    fate = explain.Fate(
        id=None, url=f"http://a/{bad}", warc_path=bad, warc_offset=1,
        steps=(explain.StepFate(
            step=bad, outcome="dropped", reason=bad, excerpt=bad, duplicate_of="00", duplicate_of_url=bad,
        ),),
        kept_in=(explain.Place(artifact="a/b", shard="shards/0", columns={"language": bad}),),
    )  # fmt: skip
    text = explain.format_fate(fate)
    assert not set(text) & set("\x1b\x07\x9b\u202e\r")
    assert "␛]0;owned␇" in text


def test_to_json_is_strict_json_that_names_everything(output: Folder) -> None:
    for i in range(10):
        for fate in explain.explain(output, key(i).hex()):
            back = json.loads(json.dumps(fate.to_json(), allow_nan=False))
            assert back["url"] == url(i)
            assert len(back["steps"]) == len(fate.steps) and len(back["kept_in"]) == len(fate.kept_in)
