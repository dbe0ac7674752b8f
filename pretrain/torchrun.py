"""A run's ranks under torchrun: `torchrun --nproc-per-node 4 -m pretrain.torchrun JOB.json`.

Reads:  the `job.json` that a run leaves in its scratch folder (the stage writes it before it starts its ranks)
Writes: what pretrain.loop writes
Cost:   as pretrain.loop
Source: torch.distributed.run

The number of ranks is torchrun's. Where it is another one than before, the run goes on at its last checkpoint all the
same; the weights' last bits are then those of neither number.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from pipeline.errors import CrawlmillError
from pretrain import job, loop, parallelize


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or "LOCAL_RANK" not in os.environ:
        print("usage: torchrun --nproc-per-node N -m pretrain.torchrun JOB.json", file=sys.stderr)
        return 2
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(parallelize.backend())
    try:
        loop.run_rank(replace(job.read(Path(arguments[0])), exact=False))
    except CrawlmillError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
