"""Report the free space of the servers' disks to services, which have no access to them.

Runs in its own container, with the servers' volumes mounted read-only as `/disks/<server>` and a uid that owns nothing
there: statvfs needs no more. `GET /rabbitmq` returns {"free", "total"} in bytes.
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
        space = _space(self.path.strip("/"))
        body = json.dumps(space).encode()
        self.send_response(200 if space else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: requests arrive every few seconds."""


def _space(name: str) -> dict[str, int] | None:
    """Return the space on a mounted disk; None for an unknown name."""
    disks = {folder.name: folder for folder in DISKS.iterdir()}
    if name not in disks:
        return None
    found = os.statvfs(disks[name])
    return {"free": found.f_bavail * found.f_frsize, "total": found.f_blocks * found.f_frsize}


@contextmanager
def serving(host: str, port: int) -> Iterator[ThreadingHTTPServer]:
    """Serve on this address, in separate threads, while the block runs."""
    with ThreadingHTTPServer((host, port), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="disks")
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def main() -> int:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with serving("0.0.0.0", PORT):  # noqa: S104 - in a container
        stop.wait()
    return 0
