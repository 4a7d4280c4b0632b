"""What the case service tells the others."""

from __future__ import annotations

from shared.events.base import EventType, define
from shared.fields import Flag, Group, Id, List, Time, one_of

STATES = ("shell", "open", "inactive", "closed")
ROLES = ("parent", "carer", "child", "young_person", "other")

CREATED = define(
    EventType(
        name="case.created",
        publishers=("case",),
        fields={"case": Id(), "state": one_of(*STATES), "expires_at": Time()},
        topic="state",
    )
)
STATE = define(
    EventType(
        name="case.state",
        publishers=("case",),
        fields={"case": Id(), "state": one_of(*STATES)},
        topic="state",
    )
)
PEOPLE = define(
    EventType(
        name="case.people",
        publishers=("case",),
        # In the order they were added: a consent that names nobody speaks for the adult added first.
        fields={
            "case": Id(),
            "people": List(
                Group({"person": Id(), "role": one_of(*ROLES), "post": Flag(), "email": Flag()}),
            ),
        },
        topic="people",
    )
)
ENDED = define(
    EventType(name="case.ended", publishers=("case",), fields={"case": Id()}, topic="state"),
)
