"""HTTP requests that ignore the machine's proxy settings and netrc, which could redirect or replace credentials."""

from __future__ import annotations

from typing import Any

import requests


def request(method: str, url: str, *, timeout: float, **options: Any) -> requests.Response:
    """Send one request; `options` are those of requests.Session.request. Raises requests.RequestException."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, timeout=timeout, **options)
