"""Queries that a repository doesn't offer by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Any

from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from services.case.model.cases import SHELL, Case
from services.case.model.entries import Entry
from services.case.model.people import Person
from services.case.model.references import ReferenceTaken
from services.case.model.safeguarding import KEY_PREFIX, Concern, hash_of_case, key_of
from services.case.model.search import MAX_FOUND, Criterion, SearchHashes, hash_of, hashed_anew
from services.case.store import Stores
from shared.db import Repository
from shared.db.gates import CLOSED
from shared.db.keys.errors import Altered
from shared.db.keys.rotation import Rehash
from shared.db.keys.tree import Tree, bucket_of, owner_of
from shared.db.repository import session_of
from shared.db.transactions import look
from shared.db.unit_of_work import Tx, UnitOfWork
from shared.ids import is_id


def add_case(cases: Repository[Case], case: Case, *, tx: Tx) -> Case:
    """Raises ReferenceTaken when another case has that reference."""
    try:
        return cases.add(case, tx=tx)
    except DuplicateKeyError as error:
        raise ReferenceTaken from error


def page_of_cases(
    cases: Repository[Case], *, state: str | None, now: datetime, after: str | None, limit: int
) -> list[Case]:
    """Cases by id, without shells whose time is over."""
    where: dict[str, Any] = {} if state is None else {"state": state}
    if state in (None, SHELL):
        where["$or"] = [{"state": {"$ne": SHELL}}, {"expires_at": {"$gt": now}}]
    return cases.page(where, after, limit)


def expired_shells(cases: Repository[Case], before: datetime, *, limit: int) -> list[str]:
    """Ids of shells whose time was over before that moment."""
    where = {"state": SHELL, "expires_at": {"$lte": before}}
    return [case.id for case in cases.find(where, limit=limit, sort=(("expires_at", 1),))]


def open_gates(unit_of_work: UnitOfWork, case_ids: Sequence[str]) -> dict[str, str]:
    """The state of each of these cases' gates, without those that are closed or were never made."""
    return {case_id: state for case_id, state in unit_of_work.gates.states(case_ids).items() if state != CLOSED}


def people_by_case(people: Repository[Person], case_ids: Sequence[str]) -> dict[str, list[Person]]:
    """The people of each of these cases, in the order they were added."""
    by_case: dict[str, list[Person]] = {case_id: [] for case_id in case_ids}
    for person in people.find({"case_id": {"$in": list(case_ids)}}):
        by_case[person.case_id].append(person)
    return by_case


def cases_by_hash(stores: Stores, criterion: Criterion, *forms: str) -> set[str]:
    """The cases of at most MAX_FOUND people who are found by one of these normal forms.

    Each bucket of the key tree has a search key of its own, so it is asked under all of them at once.
    """

    def read(session: ClientSession) -> set[str]:
        hashes = [
            hash_of(criterion, form, search_key=key) for key in stores.keys.search_keys(session) for form in forms
        ]
        where = {criterion.value: {"$in": hashes}}
        found = stores.search_hashes.rows.find(where, {"case_id": 1}, session=session).limit(MAX_FOUND)
        return {str(row["case_id"]) for row in found}

    return look(stores.unit_of_work.client, read)


def rehash_in(search_hashes: Repository[SearchHashes]) -> Rehash:
    """Hashes anew, in the rotation's transaction, what the cases of the changed buckets are found by."""

    def act(session: ClientSession, keys: Mapping[str, bytes], tree: Tree) -> None:
        where = {"case_id": {"$in": [owner for owner in {owner_of(name) for name in keys} if is_id(owner)]}}
        changes = []
        for row in search_hashes.rows.find(where, session=session):
            hashes = search_hashes.item_of(row)
            if hashes is not None:
                anew = hashed_anew(hashes, search_key=tree.search_key(bucket_of(hashes.case_id)))
                values = {criterion.value: getattr(anew, criterion.value) for criterion in Criterion}
                changes.append(UpdateOne({"_id": hashes.id}, {"$set": values}))
        if changes:
            search_hashes.rows.bulk_write(changes, ordered=False, session=session)

    return act


