"""One thread per process that keeps up the heartbeat of its uploads' rows, and stops those that were told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pymongo.errors import PyMongoError

from services.document.store.receiving import Receiving
from shared.ops.logs import log, where

_BEAT_SECONDS = 1.0


class Watch:
    """The uploads of this process. `stop` wakes one that waits for its caller."""

    def __init__(self, receiving: Receiving) -> None:
        self._receiving = receiving
        self._guard = threading.Lock()
        self._live: dict[str, Callable[[], None]] = {}
        self._thread: threading.Thread | None = None

    def add(self, upload_id: str, stop: Callable[[], None]) -> None:
        with self._guard:
            self._live[upload_id] = stop
            # Begun with the first upload, so that a server that forks has it in the process that needs it.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)
                self._thread.start()

    def remove(self, upload_id: str) -> None:
        with self._guard:
            self._live.pop(upload_id, None)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(_BEAT_SECONDS)
            with self._guard:
                live = list(self._live)
            for upload_id in live:
                try:
                    beats = self._receiving.beat(upload_id)
                except PyMongoError as error:
                    # Its row may lapse meanwhile; if it does, it can't be completed.
                    log.warning("upload.beat_missed", record_id=upload_id, **where(error))
                    continue
                if not beats:
                    self._stop(upload_id)

    def _stop(self, upload_id: str) -> None:
        with self._guard:
            stop = self._live.pop(upload_id, None)
            # Under the guard, so that it can't reach the connection's next request.
            if stop is not None:
                stop()
