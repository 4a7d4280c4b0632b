"""A repository: one store whose records are one frozen dataclass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Generic, TypeVar, Unpack

from pymongo import ASCENDING, ReplaceOne
from pymongo import collection as mongo
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern

from shared.db.changes import Removal, index_changes
from shared.db.keys.errors import Altered, KeyGone, KeyReplaced
from shared.db.keys.vault import Vault
from shared.db.options import Options
from shared.db.records import Records, Row
from shared.db.store import Disposal, Exported, Inventory
from shared.db.unit_of_work import Tx
from shared.errors import CHANGED_SENTENCE, Changed
from shared.fields import Field

T = TypeVar("T")


_LEFT_BY_AN_ERASURE: Final = (Disposal.KEEP, Disposal.APART)


class Repository(Generic[T]):
    """See `Store`, and `Records` for how T is stored. `Register.repository` says what the arguments mean.

    Every write goes through a transaction; reads outside one see what a majority has.
    """

    def __init__(
        self,
        name: str,
        kind: type[T],
        *,
        rows: mongo.Collection[Row],
        vault: Vault,
        clear: Mapping[str, Field],
        disposal: Disposal,
        removals: Repository[Removal] | None = None,
        **options: Unpack[Options[T]],
    ) -> None:
        self.name = name
        self.disposal = disposal
        self.feed = options.get("feed")
        self._removals = removals
        self.clear = clear
        self.rows = rows
        self.why = options.get("why", "")
        self._indexes = options.get("indexes", ())
        self._unique = options.get("unique", ())
        self._expire_after = options.get("expire_after")
        self._exported = options.get("exported", True) and disposal is not Disposal.APART
        self._not_exported = options.get("not_exported", ())
        self._strips = disposal is Disposal.STRIP
        self._handed_on = options.get("handed_on", False)
        self.records = Records(
            name,
            kind,
            vault=vault,
            clear=clear,
            absent_if_none=options.get("absent_if_none", ()),
            unbound=options.get("unbound", ()),
            key_of=options.get("key_of", lambda item: None),
            is_told=self.feed is not None,
        )

    def prepare(self) -> None:
        self.rows.create_index([("case_id", ASCENDING), ("_id", ASCENDING)])
        for names in self._indexes:
            self.rows.create_index([(name, ASCENDING) for name in names])
        for names in self._unique:
            # Partial, so that rows without the field don't clash with one another.
            self.rows.create_index(
                [(name, ASCENDING) for name in names],
                unique=True,
                partialFilterExpression={name: {"$exists": True} for name in names},
            )
        if self.feed is not None:
            index_changes(self.rows)
        if self._expire_after is not None:
            self.rows.create_index("at", expireAfterSeconds=int(self._expire_after.total_seconds()))

    # Writing

    def add(self, item: T, *, tx: Tx) -> T:
        """Write a new record; the item at version 1.

        Raises DuplicateKeyError where a unique index has it already, ValueError for a clear field off the closed list.
        """
        new = self.records.at_version(item, 1)
        self.rows.insert_one(self.row_of(new, tx=tx), session=tx.session)
        return new

    def save(self, item: T, *, tx: Tx) -> T:
        """Write the whole record anew; the item at its next version. One that was stripped, or whose key is gone, has
        no sealed part afterwards either.

        Raises Changed when its version isn't the one that is stored.
        """
        new = self._next(item)
        done = 0
        with suppress(KeyGone):
            stored = {**self.records.as_read(item), **({"personal": {"$exists": True}} if self._strips else {})}
            done = self.rows.replace_one(stored, self.row_of(new, tx=tx), session=tx.session).matched_count
        if not done and self._strips:
            bare = self.records.stripped_row_of(new)
            done = self.rows.replace_one(self.records.as_read(item), bare, session=tx.session).matched_count
        if not done:
            raise Changed(CHANGED_SENTENCE)
        return new

    def strip(self, item: T, *, tx: Tx) -> T:
        """Write the clear fields anew, without the sealed part; the item at its next version. Raises Changed.

        A case that lives on gets another key.
        """
        new = self._next(item)
        bare = self.records.stripped_row_of(new)
        if self.rows.replace_one(self.records.as_read(item), bare, session=tx.session).matched_count != 1:
            raise Changed(CHANGED_SENTENCE)
        self._renew_key_of(item, tx)
        return new

    def put(self, item: T, *, tx: Tx) -> None:
        """Make or replace a record, in whatever version it is there; written at the transaction's end."""
        row = self.row_of(item, tx=tx)
        tx.write(self.rows, ReplaceOne({"_id": row["_id"]}, row, upsert=True))

    def remove(self, item: T, *, tx: Tx, tells: bool = True) -> None:
        """Delete this version of the record. Raises Changed when its version isn't the one that is stored.

        A case that lives on gets another key. tells: False where the case is being erased, and its feed says so.
        """
        if self.rows.delete_one(self.records.as_read(item), session=tx.session).deleted_count != 1:
            raise Changed(CHANGED_SENTENCE)
        self._renew_key_of(item, tx)
        if tells:
            self.tell_removed(item, tx=tx)

    def tell_removed(self, item: T, *, tx: Tx) -> None:
        """Have the change feed say that the record is gone, for what deletes its row itself."""
        case_id = self.records.case_id_of(item)
        if self.feed is not None and self._removals is not None and case_id is not None:
            removal = Removal(id=self.records.id_of(item), case_id=case_id, kind=self.feed.kind)
            self._removals.put(removal, tx=tx)

    def _renew_key_of(self, item: T, tx: Tx) -> None:
        """What was sealed is in the operation log still, and opens for as long as the case's key does."""
        case_id = None if self._handed_on else self.records.shares_key_of(item)
        if case_id is not None:
            tx.renew_key(case_id)

    def row_of(self, item: T, *, tx: Tx | None = None) -> Row:
        """The item as MongoDB holds it, for what writes its row itself. tx: unless the item is of no case."""
        return self.records.row_of(item, under=None if tx is None else tx.key_name)

    def item_of(self, row: Row) -> T | None:
        """The item of a row that was read directly, None for an orphan. Raises Altered."""
        return self._opened(row, {}, None)

    def _next(self, item: T) -> T:
        return self.records.at_version(item, self.records.version_of(item) + 1)

    # Reading

    def get(self, id: str, *, case_id: str | None = None, tx: Tx | None = None) -> T | None:
        """The record of that id; None when there is none, its key is gone, or it is of another case than `case_id`."""
        row = self.rows.find_one({"_id": id}, session=session_of(tx))
        if row is None or (case_id is not None and row["case_id"] != case_id):
            return None
        return self._opened(row, {}, tx)

    def find(
        self,
        where: Mapping[str, Any],
        *,
        after: str | None = None,
        limit: int = 0,
        sort: Sequence[tuple[str, int]] = (("_id", ASCENDING),),
        tx: Tx | None = None,
    ) -> list[T]:
        """Records by clear fields, oldest first; orphans are passed over. limit 0: all of them.

        Raises Altered, after an alarm, where one of a case's was changed by something else. Of many cases' it is passed
        over after the alarm: a row that someone edited must not stop what is done for all the others.
        """
        is_of_one_case = "case_id" in where or "_id" in where
        query = dict(where) if after is None else {"$and": [dict(where), {"_id": {"$gt": after}}]}
        found: list[T] = []
        for row in self.rows.find(query, session=session_of(tx)).sort(list(sort)):
            try:
                item = self._opened(row, query, tx)
            except Altered:
                if is_of_one_case:
                    raise
                continue
            if item is not None:
                found.append(item)
            if limit and len(found) >= limit:
                break
        return found

    def first(self, where: Mapping[str, Any], *, tx: Tx | None = None) -> T | None:
        """The oldest record by clear fields."""
        found = self.find(where, limit=1, tx=tx)
        return found[0] if found else None

    def of_case(self, case_id: str, *, tx: Tx | None = None) -> list[T]:
        """All records of the case, oldest first."""
        return self.find({"case_id": case_id}, tx=tx)

    def page(self, where: Mapping[str, Any], after: str | None, limit: int) -> list[T]:
        """Up to `limit` records by clear fields whose id is above `after`: one page of a list."""
        return self.find(where, after=after, limit=limit)

    def count(self, where: Mapping[str, Any], *, tx: Tx | None = None) -> int:
        """The number of rows by clear fields, orphans included."""
        return self.rows.count_documents(dict(where), session=session_of(tx))

    def exists(self, where: Mapping[str, Any], *, tx: Tx | None = None) -> bool:
        """Whether there is a row by clear fields, orphans included."""
        return self.rows.count_documents(dict(where), session=session_of(tx), limit=1) > 0

    def _opened(self, row: Row, where: Mapping[str, Any], tx: Tx | None) -> T | None:
        """The item of a row; read once more, if it still is found by `where`, when it was sealed anew meanwhile.

        Raises KeyReplaced in a transaction, which then runs again, and Altered for an older row that was put back.
        """
        while True:
            try:
                return self.records.item_of(row, stripped=self._strips)
            except KeyReplaced:
                now = self.rows.find_one({"$and": [dict(where), {"_id": row["_id"]}]})
                if now is not None and now.get("personal") == row["personal"]:
                    self.records.alarm(row)
                    raise Altered from None
                if tx is not None:
                    raise
                if now is None:
                    return None
                row = now

    # Forgetting

    def found(self, case_id: str) -> int:
        # Of what stands apart a count would already say that there is something.
        return 0 if self.disposal in _LEFT_BY_AN_ERASURE else self.rows.count_documents(self._of(case_id))

    def delete(self, case_id: str) -> int:
        if self.disposal in _LEFT_BY_AN_ERASURE:
            return 0
        if self.disposal is Disposal.STRIP:
            return sum(self._stripped(row) for row in self.rows.find(self._of(case_id)))
        return self.rows.delete_many(self._of(case_id)).deleted_count

    def inventory(self, case_id: str) -> Inventory:
        return Inventory(count=self.found(case_id), delete=partial(self.delete, case_id))

    def remaining(self, case_id: str) -> int:
        if self.disposal in _LEFT_BY_AN_ERASURE:
            return 0
        return self.rows.with_options(read_concern=ReadConcern("majority")).count_documents(self._of(case_id))

    def export(self, case_id: str) -> Iterator[Exported]:
        for item in self.of_case(case_id) if self._exported else ():
            fields = self.records.shown_of(item, less=self._not_exported)
            yield Exported(id=self.records.id_of(item), fields=fields)

    def _stripped(self, row: Row) -> int:
        as_read = {"_id": row["_id"], "version": row["version"]}
        return self.rows.replace_one(as_read, self.records.marked(row)).modified_count

    def _of(self, case_id: str) -> Row:
        where: Row = {"case_id": case_id}
        if self.disposal is Disposal.STRIP:
            # What came after the case was gone is sealed under a key of its own, and ends with what it asks for.
            where |= {"personal": {"$exists": True}, "own_key": {"$exists": False}}
        return where


def session_of(tx: Tx | None) -> ClientSession | None:
    """The transaction's session, for what reads rows itself."""
    return None if tx is None else tx.session
