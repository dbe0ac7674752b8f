"""Spike reports: of made-up losses, and of a run in whose batch garbage was planted."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pretrain import data, guard, objectives, provenance, segment_losses, spikes
from pretrain.guard_config import GuardConfig
from pretrain.segment_losses import SegmentLosses
from tests.pretrain.packed import VOCAB_SIZE, Report, contract
from tests.pretrain.tiny_model import tiny_model
from tests.pretrain.traced import Document, id_of, write_run

LENGTH = 48
CFG = GuardConfig(num_documents=3, excerpt_chars=20)
SPIKE = guard.Verdict(kind="spike", action="skip", loss=4.0, grad_norm=2.0, forecast=3.0, deviation=0.1)
HOSTILE = "<script>alert(1)</script>\x1b[2J"


def documents() -> list[Document]:
    return [
        Document(text=f"{n} words of a text" if n else HOSTILE, url=f"https://h{n}.example/<b>", quality=n / 10)
        for n in range(8)
    ]


def all_measured(source: provenance.Source, losses: dict[int, float]) -> SegmentLosses:
    """Every segment of every row, with the mean loss given for its document's number, 3 where none is."""
    num_rows = data.open_rows(source.shards, contract(LENGTH)).num_rows
    found = provenance.pieces((source,), np.arange(num_rows))
    count_N = found.num_tokens_N - 1
    mean_N = np.array([losses.get(int.from_bytes(id), 3.0) for id in found.ids])
    return SegmentLosses(row_N=found.row_N, segment_N=found.segment_N, loss_N=mean_N * count_N, count_N=count_N)


def test_report_names_the_documents_with_the_largest_excess_first(tmp_path: Path) -> None:
    source = write_run(tmp_path, documents(), LENGTH)
    measured = all_measured(source, {0: 9.0, 5: 7.0})
    path = spikes.write_report(tmp_path / "work", CFG, (source,), SPIKE, 123, measured)
    assert path == tmp_path / "work" / "spikes" / "step-000123.json"
    found = json.loads(path.read_bytes())
    assert (found["step"], found["kind"], found["action"], found["num_documents"]) == (123, "spike", "skip", 8)
    assert found["sigmas"] == pytest.approx(10.0)
    assert [d["id"] for d in found["documents"][:2]] == [id_of(0).hex(), id_of(5).hex()]
    assert len(found["documents"]) == CFG.num_documents
    worst = found["documents"][0]
    assert worst["loss"] == pytest.approx(9.0)
    assert worst["columns"]["url"] == "https://h0.example/<b>"
    assert worst["columns"]["quality"] == 0.0
    assert worst["excerpt"] == HOSTILE[:20]
    everything = spikes.describe(GuardConfig(), (source,), SPIKE, 123, measured)
    rise = measured.loss_N.sum() / measured.count_N.sum() - 3.0
    assert math.fsum(d["excess"] for d in everything["documents"]) == pytest.approx(rise)
    pieces = [p for d in everything["documents"] for p in d["pieces"]]
    assert sum(p["targets"] for p in pieces) == found["targets"] == measured.count_N.sum()


def test_report_is_the_same_in_whatever_order_the_rows_came(tmp_path: Path) -> None:
    source = write_run(tmp_path, documents(), LENGTH)
    measured = all_measured(source, {0: 9.0, 5: 7.0})
    n = np.random.default_rng(1).permutation(len(measured.row_N))
    turned = SegmentLosses(row_N=measured.row_N[n], segment_N=measured.segment_N[n], loss_N=measured.loss_N[n],
                           count_N=measured.count_N[n])  # fmt: skip
    first = spikes.write_report(tmp_path / "1", CFG, (source,), SPIKE, 1, measured)
    second = spikes.write_report(tmp_path / "2", CFG, (source,), SPIKE, 1, segment_losses.join([turned]))
    assert first.read_bytes() == second.read_bytes()


def test_report_of_documents_that_are_gone_has_their_ids_and_what_the_model_read(tmp_path: Path) -> None:
    source = write_run(tmp_path, documents(), LENGTH)
    measured = all_measured(source, {5: 7.0})
    shutil.rmtree(tmp_path / "clean")
    found = spikes.describe(CFG, (source,), SPIKE, 1, measured)
    assert found["documents"][0]["id"] == id_of(5).hex()
    assert found["documents"][0]["columns"] == {}
    assert found["documents"][0]["excerpt"] == "5 words of a text"
    assert "are gone" in found["documents_missing"]
    shutil.rmtree(tmp_path / "vocabulary")
    assert spikes.describe(CFG, (source,), SPIKE, 1, measured)["documents"][0]["excerpt"] is None


def test_report_without_the_vocabulary_shows_the_documents_text(tmp_path: Path) -> None:
    source = write_run(tmp_path, documents(), LENGTH)
    shutil.rmtree(tmp_path / "vocabulary")
    found = spikes.describe(CFG, (source,), SPIKE, 1, all_measured(source, {5: 7.0}))
    assert found["documents"][0]["excerpt"] == "5 words of a text"


