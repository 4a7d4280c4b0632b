"""The ledger that a restore replays: the live one, or its copy; whole, and not older than any head that is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploy.backup.installation import Installation
from deploy.ops.ledger import Refused, put_back_rows
from deploy.restore.errors import CannotRestore
from services.consent.store.ledger_copy import Disagree, read_text
from shared.ledger import (
    COPY_FILE,
    HEAD_FILE,
    Entry,
    Head,
    LedgerBroken,
    VerifiedLedger,
    from_row,
    read_copy,
    read_head,
    verified,
)
from shared.ops.settings import Settings
from shared.security.signing import PublicKeys

_WHAT_TO_DO = (
    "Nothing was restored: without it people who were erased since the backup would come back. Put the copy of the "
    "ledger (FMN_LEDGER_COPY) in its place, as it was, and run this again. See the runbook, Restore."
)


def ledger_to_replay(installation: Installation, signed_head: str) -> tuple[VerifiedLedger, Head]:
    """The longer of live ledger and copy, and the head that the backup has.

    Raises CannotRestore where one of them is broken or they don't agree, where both are missing, or where a head says
    that there were more entries: the backup's, the one beside the copy, the published one.
    """
    settings = installation["consent"].settings
    keys = PublicKeys.load(settings.public_keys)
    try:
        head = read_head(signed_head, keys)
    except LedgerBroken as error:
        raise CannotRestore(
            "The ledger's head in the backup isn't signed by a key of this installation: its secrets and "
            "public-keys.json must be those of the installation that was backed up. Nothing was restored."
        ) from error
    live, copy = _live(installation, keys), _copy(settings.ledger_copy, keys)
    if copy is None and not live.entries:
        raise CannotRestore(f"There is neither a ledger nor its copy. {_WHAT_TO_DO}")
    longer, shorter = sorted((live, copy or live), key=lambda one: one.number, reverse=True)
    for name, known in (("backup", head), *_heads(settings, keys)):
        if longer.lacks(known):
            raise CannotRestore(
                f"The ledger and its copy lack entry {known.number}, which the head of the {name} names. {_WHAT_TO_DO}"
            )
    if shorter.entries != longer.entries[: shorter.number]:
        raise CannotRestore(f"The ledger and its copy don't agree. {_WHAT_TO_DO}")
    return longer, head


def complete(installation: Installation, ledger: VerifiedLedger) -> None:
    """Enter in the live ledger what it lacks of this one: it was lost with the server."""
    try:
        put_back_rows(installation["consent"].client[f"{installation.names}_ledger"]["ledger"], ledger.entries)
    except Refused as error:
        raise CannotRestore(str(error)) from error


def _live(installation: Installation, keys: PublicKeys) -> VerifiedLedger:
    rows = installation["consent"].client[f"{installation.names}_ledger"]["ledger"].find().sort("_id", 1)
    return _verified("ledger", map(from_row, rows), keys)


def _copy(folder: Path | None, keys: PublicKeys) -> VerifiedLedger | None:
    """The copy; None where there is none."""
    try:
        if folder is None or not (folder / COPY_FILE).exists():
            return None
        return _verified("copy of the ledger", read_copy(folder), keys)
    except OSError as error:
        raise CannotRestore(f"The copy of the ledger can't be read: {error.strerror}. {_WHAT_TO_DO}") from error


def _heads(settings: Settings, keys: PublicKeys) -> Iterator[tuple[str, Head]]:
    """The signed heads that are known here, by what they are of. Raises CannotRestore for one that isn't signed."""
    beside = None if settings.ledger_copy is None else settings.ledger_copy / HEAD_FILE
    for name, path in (("copy", beside), ("published ledger", settings.ledger_head)):
        try:
            jws = None if path is None else read_text(path)
            if jws is not None:
                yield name, read_head(jws, keys)
        except (OSError, Disagree, LedgerBroken) as error:
            raise CannotRestore(f"The head of the {name} isn't what the service signed. {_WHAT_TO_DO}") from error


def _verified(what: str, entries: Iterator[Entry], keys: PublicKeys) -> VerifiedLedger:
    try:
        return verified(entries, keys)
    except LedgerBroken as error:
        raise CannotRestore(f"The {what} isn't what the consent service wrote ({error}). {_WHAT_TO_DO}") from error
