"""The processes of one prefix: an API and a worker of each service, and the independent reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from contextlib import suppress

import requests

from deploy import direct_http
from deploy.commands import api_command, reader_command, worker_command
from deploy.local.places import DEFAULT_PREFIX, PROJECT, Places, private_folder
from deploy.local.processes import Program
from deploy.local.provision import Provision
from shared.erasure.readings import READER
from shared.events import SERVICES


def programs(places: Places, provided: Provision, chosen: Set[str], extra: Mapping[str, str]) -> dict[str, Program]:
    """Return programs by name (`case-api`, `case-worker`, `reader`). chosen: names of services or of programs."""
    roles = [(service, role) for service in SERVICES for role in ("api", "worker")]
    found = {
        f"{service}-{role}": _program(places, provided, service, role, extra)
        for service, role in roles
        if chosen & {service, f"{service}-{role}"}
    }
    return found | ({READER: _program(places, provided, READER, READER, extra)} if READER in chosen else {})


def _program(places: Places, provided: Provision, service: str, role: str, extra: Mapping[str, str]) -> Program:
    short = READER if service == READER else f"{service}-{role}"
    name = short if provided.prefix == DEFAULT_PREFIX else f"{provided.prefix}-{short}"
    ready_file = provided.run / "ready" / short
    private_folder(ready_file.parent)
    temp = private_folder(places.temp / name)
    port = provided.ports[service]
    env = dict(provided.env[service]) | {"TMPDIR": str(temp), "HOME": str(provided.run)} | dict(extra)
    if role == "api":
        command = api_command(service, f"127.0.0.1:{port}", str(temp))
        ready = _api_ready(port)
    else:
        env["FMN_READY_FILE"] = str(ready_file)
        command = reader_command() if service == READER else worker_command(service)
        ready = ready_file.exists
    return Program(
        name=name,
        command=command,
        cwd=PROJECT,
        env=env,
        ready=ready,
        ready_within_s=45,
        grace_s=6,
        pid_file=provided.run / "pids" / short,
        ready_file=ready_file if role != "api" else None,
    )


def _api_ready(port: int) -> Callable[[], bool]:
    def ready() -> bool:
        with suppress(requests.RequestException):
            return direct_http.request("GET", f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
        return False

    return ready
