"""Messages that are no event of ours: their bodies are sealed, and nothing opens them after thirty days.

An event has no person in it. What could not be verified may say anything, so it is sealed under a key of its day, which
belongs to no case. The body goes by its retention, and the key with a rotation of the key tree.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

import bson
from pymongo.errors import DuplicateKeyError

from shared.db import Register
from shared.db.keys.errors import Altered, KeyGone
from shared.db.transactions import TryAgain
from shared.db.unit_of_work import Row, Tx
from shared.erasure.named_keys import NamedKeys
from shared.fields import Sealed, Time
from shared.messaging.senders import MOST_BYTES
from shared.ops.logs import log

KEPT: Final = timedelta(days=30)
_KEYS: Final = "unread:"


def key_of(day: date) -> str:
    """The name of the key that what came on that day (UTC) is sealed under."""
    return f"{_KEYS}{day.isoformat()}"


class UnreadMessages:
    """What one service's unread messages say, sealed.

    A message is a row of `ParkedMessages.message`; here its `body` and `routing_key` count.
    """

    def __init__(self, register: Register, keys: NamedKeys) -> None:
        self._service = register.unit_of_work.service
        self._unit_of_work = register.unit_of_work
        self._vault = register.vault
        self._keys = keys
        self._bodies = register.keep(
            "parked_bodies",
            clear={"sealed": Sealed(), "at": Time()},
            retention=KEPT,
            why="what a message says that no one could read: sealed, for a person who looks into it",
        )

    def digest(self, body: bytes, day: date) -> str:
        """What tells one body from another, as long as the day's key is there. The key was made before."""
        return self._vault.digest(body, key_of(day))

    def seal(self, message: Row, day: date, *, tx: Tx) -> bytes:
        """Body and routing key, sealed under the day's key, which is made by the first message of the day."""
        self._make_key(day, tx)
        said = {"body": message["body"], "routing_key": message["routing_key"]}
        return self._vault.seal(said, key_of(day), self._context(message["_id"]))

    def open(self, id: str, sealed: bytes) -> Row:
        """What `seal` sealed: body and routing key, both empty where nothing opens it any more."""
        try:
            return self._vault.open(sealed, self._context(id))
        except KeyGone:
            return {"body": b"", "routing_key": ""}
        except Altered:
            log.error("record.altered", store="unread", record_id=id)
            return {"body": b"", "routing_key": ""}

    def keep_body(self, message: Row, *, tx: Tx) -> Row:
        """Keep what a parked message says for thirty days. Returns what is kept for ever in clear: digest and size.

        One that is too large leaves these alone.
        """
        day = tx.now.date()
        self._make_key(day, tx)
        if len(message["body"]) <= MOST_BYTES:
            row = {"sealed": self.seal(message, day, tx=tx), "at": tx.now}
            self._bodies.check(row)
            self._bodies.rows.replace_one({"_id": message["_id"]}, row, upsert=True, session=tx.session)
        return {"digest": self.digest(message["body"], day), "size": len(message["body"])}

    def body_of(self, id: str) -> bytes | None:
        """What a parked message said; None once its thirty days are over, or where it was too large."""
        row = self._bodies.rows.find_one({"_id": id})
        return None if row is None else bytes(self.open(id, bytes(row["sealed"]))["body"]) or None

    def forget_old(self, now: datetime, *, first_needed: date | None) -> int:
        """Destroy the keys of days that are over for thirty days, and before the first that is still needed; how many.

        A body is kept for 29 days, and for no more than 30.
        """
        until = now.date() - KEPT + timedelta(days=1)
        if first_needed is not None:
            until = min(until, first_needed)
        names = self._vault.names(since=_KEYS, before=key_of(until))
        if names:
            self._unit_of_work.run(lambda tx: [self._keys.doom(tx, name) for name in names])
        return len(names)

    def _make_key(self, day: date, tx: Tx) -> None:
        if not self._keys.exists(tx, key_of(day)):
            try:
                self._keys.make(tx, key_of(day))
            except DuplicateKeyError as error:
                raise TryAgain from error

    def _context(self, id: str) -> bytes:
        return bson.encode({"place": [self._service, "unread", id]})
