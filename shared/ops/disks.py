"""How much room is left on the servers' disks, asked every few seconds on a thread of its own, never in a request.

MongoDB says it to any account of its own (`dbStats`). RabbitMQ and the object store tell an account like ours nothing,
so FMN_DISKS names where else to ask: a folder on the same disk (`file://`), or a server that watches it (`http://`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pymongo
import requests
from prometheus_client import Gauge
from pymongo.database import Database

from shared.errors import Unavailable
from shared.ops.logs import log, where

SERVERS = ("mongodb", "rabbitmq", "objects")
OK, LOW, UNKNOWN = "ok", "low", "unknown"
_EVERY_SECONDS = 2.0
_ASK_SECONDS = 2.0
# How long a number is believed after the last one that could be had.
_BELIEVED_SECONDS = 30.0
# The alarm is repeated for as long as it lasts.
_AGAIN_SECONDS = 300.0
_LOW_SENTENCE = (
    "A server's disk is nearly full, so nothing new is taken in for now. Nothing of this request was kept: send it "
    "again once the operator has made room. Reading, withdrawals, holds and erasures go on."
)

_FREE = Gauge("fmn_disk_free_ratio", "Part of a server's disk that is free, 0 to 1; -1 while unknown", ["server"])
_LOW = Gauge("fmn_disk_low", "1 while a server's disk has less free than FMN_DISK_FLOOR", ["server"])


class DiskLow(Unavailable):
    """A server's disk is below the floor: nothing new is taken in."""

    headers = {"Retry-After": "60"}  # noqa: RUF012 (as its base class declares it)

    def __init__(self) -> None:
        super().__init__(_LOW_SENTENCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Bytes free for the server that writes there, of all bytes."""

    free: int
    total: int

    @property
    def ratio(self) -> float:
        return self.free / self.total


Ask = Callable[[], Room]


@dataclass(slots=True)
class _Disk:
    ask: Ask | None
    state: str = UNKNOWN
    ratio: float | None = None
    # In seconds of the monotonic clock.
    known_at: float = 0.0
    alarmed_at: float = 0.0


class Disks:
    """The servers' disks as they were a moment ago; `low` and `shown` wait for nothing.

    floor: the part that must be free, 0 to 1. asks: by server, how to learn its disk's room; raises when it can't.
      A server that isn't named stays unknown, and unknown is not low.
    """

    def __init__(self, floor: float, asks: Mapping[str, Ask]) -> None:
        self._floor = floor
        self._disks = {server: _Disk(asks.get(server)) for server in SERVERS}
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to look; each disk on a thread of its own, so that a server that hangs delays no other's alarm."""
        for server, disk in self._disks.items():
            if disk.ask is not None:
                threading.Thread(target=self._watch, args=(server, disk), name="disks", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    @property
    def low(self) -> tuple[str, ...]:
        """Servers whose disk is below the floor."""
        return tuple(server for server, disk in self._disks.items() if disk.state == LOW)

    @property
    def shown(self) -> dict[str, dict[str, object]]:
        """By server: its `state`, and `free` in whole per cent where it is known."""
        return {
            server: {"state": disk.state, "free": None if disk.ratio is None else int(disk.ratio * 100)}
            for server, disk in self._disks.items()
        }

    def require_room(self) -> None:
        """Raise DiskLow where something new may not be taken in."""
        if self.low:
            raise DiskLow

    def _watch(self, server: str, disk: _Disk) -> None:
        while not self._stopping.is_set():
            self.measure(server)
            self._stopping.wait(_EVERY_SECONDS)

    def measure(self, server: str) -> None:
        """Ask once for one server, and say it where something changed."""
        disk = self._disks[server]
        if disk.ask is None:
            return
        now = time.monotonic()
        try:
            disk.ratio, disk.known_at = disk.ask().ratio, now
            state = LOW if disk.ratio < self._floor else OK
        except Exception as error:  # noqa: BLE001 (after any error of a client library the room is unknown)
            if disk.known_at and now - disk.known_at < _BELIEVED_SECONDS:
                return
            if disk.state != UNKNOWN or not disk.known_at:
                log.warning("disk-unknown", server=server, **where(error))
            # Logged once, also for a disk whose room was never known.
            disk.known_at = disk.known_at or now
            disk.ratio, state = None, UNKNOWN
        if state == LOW and (disk.state != LOW or now - disk.alarmed_at > _AGAIN_SECONDS):
            log.error("disk-low", server=server, percent=int((disk.ratio or 0) * 100))
            disk.alarmed_at = now
        if disk.state == LOW and state == OK:
            log.warning("disk-has-room-again", server=server, percent=int((disk.ratio or 0) * 100))
        disk.state = state
        _FREE.labels(server).set(-1 if disk.ratio is None else disk.ratio)
        _LOW.labels(server).set(1 if state == LOW else 0)


def ask_mongodb(database: Database[dict[str, object]]) -> Ask:
    """Of the disk under MongoDB's primary; any account may ask it of its own database."""

    def ask() -> Room:
        with pymongo.timeout(_ASK_SECONDS):
            said = database.command("dbStats")
        total = int(said["fsTotalSize"])
        return Room(free=total - int(said["fsUsedSize"]), total=total)

    return ask


def ask_at(url: str) -> Ask:
    """`file:///folder`: the disk that the folder lies on. `http://…`: a server that answers {"free", "total"}."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        return lambda: room_of(folder)

    def ask() -> Room:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(url, timeout=_ASK_SECONDS, allow_redirects=False)
        answer.raise_for_status()
        said = answer.json()
        return Room(free=int(said["free"]), total=int(said["total"]))

    return ask


def room_of(folder: Path) -> Room:
    """The room on the folder's disk, without root's reserve."""
    found = os.statvfs(folder)
    return Room(free=found.f_bavail * found.f_frsize, total=found.f_blocks * found.f_frsize)
