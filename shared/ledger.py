"""The ledger as anyone reads it: its entries, its chain of hashes and its signed head, checked with public keys alone.

An entry is a row of the consent service's collection `ledger`, and a line of JSON in the copy. Its hash covers the
entry and the hash before it, so the signature of the last entry covers all of them. A head is a JWS that says how far
the ledger had come at a time: a ledger that lacks an older head has lost entries, or had them exchanged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from shared.events.consent import DOCUMENT_KINDS, PURPOSES
from shared.fields import Count, Digest, Field, Group, Id, List, Optional, Signed, Time, misfits, one_of
from shared.security.signing import BadSignature, PublicKeys, Signer, claims_of, verify

#: An erasure begins, and can't be undone any more. About: the request.
BEGUN: Final = "begun"
#: An erasure is completed. About: the request.
ERASURE: Final = "erasure"
#: A consent was withdrawn, or part of one. About: the withdrawal.
WITHDRAWAL: Final = "withdrawal"
#: A shell was ended, since no consent came. About: the case.
SHELL_ENDED: Final = "shell_ended"
#: How, or whether, people of a case may be reached was changed. About: the event that said so.
CONTACT_CHANGED: Final = "contact_changed"
KINDS: Final = (BEGUN, ERASURE, WITHDRAWAL, SHELL_ENDED, CONTACT_CHANGED)

#: The names of the files in the folder of the copy.
COPY_FILE: Final = "ledger.jsonl"
HEAD_FILE: Final = "head.jws"
#: What the first entry names as the hash before it.
FIRST: Final = "0" * 64

_LONGEST_LINE: Final = 64 * 1024
_ENTRY_TYPE: Final = "fmn-ledger"
_HEAD_TYPE: Final = "fmn-ledger-head"
#: What an entry holds besides its number. withdrawn: of a withdrawal, unless its case was erased before it was entered.
FIELDS: Final[Mapping[str, Field]] = {
    "kind": one_of(*KINDS),
    "about": Id(),
    "case_id": Id(),
    "at": Time(),
    "withdrawn": Optional(
        Group(
            {
                "consent": Id(),
                # What of it was withdrawn; None: all.
                "grants": Optional(
                    List(
                        Group(
                            {
                                "purpose": one_of(*PURPOSES),
                                "party": Optional(Id()),
                                "document_kind": Optional(one_of(*DOCUMENT_KINDS)),
                            }
                        )
                    )
                ),
            }
        )
    ),
    "before": Digest(),
    "hash": Digest(),
    "signature": Signed(),
}


class LedgerBroken(Exception):
    """A ledger, or its head, isn't what the consent service wrote. reason: a fixed word. number: the first wrong entry.

    Reasons: "unreadable" | "number" | "chain" | "hash" | "signature" | "head".
    """

    def __init__(self, reason: str, number: int | None = None) -> None:
        super().__init__(reason if number is None else f"{reason} at entry {number}")
        self.reason = reason
        self.number = number


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. number: from 1, without a gap. before: the hash of the entry before it.

    withdrawn: {consent, grants: [{purpose, party, document_kind}] | None}, of a withdrawal.
    """

    number: int
    kind: str
    about: str
    case_id: str
    at: datetime
    withdrawn: Mapping[str, Any] | None = None
    before: str
    hash: str
    signature: str

    @property
    def row(self) -> dict[str, Any]:
        """The entry as it lies in the collection."""
        return {"_id": self.number, **_said(self), "hash": self.hash, "signature": self.signature}

    @property
    def line(self) -> bytes:
        """The entry as a line of the copy, with its end."""
        held = {"number": self.number, **_said(self), "hash": self.hash, "signature": self.signature}
        return json.dumps(held, default=_text).encode() + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How far the ledger had come. number and hash: of the last entry, 0 and FIRST for none. at: when it was signed."""

    number: int
    hash: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLedger:
    """A ledger whose chain and last signature hold. entries: all of them, in order."""

    entries: tuple[Entry, ...]

    @property
    def number(self) -> int:
        return len(self.entries)

    def lacks(self, head: Head) -> bool:
        """Whether what that head was signed for isn't (or isn't the same) in this ledger."""
        if head.number == 0:
            return False
        return head.number > len(self.entries) or self.entries[head.number - 1].hash != head.hash

    def since(self, head: Head) -> tuple[Entry, ...]:
        """The entries after that head. Raises LedgerBroken("head") where it lacks the head."""
        if self.lacks(head):
            raise LedgerBroken("head", head.number)
        return self.entries[head.number :]


def make_entry(
    signer: Signer,
    *,
    last: Entry | None,
    kind: str,
    about: str,
    case_id: str,
    at: datetime,
    now: datetime,
    withdrawn: Mapping[str, Any] | None = None,
) -> Entry:
    """The entry that follows `last` (None: the first), signed now. at: when it happened."""
    number, before = (1, FIRST) if last is None else (last.number + 1, last.hash)
    said: dict[str, Any] = {"kind": kind, "about": about, "case_id": case_id, "at": at, "before": before}
    if withdrawn is not None:
        said["withdrawn"] = withdrawn
    digest = _digest(number, said)
    signature = signer.sign({"number": number, "hash": digest, "at": now.isoformat()}, typ=_ENTRY_TYPE)
    return Entry(number=number, **said, hash=digest, signature=signature)


def from_row(row: Mapping[str, Any]) -> Entry:
    """The entry that lies in a row of the collection. Raises LedgerBroken("unreadable")."""
    return _entry(row["_id"], {name: value for name, value in row.items() if name != "_id"})


def from_line(line: bytes) -> Entry:
    """The entry of a line of the copy. Raises LedgerBroken("unreadable")."""
    try:
        held = dict(json.loads(line))
        number = held.pop("number")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise LedgerBroken("unreadable") from error
    return _entry(number, held)


def read_copy(folder: Path) -> Iterator[Entry]:
    """The entries of the copy in this folder, in order, not yet verified. A last line that a crash cut short is none.

    Raises OSError, LedgerBroken("unreadable").
    """
    with (folder / COPY_FILE).open("rb") as file:
        # A file that isn't ours may be one line without end.
        while line := file.readline(_LONGEST_LINE):
            if line.endswith(b"\n"):
                yield from_line(line)
            elif len(line) == _LONGEST_LINE:
                raise LedgerBroken("unreadable")


def linked(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The same entries, each once its number and hash follow from the one before. Raises LedgerBroken."""
    last: Entry | None = None
    for entry in entries:
        require_follows(entry, last)
        yield entry
        last = entry


