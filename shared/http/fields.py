"""The marshmallow fields that our contract is made of; their sentences never repeat a value."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

import marshmallow as ma

from shared.clock import to_millisecond
from shared.ids import is_id
from shared.text import has_something_visible, trimmed

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")
# What `clean_text` leaves of a vertical tab is among them.
_SEPARATORS = re.compile("[\u2028\u2029]")


class Body(ma.Schema):
    """A base for what callers send: unknown fields are refused."""

    class Meta:
        unknown = ma.RAISE


class IdField(ma.fields.String):
    """An id of ours."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not is_id(value):
            raise ma.ValidationError("This is not an id.")
        return str(value)


class Line(ma.fields.String):
    """One line of text: 1 to `most` characters, at least one of them visible; no line breaks.

    Spaces and invisible characters around it are taken off; a vertical tab in it is a space.
    """

    def __init__(self, *, most: int = 200, **more: Any) -> None:
        metadata = {"minLength": 1, "maxLength": most, **more.pop("metadata", {})}
        super().__init__(metadata=metadata, **more)
        self.most = most

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = trimmed(_SEPARATORS.sub(" ", str(super()._deserialize(value, attr, data, **kwargs))))
        if "\n" in text or "\t" in text:
            raise ma.ValidationError("This is one line, without line breaks or tabs.")
        return _sized(text, self.most)


class Text(ma.fields.String):
    """Free text: 1 to `most` characters, at least one of them visible, line breaks allowed.

    Spaces and invisible characters around it are taken off; a vertical tab in it is a line break.
    """

    def __init__(self, *, most: int = 20_000, **more: Any) -> None:
        metadata = {"minLength": 1, "maxLength": most, **more.pop("metadata", {})}
        super().__init__(metadata=metadata, **more)
        self.most = most

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = _SEPARATORS.sub("\n", str(super()._deserialize(value, attr, data, **kwargs)))
        return _sized(trimmed(text), self.most)


def _sized(text: str, most: int) -> str:
    if not text:
        raise ma.ValidationError("This may not be empty.")
    if not has_something_visible(text):
        raise ma.ValidationError("There is nothing visible in this.")
    if len(text) > most:
        raise ma.ValidationError(f"This may have {most} characters at most.")
    return text


class Choice(ma.fields.String):
    """One word of a closed list."""

    def __init__(self, *words: str, **more: Any) -> None:
        super().__init__(validate=ma.validate.OneOf(words), **more)


class Either(ma.fields.Raw):
    """In an answer: something that fits one of these schemas, dumped already."""

    def __init__(self, *schemas: type[ma.Schema], **more: Any) -> None:
        super().__init__(**more)
        self.schemas = schemas


class FlagField(ma.fields.Boolean):
    """true or false, and nothing that merely looks like it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ma.ValidationError("This is true or false.")
        return value


class Moment(ma.fields.Field[datetime]):
    """A time: RFC 3339 with an offset; loaded in UTC to the millisecond."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return to_millisecond(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        if not isinstance(value, str) or not _MOMENT.fullmatch(value):
            raise ma.ValidationError("This is not a time with its offset (RFC 3339).")
        try:
            moment = datetime.fromisoformat(value.upper())
            # A year at the edge of the calendar can't be turned into UTC.
            return to_millisecond(moment.astimezone(UTC))
        except (ValueError, OverflowError):
            raise ma.ValidationError("There is no such time.") from None


class DayField(ma.fields.Field[date]):
    """A date: YYYY-MM-DD."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        if value is None:
            return None
        return value if isinstance(value, str) else value.isoformat()

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> date:
        if not isinstance(value, str) or not _DATE.fullmatch(value) or not value.isascii():
            raise ma.ValidationError("This is not a date (YYYY-MM-DD).")
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ma.ValidationError("There is no such date.") from None
