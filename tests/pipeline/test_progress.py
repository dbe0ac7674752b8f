"""What the progress display writes, on a stream that is no terminal and on one that is."""

from __future__ import annotations

import io
import re

import pytest

from pipeline.progress import LiveProgress, PlainProgress, Progress, open_progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def tell(progress: Progress) -> None:
    with progress:
        progress.step_reused(["labels", "train_quality"])
        progress.step_started("crawl", 2)
        progress.shard_done("crawl", 1000, 900)
        progress.shard_done("crawl", 500, 250)
        progress.step_done("crawl", 1500, 1150, 12.34)
        progress.step_started("unique: sign", 1)
        progress.shard_done("unique: sign", 0, 0)
        progress.note("unique: 3 of 4 shards were finished before")
        progress.step_done("unique", 1150, 800, 3.0)


def test_plain_writes_one_line_per_event() -> None:
    stream = io.StringIO()
    tell(open_progress("plain", stream))
    assert stream.getvalue().splitlines() == [
        "reused: labels, train_quality",
        "crawl: started, 2 shards",
        "crawl: 1 of 2 shards done, 1,000 in, 900 out",
        "crawl: 2 of 2 shards done, 1,500 in, 1,150 out",
        "crawl: done in 12.3 s, 1,500 documents in, 1,150 out",
        "unique: sign: started, 1 shard",
        "unique: sign: 1 of 1 shard done",
        "unique: 3 of 4 shards were finished before",
        "unique: done in 3.0 s, 1,150 documents in, 800 out",
    ]


@pytest.mark.parametrize("num_shards", [1, 4, 5, 6, 1000, 12345])
def test_plain_many_shards_write_few_lines_and_the_last(num_shards: int) -> None:
    stream = io.StringIO()
    with open_progress("plain", stream) as progress:
        progress.step_started("crawl", num_shards)
        for _ in range(num_shards):
            progress.shard_done("crawl", 10, 9)
    lines = stream.getvalue().splitlines()[1:]
    assert len(lines) <= 6
    assert f"{num_shards:,} of {num_shards:,} shard" in lines[-1]
    assert f"{10 * num_shards:,} in, {9 * num_shards:,} out" in lines[-1]


def test_silent_writes_nothing() -> None:
    stream = Terminal()
    tell(open_progress("silent", stream))
    assert stream.getvalue() == ""


def test_auto_is_live_on_a_terminal_and_plain_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(open_progress("auto", Terminal()), LiveProgress)
    assert isinstance(open_progress("auto", io.StringIO()), PlainProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(open_progress("auto", Terminal()), PlainProgress)


def test_live_leaves_finished_steps_on_the_screen() -> None:
    stream = Terminal()
    tell(open_progress("live", stream))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "crawl: done in 12.3 s, 1,500 documents in, 1,150 out" in shown
    assert "reused: labels, train_quality" in shown
    assert "unique: done in 3.0 s" in shown


@pytest.mark.parametrize("kind", ["plain", "live"])
def test_step_name_that_looks_like_markup_is_shown_as_it_is(kind: str) -> None:
    stream = Terminal()
    name = "[red]x[/red] [link=file:///etc]y[/] \x1b[2J :skull:"
    with open_progress("live" if kind == "live" else "plain", stream) as progress:
        progress.step_started(name, 1)
        progress.note(name)
        progress.shard_done(name, 1, 1)
        progress.step_done(name, 1, 1, 0.5)
    shown = stream.getvalue()
    assert "[red]x[/red] [link=file:///etc]y[/]" in shown
    assert "\x1b[2J" not in shown and "␛[2J" in shown
    assert ":skull:" in shown


def test_plain_stream_that_cannot_hold_a_name_gets_it_escaped() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as stream:
        with open_progress("plain", stream) as progress:
            progress.note("清洗")
        stream.flush()
        assert raw.getvalue() == b"\\u6e05\\u6d17\n"


def test_shard_of_a_step_nobody_started_is_counted() -> None:
    stream = io.StringIO()
    with open_progress("plain", stream) as progress:
        progress.shard_done("crawl", 5, 4)
    assert "5 in, 4 out" in stream.getvalue()
