from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import xxhash

from pipeline.errors import DataError, StoreError
from pipeline.inputs import content_hash, list_files
from tests.stages.commoncrawl_server import CrawlServer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(path: Path, content: bytes, age_s: float = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_list_files_folder_gives_wanted_names_in_order_with_content_stamps(tmp_path: Path) -> None:
    for name in ("b.txt", "sub/a.txt", "a.bin", "a.txt"):
        write(tmp_path / "in" / name, name.encode())
    shards = list_files(str(tmp_path / "in"), lambda name: name.endswith(".txt"), "text")
    assert [s.name for s in shards] == ["a.txt", "b.txt", "sub/a.txt"]
    assert [s.stamp for s in shards] == [
        f"size:{s.num_bytes} xxh3:{xxhash.xxh3_128_hexdigest(s.name.encode())}" for s in shards
    ]


def test_list_files_one_file_and_its_folder_agree_on_the_stamp(tmp_path: Path) -> None:
    file = write(tmp_path / "in" / "a.txt", b"x")
    alone = list_files(str(file), lambda name: True, "")
    assert alone[0].name == "a.txt"
    assert alone[0].stamp == list_files(str(file.parent), lambda name: True, "")[0].stamp


def test_list_files_nothing_there_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file or folder"):
        list_files(str(tmp_path / "none"), lambda name: True, "")
    write(tmp_path / "in" / "a.bin", b"x")
    with pytest.raises(DataError, match=r"expected files named \*\.txt"):
        list_files(str(tmp_path / "in"), lambda name: name.endswith(".txt"), "files named *.txt")


def test_list_files_http_file_is_stamped_by_what_the_server_says(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", b"hello")
    with CrawlServer(tmp_path) as server:
        shard = list_files(f"{server.url}/a.txt?token=x", lambda name: True, "")[0]
    assert (shard.name, shard.num_bytes) == ("a.txt", 5)
    assert "etag:" in shard.stamp and "token" not in shard.stamp


def test_content_hash_is_remembered_until_size_or_time_change(tmp_path: Path, cache: Path) -> None:
    file = write(tmp_path / "a", b"first")
    assert content_hash(str(file)) == xxhash.xxh3_128_hexdigest(b"first")
    stamp = os.stat(file).st_mtime_ns
    file.write_bytes(b"other")
    os.utime(file, ns=(stamp, stamp))  # the one change that the cache cannot see shows that it is used
    assert content_hash(str(file)) == xxhash.xxh3_128_hexdigest(b"first")
    os.utime(file, ns=(stamp + 1, stamp + 1))
    assert content_hash(str(file)) == xxhash.xxh3_128_hexdigest(b"other")


def test_content_hash_of_a_fresh_file_is_not_remembered(tmp_path: Path, cache: Path) -> None:
    content_hash(str(write(tmp_path / "a", b"first", age_s=0)))
    assert not list(cache.rglob("*.json"))


def test_content_hash_survives_a_broken_or_unwritable_cache(tmp_path: Path, cache: Path) -> None:
    file = write(tmp_path / "a", b"first")
    expected = content_hash(str(file))
    for entry in cache.rglob("*.json"):
        entry.write_text("[half")
    assert content_hash(str(file)) == expected
    for entry in cache.rglob("*.json"):
        entry.unlink()
    (cache / "crawlmill" / "stamps").rmdir()
    (cache / "crawlmill" / "stamps").write_text("a file is in the way")
    assert content_hash(str(file)) == expected
