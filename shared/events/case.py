"""What the case service tells the others."""

from __future__ import annotations

from shared.events.base import EventType, define
from shared.fields import Flag, Group, Id, List, Optional, Signed, Time, one_of

STATES = ("shell", "open", "inactive", "closed")
ROLES = ("parent", "carer", "child", "young_person", "other")
#: The people of a case who are written to and may agree; the others are the child, and those who are no family.
ADULTS = frozenset({"parent", "carer", "young_person"})

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
        # In the order they were added: a consent that names no person speaks for the adult added first. post, email:
        # whether they may be reached that way. unreachable: they were asked about every way, and refused each.
        fields={
            "case": Id(),
            "people": List(
                Group(
                    {
                        "person": Id(),
                        "role": one_of(*ROLES),
                        "post": Flag(),
                        "email": Flag(),
                        "unreachable": Optional(Flag()),
                    }
                ),
            ),
        },
        topic="people",
    )
)
STOPPED = define(
    EventType(
        name="case.stopped",
        publishers=("case",),
        # stopped: all contact with the family has stopped (a death, an adoption, a court order), or goes on again.
        fields={"case": Id(), "stopped": Flag()},
        topic="stopped",
    )
)
# An address or safe contact of a person, whether a child is kept apart, or that all contact stopped: not what of it. No
# topic, since the ledger has an entry for each.
CONTACT_CHANGED = define(EventType(name="case.contact_changed", publishers=("case",), fields={"case": Id()}))
ENDED = define(
    EventType(
        name="case.ended",
        publishers=("case",),
        # grant: the consent service's signature that no one agreed to this shell; nothing is destroyed without it.
        fields={"case": Id(), "grant": Optional(Signed())},
        topic="state",
    ),
)
