"""Records to model and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from services.consent.model import consents as c
from services.consent.model import requests as r
from services.consent.store.fields import REQUEST
from shared.stores import Record


def grants_out(grants: Sequence[c.Grant]) -> list[dict[str, Any]]:
    return [{"purpose": g.purpose, "party": g.party, "document_kind": g.document_kind} for g in grants]


def grants_in(rows: Sequence[Mapping[str, Any]]) -> tuple[c.Grant, ...]:
    return tuple(
        c.Grant(purpose=row["purpose"], party=row.get("party"), document_kind=row.get("document_kind")) for row in rows
    )


def consent(record: Record) -> c.Consent:
    clear, personal = record.clear, record.personal
    given_by = {
        "name": personal["name"],
        "person_id": clear.get("person_id"),
        "capacity": clear["capacity"],
        "basis": personal.get("basis"),
    }
    return c.Consent(
        id=record.id,
        case_id=str(record.case_id),
        given_by=given_by,
        channel=clear["channel"],
        informed_at=clear["informed_at"],
        given_at=clear["given_at"],
        statement_version=str(clear["statement_version"]),
        grants=grants_in(clear["grants"]),
        evidence=personal.get("evidence"),
        recorded_at=clear["recorded_at"],
        recorded_by=clear["recorded_by"],
    )


def withdrawal(record: Record) -> c.Withdrawal:
    clear = record.clear
    return c.Withdrawal(
        id=record.id,
        case_id=str(record.case_id),
        consent_id=clear["consent_id"],
        channel=clear["channel"],
        by=record.personal["by"],
        grants=None if clear.get("grants") is None else grants_in(clear["grants"]),
        at=clear["recorded_at"],
    )


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
