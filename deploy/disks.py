"""How much room is on the disks under the servers, for those who may not look there themselves.

In a container of its own, which has the servers' volumes mounted as `/disks/<server>`, read-only, and a uid that owns
nothing there: all it needs is the file system's own numbers. `GET /rabbitmq` answers {"free", "total"} in bytes.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 8000
DISKS = Path("/disks")


class _Handler(BaseHTTPRequestHandler):
    timeout = 5

    def do_GET(self) -> None:
        found = _room(self.path.strip("/"))
        body = json.dumps(found).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: it is asked every few seconds."""


def _room(name: str) -> dict[str, int] | None:
    """The room on one of the disks that lie here; None for any other name."""
    here = {folder.name: folder for folder in DISKS.iterdir()}
    if name not in here:
        return None
    found = os.statvfs(here[name])
    return {"free": found.f_bavail * found.f_frsize, "total": found.f_blocks * found.f_frsize}


@contextmanager
def serving(host: str, port: int) -> Iterator[ThreadingHTTPServer]:
    """Answer on this address meanwhile, from threads of its own."""
    with ThreadingHTTPServer((host, port), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="disks")
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def main() -> int:
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    with serving("0.0.0.0", PORT):  # noqa: S104 - in a container of its own
        over.wait()
    return 0
