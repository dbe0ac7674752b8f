"""Peak memory from text to packed shards, at an eighth of a corpus and at all of it.

usage: python -m benchmarks.tokens_scale --corpus FOLDER [--json]

Reads:  the corpus of benchmarks/bpe_corpus.py
Writes: nothing that stays
Peer:   -

One DAG, `stages.documents`, `stages.vocabulary` (32,768 entries), `stages.pack`, on Ray with two workers; each run has
a Ray of its own. The figure of a step is the peak of the largest process that worked for it (a worker goes on from step
to step, so a step's figure is never below that of the one before in the same process). Shards are of equal size, so
eight times the corpus is eight times the shards. What the one task that learns merges holds grows with the distinct
pretokens, of which each further text brings fewer.

Last line with --json: {"figures": {"vocabulary_8x_over_1x", "chunks_8x_over_1x", "vocabulary_mb", "chunks_mb",
"distinct_pretokens_8x_over_1x"}}.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bpe_corpus import corpus

REPOSITORY = Path(__file__).resolve().parents[1]
DAG = """\
version: 1
output: {output}
steps:
  text: {{uses: stages.documents, with: {{source: {source}}}, keep: true}}
  vocabulary: {{uses: stages.vocabulary, inputs: text}}
  chunks: {{uses: stages.pack, inputs: {{documents: text, vocabulary: vocabulary}}}}
"""


def run(shards: list[Path], folder: Path) -> dict[str, Any]:
    """The summary of a run over some shards."""
    source = folder / "source"
    source.mkdir(parents=True)
    for shard in shards:
        (source / shard.name).symlink_to(shard.resolve())
    dag = folder / "dag.yaml"
    dag.write_text(DAG.format(output=folder / "run", source=source))
    command = [sys.executable, "-m", "pipeline", "run", str(dag), "--workers", "2", "--plain"]
    subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    summary: dict[str, Any] = json.loads((folder / "run" / "run.json").read_text())
    return summary


def _of_step(summary: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(step for step in summary["steps"] if step["step"] == name)
    return found


def figures(shards: list[Path]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        small = run(shards[: max(1, len(shards) // 8)], Path(name, "small"))
        whole = run(shards, Path(name, "whole"))
        pretokens = [
            json.loads(
                Path(
                    name, size, "run", _of_step(summary, "vocabulary")["artifact"], "report", "vocabulary.json"
                ).read_text()
            )
            for size, summary in (("small", small), ("whole", whole))
        ]
    found = {}
    for step in ("vocabulary", "chunks"):
        one, eight = (_of_step(summary, step)["peak_memory_bytes"] for summary in (small, whole))
        found[f"{step}_8x_over_1x"] = round(eight / one, 3)
        found[f"{step}_mb"] = round(eight / 1e6)
    counts = [report["counters"]["distinct_pretokens"] for report in pretokens]
    found["distinct_pretokens_8x_over_1x"] = round(counts[1] / counts[0], 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--corpus", required=True, help="a folder for the corpus; one that has it is used as it is")
    parser.add_argument("--bytes", type=int, default=205_000_000, help="of text, where the corpus is made")
    parser.add_argument("--json", action="store_true", help="print one machine-readable object as the last line")
    arguments = parser.parse_args()
    found = figures(corpus(Path(arguments.corpus), arguments.bytes, None))
    for name, value in found.items():
        print(f"{name:40} {value:,}")
    if arguments.json:
        print(json.dumps({"figures": found}))


if __name__ == "__main__":
    main()
