"""The ledger: a hash chain of what was ended, kept apart from the databases that are backed up, and copied elsewhere.

It lets a restored backup be replayed: what was erased, withdrawn or let expire is ended again. Before anything is
entered, the chain, its copy and the signed heads are compared. While they don't agree nothing is entered, and what
waits for an entry waits; a person decides which of them is right (`forgetmenot ledger`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from prometheus_client import Gauge
from pymongo.errors import DuplicateKeyError

from services.consent.store.ledger_copy import Disagree, LedgerCopy, read_text, require_same_end
from shared.db import KeptRows
from shared.errors import Temporary
from shared.ledger import (
    FIRST,
    Entry,
    Head,
    LedgerBroken,
    from_row,
    linked,
    make_entry,
    read_head,
    require_follows,
    require_signed,
    require_whole,
    sign_head,
)
from shared.ops.files import replace_file
from shared.ops.logs import log
from shared.security.signing import PublicKeys, Signer
from shared.uk.working_days import london_day

#: How often every entry is compared; the last ones are each time.
_IN_FULL: Final = timedelta(days=1)

_REFUSED = Gauge("fmn_ledger_refused", "1 while ledger, copy and heads don't agree, so that nothing is entered")


class Ledger:
    """Appends entries one after another, also when several processes append at once, and keeps the copy whole.

    copy: the folder of the copy; None in a process that appends nothing. published: where the head is published daily.
    """

    def __init__(
        self, rows: KeptRows, signer: Signer, keys: PublicKeys, *, copy: Path | None, published: Path | None
    ) -> None:
        self._rows = rows
        self._signer = signer
        self._keys = keys
        self._copy = None if copy is None else LedgerCopy(copy)
        self._published = published
        # When every entry was compared last, which one thread does.
        self._compared_at: datetime | None = None
        self._comparing = threading.Lock()
        # The last entry that this process saw, as (number, hash): chain and copy may not both be put back behind it.
        self._seen = (0, FIRST)
        self._refused: str | None = None

    def append(
        self,
        *,
        kind: str,
        about: str,
        case_id: str,
        at: datetime,
        now: datetime,
        withdrawn: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an entry unless it is there, then its line of the copy, then the signed head.

        at: when it happened. Raises Temporary, after an alarm, to be tried again.
        """
        if self._refused is not None:
            # Said already, and looked at again each minute.
            raise Temporary("ledger-refused")
        with self._alone(now) as copy:
            last = self._agreed(copy, now)
            if self._is_entered(kind, about):
                return
            entry = make_entry(
                self._signer,
                last=last,
                kind=kind,
                about=about,
                case_id=case_id,
                at=at,
                now=now,
                withdrawn=withdrawn,
            )
            self._insert(entry)
            copy.add(entry)
            copy.write_head(sign_head(self._signer, last=entry, at=now))
            self._seen = _pair(entry)

    def look_after(self, now: datetime) -> bool:
        """Compare, in full where that is due, and publish the head once a day. Returns whether all agrees.

        While it doesn't, it alarms each time.
        """
        if self._refused is not None:
            self._compared_at = None
        try:
            with self._alone(now) as copy:
                self._publish(self._agreed(copy, now), now)
        except Temporary:
            return False
        self._refused = None
        _REFUSED.set(0)
        return True

    def signed_head(self, now: datetime) -> str:
        """The head as a compact JWS, for somebody else to keep. Raises Temporary, after an alarm, while they differ."""
        with self._alone(now) as copy:
            return sign_head(self._signer, last=self._agreed(copy, now), at=now)

    @contextmanager
    def _alone(self, now: datetime) -> Iterator[LedgerCopy]:
        """Alone with the copy, of which every entry was compared within a day. What is wrong becomes an alarm and
        Temporary.
        """
        try:
            if self._copy is None:
                raise Disagree("no_copy")
            self._compare_all(self._copy, now)
            with self._copy.locked():
                yield self._copy
        except OSError as error:
            raise self._alarm(Disagree("copy_away")) from error
        except Disagree as error:
            raise self._alarm(error) from error

    def _alarm(self, error: Disagree) -> Temporary:
        self._refused = error.reason
        _REFUSED.set(1)
        log.error("ledger.refused", reason=error.reason, **({} if error.number is None else {"entry": error.number}))
        return Temporary("ledger-refused")

    def _compare_all(self, copy: LedgerCopy, now: datetime) -> None:
        """Unless that was done within a day: every entry follows from the one before, and the copy has the same.

        While others append: they only add to both, and `_agreed` compares the ends. Raises Disagree, OSError.
        """
        with self._comparing:
            if self._compared_at is not None and timedelta(0) <= now - self._compared_at < _IN_FULL:
                return
            last, _ = self._last_two()
            until = 0 if last is None else last.number
            lines = copy.entries() if until else iter(())
            try:
                for entry in linked(map(from_row, self._rows.rows.find({"_id": {"$lte": until}}).sort("_id", 1))):
                    line = next(lines, None)
                    if line is not None and line != entry:
                        raise Disagree("differ", entry.number)
            except LedgerBroken as error:
                raise Disagree("rows_altered", error.number) from error
            self._require(*_pair(self._published_head()))
            self._compared_at = now

    def _agreed(self, copy: LedgerCopy, now: datetime) -> Entry | None:
        """The last entry, once the ends of chain and copy agree, and both have what the head was signed for.

        A crash may have left the copy one entry behind, and the head with it: they are brought up to date. Raises
        Disagree, OSError.
        """
        last, before = self._last_two()
        head = self._head(copy.head())
        for known in {_pair(head), self._seen} - {_pair(last)}:
            self._require(*known)
        if last is None and not copy.exists():
            copy.create()
        tail = copy.tail()
        require_same_end(tail, last, before)
        if head is not None and tail.number < head.number:
            raise Disagree("copy_short", tail.number + 1)
        if last is not None and tail.number < last.number:
            copy.add(last, instead_of=tail.rest)
        if last is not None and (head is None or head.number < last.number):
            copy.write_head(sign_head(self._signer, last=last, at=now))
        self._seen = _pair(last)
        return last

    def _last_two(self) -> tuple[Entry | None, Entry | None]:
        """The last entry, which is signed and follows from the one before it, and that one. Raises Disagree."""
        try:
            found = [from_row(row) for row in self._rows.rows.find().sort("_id", -1).limit(2)]
            last, before = (*found, None, None)[:2]
            if last is not None:
                require_follows(last, before)
                if _pair(last) != self._seen:
                    # One that this process saw was signed, and its hash is still that of what it says.
                    require_signed(last, self._keys)
        except LedgerBroken as error:
            raise Disagree("rows_altered", error.number) from error
        return last, before

    def _require(self, number: int, digest: str) -> None:
        """The chain has this entry, of a head or seen before. Raises Disagree."""
        # Number 0 is the head of an empty ledger.
        if number and self._rows.rows.find_one({"_id": number, "hash": digest}, {"_id": 1}) is None:
            raise Disagree("rows_missing", number)

    def _is_entered(self, kind: str, about: str) -> bool:
        """Whether there is an entry of it: a row that the consent service signed. Raises Disagree."""
        row = self._rows.rows.find_one({"kind": kind, "about": about})
        if row is None:
            return False
        try:
            entry = from_row(row)
            require_whole(entry)
            require_signed(entry, self._keys)
        except LedgerBroken as error:
            raise Disagree("rows_altered", error.number) from error
        return True

    def _insert(self, entry: Entry) -> None:
        try:
            self._rows.insert(entry.row)
        except DuplicateKeyError as error:
            # A process that doesn't share the copy's lock took this number: the chain goes on from its entry.
            raise Temporary("ledger-moved-on") from error

    def _head(self, jws: str | None) -> Head | None:
        """Raises Disagree unless it is signed."""
        try:
            return None if jws is None else read_head(jws, self._keys)
        except LedgerBroken as error:
            raise Disagree("head") from error

    def _published_head(self) -> Head | None:
        """What was published last, where it can be read here. Raises Disagree."""
        if self._published is None:
            return None
        try:
            return self._head(read_text(self._published))
        except OSError:
            return None

    def _publish(self, last: Entry | None, now: datetime) -> None:
        """Put a new head in the place of the last published one, if that isn't of today and the chain has it."""
        if self._published is None:
            return
        head = self._published_head()
        if head is not None and london_day(head.at) == london_day(now):
            return
        self._require(*_pair(head))
        signed = sign_head(self._signer, last=last, at=now)
        try:
            # For others to fetch: it says nothing but how far the ledger has come.
            replace_file(self._published, signed.encode() + b"\n", mode=0o644)
        except OSError as error:
            # The chain and its copy are whole without it, so nothing waits for this.
            log.error("ledger.head_not_published", type=type(error).__name__)


def _pair(last: Entry | Head | None) -> tuple[int, str]:
    return (0, FIRST) if last is None else (last.number, last.hash)
