"""A run whose artifacts are in an object store makes the same artifacts as one on local disk."""

from __future__ import annotations

from pathlib import Path

from pipeline.store import Folder
from stages.sample.build import write_sample_crawl
from tests.e2e.dag_file import artifacts, crawlmill, write_dag
from tests.e2e.s3_server import s3_server


def test_run_with_output_on_s3_equals_a_local_one(tmp_path: Path) -> None:
    write_sample_crawl(tmp_path / "crawl", num_pages=120, num_shards=2)
    dag = str(write_dag(tmp_path, tmp_path / "crawl", "out"))
    crawlmill("run", dag, "--in-process")
    with s3_server() as options:
        output = f"s3://bucket/out{options}"
        override = ["--set", f"output={output}"]
        crawlmill("run", dag, *override, "--in-process")
        folder = Folder(output)
        names = [name for name in folder.list() if name.endswith("/artifact.json")]
        assert {name: folder.read_bytes(name) for name in names} == artifacts(tmp_path / "out")
        assert "nothing to do" in crawlmill("run", dag, *override).stdout
        assert "files are as their manifests say" in crawlmill("verify", output).stdout
        assert not [name for name in folder.list() if "/.work/" in name]
        run = folder.read_bytes("run.json").decode()
        assert "endpoint_override" not in run
        url = "https://standard-library.example/"
        assert "http" in crawlmill("explain", url, "--output", output, code=1).stderr
