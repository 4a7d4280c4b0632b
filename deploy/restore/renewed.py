"""Cases that were given another key after the data archive was made: their records as they were sealed anew.

A record that was removed since goes. One that was made since stays away, as everything does that is newer than the data
archive: its file, or what others know of it, isn't there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from pymongo import DeleteOne, ReplaceOne
from pymongo.collection import Collection

from deploy.backup.archives import Reader
from deploy.backup.installation import Member
from deploy.backup.renewed import SEALED, cases_name, rows_name
from deploy.restore.replay import step_now
from shared.db.gates import CLOSED
from shared.db.keys.tree import number_of, owner_of
from shared.db.keys.vault import Vault
from shared.db.unit_of_work import Row, Tx
from shared.erasure.case_keys import RESEAL_STEP
from shared.ids import is_id
from shared.service.service import Opened

_BATCH: Final = 500
_DOCUMENTS: Final = "documents"


def put_in_place(member: Member, keys: Reader) -> None:
    """Replace these cases' records, which the data archive brought back, by the newer ones. May be run again."""
    cases = [row["_id"] for row in keys.documents(cases_name(member.service))]
    if not cases:
        return
    for database in (member.database, member.vault):
        for name in member.client[database].list_collection_names(filter={"type": "collection"}):
            newer = {row["_id"]: row for row in keys.documents(rows_name(member, database, name))}
            _replace(member.client[database][name], cases, newer)


def _replace(rows: Collection[Row], cases: list[str], newer: Mapping[str, Row]) -> None:
    changes: list[DeleteOne | ReplaceOne[Row]] = []
    for row in rows.find({"case_id": {"$in": cases}, **SEALED}, {"_id": 1}):
        found = newer.get(row["_id"])
        changes.append(DeleteOne(row) if found is None else ReplaceOne(row, found))
    for start in range(0, len(changes), _BATCH):
        rows.bulk_write(changes[start : start + _BATCH], ordered=False)


def of_removed_documents(member: Member, keys: Reader) -> Callable[[str], bool]:
    """Whether an object, by its key, is of a document that has left one of these cases. Asked once all is in place."""
    cases = {row["_id"] for row in keys.documents(cases_name(member.service))}
    documents = member.client[member.database][_DOCUMENTS]
    stay = {row["_id"] for row in documents.find({"case_id": {"$in": sorted(cases)}}, {"_id": 1})}

    def is_removed(key: str) -> bool:
        case_id, document_id, *_ = key.split("/")
        return case_id in cases and document_id not in stay

    return is_removed


def finish(service: Opened[Any]) -> None:
    """Bring the gates in line with the keys, which are newer. May be run again.

    Each gate says which key is its case's, and what is still under an older one is sealed anew. A key goes whose case
    the data archive doesn't have: it would be in the way when the case is heard of again.
    """
    unit_of_work = service.runtime.unit_of_work
    known = {str(row["_id"]) for row in unit_of_work.gates.rows.find({}, {"_id": 1})}
    for case_id, number in _newest_numbers(unit_of_work.vault).items():
        if case_id not in known:
            unit_of_work.run(partial(_doom, service, case_id))
        elif number > 1:
            unit_of_work.run(partial(_say, case_id, number))
            service.runtime.case_keys.seal_anew(step_now(RESEAL_STEP, case_id, case_id))


def _doom(service: Opened[Any], case_id: str, tx: Tx) -> None:
    service.runtime.keys.doom(tx, case_id)


def _say(case_id: str, number: int, tx: Tx) -> None:
    state = tx.gates.state(case_id, tx.session)
    if state not in (None, CLOSED):
        marked = tx.gates.marked(case_id, str(state), number)
        tx.gates.rows.update_one({"_id": case_id}, {"$set": marked}, session=tx.session)


def _newest_numbers(vault: Vault) -> dict[str, int]:
    """By case, the number of its newest key."""
    numbers: dict[str, int] = {}
    for row in vault.keys.find({}, {"_id": 1}):
        owner, number = owner_of(str(row["_id"])), number_of(str(row["_id"]))
        if is_id(owner):
            numbers[owner] = max(numbers.get(owner, 1), number)
    return numbers
