"""The closed lists of clear fields of the consent service's stores."""

from __future__ import annotations

from services.consent.model import consents as c
from services.consent.model import requests as r
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

ORGANISATION_KINDS = ("local_authority", "school", "health", "social_care", "charity", "other")
_GRANT = Group(
    {
        "purpose": one_of(*PURPOSES),
        "party": Optional(Id()),
        "document_kind": Optional(one_of(*DOCUMENT_KINDS)),
    }
)
_CHANNEL = one_of(*c.CHANNELS)
CONSENT: dict[str, Field] = {
    "capacity": one_of(*c.CAPACITIES),
    "person_id": Optional(Id()),
    "channel": _CHANNEL,
    "informed_at": Time(),
    "given_at": Time(),
    "statement_version": Count(),
    "grants": List(_GRANT),
    "recorded_at": Time(),
    "recorded_by": Subject(),
}
WITHDRAWAL: dict[str, Field] = {
    "consent_id": Id(),
    "channel": _CHANNEL,
    "grants": Optional(List(_GRANT)),
    "recorded_at": Time(),
}
REQUEST: dict[str, Field] = {
    "kind": one_of(*r.KINDS),
    "status": one_of(*r.Status),
    "phase": one_of(*r.Phase),
    "received_at": Time(),
    "logged_at": Time(),
    "logged_by": Subject(),
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
    "certificate": Optional(Signed()),
}
RECEIPT: dict[str, Field] = {
    "request": Id(),
    "case_id": Id(),
    "service": one_of(*SERVICES),
    "attempt": Count(),
    "outcome": one_of("erased", "nothing_held", "failed"),
    "stores": List(Group({"store": Name(), "found": Count(), "deleted": Count(), "remaining": Count()})),
    "late": List(Name()),
    "signed_at": Time(),
    "jws": Signed(),
    "last_letter": Optional(one_of("sent", "unknown", "undeliverable", "nobody")),
    "paper": List(Group({"paper_file": Id(), "method": one_of("shredded", "returned", "not_found"), "at": Time()})),
    "at": Time(),
}
HOLD: dict[str, Field] = {
    "ground": one_of(*r.GROUNDS),
    "until": Day(),
    "placed_by": Subject(),
    "placed_at": Time(),
}
PEOPLE: dict[str, Field] = {"people": List(Group({"person": Id(), "role": one_of(*ROLES)}))}
ADULTS = frozenset({"parent", "carer", "young_person"})
LEDGER_KINDS = ("erasure", "withdrawal", "shell_ended")
LEDGER: dict[str, Field] = {
    "kind": one_of(*LEDGER_KINDS),
    # The request, the withdrawal or the shell that it is about.
    "about": Id(),
    "case_id": Id(),
    "at": Time(),
    "before": Digest(),
    "hash": Digest(),
    "signature": Signed(),
}
