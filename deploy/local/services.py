"""The processes of one prefix's services: an API and a worker each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from contextlib import suppress

import requests

from deploy import direct_http
from deploy.commands import api_command, worker_command
from deploy.local.places import DEFAULT_PREFIX, PROJECT, Places, private_folder
from deploy.local.processes import Program
from deploy.local.provision import Provision
from shared.events import SERVICES


def programs(places: Places, provided: Provision, chosen: Set[str], extra: Mapping[str, str]) -> dict[str, Program]:
    """Return programs by name (`case-api`, `case-worker`). chosen: names of services or of programs."""
    return {
        f"{service}-{role}": _program(places, provided, service, role, extra)
        for service in SERVICES
        for role in ("api", "worker")
        if chosen & {service, f"{service}-{role}"}
    }


def _program(places: Places, provided: Provision, service: str, role: str, extra: Mapping[str, str]) -> Program:
    name = f"{service}-{role}" if provided.prefix == DEFAULT_PREFIX else f"{provided.prefix}-{service}-{role}"
    ready_file = provided.run / "ready" / f"{service}-{role}"
    private_folder(ready_file.parent)
    temp = private_folder(places.temp / name)
    port = provided.ports[service]
    env = dict(provided.env[service]) | {"TMPDIR": str(temp), "HOME": str(provided.run)} | dict(extra)
    if role == "api":
        command = api_command(service, f"127.0.0.1:{port}", str(temp))
        ready = _api_ready(port)
    else:
        env["FMN_READY_FILE"] = str(ready_file)
        command = worker_command(service)
        ready = ready_file.exists
    return Program(
        name=name,
        command=command,
        cwd=PROJECT,
        env=env,
        ready=ready,
        ready_within_s=45,
        grace_s=6,
        pid_file=provided.run / "pids" / f"{service}-{role}",
        ready_file=ready_file if role == "worker" else None,
    )


def _api_ready(port: int) -> Callable[[], bool]:
    def ready() -> bool:
        with suppress(requests.RequestException):
            return direct_http.request("GET", f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
        return False

    return ready
