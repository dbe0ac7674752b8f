"""Pretraining as a stage: token shards in, a Hugging Face model out.

Reads:  a tokens artifact (`shards/train-*.arrow`, `shards/validation-*.arrow`) and its vocabulary's `tokenizer.json`
Writes: `model/` (config.json, generation_config.json, model.safetensors, tokenizer.json, tokenizer_config.json) and
        `loss.jsonl` (step, loss, lr, grad_norm, num_targets, at times validation_loss). Checkpoints stay in scratch
Cost:   about 6 * parameters * tokens floating point operations; the demo takes about a minute on two cores
Source: see pretrain.model, pretrain.optim and pretrain.config

Runs on Ray Train where the engine is connected to Ray, otherwise in processes of its own: the same bytes either way.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import CrawlmillError, DataError, RunError
from pipeline.stage import JSON, InputArtifact, WideContext, wide
from pretrain import contract
from pretrain.config import Config
from pretrain.scratch import read_use

if TYPE_CHECKING:
    from pretrain.loop import Job

MAX_RESTARTS = 3  # of the group of ranks within one run, on Ray; each continues at the last checkpoint
SPLITS = ("train", "validation")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@wide(version=1, ports={"chunks": "tokens", "vocabulary": "vocabulary"}, produces="model")
def train(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    """Train, export, check, report. DataError where chunks and vocabulary do not belong together."""
    tokens = contract.agreed(ctx.inputs["chunks"], ctx.inputs["vocabulary"])
    tokenizer = contract.tokenizer(ctx.inputs["vocabulary"])
    job = plan_job(cfg, ctx, tokens)
    launch(job)
    for use in read_use(Path(job.work), cfg.parallel.world_size):
        ctx.add_use(use["cpu_s"], use["peak_memory_bytes"])
    num_parameters = _finish(job, ctx, tokens, tokenizer)
    kept = ("tokenizer_sha256", "vocab_size", "length", "eot_id", "bos_id", "pad_id")
    return {**{name: tokens.get(name) for name in kept}, "num_parameters": num_parameters}


def plan_job(cfg: Config, ctx: WideContext, tokens: Mapping[str, Any]) -> Job:
    """What the ranks are given. DataError where there are no rows to train on."""
    from pretrain import data, loop

    train_shards, validation_shards = (_shards(ctx.inputs["chunks"], split) for split in SPLITS)
    rows = data.open_rows(train_shards, tokens)
    data.open_rows(validation_shards, tokens)
    if not rows.num_rows:
        raise DataError(
            "no training rows", where=ctx.inputs["chunks"].folder.location, expected="rows in shards/train-*.arrow",
            mend="Give the steps before it more documents.",
        )  # fmt: skip
    return loop.Job(
        config=cfg, tokens=tokens, train_shards=train_shards, validation_shards=validation_shards,
        work=str(ctx.work.local_path().absolute()),
    )  # fmt: skip


def _shards(chunks: InputArtifact, split: str) -> tuple[str, ...]:
    names = [name for name in chunks.shards() if Path(name).name.startswith(f"{split}-")]
    return tuple(str(chunks.folder.local_path(name).absolute()) for name in names)


def launch(job: Job) -> None:
    """Run the ranks to the end. RunError where they failed more often than they are restarted."""
    import ray

    from pretrain import checkpoint, scratch

    with scratch.only_run(Path(job.work)):  # here and not on a rank alone: its log may be on another machine
        checkpoint.newest_whole(Path(job.work) / "checkpoints", job.run_id)
    if ray.is_initialized():
        _launch_on_ray(job)
    else:
        _launch_processes(job)


def _launch_on_ray(job: Job) -> None:
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    world_size = job.config.parallel.world_size
    num_cpus = min(1.0, ray.cluster_resources().get("CPU", 1.0) / world_size)
    environment = ONE_THREAD | (loopback() if len(ray.nodes()) == 1 else {})
    trainer = TorchTrainer(
        _ray_rank,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(num_workers=world_size, resources_per_worker={"CPU": int(num_cpus * 100) / 100}),
        run_config=RunConfig(
            name="train", storage_path=os.path.join(job.work, "ray"),
            failure_config=FailureConfig(max_failures=MAX_RESTARTS),
            worker_runtime_env={"env_vars": environment},
        ),
        torch_config=TorchConfig(backend="gloo"),
    )  # fmt: skip
    try:
        trainer.fit()
    except TrainingFailedError as error:
        causes = list(getattr(error, "worker_failures", {}).values())
        raise _failed(causes[0] if causes else error, job) from error


def _ray_rank(config: dict[str, Any]) -> None:
    from pretrain.loop import run_rank

    run_rank(config["job"])


def _launch_processes(job: Job) -> None:
    import torch.multiprocessing as mp

    _rendezvous(job).unlink(missing_ok=True)
    try:
        mp.spawn(_process_rank, args=(job,), nprocs=job.config.parallel.world_size)
    except (mp.ProcessRaisedException, mp.ProcessExitedException) as error:
        raise _failed(error, job) from error


def _process_rank(rank: int, job: Job) -> None:
    import torch.distributed as dist

    from pretrain.loop import run_rank

    os.environ.update(loopback())
    address = f"file://{_rendezvous(job)}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=job.config.parallel.world_size)
    run_rank(job)
    dist.destroy_process_group()


def _rendezvous(job: Job) -> Path:
    return Path(job.work) / "rendezvous"


def loopback() -> dict[str, str]:
    """Keeps gloo on the loopback interface, whose name differs between systems."""
    names = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    return {"GLOO_SOCKET_IFNAME": names[0]} if names else {}


def _failed(error: BaseException, job: Job) -> CrawlmillError:
    if isinstance(error, CrawlmillError):
        return error
    return RunError(
        f"training failed: {str(error).strip()}", where=job.work,
        mend="Run it again: it continues at the last checkpoint.",
    )  # fmt: skip


def _finish(job: Job, ctx: WideContext, tokens: Mapping[str, Any], tokenizer: bytes) -> int:
    """Export, check and report; returns the number of parameters."""
    import safetensors.torch

    from pipeline.store import Folder
    from pretrain import data, export, generate, loop, scratch, summary

    cfg, work = job.config, Path(job.work)
    weights = safetensors.torch.load_file(work / "weights.safetensors")
    records = scratch.read_log(work / "loss.jsonl")
    train_rows = data.open_rows(job.train_shards, job.tokens)
    validation_rows = data.open_rows(job.validation_shards, job.tokens)
    shown = validation_rows if validation_rows.num_rows else train_rows
    num_parameters = sum(tensor.numel() for tensor in weights.values())
    with summary.one_thread():
        export.write(work / "export", weights, loop.model_shape(cfg, job.vocab_size), tokens, tokenizer)
        difference = export.check(work / "export", data.read_batch(shown, data.rows_at(0, 1, 1, 0)).ids_BT[0])
        generated = summary.samples(generate.load(Folder(str(work / "export"))), shown, cfg)
    for path in sorted((work / "export").iterdir()):
        ctx.output.write_bytes(f"model/{path.name}", path.read_bytes())
    ctx.output.write_bytes("loss.jsonl", (work / "loss.jsonl").read_bytes())
    summary.write_curves(ctx.report, records)
    summary.write_figures(ctx.report, cfg, records, train_rows, num_parameters)
    if "validation_loss" in records[-1]:
        loss = records[-1]["validation_loss"]
        ctx.report.figure("validation_bits_per_byte", summary.bits_per_byte(loss, validation_rows, cfg, tokenizer))
    checked = "not compared: transformers is not installed" if difference is None else difference
    ctx.report.figure("largest_logit_difference_to_transformers", checked)
    ctx.report.sample("generated text", generated)
    return num_parameters
