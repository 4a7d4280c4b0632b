"""What happens to a backup that was loaded, before its services run: it is brought up to what the ledger knows.

Each service is opened in this process as its own processes open it, and its own actions do the work. Nothing is sent:
no process consumes, runs steps or publishes until the restore is over.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from unittest.mock import patch

from deploy.backup.installation import Installation
from deploy.restore.errors import CannotRestore
from services.case.actions import restoring as case
from services.consent.actions import restoring as consent
from services.notifier.actions import restoring as notifier
from shared.clock import utc_now
from shared.db import Repository
from shared.db.gates import CLOSED
from shared.db.keys.errors import Altered
from shared.db.unit_of_work import Tx
from shared.erasure.named_keys import ROTATE_STEP
from shared.erasure.participant import END_STEP
from shared.ledger import BEGUN, CONTACT_CHANGED, ERASURE, SHELL_ENDED, WITHDRAWAL, Head, VerifiedLedger
from shared.messaging.bus import amqp
from shared.messaging.steps import StepRow
from shared.service.runtime import RESTORE
from shared.service.service import Opened

_CASES_AT_ONCE: Final = 1_000


@dataclass(kw_only=True)
class Replayed:
    """What was done, in numbers. lost_requests: erasures that had begun, of which the backup has no request. altered:
    cases with a record that doesn't open. without_key: (service, case) of which something is there, and its key isn't.
    """

    erased: int = 0
    withdrawn: int = 0
    contact_stopped: int = 0
    held: int = 0
    lost_requests: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    without_key: list[tuple[str, str]] = field(default_factory=list)

    def sentences(self) -> Iterator[str]:
        """For the operator, who must look into some of it."""
        yield f"Erased again: {self.erased} cases. Withdrawn again: {self.withdrawn} consents."
        yield (
            f"Contact is stopped in {self.contact_stopped} cases, until a person has confirmed how the family may be "
            f"reached. {self.held} letters and emails wait for a person."
        )
        for request_id in self.lost_requests:
            yield f"The erasure {request_id} had begun after the backup: its case is erased, its request is lost."
        for case_id in self.altered:
            yield f"The case {case_id} has a record that doesn't open. The services' logs say which."
        for service, case_id in self.without_key:
            yield (
                f"The case {case_id} has records in the {service} service whose key isn't there any more: it went "
                "between the data archive and the archive of keys. They are lost."
            )


@contextmanager
def opened(installation: Installation) -> Iterator[dict[str, Opened[Any]]]:
    """Every service, opened with its own settings. Raises SettingsError."""
    with ExitStack() as stack:
        services: dict[str, Opened[Any]] = {}
        for member in installation:
            declared: Any = importlib.import_module(f"services.{member.service}.main").service
            with patch.dict(os.environ, member.variables):
                services[member.service] = declared.open(RESTORE)
            stack.enter_context(services[member.service].runtime.unit_of_work.client)
        yield services


def replay(services: dict[str, Opened[Any]], ledger: VerifiedLedger, head: Head) -> Replayed:
    """Do again what was done since the backup. May be run again."""
    done = Replayed()
    # First: an erasure waits for hand-overs under way, and these ended with their processes.
    done.held = notifier.hold_unfinished(services["notifier"].context)
    erasures = {entry.about: entry.case_id for entry in ledger.entries if entry.kind in (BEGUN, ERASURE)}
    shells = {entry.case_id for entry in ledger.entries if entry.kind == SHELL_ENDED}
    for request_id, case_id in erasures.items():
        if not _is_known(services, case_id):
            continue
        request = consent.resume_erasure(services["consent"].context, request_id)
        if request is None:
            done.lost_requests.append(request_id)
        elif request.is_open_erasure:
            notifier.settle_last_letter(services["notifier"].context, request_id=request_id, case_id=case_id)
    for case_id in sorted({*erasures.values(), *shells}):
        done.erased += any([_forget(one, case_id) for one in services.values()])
    for entry in ledger.entries:
        if entry.kind == WITHDRAWAL:
            done.withdrawn += consent.withdraw_again(
                services["consent"].context,
                id=entry.about,
                case_id=entry.case_id,
                withdrawn=entry.withdrawn,
                at=entry.at,
            )
    now = utc_now()
    for case_id in sorted({entry.case_id for entry in ledger.since(head) if entry.kind == CONTACT_CHANGED}):
        done.contact_stopped += case.stop_until_confirmed(services["case"].context, case_id, now)
    return done


def tell_again(services: dict[str, Opened[Any]]) -> list[str]:
    """Have case and consent service say what stands of every case: messages under way at the backup are lost.

    Returns the cases with a record that doesn't open.
    """
    now, altered = utc_now(), set()
    for name, tell in (("case", case.tell_again), ("consent", consent.tell_again)):
        for case_id in _open_cases(services[name]):
            try:
                tell(services[name].context, case_id, now)
            except Altered:
                altered.add(case_id)
    return sorted(altered)


def without_key(services: dict[str, Opened[Any]]) -> list[tuple[str, str]]:
    """(service, case) of the cases that go on and have a record whose key is gone, so that nothing opens it."""
    found: set[tuple[str, str]] = set()
    for name, service in services.items():
        open_cases = set(_open_cases(service))
        for store in service.runtime.register.erased_by_a_case():
            if isinstance(store, Repository):
                found |= {(name, case_id) for case_id in _cases_without_key(store) if case_id in open_cases}
    return sorted(found)


def _cases_without_key(store: Repository[Any]) -> Iterator[str]:
    for row in store.rows.find({"personal": {"$exists": True}}):
        # One that was altered is told of elsewhere.
        with suppress(Altered):
            if store.item_of(row) is None:
                yield str(row["case_id"])


def change_every_key(service: Opened[Any]) -> None:
    """Destroy the root that is in the archive, with the keys that were doomed, and give every bucket a new key."""
    keys = service.runtime.keys
    keys.rotate(step_now(ROTATE_STEP, "tree", None))
    keys.rotation.run(every_bucket=True)


def empty_queue(service: Opened[Any]) -> None:
    """Remove the messages that wait in the service's queue: they are of what happened after the backup."""
    settings = service.runtime.settings
    try:
        connection = amqp.connect(amqp.parameters(settings.amqp_url, f"{settings.names}-{settings.service} restore"))
        connection.channel().queue_purge(settings.queue)
        connection.close()
    except amqp.BrokerError as error:
        raise CannotRestore(f"RabbitMQ doesn't answer ({type(error).__name__}). Run this again.") from error


