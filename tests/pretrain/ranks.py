"""Runs a function on several ranks, in processes forked from a server that has imported torch once."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.multiprocessing as torch_processes

from pretrain.train import loopback


def on_ranks(world_size: int, folder: Path, function: Callable[..., Any], *args: Any) -> list[Any]:
    """What `function(*args)` returned on each rank. It and its arguments can be pickled; `folder` is the call's own."""
    folder.mkdir(parents=True)
    multiprocessing.set_forkserver_preload(["pretrain.loop"])
    torch_processes.start_processes(
        _rank, (world_size, str(folder), function, args), world_size, start_method="forkserver"
    )
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(world_size)]


def _rank(rank: int, world_size: int, folder: str, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    os.environ.update(loopback())
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world_size)
    result = function(*args)
    dist.barrier()
    dist.destroy_process_group()
    Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps(result))
