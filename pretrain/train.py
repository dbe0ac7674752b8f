"""Pretraining as a stage: token shards in, a Hugging Face model out.

Reads:  tokens artifacts (`shards/train-*.arrow`, `shards/validation-*.arrow`) and their vocabulary's `tokenizer.json`
Writes: `model/` (config.json, generation_config.json, model.safetensors, tokenizer.json, tokenizer_config.json),
        `loss.jsonl` (step, loss, lr, grad_norm, num_targets, at times validation_loss and what the guard says), where
        there were any `spikes/`. Checkpoints stay in scratch; figures of time lie beside the artifacts
Cost:   about 6 * parameters * tokens floating point operations; the demo takes about a minute on two cores
Source: see pretrain.model, pretrain.optim and pretrain.config

Runs on Ray Train where the engine is connected to Ray, otherwise in processes of its own: the same bytes either way.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import CrawlmillError, FieldError, RunError
from pipeline.stage import JSON, InputArtifact, WideContext, at_port, wide
from pretrain import contract
from pretrain.config import Config
from pretrain.provenance import source_of
from pretrain.run_config import ParallelConfig
from pretrain.scratch import read_use

if TYPE_CHECKING:
    from ray.train import ScalingConfig

    from pretrain.job import Job

MAX_RESTARTS = 3  # of the group of ranks within one run, on Ray; each continues at the last checkpoint
RESIZE_EVERY_S = 60.0  # an elastic group looks as often whether the cluster has room for more ranks
SPLITS = ("train", "validation")
DETERMINISTIC = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # what cuBLAS wants to know before it is asked to be
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _check_sources(cfg: Config, ports: Sequence[str]) -> None:
    named = [port.partition(".")[2] for port in ports if port.startswith("chunks.")]
    unknown = [name for name in cfg.data.weights if name not in named]
    if unknown:
        raise FieldError(
            "data", f"weights of {', '.join(unknown)}", f"names of several chunks: {', '.join(named) or '-'}"
        )


@wide(
    version=2, ports={"chunks": "tokens", "vocabulary": "vocabulary"}, list_ports=("chunks",),
    check_inputs=_check_sources, produces="model",
)  # fmt: skip
def train(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    """Train, export, check, report. DataError where chunks and vocabulary do not belong together."""
    from pretrain import finish

    tokens = contract.agreed_by_all(at_port(ctx.inputs, "chunks"), ctx.inputs["vocabulary"])
    tokenizer = contract.tokenizer(ctx.inputs["vocabulary"])
    job = plan_job(cfg, ctx, tokens, tokenizer)
    launch(job)
    for use in read_use(Path(job.work), cfg.parallel.world_size):
        ctx.add_use(use["cpu_s"], use["peak_memory_bytes"])
    num_parameters = finish.finish(job, ctx, tokens, tokenizer)
    kept = ("tokenizer_sha256", "vocab_size", "length", "eot_id", "bos_id", "pad_id")
    return {**{name: tokens.get(name) for name in kept}, "num_parameters": num_parameters}


def plan_job(cfg: Config, ctx: WideContext, tokens: Mapping[str, Any], tokenizer: bytes) -> Job:
    """What the ranks are given. DataError where there are no rows to train on."""
    from pretrain import batches, metrics
    from pretrain.job import TOKENIZER, Job

    chunks = at_port(ctx.inputs, "chunks")
    train, validation = (tuple(source_of(each, _shards(each, split)) for each in chunks) for split in SPLITS)
    ctx.work.write_bytes(TOKENIZER, tokenizer)
    job = Job(
        config=cfg, tokens=tokens, sources=train, validation_sources=validation,
        work=str(ctx.work.local_path().absolute()), metrics=str(metrics.folder(ctx.output)),
        exact=not cfg.parallel.is_elastic,
    )  # fmt: skip
    batches.open_reader(job)
    return job


def _shards(chunks: InputArtifact, split: str) -> tuple[str, ...]:
    names = [name for name in chunks.shards() if Path(name).name.startswith(f"{split}-")]
    return tuple(str(chunks.folder.local_path(name).absolute()) for name in names)


def launch(job: Job) -> None:
    """Run the ranks to the end. RunError where they failed more often than they are restarted."""
    from pretrain import checkpoint_files, scratch
    from pretrain import job as job_file

    with scratch.only_run(Path(job.work)):  # here and not on a rank alone: its log may be on another machine
        checkpoint_files.newest_whole(job.checkpoints, job.run(job.config.parallel.world_size))
        job_file.write(job, Path(job.work) / "job.json")
    # Not imported for the question's sake: Ray reads its settings from the environment when it is imported.
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        _launch_on_ray(job)
    else:
        _launch_processes(job)


def _launch_on_ray(job: Job) -> None:
    import ray
    from ray.train import FailureConfig, RunConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    from pretrain.parallelize import backend

    world_size = job.config.parallel.world_size
    num_cpus = min(1.0, ray.cluster_resources().get("CPU", 1.0) / world_size)
    environment = ONE_THREAD | DETERMINISTIC | (loopback() if len(ray.nodes()) == 1 else {})
    trainer = TorchTrainer(
        _ray_rank,
        train_loop_config={"job": job},
        scaling_config=_scaling(job.config.parallel, int(num_cpus * 100) / 100),
        run_config=RunConfig(
            name="train", storage_path=os.path.join(job.work, "ray"),
            failure_config=FailureConfig(max_failures=MAX_RESTARTS),
            worker_runtime_env={"env_vars": environment},
        ),
        torch_config=TorchConfig(backend=backend()),
    )  # fmt: skip
    try:
        trainer.fit()
    except TrainingFailedError as error:
        causes = list(getattr(error, "worker_failures", {}).values())
        raise _failed(causes[0] if causes else error, job) from error


def _scaling(parallel: ParallelConfig, num_cpus: float) -> ScalingConfig:
    """Each rank has a GPU where the cluster has any. An elastic group takes a whole CPU per rank: as many as there are
    CPUs; one of a fixed size shares them where they are fewer."""
    import ray
    from ray.train import ScalingConfig

    num_workers = (parallel.min_workers, parallel.world_size) if parallel.is_elastic else parallel.world_size
    num_gpus = int(ray.cluster_resources().get("GPU", 0))
    _check_gpus(num_gpus, parallel.min_workers if parallel.is_elastic else parallel.world_size)
    return ScalingConfig(
        num_workers=num_workers, use_gpu=num_gpus > 0,
        resources_per_worker={"CPU": 1.0 if parallel.is_elastic else num_cpus},
        elastic_resize_monitor_interval_s=RESIZE_EVERY_S,
    )  # fmt: skip


def _check_gpus(num_gpus: int, num_ranks: int) -> None:
    """RunError where some ranks would have a GPU and others none: Ray would wait for ever."""
    if 0 < num_gpus < num_ranks:
        raise RunError(
            f"{num_gpus} GPUs for {num_ranks} ranks", where="parallel.world_size",
            expected="a GPU for each rank, or none",
            mend=f"Set parallel.world_size to {num_gpus}, or hide the GPUs with CUDA_VISIBLE_DEVICES=.",
        )  # fmt: skip


def _ray_rank(config: dict[str, Any]) -> None:
    from pretrain.loop import run_rank

    run_rank(config["job"])


def _launch_processes(job: Job) -> None:
    import torch
    import torch.multiprocessing as mp

    _check_gpus(torch.cuda.device_count(), job.config.parallel.world_size)
    _rendezvous(job).unlink(missing_ok=True)
    try:
        # spawned, not forked from a server: these end when this process is killed
        mp.spawn(_process_rank, args=(job,), nprocs=job.config.parallel.world_size)
    except (mp.ProcessRaisedException, mp.ProcessExitedException) as error:
        raise _failed(error, job) from error


def _process_rank(rank: int, job: Job) -> None:
    import torch
    import torch.distributed as dist

    from pretrain.loop import run_rank
    from pretrain.parallelize import backend

    # The driver's death comes as SIGINT, which a driver started in the background may have had ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(DETERMINISTIC | loopback())
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    world_size = job.config.parallel.world_size
    store = dist.FileStore(str(_rendezvous(job)), world_size)
    dist.init_process_group(backend(), store=store, rank=rank, world_size=world_size)
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
