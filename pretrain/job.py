"""What every rank of a run is given, and how it is written down.

Reads/Writes: `job.json` in the scratch folder, for a run that is taken on by torchrun
Cost:   -
Source: -
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from pipeline import config as pipeline_config
from pipeline.errors import DataError
from pretrain.checkpoint_files import Run
from pretrain.config import Config
from pretrain.provenance import Source

NOT_OF_THE_RUN = ("parallel", "checkpoint")  # may change on the way: a run goes on with other ranks
TOKENIZER = "tokenizer.json"  # in the scratch folder


@dataclass(frozen=True, kw_only=True)
class Job:
    """Small and picklable. Paths are local, on a file system all ranks see."""

    config: Config
    tokens: Mapping[str, Any]  # the contract of the shards
    sources: tuple[Source, ...]  # of the rows trained on; their rows are numbered one source after the other
    validation_sources: tuple[Source, ...]
    work: str
    metrics: str = ""  # a folder for figures of time, which an artifact must not hold; empty: none are kept
    exact: bool = True  # goes on only from checkpoints of as many ranks, for the bytes are promised

    @property
    def train_shards(self) -> tuple[str, ...]:
        return tuple(path for source in self.sources for path in source.shards)

    @property
    def validation_shards(self) -> tuple[str, ...]:
        return tuple(path for source in self.validation_sources for path in source.shards)

    @property
    def vocab_size(self) -> int:
        return int(self.tokens["vocab_size"])

    @property
    def checkpoints(self) -> Path:
        return Path(self.work) / "checkpoints"

    @property
    def run_id(self) -> str:
        """Names what the run computes, however it is divided over ranks. One of other settings is not gone on from."""
        settings = {name: value for name, value in asdict(self.config).items() if name not in NOT_OF_THE_RUN}
        text = json.dumps([settings, self.vocab_size, self.tokens["length"]], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def run(self, world_size: int) -> Run:
        """What its checkpoints are of, when `world_size` ranks compute it."""
        ranks = asdict(self.config.parallel) | {"world_size": world_size}
        del ranks["min_workers"]
        return Run(run_id=self.run_id, ranks=ranks, exact=self.exact)


def write(job: Job, path: Path) -> None:
    values = {f.name: pipeline_config.to_json(getattr(job, f.name)) for f in fields(job)}
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read(path: Path) -> Job:
    """DataError where it is no job."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        node = yaml.compose(json.dumps(values["config"]), Loader=yaml.SafeLoader)
        values["config"] = pipeline_config.build(Config, node, "config", str(path))
        for name in ("sources", "validation_sources"):
            values[name] = tuple(Source(**{**each, "shards": tuple(each["shards"])}) for each in values[name])
        return Job(**values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{type(error).__name__}: {error}", where=str(path), expected="the job.json of a run",
        ) from error  # fmt: skip