def test_report_of_a_loss_that_is_not_finite_is_valid_json_with_its_documents_first(tmp_path: Path) -> None:
    source = write_run(tmp_path, documents(), LENGTH)
    verdict = guard.judge(CFG, [], float("nan"), 1.0)
    path = spikes.write_report(tmp_path / "work", CFG, (source,), verdict, 7, all_measured(source, {6: float("nan")}))

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    found = json.loads(path.read_bytes(), parse_constant=refuse)
    assert (found["kind"], found["action"], found["loss"]) == ("not_finite", "stop", "nan")
    assert found["documents"][0]["id"] == id_of(6).hex()
    assert found["documents"][0]["loss"] == "nan"


def test_cut_removes_the_reports_of_later_steps_and_those_after_a_rewind(tmp_path: Path) -> None:
    source = write_run(tmp_path, documents(), LENGTH)
    measured = all_measured(source, {})
    for step, num_rewinds in ((3, 0), (9, 0), (9, 1), (12, 0)):
        spikes.write_report(tmp_path / "work", CFG, (source,), SPIKE, step, measured, num_rewinds=num_rewinds)
    assert list(spikes.read_reports(tmp_path / "work")) == [
        "step-000003.json", "step-000009-2.json", "step-000009.json", "step-000012.json"
    ]  # fmt: skip
    spikes.cut(tmp_path / "work", 9)
    assert len(spikes.read_reports(tmp_path / "work")) == 3
    spikes.cut(tmp_path / "work", 0)
    assert spikes.read_reports(tmp_path / "work") == {}
    spikes.cut(tmp_path / "elsewhere", 0)


def test_samples_of_the_step_report_are_one_table_of_spikes_and_one_of_each_spikes_documents(tmp_path: Path) -> None:
    source = write_run(tmp_path, documents(), LENGTH)
    report = Report()
    spikes.write_samples(report, tmp_path / "work")
    assert (report.figures, report.samples) == ({"loss_spikes": 0}, {})
    spikes.write_report(tmp_path / "work", CFG, (source,), SPIKE, 5, all_measured(source, {0: 9.0}))
    spikes.write_samples(report, tmp_path / "work")
    assert report.figures == {"loss_spikes": 1}
    assert report.samples["loss spikes"][0]["action"] == "skip"
    row = report.samples["documents of the spike at step 5"][0]
    assert (row["document"], row["language"], row["quality"]) == ("https://h0.example/<b>", "en", 0.0)
    from pipeline import report_samples

    page = "".join(report_samples.tables(report.samples))
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_run_that_meets_planted_garbage_names_exactly_that(tmp_path: Path) -> None:
    """Forty steps on plain text, then a batch of the same with two documents of random bytes in it."""
    random = np.random.default_rng(7)
    plain = [Document(text="the cat sat on the mat. " * (1 + n % 3)) for n in range(40)]
    garbage = [Document(text=bytes(random.integers(33, 127, 30).tolist()).decode(), url=f"https://spam.example/{n}")
               for n in range(2)]  # fmt: skip
    source = write_run(tmp_path, [*plain, *garbage], LENGTH)
    rows = data.open_rows(source.shards, contract(LENGTH))
    segments = provenance.pieces((source,), np.arange(rows.num_rows))
    planted = {id_of(40), id_of(41)}
    bad_N = np.unique([segments.row_N[n] for n, id in enumerate(segments.ids) if id in planted])
    good_N = np.setdiff1d(np.arange(rows.num_rows), bad_N)
    model = tiny_model(VOCAB_SIZE, seed=1).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    cfg, history, verdict = GuardConfig(action="skip"), [], None
    for step in range(1, 60):
        row_N = random.choice(good_N, 6, replace=False)
        row_N = np.concatenate([bad_N, row_N[len(bad_N) :]]) if step == 45 else row_N
        batch = data.read_batch(rows, row_N)
        target_BT = objectives.next_token_targets(batch.ids_BT, batch.segment_BT, batch.loss_start_BT)
        loss_BT = segment_losses.token_losses(model(batch.ids_BT, batch.segment_BT, batch.position_BT), target_BT)
        loss = loss_BT.sum() / objectives.num_targets(target_BT)
        verdict = guard.judge(cfg, history, loss.item(), 1.0)
        history.append(loss.item())
        if verdict.kind != "fine":
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert verdict is not None
    assert (step, verdict.action) == (45, "skip")
    measured = segment_losses.measure(row_N, loss_BT.detach(), target_BT, batch.segment_BT)
    assert measured.loss_N.sum() == pytest.approx(loss_BT.sum().item(), rel=1e-5)
    found = json.loads(
        spikes.write_report(
            tmp_path / "work", cfg, (source,), verdict, step, segment_losses.join([measured])
        ).read_bytes()
    )
    assert {bytes.fromhex(d["id"]) for d in found["documents"][:2]} == planted
    assert {d["columns"]["url"] for d in found["documents"][:2]} == {g.url for g in garbage}
    accounted = sum(d["excess"] for d in found["documents"][:2])
    assert accounted > 0.8 * (verdict.loss - verdict.forecast)  # type: ignore[operator]
    assert all(d["excess"] < 0.2 * accounted for d in found["documents"][2:])
