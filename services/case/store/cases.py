"""Cases, and what stands of their consents: ids, enums and times, nothing personal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from services.case.model.cases import CHANNELS, SHELL, STATES, Case
from services.case.model.consents import Consents, Standing
from services.case.model.references import ReferenceTaken
from shared.db import Disposal, Record, Register
from shared.db.unit_of_work import Tx
from shared.events import consent as consent_events
from shared.fields import Count, Group, Id, List, Optional, Reference, Time, one_of


class Cases:
    """One record a case, its id the case's; nothing in it is personal."""

    def __init__(self, register: Register) -> None:
        self._store = register.collection(
            "cases",
            clear={
                "reference": Reference(),
                "state": one_of(*STATES),
                "channel": one_of(*CHANNELS),
                "created_at": Time(),
                "expires_at": Optional(Time()),
                "level": Optional(Count()),
            },
            disposal=Disposal.ERASE,
            unique=(("reference",),),
            # The sweep finds the shells whose time is over by the first; lists are filtered by the second.
            indexes=(("state", "expires_at"), ("state", "_id")),
        )

    def add(self, tx: Tx, case: Case) -> Case:
        """Raises ReferenceTaken when another case has that reference."""
        try:
            return _case(self._store.insert(tx, id=case.id, case_id=case.id, clear=_case_clear(case)))
        except DuplicateKeyError as error:
            raise ReferenceTaken from error

    def save(self, tx: Tx, case: Case) -> Case:
        """The case at its next version. Raises Changed when it isn't the version that was read."""
        return _case(self._store.change(tx, _case_record(case), clear=_case_clear(case)))

    def get(self, case_id: str, *, tx: Tx | None = None) -> Case | None:
        record = self._store.get(case_id, tx=tx)
        return None if record is None else _case(record)

    def by_reference(self, reference: str) -> Case | None:
        record = self._store.first({"reference": reference})
        return None if record is None else _case(record)

    def find(self, *, state: str | None, now: datetime, after: str | None, limit: int) -> list[Case]:
        """Cases by id, without shells whose time is over."""
        where: dict[str, Any] = {} if state is None else {"state": state}
        if state in (None, SHELL):
            where["$or"] = [{"state": {"$ne": SHELL}}, {"expires_at": {"$gt": now}}]
        return [_case(record) for record in self._store.find(where, after=after, limit=limit)]

    def of_ids(self, case_ids: Sequence[str]) -> list[Case]:
        return [_case(record) for record in self._store.find({"_id": {"$in": list(case_ids)}})]

    def expired_shells(self, before: datetime, *, limit: int) -> list[str]:
        """Ids of shells whose time was over before that moment."""
        where = {"state": SHELL, "expires_at": {"$lte": before}}
        return [record.id for record in self._store.find(where, limit=limit, sort=(("expires_at", 1),))]


class Projections:
    """What stands of each case's consents, as last heard: ids, enums and times."""

    def __init__(self, register: Register) -> None:
        standing = Group(
            {
                "consent": Id(),
                "purpose": one_of(*consent_events.PURPOSES),
                "party": Optional(Id()),
                "document_kind": Optional(one_of(*consent_events.DOCUMENT_KINDS)),
                "person": Optional(Id()),
                "until": Optional(Time()),
            }
        )
        self._store = register.collection("projections", clear={"standing": List(standing)}, disposal=Disposal.ERASE)

    def get(self, case_id: str, *, tx: Tx) -> Consents:
        record = self._store.get(case_id, tx=tx)
        return Consents() if record is None else _consents(record.clear["standing"])

    def put(self, tx: Tx, case_id: str, consents: Consents) -> None:
        clear = {"standing": [_standing_clear(one) for one in consents.standing]}
        self._store.put(tx, id=case_id, case_id=case_id, clear=clear)


def _case_clear(case: Case) -> dict[str, Any]:
    return {
        "reference": case.reference,
        "state": case.state,
        "channel": case.channel,
        "created_at": case.created_at,
        "expires_at": case.expires_at,
        "level": case.level,
    }


def _case(record: Record) -> Case:
    return Case(id=record.id, version=record.version, **record.clear)


def _case_record(case: Case) -> Record:
    return Record(id=case.id, case_id=case.id, version=case.version, clear={}, personal={})


def _standing_clear(one: Standing) -> Mapping[str, Any]:
    return {
        "consent": one.consent,
        "purpose": one.purpose,
        "party": one.party,
        "document_kind": one.document_kind,
        "person": one.person,
        "until": one.until,
    }


def _consents(standing: Iterable[Mapping[str, Any]]) -> Consents:
    return Consents(tuple(Standing(**one) for one in standing))
