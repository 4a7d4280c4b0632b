"""Reading ahead: the same pieces, a few of them early, and nothing left behind whatever becomes of the reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from services.document.intake.ahead import ReadAhead

_MOST = 3


class Source:
    """Pieces that are counted as they are made; the one at `fails` can't be."""

    def __init__(self, count: int, *, fails: int | None = None) -> None:
        self._count, self._fails = count, fails
        self.made = 0
        self.done = threading.Event()

    def pieces(self) -> Iterator[bytes]:
        for number in range(self._count):
            if number == self._fails:
                raise LookupError("damaged")
            self.made += 1
            yield b"%d" % number

    def ahead(self) -> ReadAhead:
        return ReadAhead(self.pieces(), most=_MOST, done=self.done.set)


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it didn't happen"
        time.sleep(0.01)


def is_over() -> bool:
    return not any(thread.name == "read-ahead" for thread in threading.enumerate())


def test_the_pieces_come_in_order_and_then_it_ends() -> None:
    source = Source(20)
    assert list(source.ahead()) == [b"%d" % number for number in range(20)]
    until(is_over)
    assert source.done.is_set()


def test_no_more_than_a_few_are_made_before_they_are_wanted() -> None:
    source = Source(100)
    ahead = source.ahead()
    until(lambda: source.made == _MOST)
    time.sleep(0.1)
    assert source.made == _MOST
    next(ahead)
    until(lambda: source.made == _MOST + 1)
    ahead.close()
    until(is_over)


def test_what_cant_be_made_is_raised_where_it_was_wanted() -> None:
    source = Source(20, fails=2)
    ahead = source.ahead()
    assert [next(ahead), next(ahead)] == [b"0", b"1"]
    with pytest.raises(LookupError, match="damaged"):
        next(ahead)
    until(source.done.is_set)


@pytest.mark.parametrize("read", [0, 1, 5, 100])
def test_one_that_is_closed_leaves_no_thread_and_closes_its_file(read: int) -> None:
    source = Source(100)
    ahead = source.ahead()
    for _ in range(read):
        next(ahead)
    ahead.close()
    until(is_over)
    assert source.done.is_set()
    assert source.made <= read + _MOST
