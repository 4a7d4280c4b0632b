"""What the notifier asks of the case and consent services, at the moment it matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from services.notifier.context import Context
from services.notifier.model.recipients import people_of
from shared.errors import NotFound, Temporary
from shared.known_consents import CASEWORK, StandingConsent

_NOBODY_KNOWN_YET: Final = "nobody-known-yet"


def read_case(context: Context, case_id: str) -> dict[str, Any]:
    """The case as it is now, with its people. Raises NotFound, Erased, Unavailable."""
    return context.calls.get("case", f"/cases/{case_id}")


def is_allowed(context: Context, case_id: str, person_id: str, purpose: str) -> bool:
    """Whether that person's consent stands now (P13).

    Raises Unavailable when the consent service can't be asked, and Temporary when it hasn't heard of any person of the
    case yet. Both mean no for now.
    """
    query = {"case_id": case_id, "person_id": person_id, "purpose": purpose}
    decision = context.calls.get("consent", "/decisions", query=query)
    if decision.get("reason") == _NOBODY_KNOWN_YET:
        raise Temporary(_NOBODY_KNOWN_YET)
    return decision.get("allowed") is True


def is_still_asked(context: Context, review: str, round: int | None) -> bool:
    """Whether the person is still to be written to about this round of their review. Raises Unavailable."""
    with suppress(NotFound):
        found = context.calls.get("consent", f"/reviews/{review}")
        return found.get("state") == "asked" and found.get("round") == round
    return False


def agreed_purposes(
    context: Context, case: Mapping[str, Any], standing: Iterable[StandingConsent]
) -> list[dict[str, str | None]]:
    """What was agreed to, with names for parties, as a template takes it; the file itself at the least."""
    agreed = list(standing)
    names = _names_of(context, case, (one.party for one in agreed if one.party))
    purposes: list[dict[str, str | None]] = [
        {"purpose": one.purpose, "party": names.get(one.party) if one.party else None} for one in agreed
    ]
    return purposes if any(one.purpose == CASEWORK for one in agreed) else [{"purpose": CASEWORK}, *purposes]


def _names_of(context: Context, case: Mapping[str, Any], parties: Iterable[str]) -> dict[str, str]:
    """The names of these organisations and people by id, as far as they are known."""
    names = {person.id: person.name for person in people_of(case)}
    for party in dict.fromkeys(parties):
        if party not in names:
            with suppress(NotFound):
                names[party] = str(context.calls.get("consent", f"/organisations/{party}")["name"])
    return names
