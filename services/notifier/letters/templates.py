"""The templates there are, the values each asks for, and what is said when they don't fit."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from services.notifier.letters.words import UnfitValue, as_words

#: The folder that no template can read outside of.
ROOT: Final = Path(__file__).parent

#: The type sizes of a letter's text, in points; RNIB's large print is 16 to 18. Nothing else differs by format.
FORMATS: Final[Mapping[str, float]] = MappingProxyType({"large_print": 18.0, "easy_read": 14.0})
ORDINARY_POINTS: Final = 10.8


class UnknownTemplate(LookupError):
    """No template has that name and version."""


class UnknownFormat(ValueError):
    """A format that no letter can be made in."""


class _ValueTrouble(ValueError):
    """Something about one field; the message names the field and never its value."""

    sentence = "The value of {field} doesn't fit."

    def __init__(self, field: str) -> None:
        super().__init__(self.sentence.format(field=field))
        self.field = field


class MissingValue(_ValueTrouble):
    """A value that the template needs wasn't given, or is blank."""

    sentence = "The template needs a value for {field}."


class UnknownValue(_ValueTrouble):
    """A value was given that the template has no place for; dropping it silently would mislead the sender."""

    sentence = "The template has no place for {field}."


class BadValue(_ValueTrouble):
    """A value isn't of its field's kind."""


class RenderingFailed(RuntimeError):
    """The typesetter couldn't make the document. Its own words are kept out: they quote the letter."""


class NotPrintable(RuntimeError):
    """A name, an address or a value has a character that no font of a letter has. It isn't repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One version of a template: its folder under ROOT and its fields by kind (see words.KINDS)."""

    name: str
    version: int
    fields: Mapping[str, str]

    @property
    def folder(self) -> str:
        return f"{self.name}/{self.version}"

    def words(self, values: Mapping[str, Any]) -> dict[str, str | list[str]]:
        """The values as they will be printed. Raises MissingValue, UnknownValue or BadValue."""
        for field in sorted(values.keys() - self.fields.keys()):
            raise UnknownValue(field)
        said: dict[str, str | list[str]] = {}
        for field, kind in self.fields.items():
            try:
                said[field] = as_words(kind, values.get(field))
            except UnfitValue:
                raise BadValue(field) from None
            if not said[field]:
                raise MissingValue(field)
        return said


def _found() -> dict[tuple[str, int], Template]:
    found = {}
    for file in sorted(ROOT.glob("*/*/fields.toml")):
        name, version = file.parent.parent.name, int(file.parent.name)
        found[name, version] = Template(
            name=name, version=version, fields=MappingProxyType(tomllib.loads(file.read_text("utf-8")))
        )
    return found


_TEMPLATES: Final = _found()

#: The names of all templates, each with its versions, oldest first.
TEMPLATES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        name: tuple(sorted(version for one, version in _TEMPLATES if one == name))
        for name in sorted({name for name, _ in _TEMPLATES})
    }
)


def find_template(name: str, version: int) -> Template:
    """The template of that name and version. Raises UnknownTemplate."""
    if (name, version) not in _TEMPLATES:
        raise UnknownTemplate("There is no such template.")
    return _TEMPLATES[name, version]


def latest_version(name: str) -> int:
    """The newest version of a template. Raises UnknownTemplate."""
    if name not in TEMPLATES:
        raise UnknownTemplate("There is no such template.")
    return TEMPLATES[name][-1]