def require_follows(entry: Entry, last: Entry | None) -> None:
    """Raises LedgerBroken("number" | "chain" | "hash") unless the entry is the one after `last`."""
    number, before = (1, FIRST) if last is None else (last.number + 1, last.hash)
    if entry.number != number:
        raise LedgerBroken("number", number)
    if entry.before != before:
        raise LedgerBroken("chain", number)
    require_whole(entry)


def require_whole(entry: Entry) -> None:
    """Raises LedgerBroken("hash") where the hash isn't that of what the entry says."""
    if _digest(entry.number, _said(entry)) != entry.hash:
        raise LedgerBroken("hash", entry.number)


def require_signed(entry: Entry, keys: PublicKeys) -> None:
    """Raises LedgerBroken("signature") unless a ledger key of the consent service signed its number and hash."""
    try:
        claims = _verified_claims(entry.signature, keys, _ENTRY_TYPE, otherwise=entry.at)
    except (BadSignature, TypeError, ValueError) as error:
        raise LedgerBroken("signature", entry.number) from error
    if (claims.get("number"), claims.get("hash")) != (entry.number, entry.hash):
        raise LedgerBroken("signature", entry.number)


def verified(entries: Iterable[Entry], keys: PublicKeys) -> VerifiedLedger:
    """The whole ledger. Raises LedgerBroken with the first entry that is wrong, and what `entries` raises."""
    held = tuple(linked(entries))
    if held:
        require_signed(held[-1], keys)
    return VerifiedLedger(entries=held)


def sign_head(signer: Signer, *, last: Entry | None, at: datetime) -> str:
    """The head as a compact JWS over {number, hash, at}. at: now."""
    number, digest = (0, FIRST) if last is None else (last.number, last.hash)
    return signer.sign({"number": number, "hash": digest, "at": at.isoformat()}, typ=_HEAD_TYPE)


def read_head(jws: str, keys: PublicKeys) -> Head:
    """The head that a ledger key of the consent service signed. Raises LedgerBroken("head")."""
    try:
        claims = _verified_claims(jws, keys, _HEAD_TYPE, otherwise=None)
        head = Head(number=claims["number"], hash=claims["hash"], at=datetime.fromisoformat(claims["at"]))
    except (BadSignature, KeyError, TypeError, ValueError) as error:
        raise LedgerBroken("head") from error
    if not (Count().accepts(head.number) and Digest().accepts(head.hash)):
        raise LedgerBroken("head")
    return head


def _verified_claims(jws: str, keys: PublicKeys, typ: str, *, otherwise: datetime | None) -> dict[str, Any]:
    """Its claims, signed by a key that was valid at the time that they give.

    otherwise: that time, of a signature that gives none (version 0.2). Raises BadSignature, TypeError, ValueError.
    """
    said = claims_of(jws).get("at")
    at = otherwise if said is None else datetime.fromisoformat(said)
    if at is None or at.tzinfo is None:
        raise ValueError("a signature without its time")
    return verify(jws, keys, use="ledger", service="consent", typ=typ, at=at)


def _entry(number: Any, held: Mapping[str, Any]) -> Entry:
    if not Count().accepts(number) or misfits(FIELDS, held):
        raise LedgerBroken("unreadable", number if Count().accepts(number) else None)
    at = held["at"]
    return Entry(number=number, **{**held, "at": at if isinstance(at, datetime) else datetime.fromisoformat(at)})


def _said(entry: Entry) -> dict[str, Any]:
    """What the hash covers, besides the number. Entries that name no withdrawal don't have that field at all."""
    said: dict[str, Any] = {
        "kind": entry.kind,
        "about": entry.about,
        "case_id": entry.case_id,
        "at": entry.at,
        "before": entry.before,
    }
    return said if entry.withdrawn is None else {**said, "withdrawn": entry.withdrawn}


def _digest(number: int, said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps({"number": number, **said}, sort_keys=True, default=_text).encode()).hexdigest()


def _text(moment: datetime) -> str:
    return moment.isoformat()
