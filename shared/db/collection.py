"""A collection of records: clear fields from a closed list, and one sealed sub-document `personal`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from pymongo import ASCENDING, UpdateOne
from pymongo import collection as mongo
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern

from shared.db.store import Disposal, Exported, Inventory
from shared.db.unit_of_work import Tx
from shared.db.vault import OFFICE_KEY, KeyGone, Vault
from shared.errors import CHANGED_SENTENCE, Changed
from shared.fields import Field, misfits


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record, opened. `version` counts its changes from 1; `personal` is {} where there is none."""

    id: str
    case_id: str | None
    version: int
    clear: Mapping[str, Any]
    personal: Mapping[str, Any]


class Collection:
    """See `Store`. Every write goes through a transaction; reads outside one see what a majority has."""

    def __init__(
        self,
        name: str,
        *,
        rows: mongo.Collection[dict[str, Any]],
        vault: Vault,
        clear: Mapping[str, Field],
        disposal: Disposal,
        indexes: tuple[tuple[str, ...], ...],
        unique: tuple[tuple[str, ...], ...],
        expire_after: timedelta | None,
    ) -> None:
        self.name = name
        self.disposal = disposal
        self.clear = clear
        self.rows = rows
        self._vault = vault
        self._indexes = indexes
        self._unique = unique
        self._expire_after = expire_after

    def prepare(self) -> None:
        self.rows.create_index([("case_id", ASCENDING), ("_id", ASCENDING)])
        for fields in self._indexes:
            self.rows.create_index([(name, ASCENDING) for name in fields])
        for fields in self._unique:
            # Partial, so that rows without the field don't clash with one another.
            self.rows.create_index(
                [(name, ASCENDING) for name in fields],
                unique=True,
                partialFilterExpression={name: {"$exists": True} for name in fields},
            )
        if self._expire_after is not None:
            self.rows.create_index("at", expireAfterSeconds=int(self._expire_after.total_seconds()))

    # Writing

    def insert(
        self,
        tx: Tx,
        *,
        id: str,
        case_id: str | None,
        clear: Mapping[str, Any],
        personal: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Record:
        """Write a new record, sealed under the key named `key` (the case's, or the office's where no case)."""
        row = self._row(id, case_id, 1, clear, personal, key)
        self.rows.insert_one(row, session=tx.session)
        return Record(id=id, case_id=case_id, version=1, clear=dict(clear), personal=dict(personal or {}))

    def insert_alone(self, *, id: str, case_id: str | None, clear: Mapping[str, Any]) -> None:
        """Write a new record that has no sealed part, in no transaction. Raises DuplicateKeyError when it is there."""
        self.rows.insert_one(self._row(id, case_id, 1, clear, None, None))

    def replace(
        self,
        tx: Tx,
        where: Mapping[str, Any],
        *,
        id: str,
        case_id: str | None,
        clear: Mapping[str, Any],
        personal: Mapping[str, Any],
    ) -> bool:
        """Write a record over the one of that id whose clear fields are so; False when there is none."""
        row = self._row(id, case_id, 1, clear, personal, None)
        done = self.rows.replace_one({"_id": id, **where}, row, session=tx.session)
        return done.matched_count == 1

    def change(
        self,
        tx: Tx,
        record: Record,
        *,
        clear: Mapping[str, Any] | None = None,
        personal: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Record:
        """Write the record anew with these clear fields changed (None as a value stays as null), and personal replaced.

        Raises Changed when it isn't the version that was read.
        """
        new = replace(
            record,
            version=record.version + 1,
            clear={**record.clear, **(clear or {})},
            personal=dict(record.personal if personal is None else personal),
        )
        row = self._row(new.id, new.case_id, new.version, new.clear, new.personal or None, key)
        done = self.rows.replace_one({"_id": new.id, "version": record.version}, row, session=tx.session)
        if done.matched_count != 1:
            raise Changed(CHANGED_SENTENCE)
        return new

    def put(self, tx: Tx, *, id: str, case_id: str, clear: Mapping[str, Any]) -> None:
        """Make or change a record that has no sealed part, whatever it was; written at the transaction's end."""
        if wrong := misfits(self.clear, clear):
            raise ValueError(f"{self.name} doesn't keep in clear, or wants otherwise: {', '.join(wrong)}")
        change = {"$set": dict(clear), "$inc": {"version": 1}, "$setOnInsert": {"case_id": case_id}}
        tx.write(self.rows, UpdateOne({"_id": id}, change, upsert=True))

    def change_clear(self, tx: Tx, *, id: str, version: int, clear: Mapping[str, Any]) -> None:
        """Change these clear fields and leave the sealed part as it is, whoever can still open it.

        Raises Changed when it isn't the version that was read.
        """
        if wrong := misfits({name: field for name, field in self.clear.items() if name in clear}, clear):
            raise ValueError(f"{self.name} doesn't keep in clear, or wants otherwise: {', '.join(wrong)}")
        done = self.rows.update_one(
            {"_id": id, "version": version},
            {"$set": {**clear, "version": version + 1}},
            session=tx.session,
        )
        if done.matched_count != 1:
            raise Changed(CHANGED_SENTENCE)

    def strip(self, tx: Tx, id: str) -> None:
        """Take the sealed part off one record, and leave the row."""
        self.rows.update_one({"_id": id}, {"$unset": {"personal": ""}}, session=tx.session)

    def remove(self, tx: Tx, record: Record) -> None:
        """Delete this version of the record. Raises Changed when it isn't the version that was read."""
        done = self.rows.delete_one({"_id": record.id, "version": record.version}, session=tx.session)
        if done.deleted_count != 1:
            raise Changed(CHANGED_SENTENCE)

    def _row(
        self,
        id: str,
        case_id: str | None,
        version: int,
        clear: Mapping[str, Any],
        personal: Mapping[str, Any] | None,
        key: str | None,
    ) -> dict[str, Any]:
        if wrong := misfits(self.clear, clear):
            raise ValueError(f"{self.name} doesn't keep in clear, or wants otherwise: {', '.join(wrong)}")
        row: dict[str, Any] = {"_id": id, "case_id": case_id, "version": version, **clear}
        if personal is not None:
            # The record's own id inside, so that one record's personal part can't be put in another.
            row["personal"] = self._vault.seal({**personal, "_id": id}, key or case_id or OFFICE_KEY)
            if key is not None:
                row["own_key"] = True
        return row

    # Reading

    def get(self, id: str, *, tx: Tx | None = None) -> Record | None:
        """The record of that id; None when there is none or its key is gone."""
        row = self.rows.find_one({"_id": id}, session=_session(tx))
        return None if row is None else self._opened(row)

    def find(
        self,
        where: Mapping[str, Any],
        *,
        after: str | None = None,
        limit: int = 0,
        tx: Tx | None = None,
        sort: Sequence[tuple[str, int]] = (("_id", ASCENDING),),
    ) -> list[Record]:
        """Records by clear fields, oldest first; orphans are passed over. limit 0: all of them."""
        query = dict(where) if after is None else {"$and": [dict(where), {"_id": {"$gt": after}}]}
        found: list[Record] = []
        for row in self.rows.find(query, session=_session(tx)).sort(list(sort)):
            record = self._opened(row)
            if record is not None:
                found.append(record)
            if limit and len(found) >= limit:
                break
        return found

    def first(self, where: Mapping[str, Any], *, tx: Tx | None = None) -> Record | None:
        found = self.find(where, limit=1, tx=tx)
        return found[0] if found else None

    def of_case(self, case_id: str, *, tx: Tx | None = None) -> list[Record]:
        return self.find({"case_id": case_id}, tx=tx)

    def _opened(self, row: dict[str, Any]) -> Record | None:
        clear = {name: value for name, value in row.items() if name in self.clear}
        personal: dict[str, Any] = {}
        if row.get("personal") is not None:
            try:
                personal = self._vault.open(row["personal"])
            except KeyGone:
                if self.disposal is not Disposal.STRIP:
                    return None
                # The key went before the row was stripped: the rest of the row is still true.
                personal = {"_id": row["_id"]}
            if personal.pop("_id", None) != row["_id"]:
                return None
        return Record(id=row["_id"], case_id=row["case_id"], version=row["version"], clear=clear, personal=personal)

    # Forgetting

    def _of(self, case_id: str) -> dict[str, Any]:
        where: dict[str, Any] = {"case_id": case_id}
        if self.disposal is Disposal.STRIP:
            # What came after the case was gone is sealed under a key of its own, and ends with what it asks for.
            where |= {"personal": {"$exists": True}, "own_key": {"$exists": False}}
        return where

    def found(self, case_id: str) -> int:
        return self.rows.count_documents(self._of(case_id))

    def delete(self, case_id: str) -> int:
        if self.disposal is Disposal.STRIP:
            return self.rows.update_many(self._of(case_id), {"$unset": {"personal": ""}}).modified_count
        return self.rows.delete_many(self._of(case_id)).deleted_count

    def inventory(self, case_id: str) -> Inventory:
        return Inventory(count=self.found(case_id), delete=partial(self.delete, case_id))

    def remaining(self, case_id: str) -> int:
        rows = self.rows.with_options(read_concern=ReadConcern("majority"))
        return rows.count_documents(self._of(case_id))

    def export(self, case_id: str) -> Iterator[Exported]:
        for record in self.of_case(case_id):
            yield Exported(id=record.id, fields={**record.clear, **record.personal})


def _session(tx: Tx | None) -> ClientSession | None:
    return None if tx is None else tx.session
