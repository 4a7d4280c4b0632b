"""The judge of what is there beyond what was asked for: second cases, second requests, and what an erasure left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from services.consent.actions.saga import ASK_AGAIN_STEP
from shared.events import SERVICES
from tests.faults.driver import Told
from tests.faults.judge import Complaint
from tests.faults.story import Case
from tests.races.inside import Inside

# What a family's word makes one of, wherever it is kept.
_MADE_ONCE = (("case", "cases"), ("consent", "requests"), ("notifier", "notifications"))
# What an erasure leaves of a case, ids, enums, counts and times. Nothing else may name an erased case.
_KEPT = frozenset(
    {
        "gates", "doomed", "inbox", "audit", "erasures", "requests", "receipts", "last_letters", "paper_disposals",
        "abandoned_uploads", "ledger", "readings",
    }
)  # fmt: skip


def there_already(inside: Inside) -> Mapping[tuple[str, str], frozenset[str]]:
    """What was made before a run begins, by service and store."""
    return {at: frozenset(str(row["_id"]) for row in inside.rows(*at)) for at in _MADE_ONCE}


class Once:
    """Compares whole stores with what was accepted. before: what `there_already` said when the run began."""

    def __init__(self, inside: Inside, told: Told, before: Mapping[tuple[str, str], frozenset[str]]) -> None:
        self._inside = inside
        self._told = told
        self._before = before
        self._by_id = {case.id: case for case in told.cases if case.id}

    def complaints(self) -> list[Complaint]:
        return [*self._cases(), *self._requests(), *self._notifications(), *self._files(), *self._left()]

    def _new(self, service: str, store: str) -> list[dict[str, Any]]:
        before = self._before[service, store]
        return [row for row in self._inside.rows(service, store) if row["_id"] not in before]

    def _cases(self) -> Iterator[Complaint]:
        known = {*self._by_id, *(said.case_id for said in self._told.said)}
        for row in self._new("case", "cases"):
            # A first call that failed for good may have made a case nobody was told of; that it failed is said already.
            if row["_id"] not in known and not any(case.failure and not case.id for case in self._told.cases):
                yield None, f"a case that nobody was told of: {row['_id']}"

    def _requests(self) -> Iterator[Complaint]:
        by_case: dict[str, list[dict[str, Any]]] = {}
        for row in self._new("consent", "requests"):
            by_case.setdefault(str(row["case_id"]), []).append(row)
        for case_id in by_case.keys() - self._by_id.keys():
            yield None, f"a request about a case that nobody was told of: {case_id}"
        for case in self._told.cases:
            if case.failure is None and case.id:
                yield from ((case.number, words) for words in self._wrong_requests(case, by_case.get(case.id, [])))

    @staticmethod
    def _wrong_requests(case: Case, rows: list[dict[str, Any]]) -> Iterator[str]:
        # Whoever takes back the last consent to a file has asked for its erasure, which nobody has confirmed.
        wanted = 1 if case.request is not None or case.withdrawals else 0
        if len(rows) != wanted:
            yield f"{len(rows)} requests, accepted were {wanted}"
        if case.request is not None and [row["_id"] for row in rows] != [case.request]:
            yield f"its request is {case.request}, kept are {[row['_id'] for row in rows]}"
        ends = {"forgotten": "completed", "request taken back": "withdrawn", "withdrawn": "received"}
        for row in rows:
            if row["status"] != ends.get(case.ending, row["status"]):
                yield f"its request is {row['status']}, and the case was {case.ending}"

    def _notifications(self) -> Iterator[Complaint]:
        for case in self._told.cases:
            if case.failure is not None or case.ending == "forgotten" or not case.id:
                continue
            rows = {row["_id"] for row in self._inside.rows("notifier", "notifications", case_id=case.id)}
            if missing := set(case.notifications) - rows:
                yield case.number, f"letters that were asked for, and are not there: {sorted(missing)}"

    def _files(self) -> Iterator[Complaint]:
        """What was filed comes back byte for byte."""
        told, caseworker = self._told.words, self._inside.system.caseworker
        for case in self._told.cases:
            for document in case.documents if case.failure is None and case.ending != "forgotten" else ():
                answer = caseworker.get(f"/documents/{document}/content")
                if answer.status_code != 200 or answer.content not in (told.small, told.large):
                    yield case.number, f"document {document} isn't what was filed: {answer.status_code}"

    def _left(self) -> Iterator[Complaint]:
        """No row of any store names an erased case, but for those that are kept by design."""
        erased = [case for case in self._told.cases if case.certificate is not None]
        ids = [case.id for case in erased]
        about = {"$or": [{"case_id": {"$in": ids}}, {"_id": {"$in": ids}}, {"case": {"$in": ids}}]}
        for service in SERVICES:
            for name in (f"{self._inside.names}_{service}", f"{self._inside.names}_{service}_vault"):
                database = self._inside.mongo[name]
                for store in set(database.list_collection_names()) - _KEPT:
                    for row in database[store].find(about, {"case_id": 1, "case": 1, "kind": 1}):
                        # It looks once more and ends by itself: in an hour, where a clock was ahead.
                        if store == "steps" and row["kind"] == ASK_AGAIN_STEP:
                            continue
                        case_id = str(row.get("case_id") or row.get("case") or row["_id"])
                        case = self._by_id.get(case_id)
                        yield case and case.number, f"left of an erased case in {name}.{store}: {row['_id']}"
