"""Several clients that post at once, each over one kept connection, as light as the standard library allows."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from shared.ids import new_id

CLIENTS = 8


def rate(port: int, token: str, path: Callable[[], str], body: Any, times: int) -> float:
    """Requests a second when every client posts `times` times, each under an Idempotency-Key of its own."""
    content = json.dumps(body).encode()
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        for done in [clients.submit(_post, port, token, path, content, times) for _ in range(CLIENTS)]:
            done.result()
    return CLIENTS * times / (time.perf_counter() - started)


def _post(port: int, token: str, path: Callable[[], str], content: bytes, times: int) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for _ in range(times):
            connection.request("POST", path(), content, headers | {"Idempotency-Key": new_id()})
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == 201, (answer.status, said[:300])
