"""The closed lists of clear fields of the consent service's stores."""

from __future__ import annotations

from services.consent.model import consents as c
from services.consent.model import organisations
from services.consent.model import requests as r
from services.consent.model import reviews as v
from services.consent.model import tasks as t
from shared.events import SERVICES
from shared.events.case import ROLES
from shared.events.consent import DOCUMENT_KINDS, PURPOSES
from shared.fields import (
    Count,
    Day,
    Digest,
    Field,
    Flag,
    Group,
    Id,
    List,
    Name,
    Optional,
    Signed,
    Subject,
    Table,
    Time,
    one_of,
)

ORGANISATION: dict[str, Field] = {
    "kind": one_of(*organisations.KINDS),
    "ending_at": Optional(Time()),
    "all_known": Flag(),
}
NAMING: dict[str, Field] = {"organisation": Id()}
_GRANT = Group(
    {
        "purpose": one_of(*PURPOSES),
        "party": Optional(Id()),
        "document_kind": Optional(one_of(*DOCUMENT_KINDS)),
        # The last day on which it stands, included.
        "until": Optional(Day()),
    }
)
_CHANNEL = one_of(*c.CHANNELS)
CONSENT: dict[str, Field] = {
    "capacity": one_of(*c.CAPACITIES),
    "person_id": Optional(Id()),
    "for_person_id": Optional(Id()),
    "represented_by": Optional(one_of(*c.REPRESENTATIVES)),
    "channel": _CHANNEL,
    "informed_at": Time(),
    "given_at": Time(),
    "statement_version": Count(),
    "statement_sha256": Digest(),
    "grants": List(_GRANT),
    "until": Optional(Day()),
    "recorded_at": Time(),
    "recorded_by": Subject(),
}
ENDING: dict[str, Field] = {
    "consent_id": Id(),
    "kind": one_of(*c.Ended),
    "channel": Optional(_CHANNEL),
    "grants": Optional(List(_GRANT)),
    "superseded_by": Optional(Id()),
    "recorded_at": Time(),
}
EXPIRY: dict[str, Field] = {"consent_id": Id(), "on": Day()}
# Days alone that are the same for all who were born in the same school year, but for `next_on` in the months before the
# 25th birthday, which is the first of a month: no date of birth is kept here (model/rights.py).
RIGHTS: dict[str, Field] = {
    "pass_on": Optional(Day()),
    "passed_at": Optional(Time()),
    "next_on": Optional(Day()),
}
TASK: dict[str, Field] = {
    "kind": one_of(*t.Kind),
    "subject_id": Optional(Id()),
    "due_on": Day(),
    "state": one_of(*t.State),
    "opened_at": Time(),
    "done_at": Optional(Time()),
    "done_by": Optional(Subject()),
}
REVIEW: dict[str, Field] = {
    # The consent that the year counts from: there is one review of each.
    "consent_id": Id(),
    "person_id": Optional(Id()),
    "due_on": Day(),
    "state": one_of(*v.State),
    "round": Count(),
    "asked_at": Optional(Time()),
    "handed_at": Optional(Time()),
    "reminded_at": Optional(Time()),
    "reminder_handed_at": Optional(Time()),
    "unreached": Flag(),
    "returned_at": Optional(Time()),
    "next_at": Optional(Time()),
    "decision": Optional(one_of(*v.Answer)),
    "answered_at": Optional(Time()),
    "channel": Optional(_CHANNEL),
    "request_id": Optional(Id()),
}
CLOCK_RUN: dict[str, Field] = {"at": Time(), "ran_at": Time(), "confirmed_by": Optional(Subject())}
# By month (`2026-11`), which is its `_id`: how many, and nothing else.
HELPLINE_CALLS: dict[str, Field] = {"count": Count()}
REQUEST: dict[str, Field] = {
    "kind": one_of(*r.KINDS),
    "status": one_of(*r.Status),
    "phase": one_of(*r.Phase),
    "received_at": Time(),
    "logged_at": Time(),
    "logged_by": Subject(),
    "recorded_by": Optional(Subject()),
    "channel": _CHANNEL,
    "due_on": Day(),
    "due_at": Time(),
    "about": List(Id()),
    "identity_settled": Flag(),
    "confirmed_by": Optional(Subject()),
    "confirmed_at": Optional(Time()),
    "letter": Optional(one_of("sealed", "nobody_to_write_to", *r.SETTLEMENTS)),
    "attempts": Table(Count()),
    "elsewhere": List(Name()),
    "elsewhere_certified": List(Name()),
    "verified_at": Optional(Time()),
    "completed_at": Optional(Time()),
    "organisations_left": Optional(Count()),
    "certificate": Optional(Signed()),
}
RECEIPT: dict[str, Field] = {
    "request": Id(),
    "service": one_of(*SERVICES),
    "attempt": Count(),
    "outcome": one_of("erased", "nothing_held", "failed"),
    "stores": List(Group({"store": Name(), "found": Count(), "deleted": Count(), "remaining": Count()})),
    "late": List(Name()),
    "root_generation": Optional(Count()),
    "root_destroyed_at": Optional(Time()),
    "signed_at": Time(),
    "jws": Signed(),
    "last_letter": Optional(one_of("sent", "unknown", "undeliverable", "nobody")),
    "paper": List(Group({"paper_file": Id(), "method": one_of("shredded", "returned", "not_found"), "at": Time()})),
    "at": Time(),
}
READING: dict[str, Field] = {
    "due_at": Time(),
    "since": Time(),
    "next_at": Time(),
    "asked_at": Optional(Time()),
    "took_ms": Optional(Count()),
    "found": Optional(Count()),
    "jws": Optional(Signed()),
    "waits": List(one_of(*SERVICES)),
    "receipts_sha256": Optional(Digest()),
}
# Nothing: the ground may be safeguarding, and who placed it and until when may tell the ground.
HOLD: dict[str, Field] = {}
PEOPLE: dict[str, Field] = {"people": List(Group({"person": Id(), "role": one_of(*ROLES)}))}
#: An archive of a backup: which kind, a digest of its folder's path, and when it is to be gone, and is.
ARCHIVE: dict[str, Field] = {
    "kind": one_of("data", "keys"),
    "folder": Digest(),
    "began_at": Time(),
    "until": Time(),
    "gone_at": Optional(Time()),
}
