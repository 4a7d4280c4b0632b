"""What the services tell one another while the story lasts, heard on a queue of the operator's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deploy.local.broker import Management
from deploy.local.places import write_private
from deploy.local.stack import Stack
from shared.ids import new_id

_ADMINISTRATOR = "fmn-admin"
_FOREVER_MS = 15 * 60 * 1000
_AT_ONCE = 500


class Watch:
    """A queue beside the services' own, bound to every event. It goes with the story, or by itself after 15 minutes."""

    def __init__(self, stack: Stack, vhost: str) -> None:
        self._stack = stack
        self._vhost = quote(vhost, safe="")
        self._queue = f"watch-{new_id()}"
        self._permission = f"/api/permissions/{self._vhost}/{_ADMINISTRATOR}"
        self._lent = False
        self.events: list[dict[str, Any]] = []

    @property
    def _management(self) -> Management:
        return Management.of(self._stack.places, self._stack.ports)

    @property
    def _path(self) -> str:
        return f"/api/queues/{self._vhost}/{self._queue}"

    def begin(self) -> None:
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        # The administrator manages vhosts but may not use their queues; it lends itself that for the story.
        if self._management.call("GET", self._permission, absent_is_fine=True) is None:
            self._management.call("PUT", self._permission, everything)
            self._lent = True
        arguments = {"x-expires": _FOREVER_MS, "x-message-ttl": _FOREVER_MS}
        self._management.call("PUT", self._path, {"durable": True, "auto_delete": False, "arguments": arguments})
        binding = f"/api/bindings/{self._vhost}/e/fmn.events/q/{self._queue}"
        self._management.call("POST", binding, {"routing_key": "#", "arguments": {}})

    def collect(self) -> int:
        """Take what has arrived since; answers how many events were heard in all."""
        ask = {"count": _AT_ONCE, "ackmode": "ack_requeue_false", "encoding": "auto"}
        while messages := self._management.call("POST", f"{self._path}/get", ask):
            self.events += [json.loads(message["payload"]) for message in messages]
        return len(self.events)

    def write(self, path: Path) -> None:
        """One event a line, as it was on the wire."""
        write_private(path, "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in self.events))

    def end(self) -> None:
        self._management.call("DELETE", self._path, absent_is_fine=True)
        if self._lent:
            self._management.call("DELETE", self._permission, absent_is_fine=True)
