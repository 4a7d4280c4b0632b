"""`python -m reader.main`: serve until told to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from reader.api import serving
from reader.reading import Reader
from reader.settings import load
from shared.erasure.readings import READER
from shared.ops.logs import configure, log
from shared.ops.memory import keep_memory_private
from shared.ops.settings import SettingsError
from shared.security.signing import PublicKeys


def main() -> int:
    """0 when it was told to stop; 2 for a setting that is wrong, said in one sentence."""
    keep_memory_private()
    configure(service=READER, process=READER)
    try:
        settings = load()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    reader = Reader(settings)
    with serving(reader, PublicKeys.load(settings.public_keys), settings.bind):
        log.info("reader.started")
        if (ready := os.environ.get("FMN_READY_FILE")) is not None:
            Path(ready).touch()
        stop.wait()
    # A pass that is under way is repeated: nothing waits for its end.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