def _is_known(services: dict[str, Opened[Any]], case_id: str) -> bool:
    """Whether the case is in the backup, in any state."""
    return any(one.runtime.unit_of_work.gates.state(case_id) is not None for one in services.values())


def _forget(service: Opened[Any], case_id: str) -> bool:
    """Close the case and erase it from every store of this service; whether there was anything to do."""
    unit_of_work, vault = service.runtime.unit_of_work, service.runtime.unit_of_work.vault
    state = unit_of_work.gates.state(case_id)
    if state is None or (state == CLOSED and not vault.has_key(case_id)):
        # Of a closed case whose key is gone nothing is left, or an erasure that was under way goes on with it.
        return False

    def close(tx: Tx) -> None:
        tx.gates.close(tx.session, case_id)

    unit_of_work.run(close)
    service.runtime.erasure.end(step_now(END_STEP, case_id, case_id))
    return True


def _open_cases(service: Opened[Any]) -> Iterator[str]:
    rows = service.runtime.unit_of_work.gates.rows
    last = ""
    while found := list(rows.find({"_id": {"$gt": last}}, {"state": 1}).sort("_id", 1).limit(_CASES_AT_ONCE)):
        yield from (str(row["_id"]) for row in found if row["state"] != CLOSED)
        last = str(found[-1]["_id"])


def step_now(kind: str, key: str, case_id: str | None) -> StepRow:
    """A step that is run here, at once."""
    now: datetime = utc_now()
    return StepRow(kind=kind, key=key, case_id=case_id, due=now, attempts=1, now=now)
