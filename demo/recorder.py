"""Records the events that the services publish during a run, on a separate queue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deploy.local.broker import Management
from deploy.local.places import ADMINISTRATOR, write_private
from deploy.local.stack import Stack
from shared.ids import new_id

_EXPIRES_MS = 15 * 60 * 1000
_BATCH = 500


class EventRecorder:
    """A context manager with a queue that is bound to every event; it is deleted at the end, or after 15 minutes."""

    def __init__(self, stack: Stack, vhost: str) -> None:
        self._stack = stack
        self._vhost = quote(vhost, safe="")
        self._path = f"/api/queues/{self._vhost}/watch-{new_id()}"
        self._permission = f"/api/permissions/{self._vhost}/{ADMINISTRATOR}"
        self._granted = False
        self.events: list[dict[str, Any]] = []

    @property
    def _management(self) -> Management:
        return Management.of(self._stack.places, self._stack.ports)

    def __enter__(self) -> EventRecorder:
        # The administrator manages vhosts but has no right to use their queues; it gets that right for the run.
        if self._management.call("GET", self._permission, absent_is_fine=True) is None:
            self._management.call("PUT", self._permission, {"configure": ".*", "write": ".*", "read": ".*"})
            self._granted = True
        arguments = {"x-expires": _EXPIRES_MS, "x-message-ttl": _EXPIRES_MS}
        self._management.call("PUT", self._path, {"durable": True, "auto_delete": False, "arguments": arguments})
        binding = f"/api/bindings/{self._vhost}/e/fmn.events/q/{self._path.rpartition('/')[2]}"
        self._management.call("POST", binding, {"routing_key": "#", "arguments": {}})
        return self

    def collect(self) -> int:
        """Fetch new events; return the number of all events so far."""
        query = {"count": _BATCH, "ackmode": "ack_requeue_false", "encoding": "auto"}
        while messages := self._management.call("POST", f"{self._path}/get", query):
            self.events += [json.loads(message["payload"]) for message in messages]
        return len(self.events)

    def write(self, path: Path) -> None:
        """Write the events as JSON, one a line."""
        write_private(path, "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in self.events))

    def __exit__(self, *_: object) -> None:
        self._management.call("DELETE", self._path, absent_is_fine=True)
        if self._granted:
            self._management.call("DELETE", self._permission, absent_is_fine=True)
