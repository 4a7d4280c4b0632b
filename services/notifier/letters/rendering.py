"""Making a letter (Typst to PDF/A-2b and PDF/UA-1) or an email (Jinja to text and HTML) from a template."""

import json
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache, partial
from typing import Any, Final

import typst
from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.notifier.letters.templates import (
    FORMATS,
    ORDINARY_POINTS,
    ROOT,
    NotPrintable,
    RenderingFailed,
    UnknownFormat,
    find_template,
)
from services.notifier.letters.words import (
    BLANK,
    REGULATOR,
    Recipient,
    breakable,
    clean,
    day_in_words,
    has_unknown,
    london_day,
)
from shared.office import Office

_FAILED: Final = "The letter couldn't be typeset; nothing was made."
_STANDARDS: Final[list[Any]] = ["a-2b", "ua-1"]
# Only what is built into the typesetter: the same letter on every machine, and no font to install.
_FONTS: Final = typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)
_EMAILS: Final = ImmutableSandboxedEnvironment(
    loader=FileSystemLoader(ROOT, encoding="utf-8"),
    autoescape=lambda name: name is not None and name.endswith(".html"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """An email's words. Its `repr` shows none of them."""

    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)


def render_letter(
    template: str,
    version: int,
    values: Mapping[str, Any],
    *,
    office: Office,
    recipient: Recipient,
    formats: Collection[str] = (),
    plain: bool = False,
    now: datetime,
) -> bytes:
    """The letter as one PDF/A-2b and PDF/UA-1 file; the same input gives the same bytes.

    `now` (with a zone) dates it. The largest of `formats` is used. plain: the sheet that faces the envelope has the
    address and nothing else on it. Raises NotPrintable where no font has a character of the name, the address or a
    value; UnknownTemplate, UnknownFormat, MissingValue, UnknownValue, BadValue, RenderingFailed.
    """
    found = find_template(template, version)
    points = points_of(formats)
    day = london_day(now)
    letter = {
        "values": found.words(values),
        "office": office_words(office),
        "regulator": dict(REGULATOR),
        "recipient": {"name": clean(recipient.name), "lines": recipient.window_lines()},
        "dated": day_in_words(day),
        "day": [day.year, day.month, day.day],
        "plain": plain,
        "points": points,
    }
    if any(has_unknown(text) for text in _texts([recipient.name, *recipient.address, values])):
        raise NotPrintable
    main = f"{found.folder}/letter.typ"
    # The office's own words are no reason to hold a letter: what no font has is a blank square in them.
    for office_said in (letter["office"], _in_every_text(letter["office"], partial(_blanked, _has_no_glyph))):
        made = _compiled(main, {**letter, "office": office_said}, day, unprintable=_is_nothing)
        if made is not None:
            return made
    if _compiled(main, letter, day, unprintable=_is_not_latin) is None:
        raise RenderingFailed(_FAILED)
    raise NotPrintable


def points_of(formats: Collection[str]) -> float:
    """The size of the text: the largest of these formats. Raises UnknownFormat."""
    if set(formats) - FORMATS.keys():
        raise UnknownFormat("A letter can't be made in that format.")
    return max([ORDINARY_POINTS, *(FORMATS[one] for one in formats)])


def typeset(main: str, letter: Mapping[str, Any], day: date) -> bytes:
    """One file under ROOT as a PDF/A-2b and PDF/UA-1, dated that day. Raises RenderingFailed.

    letter: what its source reads, all of it text; a character that no font has is printed as a blank square.
    """
    # What no font can show is an error in these standards, so each retry takes a coarser view of what to blank.
    for unprintable in (_is_nothing, _has_no_glyph, _is_not_latin):
        made = _compiled(main, letter, day, unprintable=unprintable)
        if made is not None:
            return made
    raise RenderingFailed(_FAILED)


def _compiled(main: str, letter: Mapping[str, Any], day: date, *, unprintable: Callable[[str], bool]) -> bytes | None:
    """One file under ROOT as a PDF, with a blank square for what is unprintable. None where the typesetter refuses."""
    fit = _in_every_text(letter, lambda text: breakable(_blanked(unprintable, text)))
    try:
        made = typst.compile(
            str(ROOT / main),
            root=str(ROOT),
            font_paths=_FONTS,
            ignore_system_fonts=True,
            sys_inputs={"letter": json.dumps(fit)},
            format="pdf",
            pdf_standards=_STANDARDS,
            timestamp=datetime(day.year, day.month, day.day, tzinfo=UTC),
        )
    except typst.TypstError:
        return None
    return made if isinstance(made, bytes) else None


def render_email(
    template: str,
    version: int,
    values: Mapping[str, Any],
    *,
    office: Office,
    recipient_name: str,
    now: datetime,
) -> Email:
    """The email as a subject, plain text and HTML. Raises UnknownTemplate, MissingValue, UnknownValue, BadValue.

    The subject is given no value at all, so that it can name neither a person nor a reason (P18).
    """
    found = find_template(template, version)
    words = {
        **found.words(values),
        "office": office_words(office),
        "regulator": REGULATOR,
        "recipient_name": clean(recipient_name),
        "dated": day_in_words(london_day(now)),
    }
    return Email(
        subject=_EMAILS.get_template(f"{found.folder}/subject.txt").render().strip(),
        text=_EMAILS.get_template(f"{found.folder}/email.txt").render(words).strip() + "\n",
        html=_EMAILS.get_template(f"{found.folder}/email.html").render(words).strip() + "\n",
    )


def office_words(office: Office) -> dict[str, Any]:
    words: dict[str, Any] = _in_every_text(asdict(office), clean)
    return words


def _in_every_text(value: Any, change: Callable[[str], str]) -> Any:
    """The same structure with each text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _in_every_text(one, change) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_in_every_text(one, change) for one in value]
    return value


def _texts(value: Any) -> Iterator[str]:
    """Every text in a structure."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)


def _blanked(unprintable: Callable[[str], bool], text: str) -> str:
    if text.isascii():
        return text
    return "".join(BLANK if not one.isascii() and unprintable(one) else one for one in text)


def _is_nothing(_: str) -> bool:
    return False


def _is_not_latin(character: str) -> bool:
    return ord(character) > 0x24F


@lru_cache(maxsize=4096)
def _has_no_glyph(character: str) -> bool:
    """Whether none of the built-in fonts can show this character. Asked of the typesetter itself."""
    on = "a" + character if unicodedata.category(character).startswith("M") else character
    source = b'#set document(title: "x")\n= x\n#sys.inputs.text'
    try:
        typst.compile(
            source,
            font_paths=_FONTS,
            ignore_system_fonts=True,
            sys_inputs={"text": on},
            format="pdf",
            pdf_standards=_STANDARDS,
        )
    except typst.TypstError:
        return True
    return False
