"""Records to model and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from services.consent.model import consents as c
from services.consent.model import requests as r
from services.consent.model import rights
from services.consent.model import tasks as t
from services.consent.store.fields import REQUEST
from shared.db import Record


def grants_out(grants: Sequence[c.Grant]) -> list[dict[str, Any]]:
    return [
        {"purpose": g.purpose, "party": g.party, "document_kind": g.document_kind, "until": _day_out(g.until)}
        for g in grants
    ]


def grants_in(rows: Sequence[Mapping[str, Any]]) -> tuple[c.Grant, ...]:
    """From rows as they are kept, or from bodies as schemas load them."""
    return tuple(
        c.Grant(
            purpose=row["purpose"],
            party=row.get("party"),
            document_kind=row.get("document_kind"),
            until=_day_in(row.get("until")),
        )
        for row in rows
    )


def _day_out(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _day_in(day: str | date | None) -> date | None:
    return date.fromisoformat(day) if isinstance(day, str) else day


def consent(record: Record) -> c.Consent:
    clear, personal = record.clear, record.personal
    given_by = {
        "name": personal["name"],
        "person_id": clear.get("person_id"),
        "capacity": clear["capacity"],
        "basis": personal.get("basis"),
    }
    if clear.get("for_person_id") is not None:
        judged = {"how_judged": personal["how_judged"], "judged_by": personal["judged_by"]}
        given_by["for_person_id"] = clear["for_person_id"]
        given_by["incapacity"] = {"represented_by": clear["represented_by"], **judged}
    return c.Consent(
        id=record.id,
        case_id=str(record.case_id),
        given_by=given_by,
        channel=clear["channel"],
        informed_at=clear["informed_at"],
        given_at=clear["given_at"],
        statement_version=str(clear["statement_version"]),
        statement_sha256=clear["statement_sha256"],
        grants=grants_in(clear["grants"]),
        evidence=personal.get("evidence"),
        recorded_at=clear["recorded_at"],
        recorded_by=clear["recorded_by"],
        until=_day_in(clear.get("until")),
    )


def consent_out(given: c.Consent) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of a consent is kept in clear, and what is sealed."""
    clear = {
        "capacity": given.capacity,
        "person_id": given.person_id,
        "for_person_id": given.for_person_id,
        "represented_by": given.represented_by,
        "channel": given.channel,
        "informed_at": given.informed_at,
        "given_at": given.given_at,
        "statement_version": int(given.statement_version),
        "statement_sha256": given.statement_sha256,
        "grants": grants_out(given.grants),
        "until": _day_out(given.until),
        "recorded_at": given.recorded_at,
        "recorded_by": given.recorded_by,
    }
    incapacity = given.given_by.get("incapacity") or {}
    personal = {
        "name": given.given_by["name"],
        "basis": given.given_by.get("basis"),
        "evidence": given.evidence,
        "how_judged": incapacity.get("how_judged"),
        "judged_by": incapacity.get("judged_by"),
    }
    return clear, personal


def ending(record: Record) -> c.Ending:
    clear = record.clear
    return c.Ending(
        id=record.id,
        case_id=str(record.case_id),
        consent_id=clear["consent_id"],
        kind=c.Ended(clear["kind"]),
        channel=clear.get("channel"),
        by=record.personal.get("by"),
        grants=None if clear.get("grants") is None else grants_in(clear["grants"]),
        superseded_by=clear.get("superseded_by"),
        at=clear["recorded_at"],
    )


def ending_out(end: c.Ending) -> tuple[dict[str, Any], dict[str, Any] | None]:
    clear = {
        "consent_id": end.consent_id,
        "kind": str(end.kind),
        "channel": end.channel,
        "grants": None if end.grants is None else grants_out(end.grants),
        "superseded_by": end.superseded_by,
        "recorded_at": end.at,
    }
    return clear, None if end.by is None else {"by": end.by}


def young(record: Record) -> rights.Young:
    clear = record.clear
    return rights.Young(
        person_id=record.id,
        case_id=str(record.case_id),
        pass_on=_day_in(clear.get("pass_on")),
        passed_at=clear.get("passed_at"),
        next_on=_day_in(clear.get("next_on")),
    )


def young_out(one: rights.Young) -> dict[str, Any]:
    return {"pass_on": _day_out(one.pass_on), "passed_at": one.passed_at, "next_on": _day_out(one.next_on)}


def task(record: Record) -> t.Task:
    clear = record.clear
    return t.Task(
        id=record.id,
        case_id=str(record.case_id),
        kind=t.Kind(clear["kind"]),
        subject_id=clear.get("subject_id"),
        due_on=date.fromisoformat(clear["due_on"]),
        state=t.State(clear["state"]),
        opened_at=clear["opened_at"],
        done_at=clear.get("done_at"),
        done_by=clear.get("done_by"),
        version=record.version,
    )


def task_out(value: t.Task) -> dict[str, Any]:
    return {
        "kind": str(value.kind),
        "subject_id": value.subject_id,
        "due_on": value.due_on.isoformat(),
        "state": str(value.state),
        "opened_at": value.opened_at,
        "done_at": value.done_at,
        "done_by": value.done_by,
    }


def request(record: Record) -> r.Request:
    clear = record.clear
    same: dict[str, Any] = {name: clear.get(name) for name in REQUEST}
    same.update(
        status=r.Status(clear["status"]),
        phase=r.Phase(clear["phase"]),
        due_on=date.fromisoformat(clear["due_on"]),
        about=tuple(clear["about"]),
        elsewhere=tuple(clear["elsewhere"]),
        elsewhere_certified=tuple(clear["elsewhere_certified"]),
    )
    return r.Request(
        id=record.id, case_id=str(record.case_id), personal=record.personal, version=record.version, **same
    )


def request_out(value: r.Request) -> dict[str, Any]:
    out = {name: getattr(value, name) for name in REQUEST}
    out.update(
        status=str(value.status),
        phase=str(value.phase),
        due_on=value.due_on.isoformat(),
        about=list(value.about),
        attempts=dict(value.attempts),
        elsewhere=list(value.elsewhere),
        elsewhere_certified=list(value.elsewhere_certified),
    )
    return out


def receipt(row: Mapping[str, Any]) -> r.Receipt:
    names = ("service", "attempt", "outcome", "stores", "late", "signed_at", "jws", "last_letter", "paper")
    return r.Receipt(**{name: row[name] for name in names})


def hold(record: Record) -> r.Hold:
    clear = record.clear
    return r.Hold(
        id=record.id,
        case_id=str(record.case_id),
        ground=clear["ground"],
        until=date.fromisoformat(clear["until"]),
        reason=record.personal["reason"],
        placed_by=clear["placed_by"],
        placed_at=clear["placed_at"],
        version=record.version,
    )
