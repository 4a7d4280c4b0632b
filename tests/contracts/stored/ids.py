"""The ids that the stored records use."""

from __future__ import annotations


def numbered(number: int) -> str:
    """An id as ours are written, that says its number."""
    return f"0197a000-0000-7000-8000-{number:012d}"


# Cases: one that is open, one whose erasure was asked for, one that was erased, one whose key went before its rows.
CASE, FROZEN, ERASED, KEYLESS = (numbered(n) for n in (1, 2, 3, 4))
PARENT, CHILD, CARER = (numbered(n) for n in (11, 12, 13))
SCHOOL, COUNCIL = (numbered(n) for n in (21, 22))
CONSENT, CHILDS_CONSENT, DEPUTYS_CONSENT = (numbered(n) for n in (31, 32, 33))
# Requests for erasure: one under way, one of the erased case, one logged after that, one whose key went first.
REQUEST, STRIPPED, AFTERWARDS, KEYLESS_REQUEST = (numbered(n) for n in (41, 42, 43, 44))
DOCUMENT, QUARANTINED, REMOVING = (numbered(n) for n in (51, 52, 53))
PAPER, PAPER_OUT, PAPER_SHREDDED, PAPER_LATE = (numbered(n) for n in (61, 62, 63, 64))
REVIEW = numbered(71)
PERSON_OF_AUDIT = numbered(91)
# Messages: one in the inbox, one deferred, one being tried, two parked.
HEARD, DEFERRED, TRIED, PARKED, FOREIGN = (numbered(n) for n in (81, 82, 83, 84, 85))
