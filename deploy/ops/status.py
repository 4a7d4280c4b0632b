"""`forgetmenot status`: the state of servers and services, the queues' lengths, and open requests by due time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
import typer
from rich.console import Console

from deploy import direct_http
from deploy.local import processes
from deploy.local.broker import Management
from deploy.local.errors import StackError
from deploy.local.machine import listens
from deploy.local.places import Places, Ports, from_environment, places
from deploy.local.provision import issuer_key, prefix_from_environment, service_ports_of
from deploy.ops.screen import show_table
from deploy.ops.token import mint
from shared.erasure.readings import READER
from shared.events import SERVICES

_SERVERS = {"mongodb": "mongodb", "rabbitmq": "amqp", "object store": "s3", "mail": "smtp"}
_OPEN = ("received", "in_progress")
_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One server, API or worker. state: `up`, `ready` or the reason why it doesn't work."""

    name: str
    where: str
    works: bool
    state: str


def register(app: typer.Typer) -> None:
    @app.command()
    def status() -> None:
        """Show servers, services, queues, and open requests by due time. Exit 0 when everything is ready."""
        root, base = from_environment()
        here, ports, prefix = places(root), Ports(base=base), prefix_from_environment()
        console = Console(highlight=False)
        lines = [*_servers(ports), *_services(here, ports, prefix)]
        show_table(console, ("part", "where", "state"), [(line.name, line.where, line.state) for line in lines])
        ready = all(line.works for line in lines)
        if listens(ports["rabbitmq-management"]):
            ready &= _queues(console, here, ports, prefix)
        if listens(service_ports_of(here, ports, prefix)["consent"]):
            ready &= _requests(console, here, ports, prefix)
        raise typer.Exit(0 if ready else 1)


def _servers(ports: Ports) -> Iterator[Line]:
    for name, port in _SERVERS.items():
        works = listens(ports[port])
        yield Line(name=name, where=f"127.0.0.1:{ports[port]}", works=works, state="up" if works else "not up")


def _services(here: Places, ports: Ports, prefix: str) -> Iterator[Line]:
    known = service_ports_of(here, ports, prefix)
    works, state = _readiness(known[READER])
    yield Line(name=f"independent {READER}", where=f"127.0.0.1:{known[READER]}", works=works, state=state)
    for service in SERVICES:
        port = known[service]
        works, state = _readiness(port)
        yield Line(name=f"{service} api", where=f"127.0.0.1:{port}", works=works, state=state)
        process = processes.running_pid(here.run_of(prefix) / "pids" / f"{service}-worker")
        yield Line(
            name=f"{service} worker",
            where=f"process {process}" if process else "",
            works=process is not None,
            state="running" if process else "not running",
        )


def _readiness(port: int) -> tuple[bool, str]:
    try:
        answer = direct_http.request("GET", f"http://127.0.0.1:{port}/readyz", timeout=5)
    except requests.RequestException:
        return False, "not up"
    if answer.ok:
        return _disks(answer)
    try:
        reason = answer.json().get("detail") or answer.json().get("reason") or ""
    except (ValueError, AttributeError):
        reason = ""
    return False, f"not ready ({answer.status_code}) {reason}".strip()


def _disks(answer: requests.Response) -> tuple[bool, str]:
    """Return the state of a ready service. While a disk is low it refuses new data, so it counts as not working."""
    disks: dict[str, dict[str, Any]] = answer.json().get("disks", {})
    low = [f"{server} {disk['free']} % free" for server, disk in disks.items() if disk["state"] == "low"]
    unknown = [server for server, disk in disks.items() if disk["state"] == "unknown"]
    state = "ready"
    if low:
        state += f", refuses new data: disk nearly full ({', '.join(low)})"
    if unknown:
        state += f" (disk space unknown: {', '.join(unknown)})"
    return not low, state


def _queues(console: Console, here: Places, ports: Ports, prefix: str) -> bool:
    try:
        depths = Management.of(here, ports).queues(prefix)
    except (StackError, OSError, requests.RequestException) as error:
        console.print(f"Queues: RabbitMQ doesn't answer ({type(error).__name__}).", soft_wrap=True)
        return False
    show_table(console, ("queue", "messages"), [(name, str(count)) for name, count in sorted(depths.items())])
    return True


def _requests(console: Console, here: Places, ports: Ports, prefix: str) -> bool:
    now = datetime.now(UTC)
    key = issuer_key(here.run_of(prefix))
    headers = {"Authorization": f"Bearer {mint(key, ['data_protection'], 'status-command', now, timedelta(minutes=5))}"}
    address = f"http://127.0.0.1:{service_ports_of(here, ports, prefix)['consent']}/v1/requests"
    found: list[dict[str, Any]] = []
    for state in _OPEN:
        cursor: str | None = None
        while True:
            query = {"status": state, "limit": str(_PAGE)} | ({"cursor": cursor} if cursor else {})
            answer = direct_http.request("GET", address, params=query, headers=headers, timeout=10)
            if not answer.ok:
                console.print(f"Requests: the consent service answered {answer.status_code}.")
                return False
            page = answer.json()
            found += page["items"]
            cursor = page.get("next")
            if not cursor:
                break
    found.sort(key=lambda request: str(request["due_at"]))
    rows = [
        (str(request["due_at"]), request["kind"], request["status"], ", ".join(request["waiting_on"]), request["id"])
        for request in found
    ]
    show_table(console, ("due", "kind", "status", "waiting on", "request"), rows or [("none open", "", "", "", "")])
    return True
