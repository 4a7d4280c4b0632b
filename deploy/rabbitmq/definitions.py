"""Render the broker's topology and permissions from the template `definitions.json`.

In it `@prefix@` is the vhost and the start of each account's name, `@hash_<service>@` the hash of that account's
password. The broker can load the result when it starts, or import it while it runs, any number of times.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TEMPLATE = Path(__file__).with_name("definitions.json")


def password_hash(password: str) -> str:
    """Return RabbitMQ's salted SHA-256: base64 of a 4-byte salt and the digest of salt + password."""
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def account(prefix: str, service: str) -> str:
    """Return the name of a service's account, which is also the `user_id` of its messages."""
    return f"{prefix}-{service}"


def render(prefix: str, passwords: Mapping[str, str]) -> dict[str, Any]:
    """Return the definitions of one vhost. passwords: by service."""
    text = _TEMPLATE.read_text().replace("@prefix@", prefix)
    for service, password in passwords.items():
        text = text.replace(f"@hash_{service}@", password_hash(password))
    return dict(json.loads(text))


def administrator(name: str, password: str) -> dict[str, Any]:
    """Return definitions with one administrator only. A broker that loads them at its start creates no `guest`."""
    user = {
        "name": name,
        "password_hash": password_hash(password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "administrator",
    }
    return {"users": [user], "vhosts": [], "permissions": []}


def administrators_permission(prefix: str, name: str) -> dict[str, Any]:
    """Return the permission that gives an administrator all rights in the vhost."""
    return {"user": name, "vhost": prefix, "configure": ".*", "write": ".*", "read": ".*"}
