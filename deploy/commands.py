"""The commands that a service's two processes are started with, embedded and in a container alike."""

from __future__ import annotations

import sys

_API_THREADS = 16
# Longer than the gateway (two minutes) or any client keeps an idle connection: the side that writes next is the one to
# close it. Otherwise a request meets a connection that was just closed, and nobody may send a POST twice by guess.
_KEEP_ALIVE_SECONDS = 150


def api_command(service: str, bind: str, temp: str) -> list[str]:
    """gunicorn with one process of threads on `bind` (host:port); `temp` is a folder for its heartbeat file."""
    return [
        sys.executable, "-m", "gunicorn", "--worker-class", "shared.http.server.GunicornWorker", "--workers", "1",
        "--threads", str(_API_THREADS), "--bind", bind, "--worker-tmp-dir", temp,
        "--no-control-socket", "--logger-class", "shared.ops.logs.GunicornLogger", "--graceful-timeout", "4",
        "--keep-alive", str(_KEEP_ALIVE_SECONDS),
        # A warning quotes the malformed request it is about, which may hold anything.
        "--log-level", "error",
        f"services.{service}.main:create_api()",
    ]  # fmt: skip


def worker_command(service: str) -> list[str]:
    return [sys.executable, "-m", f"services.{service}.main", "worker"]