def page_of_concerns_about(
    stores: Stores, case_id: str, where: Mapping[str, Any], *, after: str | None, limit: int
) -> list[Concern]:
    """Up to `limit` safeguarding records about that case, by id. Each is found under the search key of its own key."""

    def read(session: ClientSession) -> list[Concern]:
        hashes = [hash_of_case(case_id, search_key=key) for key in stores.keys.search_keys(session)]
        query = {**where, "about_hash": {"$in": hashes}, **({} if after is None else {"_id": {"$gt": after}})}
        found: list[Concern] = []
        for row in stores.concerns.rows.find(query, session=session).sort("_id", 1):
            # One that was edited alarms, and doesn't hide the others.
            with suppress(Altered):
                concern = stores.concerns.item_of(row)
                found += [] if concern is None else [concern]
            if len(found) >= limit:
                break
        return found

    return look(stores.unit_of_work.client, read)


def rehash_concerns_in(concerns: Repository[Concern]) -> Rehash:
    """Hashes anew, in the rotation's transaction, what records under the changed buckets' keys are found by."""

    def act(session: ClientSession, keys: Mapping[str, bytes], tree: Tree) -> None:
        ids = [name.removeprefix(KEY_PREFIX) for name in keys if name.startswith(KEY_PREFIX)]
        changes = []
        for row in concerns.rows.find({"_id": {"$in": ids}, "about_hash": {"$ne": None}}, session=session):
            # One that was edited alarms, and must not keep a root from being destroyed.
            with suppress(Altered):
                concern = concerns.item_of(row)
                if concern is not None and concern.about is not None:
                    key = tree.search_key(bucket_of(key_of(concern.id)))
                    found_by = {"about_hash": hash_of_case(concern.about, search_key=key)}
                    changes.append(UpdateOne({"_id": concern.id}, {"$set": found_by}))
        if changes:
            concerns.rows.bulk_write(changes, ordered=False, session=session)

    return act


def last_recorded_at(entries: Repository[Entry], case_id: str) -> datetime | None:
    """When the case's last entry was recorded."""
    row = entries.rows.find_one({"case_id": case_id}, {"recorded_at": 1}, sort=[("_id", -1)])
    return None if row is None else row["recorded_at"]


def corrections_of(entries: Repository[Entry], case_id: str, corrected: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The ids of what corrects each of these entries, oldest first."""
    where = {"case_id": case_id, "corrects": {"$in": list(corrected)}}
    found: dict[str, tuple[str, ...]] = {}
    for row in entries.rows.find(where, {"corrects": 1}).sort("_id", 1):
        found[row["corrects"]] = (*found.get(row["corrects"], ()), str(row["_id"]))
    return found


def mark_alerted(concerns: Repository[Concern], id: str, at: datetime, *, tx: Tx) -> None:
    """The notifier has taken the alert. The version stays: a reader's copy of the record isn't out of date for it."""
    concerns.rows.update_one({"_id": id}, {"$set": {"alerted_at": at}}, session=session_of(tx))


def concerns_to_delete(concerns: Repository[Concern], before: datetime, today: date, *, limit: int) -> list[str]:
    """Ids of those recorded before then that no hold keeps, also where their key is gone."""
    rows = concerns.rows.find(_to_delete(before, today), {"_id": 1}).sort("recorded_at", 1).limit(limit)
    return [str(row["_id"]) for row in rows]


def delete_concern(concerns: Repository[Concern], id: str, before: datetime, today: date, *, tx: Tx) -> bool:
    """Delete the record if `concerns_to_delete` would still name it; whether it was deleted."""
    where = {"_id": id, **_to_delete(before, today)}
    return concerns.rows.delete_one(where, session=session_of(tx)).deleted_count == 1


def _to_delete(before: datetime, today: date) -> dict[str, Any]:
    no_hold = {"$or": [{"hold_until": None}, {"hold_until": {"$lt": today.isoformat()}}]}
    return {"recorded_at": {"$lte": before}, **no_hold}
