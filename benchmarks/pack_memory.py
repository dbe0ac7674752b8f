"""Peak memory of `stages.pack` over one shard of documents, in a process of its own.

Reads:  a documents shard (Parquet: `id`, `text`) and a vocabulary's tokenizer.json
Writes: nothing that stays
Prints: the peak of its resident bytes

Run as `python -m benchmarks.pack_memory SHARD TOKENIZER_JSON`.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.artifact import Artifact
from pipeline.backend import LocalBackend
from pipeline.dag import Resources
from pipeline.report import StepReport
from pipeline.stage_loader import load_stage
from pipeline.store import Folder
from pipeline.wide_context import EngineWideContext

REPOSITORY = Path(__file__).resolve().parents[1]


def peak_bytes(shard: Path, tokenizer_json: Path) -> int:
    """The peak of resident memory of a process that packs this shard."""
    command = [sys.executable, "-m", "benchmarks.pack_memory", str(shard), str(tokenizer_json)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return int(done.stdout)


def _pack(shard: Path, vocabulary: Artifact, folder: Path) -> None:
    stage = load_stage("stages.pack", "chunks")
    documents = Artifact(
        step="documents", kind="documents", fingerprint="0" * 64, folder=Folder(str(shard.parent.parent)),
        manifest={"files": [{"name": f"shards/{shard.name}"}]},
    )  # fmt: skip
    context = EngineWideContext(
        step="chunks", uses="stages.pack", columns={}, inputs={"documents": documents, "vocabulary": vocabulary},
        output=Folder(str(folder / "out")), work=Folder(str(folder / "work")), backend=LocalBackend(),
        resources=Resources(), task_done=lambda phase, done, total: None,
        step_report=StepReport(step="chunks", uses="stages.pack", kind="wide", produces="tokens"),
    )  # fmt: skip
    stage.function(stage.config(), context)


def _vocabulary(tokenizer_json: Path) -> Artifact:
    from tokenizer.encode import load_encoder

    content = tokenizer_json.read_bytes()
    vocab_size = load_encoder(content).vocab_size
    contract = {
        "tokenizer_sha256": hashlib.sha256(content).hexdigest(), "vocab_size": vocab_size,
        "eot_id": vocab_size - 2, "pad_id": vocab_size - 1,
    }  # fmt: skip
    return Artifact(
        step="vocabulary", kind="vocabulary", fingerprint="0" * 64, folder=Folder(str(tokenizer_json.parent)),
        manifest={"contract": contract},
    )  # fmt: skip


def _peak_bytes() -> int:
    """Of this program: getrusage's would be no less than what its parent held as it started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    shard, tokenizer_json = (Path(argument) for argument in sys.argv[1:])
    vocabulary = _vocabulary(tokenizer_json)
    with tempfile.TemporaryDirectory() as name:
        _pack(shard, vocabulary, Path(name))
    print(_peak_bytes())


if __name__ == "__main__":
    main()
