"""How a dataclass lies in MongoDB: clear fields from a closed list beside one sealed part, `personal`.

The sealed part is bound to the record's store, id, case, version and clear fields: in another record, beside an edited
field or in another version it doesn't open. A row without a sealed part has a code (`mac`) over the same instead.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from typing import Any, Final, Generic, TypeVar, get_args

import bson

from shared.conversion import field_types, from_plain, to_plain
from shared.db.changes import CHANGED, UNSET
from shared.db.keys.errors import Altered, KeyGone
from shared.db.keys.tree import number_of, owner_of
from shared.db.keys.vault import OFFICE_KEY, Vault
from shared.fields import Field, Optional, misfits
from shared.ops.logs import log

T = TypeVar("T")
Row = dict[str, Any]

#: Fields of a dataclass that are the row's own, and neither clear fields nor sealed.
OF_THE_ROW: Final = ("id", "case_id", "version", "own_key")


class Records(Generic[T]):
    """The items of one store as rows, and back.

    T is a frozen dataclass. Its `id`, `case_id`, `version` and `own_key` are the row's own, where it has them; without
    `id` the case's id is the record's. The fields that `clear` names lie in clear, all the others are sealed. A T with
    a field called `personal` says itself what is sealed: that field alone.

    absent_if_none: clear fields that are left out of the row where they are None. unbound: clear fields that are
    written without the record's version, and decide nothing about a person. key_of: the name of the key that an item is
    sealed under; None for its case's, or the office's where it has no case. is_told: the change feed tells of it.
    """

    def __init__(
        self,
        name: str,
        kind: type[T],
        *,
        vault: Vault,
        clear: Mapping[str, Field],
        absent_if_none: tuple[str, ...] = (),
        unbound: tuple[str, ...] = (),
        key_of: Callable[[T], str | None] = lambda item: None,
        is_told: bool = False,
    ) -> None:
        self._name = name
        self._kind = kind
        self._vault = vault
        self._clear = clear
        self._absent_if_none = absent_if_none
        self._key_of = key_of
        self._is_told = is_told
        self._bound = tuple(sorted(set(clear) - set(unbound)))
        types = field_types(kind)
        if unknown := sorted(set(clear) - types.keys()):
            raise TypeError(f"{name} keeps in clear what {kind.__name__} doesn't have: {', '.join(unknown)}")
        optional = {name for name, field in types.items() if type(None) in get_args(field)}
        if wrong := sorted(field for field, of in clear.items() if isinstance(of, Optional) and field not in optional):
            raise TypeError(f"{name} may hold null where {kind.__name__} takes none: {', '.join(wrong)}")
        self._names = frozenset(types)
        sealed = tuple(field for field in types if field not in clear and field not in OF_THE_ROW)
        self.sealed = ("personal",) if "personal" in sealed else sealed
        without_default = [
            field.name
            for field in fields(kind)  # type: ignore[arg-type]
            if field.default is MISSING and field.default_factory is MISSING
        ]
        self._none_if_missing = {name: None for name in without_default if name in optional}
        self._needs_sealed = bool(set(self.sealed) & set(without_default) - self._none_if_missing.keys())

    def id_of(self, item: T) -> str:
        return str(getattr(item, "id" if "id" in self._names else "case_id"))

    def case_id_of(self, item: T) -> str | None:
        case_id = getattr(item, "case_id", None)
        return None if case_id is None else str(case_id)

    def version_of(self, item: T) -> int:
        return int(getattr(item, "version", 1))

    def at_version(self, item: T, version: int) -> T:
        return replace(item, version=version) if "version" in self._names else item  # type: ignore[type-var]

    def as_read(self, item: T) -> Row:
        """The query that finds the record at the version that was read."""
        return {"_id": self.id_of(item), "version": self.version_of(item)}

    def row_of(self, item: T, *, under: Callable[[str], str] | None = None) -> Row:
        """The item as MongoDB holds it. under: the name of the key that a case has now; its first one without this.

        Raises ValueError naming the clear fields that don't fit the closed list, KeyGone where there is no key.
        """
        row = self._bare_row_of(item)
        sealed = self._sealed_of(item)
        if sealed is None:
            return self.marked(row)
        row["personal"] = self._vault.seal(sealed, self.key_of(item, under=under), self._context(row))
        if self._key_of(item) is not None:
            row["own_key"] = True
        return row

    def key_of(self, item: T, *, under: Callable[[str], str] | None = None) -> str:
        """The name of the key that the item is sealed under. under: as in `row_of`."""
        own, case_id = self._key_of(item), self.case_id_of(item)
        if own is not None:
            return own
        if case_id is None:
            return OFFICE_KEY
        return case_id if under is None else under(case_id)

    def shares_key_of(self, item: T) -> str | None:
        """The case under whose key the item's sealed part is; None where it has no such part, or a key of its own."""
        is_sealed = self.sealed and (self.sealed != ("personal",) or getattr(item, "personal") is not None)  # noqa: B009
        return self.case_id_of(item) if is_sealed and self._key_of(item) is None else None

    def is_under(self, row: Row, name: str) -> bool:
        """Whether the row's sealed part, where it has one, is under that key or one that its owner got since.

        Raises Altered, after an alarm.
        """
        if row.get("personal") is None:
            return True
        try:
            found = self._vault.key_named_in(row["personal"])
            return owner_of(found) == owner_of(name) and number_of(found) >= number_of(name)
        except (Altered, ValueError) as error:
            self.alarm(row)
            raise Altered from error

    def sealed_anew(self, row: Row, *, under: str) -> bytes:
        """The row's sealed part under another key. Raises KeyGone, KeyReplaced, and Altered after an alarm."""
        return self._vault.seal(self._opened(row) or {}, under, self._context(row))

    def stripped_row_of(self, item: T) -> Row:
        """The item without its sealed part, as MongoDB holds it. Raises ValueError as `row_of`."""
        return self.marked(self._bare_row_of(item))

    def marked(self, row: Row) -> Row:
        """A row without its sealed part, with the code over what it says."""
        bare = {name: value for name, value in row.items() if name not in ("personal", "own_key")}
        return {**bare, "mac": self._vault.mac(self._context(row))}

    def _bare_row_of(self, item: T) -> Row:
        row: Row = {"_id": self.id_of(item), "case_id": self.case_id_of(item), "version": self.version_of(item)}
        if self._is_told:
            row[CHANGED] = UNSET
        return row | self.clear_of(item)

    def _context(self, row: Row) -> bytes:
        """What the sealed part, or the code, of this row is bound to."""
        place = [self._vault.service, self._name, row["_id"], row.get("case_id"), row.get("version", 1)]
        # A field that a row doesn't have stays out, so that what was sealed before it was added to the list opens.
        return bson.encode({"place": place, "clear": {name: row[name] for name in self._bound if name in row}})

    def clear_of(self, item: T) -> Row:
        """The item's clear fields. Raises ValueError naming those that don't fit the closed list."""
        clear = {name: to_plain(getattr(item, name)) for name in self._clear}
        for name in self._absent_if_none:
            if clear[name] is None:
                del clear[name]
        if wrong := misfits(self._clear, clear):
            raise ValueError(f"{self._name} doesn't keep in clear, or wants otherwise: {', '.join(wrong)}")
        return clear

    def _sealed_of(self, item: T) -> Row | None:
        if self.sealed == ("personal",):
            sealed = to_plain(getattr(item, "personal"))  # noqa: B009 - T has it, which its type can't say
            return None if sealed is None else dict(sealed)
        return {name: to_plain(getattr(item, name)) for name in self.sealed} if self.sealed else None

    def item_of(self, row: Row, *, stripped: bool = False) -> T | None:
        """The row, opened; None for an orphan, whose key is gone.

        None too for a row whose sealed part was taken off, where T can't be without it. Raises Altered, after an alarm,
        for a row that this service didn't write like that; KeyReplaced for one that was sealed anew since it was read.

        stripped: a row whose key is gone is still true without its sealed part.
        """
        opened: Row | None = None
        try:
            opened = self._opened(row)
        except KeyGone:
            if not stripped:
                return None
        return self.item_with(row, opened, stripped=stripped)

    def _opened(self, row: Row) -> Row | None:
        """What is sealed in the row; None where nothing is. Raises as `item_of`, and KeyGone."""
        try:
            if row.get("personal") is not None:
                return self._vault.open(row["personal"], self._context(row))
            if row.get("mac") != self._vault.mac(self._context(row)):
                raise Altered
        except Altered:
            self.alarm(row)
            raise
        return None

    def alarm(self, row: Row) -> None:
        """Say that this service didn't write the row like that."""
        log.error("record.altered", store=self._name, record_id=row["_id"], case_id=row.get("case_id"))

    def item_with(self, row: Row, opened: Row | None, *, stripped: bool = False) -> T | None:
        """The item of a row and of what was sealed in it; None where T can't be without a sealed part."""
        if opened is None and self._needs_sealed and not stripped:
            return None
        kept: Row = {name: row[name] for name in self._clear if name in row}
        kept |= {"personal": opened} if self.sealed == ("personal",) else opened or {}
        kept |= {"id": row["_id"], "case_id": row.get("case_id")}
        kept |= {"version": row.get("version", 1), "own_key": row.get("own_key", False)}
        return from_plain({**self._none_if_missing, **kept}, self._kind)

    def shown_of(self, item: T, *, less: tuple[str, ...]) -> dict[str, Any]:
        """The item's fields as plain JSON values, as the family would be given them, less some and the row's own."""
        left_out = {*OF_THE_ROW, *less}
        return {name: _json(to_plain(getattr(item, name))) for name in self._names if name not in left_out}


def _json(value: Any) -> Any:
    """A plain value as JSON has it: a time is RFC 3339, bytes are Base64."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, Mapping):
        return {name: _json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
