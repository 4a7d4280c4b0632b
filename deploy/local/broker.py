"""The embedded RabbitMQ. It has its own epmd; every port, management and distribution included, is on loopback."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests

from deploy import direct_http
from deploy.local.errors import StackError
from deploy.local.keys import ensure_text
from deploy.local.machine import listens
from deploy.local.packages import find_rabbitmq
from deploy.local.places import ADMINISTRATOR, Places, Ports, private_folder, write_private
from deploy.local.processes import Program
from deploy.rabbitmq.definitions import administrator


def program(places: Places, ports: Ports, say: Callable[[str], None]) -> Program:
    """Return rabbitmq-server, in the foreground and logging to standard output. `say` gets progress texts."""
    server = find_rabbitmq(places.packages, say)
    data = private_folder(places.servers / "rabbitmq")
    config = private_folder(places.run / "rabbitmq")
    definitions = write_private(config / "definitions.json", first_definitions(places))
    write_private(
        config / "rabbitmq.conf",
        f"listeners.tcp.1 = 127.0.0.1:{ports['amqp']}\n"
        "management.tcp.ip = 127.0.0.1\n"
        f"management.tcp.port = {ports['rabbitmq-management']}\n"
        f"management.load_definitions = {definitions}\n"
        "log.console = true\nlog.console.level = info\nlog.file = false\n"
        "loopback_users = none\n"
        # RabbitMQ deletes a write-ahead log once it is full: 512 MB, the default, would keep more than a day's events.
        "raft.wal_max_size_bytes = 64000000\n",
    )
    write_private(config / "advanced.config", "[{kernel, [{inet_dist_use_interface, {127,0,0,1}}]}].\n")
    write_private(config / "enabled_plugins", "[rabbitmq_management].\n")
    env = {
        "PATH": ":".join([*map(str, server.bin_folders), os.environ.get("PATH", ""), "/usr/sbin:/usr/bin:/sbin:/bin"]),
        "HOME": str(private_folder(data / "home")),
        "RABBITMQ_NODENAME": "forgetmenot@localhost",
        "RABBITMQ_NODE_PORT": str(ports["amqp"]),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(ports["rabbitmq-dist"]),
        "RABBITMQ_MNESIA_BASE": str(private_folder(data / "mnesia")),
        "RABBITMQ_LOG_BASE": str(places.logs),
        "RABBITMQ_CONFIG_FILE": str(config / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(config / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(config / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_GENERATED_CONFIG_DIR": str(private_folder(data / "config")),
        "RABBITMQ_FEATURE_FLAGS_FILE": str(data / "feature_flags"),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "ERL_CRASH_DUMP": "/dev/null",  # a dump holds the node's memory, messages included
        # Schedulers that busy-wait slow down four services on two cores.
        # An orderly stop takes 20 ms; then one application hangs for 6 s more without a timeout.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "+sbwt none +sbwtdcpu none +sbwtdio none -kernel shutdown_timeout 2000"
        ),
        # The script then execs the Erlang VM, which stops in an orderly way on SIGTERM.
        "RUNNING_UNDER_SYSTEMD": "true",
    }
    if server.library_folders:
        env["LD_LIBRARY_PATH"] = ":".join(map(str, server.library_folders))
    return Program(
        name="rabbitmq",
        command=[str(server.script)],
        cwd=data,
        env=env,
        ready=lambda: answers(places, ports),
        ready_within_s=90,
    )


def admin_password(places: Places) -> str:
    """Return the administrator's password; create it the first time."""
    return ensure_text(places.admin / "rabbitmq-password")


def first_definitions(places: Places) -> str:
    """Return the definitions, as JSON, for a new broker: its administrator, and no `guest`."""
    return json.dumps(administrator(ADMINISTRATOR, admin_password(places)))


def answers(places: Places, ports: Ports) -> bool:
    """Return whether the broker listens for messages and its management API accepts the administrator."""
    if not listens(ports["amqp"]) or not listens(ports["rabbitmq-management"]):
        return False
    try:
        Management.of(places, ports).call("GET", "/api/overview")
    except (requests.RequestException, StackError):
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Management:
    """A client of RabbitMQ's management API with the administrator's account."""

    url: str
    password: str = field(repr=False)

    @classmethod
    def of(cls, places: Places, ports: Ports) -> Management:
        return cls(url=f"http://127.0.0.1:{ports['rabbitmq-management']}", password=admin_password(places))

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, absent_is_fine: bool = False) -> Any:
        """Call the API and return the parsed body. Raises StackError with the status of a refusal."""
        auth = (ADMINISTRATOR, self.password)
        answer = direct_http.request(method, self.url + path, json=body, auth=auth, timeout=20)
        if answer.status_code == 404 and absent_is_fine:
            return None
        if not answer.ok:
            raise StackError(f"RabbitMQ refused {method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer.json() if answer.content else None

    def apply(self, definitions: Mapping[str, Any]) -> None:
        self.call("POST", "/api/definitions", definitions)

    def drop(self, vhost: str, accounts: list[str]) -> None:
        """Delete a vhost with its queues, and the accounts."""
        self.call("DELETE", f"/api/vhosts/{quote(vhost, safe='')}", absent_is_fine=True)
        for account in accounts:
            self.call("DELETE", f"/api/users/{quote(account, safe='')}", absent_is_fine=True)

    def queues(self, vhost: str) -> dict[str, int]:
        """Return the number of messages by queue, unacknowledged ones included."""
        found = self.call("GET", f"/api/queues/{quote(vhost, safe='')}", absent_is_fine=True) or []
        return {queue["name"]: int(queue.get("messages", 0)) for queue in found}
