"""The daily email to whoever keeps the ledger's signed head for the office (decision 35)."""

from __future__ import annotations

from datetime import date
from html import escape
from typing import Final

from services.notifier.letters.rendering import Email
from services.notifier.letters.words import day_in_words
from shared.office import Office

_SUBJECT: Final = "Signed head of the ledger, {day}: please keep"
_BEFORE: Final = (
    "Please keep this message where no one who runs the casework system of {office} can change or delete it. There is "
    "nothing else to do. It holds nothing about any person.",
    "The ledger is the list of what that system has ended and must never bring back: erasures, withdrawn consents, and "
    "the like. It had {entries} when this message was written. The head below is a signature over all of them. If "
    "entries are changed or removed later, even in every copy at once, this message shows it.",
    "To check a copy of the ledger, save the attached file {name}, and ask the office for a folder with the copy and "
    "for the public keys. On any machine with the software, and without a network, run:",
)
_COMMAND: Final = "forgetmenot ledger verify FOLDER --jwks public-keys.json --head {name}"
_AFTER: Final = (
    "It says whether the copy is whole, and whether it has everything that this head was signed for.",
    "This is the head, as in the attached file:",
)
_LAST: Final = (
    "One such message is sent each day. You may get one twice. If none has come for three days, please tell the office "
    "by telephone: {phone}.",
)


def head_file(day: date) -> str:
    """The name of the attached file."""
    return f"head-{day.isoformat()}.jws"


def head_email(head: str, *, day: date, number: int, office: Office) -> Email:
    """The email's words. head: a compact JWS. number: how many entries it was signed over."""
    entries = "one entry" if number == 1 else f"{number:,} entries" if number else "no entry yet"
    values = {"office": office.name, "entries": entries, "name": head_file(day), "phone": office.phone}
    before, after, last = ([one.format(**values) for one in part] for part in (_BEFORE, _AFTER, _LAST))
    command = _COMMAND.format(**values)
    text = "\n\n".join([*before, f"    {command}", *after, head, *last, office.name]) + "\n"
    code = '<pre style="white-space: pre-wrap; overflow-wrap: anywhere">{}</pre>\n'
    parts = [*map(_paragraph, before), code.format(escape(command)), *map(_paragraph, after), code.format(escape(head))]
    parts += map(_paragraph, [*last, office.name])
    subject = _SUBJECT.format(day=day_in_words(day))
    opening = f'<!DOCTYPE html>\n<html lang="en-GB">\n<head><title>{escape(subject)}</title></head>\n<body>\n'
    return Email(subject=subject, text=text, html=f"{opening}{''.join(parts)}</body>\n</html>\n")


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>\n"
