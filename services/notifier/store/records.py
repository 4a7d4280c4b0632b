"""Records to model and back; the closed lists of what they keep in clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from services.notifier import model as m
from services.notifier.model import Content
from shared.db import Record
from shared.events.case import ROLES, STATES
from shared.events.consent import DOCUMENT_KINDS, PURPOSES
from shared.fields import Count, Digest, Field, Flag, Group, Id, List, Name, Optional, Time, one_of

_CHANNEL = one_of(*m.Channel)
NOTIFICATION: dict[str, Field] = {
    "person_id": Id(),
    "template": Name(),
    "template_version": Count(),
    "channel": _CHANNEL,
    "status": one_of(*m.Status),
    "reason": Optional(one_of(*m.Reason)),
    # Unique: nothing is sent twice, however often the event that asks for it comes.
    "intent": Optional(Digest()),
    # Of the letters of an annual review.
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
_STANDING = List(
    Group(
        {
            "consent": Id(),
            "purpose": one_of(*PURPOSES),
            "party": Optional(Id()),
            "document_kind": Optional(one_of(*DOCUMENT_KINDS)),
            "person": Optional(Id()),
            "until": Optional(Time()),
        }
    )
)
PROJECTION: dict[str, Field] = {
    "state": Optional(one_of(*STATES)),
    "opened_at": Optional(Time()),
    "people": List(Group({"person": Id(), "role": one_of(*ROLES), "post": Flag(), "email": Flag()})),
    "standing": _STANDING,
    "before": Optional(_STANDING),
    "frozen_seq": Optional(Count()),
    "frozen_at": Optional(Time()),
    "stopped": Optional(Flag()),
}
SEALED: dict[str, Field] = {
    "request": Id(),
    "person_id": Id(),
    "channel": _CHANNEL,
    "state": one_of("sealed", "sending"),
    "attempt": Optional(Id()),
}
LAST_LETTER: dict[str, Field] = {
    "case_id": Id(),
    "state": one_of(*m.LetterState),
    "outcome": Optional(one_of(*m.Outcome)),
    # How each letter ended that is no longer sealed.
    "ended": List(one_of(*m.Outcome)),
    # How often the hand-over was tried in vain.
    "tries": Count(),
    # When the family asked, where the event says so.
    "asked_at": Optional(Time()),
    "due_at": Optional(Time()),
    "at": Time(),
    "done_at": Optional(Time()),
}


def notification(record: Record) -> m.Notification:
    clear = record.clear
    asked, reason = clear.get("asked"), clear.get("reason")
    return m.Notification(
        id=record.id,
        case_id=str(record.case_id),
        person_id=clear["person_id"],
        template=clear["template"],
        template_version=clear["template_version"],
        channel=m.Channel(clear["channel"]),
        status=m.Status(clear["status"]),
        reason=None if reason is None else m.Reason(reason),
        intent=clear.get("intent"),
        review=clear.get("review"),
        round=clear.get("round"),
        answer_from=clear.get("answer_from"),
        answer_days=clear.get("answer_days"),
        asked=None if asked is None else m.Channel(asked),
        mailbox_refused=clear["mailbox_refused"],
        attempt=clear.get("attempt"),
        created_at=clear["created_at"],
        sending_at=clear.get("sending_at"),
        done_at=clear.get("done_at"),
        version=record.version,
    )


def notification_out(one: m.Notification) -> dict[str, Any]:
    out = {name: getattr(one, name) for name in NOTIFICATION}
    for name in ("channel", "status", "reason", "asked"):
        out[name] = None if out[name] is None else str(out[name])
    if one.intent is None:
        # Absent, so that the unique index passes it by.
        del out["intent"]
    return out


def content(record: Record) -> Content:
    kept = record.personal
    return Content(values=kept.get("values") or {}, pdf=kept.get("pdf"), email=kept.get("email"))


def content_out(content: Content) -> dict[str, Any]:
    out: dict[str, Any] = {"values": dict(content.values)}
    if content.pdf is not None:
        out["pdf"] = content.pdf
    if content.email is not None:
        out["email"] = dict(content.email)
    return out


def standing_in(rows: Sequence[Mapping[str, Any]]) -> tuple[m.Stands, ...]:
    """What an event or a record says stands; a time may be RFC 3339 or a datetime."""
    return tuple(
        m.Stands(
            consent=row["consent"],
            purpose=row["purpose"],
            party=row.get("party"),
            document_kind=row.get("document_kind"),
            person=row.get("person"),
            until=_moment(row.get("until")),
        )
        for row in rows
    )


def people_in(rows: Sequence[Mapping[str, Any]]) -> tuple[m.Known, ...]:
    return tuple(m.Known(**{name: row[name] for name in ("person", "role", "post", "email")}) for row in rows)


def standing_out(standing: Sequence[m.Stands]) -> list[dict[str, Any]]:
    names = [field.name for field in fields(m.Stands)]
    return [{name: getattr(one, name) for name in names} for one in standing]


def _moment(value: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def projection(record: Record) -> m.Projection:
    clear = record.clear
    before = clear.get("before")
    return m.Projection(
        case_id=record.id,
        state=clear.get("state"),
        opened_at=clear.get("opened_at"),
        people=people_in(clear["people"]),
        standing=standing_in(clear["standing"]),
        before=None if before is None else standing_in(before),
        frozen_seq=clear.get("frozen_seq"),
        frozen_at=clear.get("frozen_at"),
        stopped=clear.get("stopped") is True,
    )
