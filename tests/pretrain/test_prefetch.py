from __future__ import annotations

import threading
import time

import pytest

from pretrain.prefetch import Prefetch


def after(position: int) -> int | None:
    return position + 1 if position < 9 else None


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_take_in_order_gives_what_was_read_for_each_position_once(depth: int) -> None:
    read: list[int] = []
    ahead = Prefetch(lambda n: read.append(n) or n * n, after, depth)
    assert [ahead.take(n) for n in range(10)] == [n * n for n in range(10)]
    ahead.close()
    assert read == list(range(10))


def test_take_keeps_no_more_than_depth_items_ahead() -> None:
    read: list[int] = []
    ahead = Prefetch(lambda n: read.append(n) or n, after, 2)
    for n in range(5):
        assert ahead.take(n) == n
        time.sleep(0.02)
        assert max(read) == n + 2
    ahead.close()


def test_take_of_another_position_than_the_next_drops_what_was_read() -> None:
    ahead = Prefetch(lambda n: -n, after, 3)
    assert [ahead.take(n) for n in (0, 1, 7, 8, 2)] == [0, -1, -7, -8, -2]
    ahead.close()


def test_take_raises_the_error_of_its_own_position_and_not_before() -> None:
    def read(position: int) -> int:
        if position == 3:
            raise ValueError("row 3 is damaged")
        return position

    ahead = Prefetch(read, after, 3)
    assert [ahead.take(n) for n in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="row 3"):
        ahead.take(3)
    ahead.close()


def test_take_after_the_thread_had_time_waits_for_nothing() -> None:
    ahead = Prefetch(lambda n: time.sleep(0.05), after, 2)
    ahead.take(0)
    first_s = ahead.waited_s
    for n in range(1, 6):
        time.sleep(0.1)  # the step
        ahead.take(n)
    ahead.close()
    assert first_s >= 0.05
    assert ahead.waited_s - first_s < 0.05


def test_close_ends_the_thread() -> None:
    before = threading.active_count()
    ahead = Prefetch(lambda n: n, after, 2)
    ahead.take(0)
    assert threading.active_count() == before + 1
    ahead.close()
    assert threading.active_count() == before
