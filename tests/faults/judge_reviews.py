"""The judge of annual reviews: each was written about once, and has ended as its family said, or didn't."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tests.faults.driver import Told
from tests.faults.judge import Complaint
from tests.faults.story import Case
from tests.races.inside import Inside, Row

# How the reviews of a case whose file goes on stand, oldest first.
_STATES = {"renewed": ["answered", "scheduled"], "unreached": ["asked"]}


class Reviews:
    """From the consent service's and the notifier's own rows; what has left the system is judged in `judge_outside`."""

    def __init__(self, inside: Inside, told: Told) -> None:
        self._inside = inside
        self._told = told

    def complaints(self) -> list[Complaint]:
        return [
            (case.number, words)
            for case in self._told.cases
            if case.failure is None and case.id
            for words in (*self._asked_once(case), *self._requests(case), *self._ended(case))
        ]

    def _asked_once(self, case: Case) -> Iterator[str]:
        """One letter for each time that somebody was asked; of a file that is gone nothing is left to count."""
        rows = self._inside.rows("notifier", "notifications", case_id=case.id, review={"$ne": None})
        made = Counter((row["review"], row["round"], row["template"]) for row in rows)
        for (_, round, template), count in made.items():
            if count > 1 or round != 1:
                yield f"{count} letters {template} of its review, begun {round} times"
        if rows and case.review is None:
            yield f"its review isn't due, and it was written to: {sorted(made)}"
        # Their kinds are told apart by what heard of them, not by what is said to be made.
        for template in case.went if case.ending != "forgotten" else ():
            states = [row["status"] for row in rows if row["template"] == template]
            if states != ["delivered"]:
                yield f"its {template} is heard of as handed over, and stands as {states}"

    def _requests(self, case: Case) -> Iterator[str]:
        """Rows of requests outlive their case."""
        rows = self._inside.rows("consent", "requests", case_id=case.id, kind="erasure")
        asked_for = [row["_id"] for row in rows]
        if case.review is not None and asked_for != ([] if case.request is None else [case.request]):
            yield f"{len(asked_for)} erasures asked for by its review, {case.request} was heard of"

    def _ended(self, case: Case) -> Iterator[str]:
        if case.review is None:
            return
        rows = sorted(self._inside.rows("consent", "reviews", case_id=case.id), key=lambda row: str(row["_id"]))
        if case.ending == "forgotten":
            if rows:
                yield f"{len(rows)} reviews of a case that is gone"
            return
        if [row["state"] for row in rows] != _STATES[case.review]:
            yield f"it is {case.review}, its reviews are {[row['state'] for row in rows]}"
        elif case.review == "unreached":
            yield from self._unreached(case, rows[0])
        elif rows[1]["due_on"] < (datetime.now(UTC) + timedelta(days=360)).date().isoformat():
            yield f"renewed, and due again on {rows[1]['due_on']}"

    def _unreached(self, case: Case, row: Row) -> Iterator[str]:
        calls = self._inside.rows("consent", "tasks", case_id=case.id, kind="call", state="open", subject_id=row["_id"])
        if not row["unreached"] or len(calls) != 1:
            yield f"nobody knows whether it was reached, and {len(calls)} calls are asked for"
