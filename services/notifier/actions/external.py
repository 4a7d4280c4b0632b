"""What the notifier asks of the case and consent services, at the moment it matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from services.notifier.model import Person, Stands, people_of
from services.notifier.outways.hand_over import HandOver
from shared.errors import NotFound, Temporary

_NOBODY_KNOWN_YET = "nobody-known-yet"


class Asks(Protocol):
    """The way to the other services (shared.http.calls)."""

    def get(self, service: str, path: str, *, query: Mapping[str, str] | None = None) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Everything beyond this service's own stores."""

    calls: Asks
    hand_over: HandOver

    def case(self, case_id: str) -> dict[str, Any]:
        """The case as it is now, with its people. Raises NotFound, Erased, Unavailable."""
        return self.calls.get("case", f"/cases/{case_id}")

    def allows(self, case_id: str, person_id: str, purpose: str) -> bool:
        """Whether that person's consent stands now (P13).

        Raises Unavailable when nobody can say, and Temporary when the consent service hasn't heard of anybody of the
        case yet: both mean no, and neither means for good.
        """
        query = {"case_id": case_id, "person_id": person_id, "purpose": purpose}
        decision = self.calls.get("consent", "/decisions", query=query)
        if decision.get("reason") == _NOBODY_KNOWN_YET:
            raise Temporary(_NOBODY_KNOWN_YET)
        return decision.get("allowed") is True

    def is_still_asked(self, review: str, round: int | None) -> bool:
        """Whether somebody is still to be written to about this round of their review. Raises Unavailable."""
        with suppress(NotFound):
            found = self.calls.get("consent", f"/reviews/{review}")
            return found.get("state") == "asked" and found.get("round") == round
        return False

    def names_of(self, parties: Iterable[str], people: Iterable[Person]) -> dict[str, str]:
        """The names of these organisations and people by id, as far as they are known."""
        names = {person.id: person.name for person in people}
        for party in dict.fromkeys(parties):
            if party not in names:
                with suppress(NotFound):
                    names[party] = str(self.calls.get("consent", f"/organisations/{party}")["name"])
        return names

    def purposes(self, case: Mapping[str, Any], stands: Iterable[Stands]) -> list[dict[str, str | None]]:
        """What was agreed to, with names for parties, as a template takes it; the file itself at the least."""
        standing = list(stands)
        names = self.names_of((one.party for one in standing if one.party), people_of(case))
        said: list[dict[str, str | None]] = [
            {"purpose": one.purpose, "party": names.get(one.party) if one.party else None} for one in standing
        ]
        return said if any(one["purpose"] == "casework" for one in said) else [{"purpose": "casework"}, *said]
