"""What single stores of version 0.2 had otherwise, besides how they were sealed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pymongo import ReplaceOne, UpdateOne

from deploy.migrate.records import batches, is_of_before
from services.case.model.safeguarding import hash_of_case, key_of
from services.case.model.search import hashes_of
from shared.db import Register, Repository
from shared.db.gates import Gates
from shared.db.keys.tree import bucket_of
from shared.db.keys.vault import Vault
from shared.known_consents import CASEWORK

Row = dict[str, Any]

#: Stores whose rows are made anew from others, or deleted.
NOT_RENEWED: Final = frozenset({"search_hashes", "idempotency"})
#: Steps that destroyed a key. A key that no record needs isn't made anew.
STEPS_NO_MORE: Final = ("forget_safeguarding_key", "drop_request_key", "destroy_letter_key")


def upgrade_projection(row: Row) -> Row:
    """Once only `casework` and its `until` were kept, for all consents to a case file together."""
    if "standing" in row:
        return row
    standing = [{"consent": row["case_id"], "purpose": CASEWORK, "until": row["until"]}] if row["casework"] else []
    return {**row, "standing": standing}


#: What turns the earliest form of a store's rows into that of version 0.2, by service and store.
UPGRADES: Final[Mapping[tuple[str, str], Callable[[Row], Row]]] = {("document", "projections"): upgrade_projection}


def mark_gates(gates: Gates) -> int:
    """Put the code on every gate that has none; how many that were."""
    count = 0
    for batch in batches(gates.rows, {"mac": {"$exists": False}}):
        states = [(row["_id"], row["state"]) for row in batch]
        gates.rows.bulk_write([UpdateOne({"_id": id}, {"$set": gates.marked(id, state)}) for id, state in states])
        count += len(batch)
    return count


def make_search_hashes(people: Repository[Any], hashes: Repository[Any], vault: Vault) -> int:
    """Hash what each person is found by under the search key of their case, and delete all other hashes.

    Returns for how many people.
    """
    count = 0
    for batch in batches(people.rows):
        tree = vault.tree()
        made = []
        for person in filter(None, map(people.item_of, batch)):
            key = tree.search_key(bucket_of(person.case_id))
            made.append(ReplaceOne({"_id": person.id}, hashes.row_of(hashes_of(person, search_key=key)), upsert=True))
        if made:
            hashes.rows.bulk_write(made, ordered=False)
        count += len(made)
    _delete_of_before(hashes)
    return count


def hash_concerns(concerns: Repository[Any], vault: Vault) -> None:
    """Make what each safeguarding record is found by."""
    for batch in batches(concerns.rows, {"about_hash": None}):
        tree = vault.tree()
        changes = []
        for concern in filter(None, map(concerns.item_of, batch)):
            if concern.about is not None:
                key = tree.search_key(bucket_of(key_of(concern.id)))
                found_by = {"about_hash": hash_of_case(concern.about, search_key=key)}
                changes.append(UpdateOne({"_id": concern.id}, {"$set": found_by}))
        if changes:
            concerns.rows.bulk_write(changes)


def delete_answers(register: Register) -> None:
    """Delete the answers that an Idempotency-Key would repeat: they are kept for a day, and sealed in the old form."""
    answers = register.stores["idempotency"]
    if isinstance(answers, Repository):
        _delete_of_before(answers)


def _delete_of_before(store: Repository[Any]) -> None:
    for batch in batches(store.rows):
        if old := [row["_id"] for row in batch if is_of_before(row)]:
            store.rows.delete_many({"_id": {"$in": old}})
