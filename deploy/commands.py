"""The commands of a service's two processes, both in the embedded stack and in a container."""

from __future__ import annotations

import sys

_API_THREADS = 16
# Longer than the gateway (two minutes) or any client keeps an idle connection, so that the client closes it first.
# Otherwise a request can arrive on a connection that was just closed, and a POST can't safely be retried.
_KEEP_ALIVE_SECONDS = 150


def api_command(service: str, bind: str, temp: str) -> list[str]:
    """Return the gunicorn command: one process with threads. bind: host:port. temp: folder for its heartbeat file."""
    return [
        sys.executable, "-m", "gunicorn", "--worker-class", "shared.http.server.GunicornWorker", "--workers", "1",
        "--threads", str(_API_THREADS), "--bind", bind, "--worker-tmp-dir", temp,
        "--no-control-socket", "--logger-class", "shared.ops.logs.GunicornLogger", "--graceful-timeout", "4",
        "--keep-alive", str(_KEEP_ALIVE_SECONDS),
        # Warnings quote the malformed request, which can contain personal data.
        "--log-level", "error",
        f"services.{service}.main:create_api()",
    ]  # fmt: skip


def reader_command() -> list[str]:
    return [sys.executable, "-m", "reader.main"]


def worker_command(service: str) -> list[str]:
    return [sys.executable, "-m", f"services.{service}.main", "worker"]
