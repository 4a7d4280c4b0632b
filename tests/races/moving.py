"""`python -m tests.races.moving`: moves of documents that die at a numbered call to MongoDB or to the object store.

Reads lines `number document case` from its input. For each, a child of it moves that document to that case, and kills
itself before its n-th call; 0 never. Answers each with `killed` or `done`. The children are forked from a process that
has imported everything and connected to nothing; its environment has the document service's settings.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from pymongo import monitoring

from services.document.actions.moves import move_document
from services.document.main import service
from services.document.store import files
from tests.races.rotating import Countdown


def move(at: int, document_id: str, to: str) -> None:
    countdown = Countdown(0)
    monitoring.register(countdown)
    context = service.open("api").context
    # Public of `urllib3`: each request that the object store's client makes, and each that is retried.
    pool: Any = files._Pool
    pool.urlopen = countdown.counted(pool.urlopen)
    countdown.calls, countdown.at = 0, at
    move_document(context, document_id=document_id, to=to, reason="Filed under the wrong reference", by="a.caseworker")


def main() -> None:
    for line in sys.stdin:
        number, document_id, to = line.split()
        child = os.fork()
        if child == 0:
            # What it logs is no answer.
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
            move(int(number), document_id, to)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print("killed" if killed else "done" if status == 0 else "failed", flush=True)


if __name__ == "__main__":
    main()
