"""How fast the trainer trains, against a bare PyTorch loop and another library; what its ranks hold; its export.

Reads:  ../shared/data/text where it is, else docstrings; packed into shards first (not timed)
Writes: nothing that stays
Peers:  a bare loop over the same model and batches; litgpt (an environment of its own: --peer-python) or, where that is
        missing, transformers' Llama with SDPA. Neither keeps the documents of a row apart, ours does. Each is run as
        it comes; pretrain.allocator, part of our trainer, works for the bare loop too, which shares its process

Run as `python -m benchmarks.pretrain [--json]`. Two minutes on two cores. One worker, one thread, float32, the demo's
model with a vocabulary of 8,192, batches of 8 rows of 512 tokens in 2 microbatches. Loops run in turn, a step at a
time; figures are medians, by wall clock; those ending in `_cpu` by the process's CPU seconds, which other load on the
machine moves less. `tokens_per_s_vs_*` is ours over theirs. `loader_share` is the share of step time spent waiting for
data. `memory_share_w4` is what the largest of 4 ranks holds over a quarter of what one rank holds alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from benchmarks import pretrain_data, pretrain_ranks
from benchmarks.pretrain_loops import Bare, Ours, Seconds, microbatches
from pretrain import data, export
from pretrain.config import Config
from pretrain.job import TOKENIZER, Job
from pretrain.provenance import Source
from pretrain.run_config import ParallelConfig
from pretrain.train import loopback

REPOSITORY = Path(__file__).resolve().parents[1]
PEER_PYTHON = REPOSITORY / ".litgpt" / "bin" / "python"
PEER_SCRIPT = REPOSITORY / "benchmarks" / "pretrain_peer.py"
STEPS_IN_TURN, TURNS, NUM_BATCHES = 1, 30, 12


class Peer:
    """Another library's model in a process that waits while it is not its turn."""

    def __init__(self, python: Path, library: str, job: Job, folder: Path) -> None:
        shape, cfg = job.config.model.shape(job.vocab_size), job.config
        settings = {**asdict(shape), "length": job.tokens["length"], "learning_rate": cfg.optimizer.learning_rate}
        (folder / "settings.json").write_text(json.dumps(settings))
        steps = microbatches(job, NUM_BATCHES)
        ids = np.stack([[batch.ids_BT.numpy() for batch, _ in step] for step in steps])
        targets = np.stack([[target_BT.numpy() for _, target_BT in step] for step in steps])
        np.savez(folder / "batches.npz", ids=ids, targets=targets)
        self._process = subprocess.Popen(
            [str(python), str(PEER_SCRIPT), library, str(folder / "settings.json"), str(folder / "batches.npz")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )  # fmt: skip
        self.num_parameters = self._line()["parameters"]

    def run(self, num_steps: int) -> Seconds:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{num_steps}\n")
        self._process.stdin.flush()
        return Seconds(*self._line())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> Any:
        assert self._process.stdout is not None
        while not (line := self._process.stdout.readline()).startswith(("{", "[")):
            if not line:
                raise SystemExit(f"{PEER_SCRIPT.name} ended: {self._process.wait()}")
        return json.loads(line)


def job_of(shards: pretrain_data.Shards, work: Path) -> Job:
    work.mkdir()
    (work / TOKENIZER).write_bytes(shards.tokenizer_json)
    cfg = Config(parallel=ParallelConfig(world_size=1), num_steps=10_000)
    return Job(
        config=cfg, tokens=shards.tokens, sources=(Source(name="train", shards=(shards.train,)),),
        validation_sources=(Source(name="validation", shards=(shards.validation,)),), work=str(work),
    )  # fmt: skip


def speeds(job: Job, python: Path, folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """(figures of the loops, the weights that ours came to)."""
    torch.set_num_threads(1)
    library = "litgpt" if python.exists() else "transformers"
    peer = Peer(python if python.exists() else Path(sys.executable), library, job, folder)
    ours, bare = Ours(job), Bare(job, NUM_BATCHES)
    order: list[tuple[str, Ours | Bare | Peer]] = [("ours", ours), ("bare", bare), ("peer", peer)]
    for _, runs in order:
        runs.run(STEPS_IN_TURN)  # not timed: allocators and caches fill
    waited_s = ours.trainer.batches.waited_s
    found: dict[str, list[Seconds]] = {"ours": [], "bare": [], "peer": []}
    for turn in range(TURNS):
        for name, runs in order if turn % 2 else reversed(order):
            found[name].append(runs.run(STEPS_IN_TURN))
    waited_s = ours.trainer.batches.waited_s - waited_s
    peer.close()
    tokens = STEPS_IN_TURN * job.config.batch_rows * job.tokens["length"]
    figures = {
        "tokens_per_s": round(tokens / _median(found["ours"], "wall")),
        "tokens_per_s_vs_bare_loop": _ratio(found["bare"], found["ours"], "wall"),
        "tokens_per_s_vs_bare_loop_cpu": _ratio(found["bare"], found["ours"], "cpu"),
        "tokens_per_s_vs_peer": _ratio(found["peer"], found["ours"], "wall"),
        "tokens_per_s_vs_peer_cpu": _ratio(found["peer"], found["ours"], "cpu"),
        "peer": library,
        "loader_share": round(waited_s / sum(one.wall for one in found["ours"]), 5),
        "parameters": sum(p.numel() for p in ours.trainer.model.parameters()),
        "peer_parameters": peer.num_parameters,
    }
    weights = {name: p.detach().clone() for name, p in ours.trainer.model.named_parameters()}
    ours.trainer.close()
    return figures, weights


def _median(runs: Sequence[Seconds], which: str) -> float:
    return statistics.median(getattr(one, which) for one in runs)


def _ratio(theirs: Sequence[Seconds], ours: Sequence[Seconds], which: str) -> float:
    return round(_median(theirs, which) / _median(ours, which), 4)


def logit_difference(job: Job, weights: dict[str, torch.Tensor], tokenizer: bytes, folder: Path) -> float | None:
    """Between the export and transformers, on a validation row; None where transformers is missing."""
    export.write(folder, weights, job.config.model.shape(job.vocab_size), job.tokens, tokenizer)
    rows = data.open_rows(job.validation_shards, job.tokens)
    return export.check(folder, data.read_batch(rows, np.zeros(1, np.int64)).ids_BT[0])


def figures(python: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = pretrain_data.make(folder)
        job = job_of(shards, folder / "work")
        alone, quarter = pretrain_ranks.bytes_per_rank(job, 1), pretrain_ranks.bytes_per_rank(job, 4)
        os.environ.update(loopback())
        dist.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=0, world_size=1)
        found, weights = speeds(job, python, folder)
        dist.barrier()
        dist.destroy_process_group()
        found["memory_share_w4"] = round(max(quarter) / (alone[0] / 4), 4)
        found["export_max_logit_diff"] = logit_difference(job, weights, shards.tokenizer_json, folder / "export")
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one machine-readable object as the last line")
    parser.add_argument("--peer-python", type=Path, default=PEER_PYTHON, help="of an environment that has litgpt")
    arguments = parser.parse_args()
    found = figures(arguments.peer_python)
    for name, value in found.items():
        print(f"{name:32} {value}")
    if arguments.json:
        print(json.dumps({"figures": found}))


if __name__ == "__main__":
    main()
