"""The canary: unencrypted words, planted where a family's words must not be, to show that the search finds them."""

from __future__ import annotations

import base64
import io
import os
import secrets
from urllib.parse import quote

from demo.family import random_family
from deploy.local import mongo, objects
from deploy.local.broker import Management
from deploy.local.stack import Stack
from deploy.ops.finder import Needle, needles, piece
from deploy.ops.search import Found, hit_lines

_LABEL = "the canary"
_PIECE = "the canary's piece of a scan"


class Canary:
    """A name and 64 bytes, planted in every form in a collection, a queue, an object and a log.

    Its words are not the family's, because deleted data stays on the disk for a while and must not count as theirs.
    """

    def __init__(self, stack: Stack, prefix: str) -> None:
        self._stack = stack
        self._name = f"canary-{secrets.token_hex(6)}"
        self._vhost = quote(prefix, safe="")
        self._bucket = f"{prefix}-document"
        word = f"{random_family().by_post.name} {secrets.token_hex(3)}"
        self.needles: list[Needle] = [*needles(_LABEL, word), piece(_PIECE, secrets.token_bytes(64))]
        self._log = stack.places.logs / f"{self._name}.log"

    @property
    def _body(self) -> bytes:
        return b"\n".join(needle.data for needle in self.needles)

    @property
    def _management(self) -> Management:
        return Management.of(self._stack.places, self._stack.ports)

    def plant(self) -> None:
        with mongo.admin_client(self._stack.places, self._stack.ports) as client:
            client[self._name]["words"].insert_one({"_id": self._name, "words": self._body})
        queue = {"durable": True, "auto_delete": False, "arguments": {"x-queue-type": "quorum"}}
        self._management.call("PUT", f"/api/queues/{self._vhost}/{self._name}", queue)
        message = {
            "routing_key": self._name,
            "payload": base64.b64encode(self._body).decode(),
            "payload_encoding": "base64",
            "properties": {"delivery_mode": 2},
        }
        self._management.call("POST", f"/api/exchanges/{self._vhost}/amq.default/publish", message)
        store, body = objects.admin(self._stack.places, self._stack.ports).s3, self._body
        store.put_object(self._bucket, self._name, io.BytesIO(body), len(body), "application/octet-stream")
        with open(os.open(self._log, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as log:
            log.write(self._body + b"\n")

    def flush_mongodb(self) -> None:
        """Make MongoDB write its files now, not at its next checkpoint (once a minute): a search reads the disk."""
        with mongo.admin_client(self._stack.places, self._stack.ports) as client:
            client.admin.command("fsync")

    def forms_found(self, found: Found) -> dict[str, int]:
        """Return the number of the canary's forms that were found, by the place where it was planted."""
        servers = self._stack.places.servers
        places = {
            "a collection": servers / "mongodb",
            "a queue": servers / "rabbitmq",
            "an object": servers / "seaweedfs",
            "a log": self._log,
        }
        ours = [hit for hit in found.hits if hit.label in (_LABEL, _PIECE)]
        return {
            name: len({(hit.label, hit.form) for hit in ours if hit.place.startswith(str(path))})
            for name, path in places.items()
        }

    def other_hits(self, found: Found) -> list[str]:
        """Return the hits that aren't the canary's, as lines to print."""
        return hit_lines(hit for hit in found.hits if hit.label not in (_LABEL, _PIECE))

    def remove(self) -> None:
        """Remove the canary from all four places; a second call does nothing."""
        with mongo.admin_client(self._stack.places, self._stack.ports) as client:
            client.drop_database(self._name)
        self._management.call("DELETE", f"/api/queues/{self._vhost}/{self._name}", absent_is_fine=True)
        store = objects.admin(self._stack.places, self._stack.ports).s3
        for item in store.list_objects(self._bucket, prefix=self._name, recursive=True, include_version=True):
            store.remove_object(self._bucket, str(item.object_name), version_id=item.version_id)
        self._log.unlink(missing_ok=True)
