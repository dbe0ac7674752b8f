"""Optimisers on 2 and 4 ranks change the weights as one does on a model that is not sharded."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import torch.multiprocessing as mp

from pretrain.train import loopback
from tests.pretrain import sharded_steps


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [2, 4])
def test_optimizers_on_sharded_weights_equal_those_on_whole_ones(tmp_path: Path, world_size: int) -> None:
    arguments = (world_size, str(tmp_path / "rendezvous"), loopback())
    multiprocessing.set_forkserver_preload([sharded_steps.__name__])  # torch is imported once for all ranks
    mp.start_processes(sharded_steps.check, args=arguments, nprocs=world_size, start_method="forkserver")
