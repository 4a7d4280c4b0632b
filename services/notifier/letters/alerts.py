"""The one email that goes to the office itself: there is a record for the safeguarding lead to review (P15)."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Final

from services.notifier.letters.rendering import Email
from services.notifier.letters.words import day_in_words, london_day
from shared.office import Office

# Neither subject nor text says what the record is about, or names a person or a case: several people may see a mailbox.
_SUBJECT: Final = "A record waits for your review"
_SENTENCES: Final = (
    "A record that the safeguarding lead must review was made on {day}.",
    "Its number is {id}.",
    "Sign in and open the list of what waits for a review; nothing more is said here on purpose.",
    "You may get this message twice: it is sent again rather than not at all.",
)


def alert_email(id: str, *, recorded_at: datetime, office: Office) -> Email:
    """The email's words: a number of ours and a day."""
    said = [sentence.format(day=day_in_words(london_day(recorded_at)), id=id) for sentence in _SENTENCES]
    text = "\n\n".join([*said, office.name]) + "\n"
    paragraphs = "".join(f"<p>{escape(sentence)}</p>\n" for sentence in [*said, office.name])
    head = f'<!DOCTYPE html>\n<html lang="en-GB">\n<head><title>{_SUBJECT}</title></head>\n'
    html = f"{head}<body>\n{paragraphs}</body>\n</html>\n"
    return Email(subject=_SUBJECT, text=text, html=html)
