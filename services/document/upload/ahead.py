"""Reading ahead: the next pieces of a file are fetched and decrypted while the last one is being sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue


class ReadAhead:
    """The pieces of an iterator, made on a thread of their own; a few of them wait, and no more.

    What the iterator raises is raised where its next piece was wanted. done: called by that thread when it will touch
    the iterator no more, so that nothing is closed while it is being read. Close it, however far it was read.
    """

    def __init__(self, pieces: Iterator[bytes], *, most: int, done: Callable[[], None]) -> None:
        self._pieces = pieces
        self._done = done
        self._room = threading.Semaphore(most)
        self._ready: SimpleQueue[bytes | BaseException] = SimpleQueue()
        self._closed = False
        threading.Thread(target=self._run, name="read-ahead", daemon=True).start()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = self._ready.get()
        if isinstance(piece, BaseException):
            raise piece
        self._room.release()
        return piece

    def close(self) -> None:
        """Want no more; waits for nothing."""
        self._closed = True
        self._room.release()

    def _run(self) -> None:
        end: BaseException = StopIteration()
        try:
            while not self._closed:
                self._room.acquire()
                if self._closed:
                    break
                self._ready.put(next(self._pieces))
        except BaseException as error:  # noqa: BLE001 (StopIteration too: the reader gets it)
            end = error
        finally:
            try:
                self._done()
            finally:
                # Whatever becomes of it: a reader that is told of no end waits for ever.
                self._ready.put(end)
