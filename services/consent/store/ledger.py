"""The ledger: a hash chain of what was ended, kept apart from the databases that are backed up, and copied elsewhere.

It lets a restored backup be replayed: what was erased, withdrawn or let expire is ended again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pymongo.errors import DuplicateKeyError

from shared.db import KeptRows
from shared.errors import Temporary
from shared.security.signing import Signer

ENTRY_TYPE = "fmn-ledger"
FIRST = "0" * 64
_FILE = "ledger.jsonl"


class Ledger:
    """Appends entries one after another, also when several processes append at once, and keeps the copy whole."""

    def __init__(self, rows: KeptRows, signer: Signer, copy: Path | None) -> None:
        self._rows = rows
        self._signer = signer
        self._copy = copy

    def append(self, *, kind: str, about: str, case_id: str, at: datetime) -> None:
        """Write an entry unless it is there, and bring the copy up to date. Raises Temporary to be tried again."""
        if self._rows.rows.find_one({"kind": kind, "about": about}, {"_id": 1}) is None:
            last = self._rows.rows.find_one(sort=[("_id", -1)])
            number = 1 if last is None else int(last["_id"]) + 1
            before = FIRST if last is None else str(last["hash"])
            entry = {"kind": kind, "about": about, "case_id": case_id, "at": at, "before": before}
            digest = hashlib.sha256(_canonical(number, entry)).hexdigest()
            signature = self._signer.sign({"number": number, "hash": digest}, typ=ENTRY_TYPE)
            try:
                self._rows.insert({"_id": number, **entry, "hash": digest, "signature": signature})
            except DuplicateKeyError as error:
                # Another process took this number: the chain goes on from its entry.
                raise Temporary("ledger-moved-on") from error
        self._bring_copy_up_to_date()

    def _bring_copy_up_to_date(self) -> None:
        if self._copy is None:
            return
        self._copy.mkdir(parents=True, exist_ok=True)
        path = self._copy / _FILE
        with open(path, "a+b", opener=_private) as file:
            _lock(file.fileno())
            have = _whole_lines(file.fileno())
            for row in self._rows.rows.find({"_id": {"$gt": have}}).sort("_id", 1):
                line = {"number": row["_id"], **{name: row[name] for name in self._rows.clear}}
                file.write(json.dumps(line, default=_text).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _lock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def _whole_lines(descriptor: int) -> int:
    """How many entries the copy has; a line cut short by a crash is cut off."""
    size = os.fstat(descriptor).st_size
    content = os.pread(descriptor, size, 0)
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) != size:
        os.ftruncate(descriptor, len(whole))
    lines = whole.splitlines()
    return int(json.loads(lines[-1])["number"]) if lines else 0


def _canonical(number: int, entry: Mapping[str, Any]) -> bytes:
    return json.dumps({"number": number, **entry}, sort_keys=True, default=_text).encode()


def _text(value: Any) -> str:
    return str(value.isoformat())
