"""A restore from its beginning to its end: refuse, close, load, replay, change the keys, and let traffic in."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from deploy.backup import catalogue, keys
from deploy.backup.archives import Reader
from deploy.backup.catalogue import DATA, KEYS, Archive
from deploy.backup.installation import Installation, Member
from deploy.restore import ledger as ledgers
from deploy.restore import loading, renewed, replay
from deploy.restore.errors import CannotRestore
from shared.clock import utc_now
from shared.db.unit_of_work import SERVICES_NAME, Row
from shared.ids import new_id
from shared.service.restores import Restores

_CLOSES_WITHIN_S: Final = 60
_POLL_S: Final = 0.5
_EXPIRED: Final = (
    "The newest data archive is over: it should have been removed, as the certificates say. Nothing was restored."
)
#: Told what is being done.
Tell = Callable[[str], None]


def restore(installation: Installation, folder: Path, identity: Path, tell: Tell) -> None:
    """Restore the newest archives of the folder. Raises CannotRestore, BadArchive.

    Until all of them are back, the services answer 503. Where it was killed or failed, it is run again.
    """
    now = utc_now()
    data_archive, keys_archive = _newest(folder)
    with data_archive.path.open("rb") as file:
        tell("Reading the archives.")
        data = Reader(file, data_archive.name)
        if datetime.fromisoformat(str(data.manifest["until"])) <= now:
            raise CannotRestore(_EXPIRED)
        data.check()
        opened_keys = keys.opened(keys_archive, identity)
        ledger, head = ledgers.ledger_to_replay(installation, str(data.manifest["ledger_head"]))
        if _was_done(installation):
            tell("A run that was ended had done everything, and said what. The services go on.")
            _end(installation)
            return
        for member in installation:
            if not Restores(_database(member)).goes_on():
                loading.require_unused(member)
        _begin(installation, data_archive, now)
        tell("Waiting until the services are closed.")
        _await_closed(installation)
        for member in installation:
            tell(f"Loading the {member.service} service.")
            loading.load(member, data, opened_keys)
    ledgers.complete(installation, ledger)
    catalogue.enter_listed(installation, folder)
    with replay.opened(installation) as services:
        for service in services.values():
            renewed.finish(service)
        tell("Doing again what was done since the backup.")
        replayed = replay.replay(services, ledger, head)
        replayed.altered = replay.tell_again(services)
        replayed.without_key = replay.without_key(services)
        for member in installation:
            tell(f"Changing every key of the {member.service} service.")
            replay.empty_queue(services[member.service])
            replay.change_every_key(services[member.service])
            loading.hand_over_roots(member)
    tell(f"Restored {data_archive.name} with the keys of {keys_archive.name}.")
    # Said before the services go on, since a run that comes after that doesn't know it.
    for sentence in replayed.sentences():
        tell(sentence)
    _end(installation)


def _newest(folder: Path) -> tuple[Archive, Archive]:
    """The newest archive of keys, and the newest data archive that it is newer than."""
    all_keys = catalogue.listed(folder, KEYS)
    if not all_keys:
        raise CannotRestore(f"{folder} has no archive of keys, without which the data opens nothing.")
    newest = all_keys[-1]
    data = [archive for archive in catalogue.listed(folder, DATA) if archive.began_at <= newest.began_at]
    if not data:
        raise CannotRestore(f"{folder} has no data archive that is older than its newest archive of keys.")
    if data[-1].until <= utc_now():
        raise CannotRestore(_EXPIRED)
    return data[-1], newest


def _begin(installation: Installation, archive: Archive, now: datetime) -> None:
    """Close the services. The same row in each, also of one that a killed restore closed."""
    digest = hashlib.sha256(archive.name.encode()).hexdigest()
    found = [row for member in installation for row in _marker(member).find({"done_at": None})]
    restore_id = found[0]["_id"] if found else new_id()
    row = {"archive": digest, "began_at": now, "done_at": None}
    for member in installation:
        _marker(member).replace_one({"_id": restore_id}, row, upsert=True)


def _was_done(installation: Installation) -> bool:
    """Whether a restore was killed when all was done and it had begun to let traffic in."""
    rows = [row for member in installation for row in _marker(member).find()]
    open_ids = {row["_id"] for row in rows if row["done_at"] is None}
    return any(row["_id"] in open_ids for row in rows if row["done_at"] is not None)


def _end(installation: Installation) -> None:
    """Let the services go on."""
    now = utc_now()
    for member in installation:
        _mark_done(member, now)


def _mark_done(member: Member, now: datetime) -> None:
    _marker(member).update_many({"done_at": None}, {"$set": {"done_at": now}})


def _await_closed(installation: Installation) -> None:
    """Wait until no process of a service has a connection. Raises CannotRestore."""
    deadline = time.monotonic() + _CLOSES_WITHIN_S
    while running := [member.service for member in installation if _runs(member)]:
        if time.monotonic() > deadline:
            raise CannotRestore(
                f"These services still run: {', '.join(running)}. They should have closed by themselves. Stop them "
                "and run this again; nothing was loaded yet."
            )
        time.sleep(_POLL_S)


def _runs(member: Member) -> bool:
    admin = member.client.get_database("admin", read_concern=ReadConcern("local"))
    own = admin.aggregate([{"$currentOp": {"allUsers": False, "idleConnections": True}}])
    return any(one.get("appName") == SERVICES_NAME for one in own)


def _marker(member: Member) -> Collection[Row]:
    return Restores(_database(member)).rows


def _database(member: Member) -> Database[Row]:
    return member.client[member.database]
