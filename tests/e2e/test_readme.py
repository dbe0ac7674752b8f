"""The code in README.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from tokenizers import Tokenizer

from stages.sample.build import write_sample_crawl
from tests.e2e.dag_file import crawlmill, summary, write_dag
from tests.shared_data import REPOSITORY


def test_readme_code_reads_the_shards_of_the_last_run(tmp_path: Path) -> None:
    write_sample_crawl(tmp_path / "crawl", num_pages=200, num_shards=2)
    dag = str(write_dag(tmp_path, tmp_path / "crawl", "out"))
    crawlmill("run", dag, "--in-process", "--set", "steps.vocabulary.with.vocab_size=3000")
    crawlmill("run", dag, "--in-process")
    code, tiktoken_code = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(code.replace("runs/demo", str(tmp_path / "out")), names)
    ids = names["ids"]
    assert isinstance(ids, torch.Tensor)
    assert ids.shape[1] == 512
    assert int(ids.max()) < 2048, "the last run's vocabulary, not the first one's"
    chunks = tmp_path / "out" / next(s["artifact"] for s in summary(tmp_path / "out")["steps"] if s["step"] == "chunks")
    rows = sum(
        batch.num_rows
        for path in chunks.glob("shards/train-*.arrow")
        for batch in pa.ipc.open_stream(pa.memory_map(str(path)))
    )
    assert rows == names["rows"].num_rows  # type: ignore[attr-defined]
    _check_tiktoken(tiktoken_code, tmp_path / "out")


def _check_tiktoken(code: str, output: Path) -> None:
    artifact = next(s["artifact"] for s in summary(output)["steps"] if s["step"] == "vocabulary")
    names: dict[str, Any] = {"folder": str(output / artifact)}
    exec(code, names)
    text = "The function returns 1234 values,\n\n  and no more: caf\u00e9."
    expected = Tokenizer.from_file(str(output / artifact / "tokenizer.json")).encode(text).ids
    assert names["encoding"].encode(text) == expected
