"""The notifier's stores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from services.notifier.model.last_letters import LastLetter, LetterState, Outcome, SealedLetter, SealedState, letter_key
from services.notifier.model.notifications import Channel, Notification, Reason, Status
from services.notifier.model.recipients import KnownCase
from shared.db import Disposal, KeptRows, Register, Repository
from shared.db.changes import Feed
from shared.db.unit_of_work import Tx, UnitOfWork
from shared.erasure.named_keys import NamedKeys
from shared.events.case import ROLES, STATES
from shared.events.consent import STANDING
from shared.fields import Count, Digest, Field, Flag, Group, Id, List, Name, Optional, Signed, Time, one_of
from shared.messaging.steps import Steps
from shared.service.restores import Restores

_CHANNEL: Final = one_of(*Channel)
_NOTIFICATION: Final[dict[str, Field]] = {
    "person_id": Id(),
    "template": Name(),
    "template_version": Count(),
    "channel": _CHANNEL,
    "status": one_of(*Status),
    "reason": Optional(one_of(*Reason)),
    "intent": Optional(Digest()),
    "review": Optional(Id()),
    "round": Optional(Count()),
    "answer_from": Optional(Time()),
    "answer_days": Optional(Count()),
    "asked": Optional(_CHANNEL),
    "mailbox_refused": Flag(),
    "attempt": Optional(Id()),
    "created_at": Time(),
    "sending_at": Optional(Time()),
    "done_at": Optional(Time()),
}
_KNOWN_CASE: Final[dict[str, Field]] = {
    "state": Optional(one_of(*STATES)),
    "opened_at": Optional(Time()),
    "people": List(Group({"person": Id(), "role": one_of(*ROLES), "post": Flag(), "email": Flag()})),
    "standing": STANDING,
    "before": Optional(STANDING),
    "frozen_seq": Optional(Count()),
    "frozen_at": Optional(Time()),
    "stopped": Flag(),
}
_SEALED_LETTER: Final[dict[str, Field]] = {
    "request": Id(),
    "person_id": Id(),
    "channel": _CHANNEL,
    "state": one_of(*SealedState),
    "attempt": Optional(Id()),
}
_LAST_LETTER: Final[dict[str, Field]] = {
    "state": one_of(*LetterState),
    "outcome": Optional(one_of(*Outcome)),
    "ended": List(one_of(*Outcome)),
    "tries": Count(),
    "asked_at": Optional(Time()),
    "due_at": Optional(Time()),
    "at": Time(),
    "done_at": Optional(Time()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Every store of the service, and what writes to them.

    alerts: one row for each alert of the safeguarding lead, by the id of the record it is about. It names no case.
    ledger_heads: one row for each day of which the ledger's head was to be sent, by that day.
    """

    unit_of_work: UnitOfWork
    keys: NamedKeys
    steps: Steps
    notifications: Repository[Notification]
    known_cases: Repository[KnownCase]
    sealed_letters: Repository[SealedLetter]
    last_letters: Repository[LastLetter]
    alerts: KeptRows
    ledger_heads: KeptRows
    restores: Restores

    @classmethod
    def open(cls, register: Register, steps: Steps, keys: NamedKeys, restores: Restores) -> Stores:
        return cls(
            restores=restores,
            unit_of_work=register.unit_of_work,
            keys=keys,
            steps=steps,
            notifications=register.repository(
                "notifications",
                Notification,
                clear=_NOTIFICATION,
                disposal=Disposal.ERASE,
                indexes=(("case_id", "status"),),
                # So that nothing is sent twice, however often the event that asks for it comes.
                unique=(("intent",),),
                absent_if_none=("intent",),
                not_exported=("intent", "attempt"),
                feed=Feed(kind="notification"),
            ),
            known_cases=register.repository(
                "projections",
                KnownCase,
                clear=_KNOWN_CASE,
                disposal=Disposal.ERASE,
                not_exported=("frozen_seq",),
            ),
            sealed_letters=register.repository(
                "sealed_letters",
                SealedLetter,
                clear=_SEALED_LETTER,
                disposal=Disposal.LATE,
                indexes=(("request",),),
                key_of=lambda letter: letter_key(letter.request),
                not_exported=("attempt",),
            ),
            last_letters=register.repository(
                "last_letters",
                LastLetter,
                clear=_LAST_LETTER,
                disposal=Disposal.KEEP,
                exported=False,
                why="a preparing or a verification that comes again is answered as before, and nothing is sealed anew",
            ),
            alerts=register.keep(
                "alerts",
                clear={"at": Time(), "tries": Count(), "sent_at": Optional(Time())},
                retention=timedelta(days=30),
                why="an alert that is asked for again is not sent again once it has gone",
            ),
            ledger_heads=register.keep(
                "ledger_heads",
                clear={"head": Signed(), "at": Time(), "tries": Count(), "sent_at": Optional(Time())},
                retention=timedelta(days=400),
                why="a head of the ledger goes once a day, however often it is asked for; about no case",
            ),
        )


def put_last_letter(stores: Stores, request: str, case_id: str, *, tx: Tx, **changed: Any) -> None:
    """Change these fields of a request's last letter, which is made if there is none.

    Written at once, not at the transaction's end: events of one batch build on one another.
    """
    found = stores.last_letters.get(request, tx=tx) or LastLetter(id=request, case_id=case_id, at=tx.now)
    row = stores.last_letters.row_of(replace(found, **changed), tx=tx)
    stores.last_letters.rows.replace_one({"_id": request}, row, upsert=True, session=tx.session)
