"""What the meter writes, while it writes it."""

from __future__ import annotations

import importlib.util
import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import RunError
from pipeline.store import Folder
from pretrain import metrics, metrics_page, peak_flops
from pretrain.guard_config import GuardConfig
from tests.pipeline.parsed_page import Page

CFG = GuardConfig()


def record(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "loss": 5.0 - step / 10, "lr": 1e-3, "grad_norm": 1.5, **more}


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_meter_writes_each_step_at_once_with_rates_that_agree(tmp_path: Path) -> None:
    with metrics.Meter(tmp_path, CFG, flops_per_token=1e6, peak_flops=1e10) as meter:
        for step in (1, 2, 3):
            time.sleep(0.01)
            meter.step(record(step, validation_by={"language": {}}), num_tokens=1000, waited_s=0.001)
            assert [line["step"] for line in lines(tmp_path)] == list(range(1, step + 1))
    for line in lines(tmp_path):
        assert line["seconds"] >= 0.01
        assert line["tokens_per_s"] == pytest.approx(1000 / line["seconds"], rel=1e-3)
        assert line["mfu"] == pytest.approx(line["tokens_per_s"] * 1e6 / 1e10, rel=1e-3)
        assert line["memory_bytes"] > 1 << 20
        assert (line["lr"], line["grad_norm"], line["waited_s"]) == (1e-3, 1.5, 0.001)
        assert "validation_by" not in line


def test_meter_without_a_known_peak_has_no_mfu(tmp_path: Path) -> None:
    with metrics.Meter(tmp_path, CFG, flops_per_token=1e6, peak_flops=None) as meter:
        assert meter.step(record(1), 10)["mfu"] is None


def test_meter_does_not_count_a_pause(tmp_path: Path) -> None:
    with metrics.Meter(tmp_path, CFG, flops_per_token=1e6, peak_flops=None) as meter:
        meter.step(record(1), 10)
        time.sleep(0.2)
        meter.pause()
        assert meter.step(record(2), 10)["seconds"] < 0.15


def test_meter_of_a_resumed_run_goes_on_after_its_step(tmp_path: Path) -> None:
    with metrics.Meter(tmp_path, CFG, flops_per_token=1e6, peak_flops=None) as meter:
        for step in range(1, 8):
            meter.step(record(step), 10)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')  # cut by a kill
    with metrics.Meter(tmp_path, CFG, flops_per_token=1e6, peak_flops=None, step=5) as meter:
        meter.step(record(6), 10)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5, 6]
    with metrics.Meter(tmp_path, CFG, flops_per_token=1e6, peak_flops=None):
        pass
    assert lines(tmp_path) == []


def test_meter_of_a_run_that_went_back_goes_on_after_the_checkpoint(tmp_path: Path) -> None:
    with metrics.Meter(tmp_path, CFG, flops_per_token=1e6, peak_flops=None) as meter:
        for step in (1, 2, 3, 4, 3):
            meter.step(record(step, run=step), 10)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]
    assert "Step</dt><dd>3<" in (tmp_path / "index.html").read_text()


def test_meter_notes_a_validation_loss_and_does_not_count_its_time(tmp_path: Path) -> None:
    with metrics.Meter(tmp_path, CFG, flops_per_token=1e6, peak_flops=None) as meter:
        meter.step(record(1), 10)
        time.sleep(0.2)
        meter.note(record(1, validation_loss=4.4321))
        assert meter.step(record(2), 10)["seconds"] < 0.15
    assert lines(tmp_path)[1] == {"step": 1, "validation_loss": 4.4321}
    assert "4.432" in (tmp_path / "index.html").read_text()


def test_page_is_written_while_the_run_goes_on_and_at_its_end(tmp_path: Path) -> None:
    with metrics.Meter(tmp_path, CFG, flops_per_token=1e6, peak_flops=1e10) as meter:
        meter.step(record(1, validation_loss=4.5), 10)
        running = (tmp_path / "index.html").read_text()
        meter.step(record(2), 10)
    ended = (tmp_path / "index.html").read_text()
    assert 'http-equiv="refresh"' in running
    assert 'http-equiv="refresh"' not in ended
    for page in (running, ended):
        Page(page)
        assert page.count("<figure") == len(metrics_page.CHARTS)
    assert "4.8" in ended  # the loss of the last step


def test_page_keeps_a_bounded_number_of_lines_with_the_first_and_the_last(tmp_path: Path) -> None:
    page = metrics_page.Page(tmp_path / "index.html", [])
    for step in range(1, 3 * metrics_page.KEPT):
        page.add(record(step))
    assert len(page._lines) <= metrics_page.KEPT
    steps = [line["step"] for line in page._lines]
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (1, 3 * metrics_page.KEPT - 1)


def test_folder_lies_beside_the_artifacts_and_not_in_one(tmp_path: Path) -> None:
    found = metrics.folder(Folder(str(tmp_path / "model" / "0123abcd")))
    assert found == tmp_path / "training" / "model" / "0123abcd"


def test_event_files_hold_the_scalars(tmp_path: Path) -> None:
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    with metrics.Meter(tmp_path, GuardConfig(tensorboard=True), flops_per_token=1e6, peak_flops=1e10) as meter:
        meter.step(record(1, validation_loss=4.5), 10)
        meter.step(record(2), 10)
    data = next(tmp_path.glob("events.out.tfevents.*")).read_bytes()
    found = {}
    while data:  # TFRecord: length, its checksum, the event, its checksum
        (size,) = struct.unpack("<Q", data[:8])
        event = event_pb2.Event.FromString(data[12 : 12 + size])
        found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
        data = data[16 + size :]
    assert found["loss/loss", 2] == pytest.approx(4.8)
    assert found["loss/validation_loss", 1] == pytest.approx(4.5)
    assert ("loss/validation_loss", 2) not in found
    assert {tag for tag, _ in found} >= {"speed/mfu", "speed/tokens_per_s", "memory/memory_bytes", "optimiser/lr"}


def test_tensorboard_without_its_packages_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match="pip install tensorboardX"):
        metrics.Meter(tmp_path, GuardConfig(tensorboard=True), flops_per_token=1e6, peak_flops=None)


@pytest.mark.parametrize(("name", "bf16"), [
    ("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12), ("NVIDIA A100-SXM4-80GB", 312e12),
    ("NVIDIA A10", 125e12), ("NVIDIA L4", 121e12), ("NVIDIA L40S", 362e12), ("Tesla T4", 65e12),
    ("NVIDIA GeForce GTX 1080", None), ("NVIDIA A1000", None),
])  # fmt: skip
def test_peak_of_a_gpu_is_looked_up_by_its_name(name: str, bf16: float | None) -> None:
    assert peak_flops.of_name(name, "bf16") == bf16
    fp32 = peak_flops.of_name(name, "fp32")
    assert (fp32 is None) == (bf16 is None)
    assert fp32 is None or bf16 is None or fp32 < bf16


def test_peak_of_a_cpu_is_measured() -> None:
    found = peak_flops.peak_flops("fp32")
    assert found is not None
    assert 1e8 < found < 1e14
