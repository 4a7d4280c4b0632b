"""Email addresses: one check for all that is typed, and the one form in which mail is addressed (IDNA 2008).

Python's own `idna` codec is IDNA 2003, in which `faß.example` becomes `fass.example`: another person's domain.
Nothing here asks the DNS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from shared.text import trimmed

#: RFC 5321: a path of 256 with its brackets.
MAX_CHARACTERS: Final = 254
#: RFC 5321, in bytes: 64 before the @.
_MAX_LOCAL_BYTES: Final = 64
# Names on which no mail can be delivered (RFC 6761), but for those that tests and examples are written with.
_NO_MAIL: Final = tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES if name not in ("test", "invalid"))
# The library would refuse them everywhere. An office's own mailboxes may be on such a name, and only `check_email`
# judges what families have.
SPECIAL_USE_DOMAIN_NAMES.clear()

_NOT_ONE: Final = "This isn't an email address: it needs a name, an @ and a domain such as example.org."
_NO_MAIL_THERE: Final = "No mail can be delivered to an email address on such a domain."
_NOT_PLAIN: Final = (
    "The office's mail relay can't write to an email address with such letters before the @. "
    "Ask for another one, or for another way to be reached."
)


class BadEmail(ValueError):
    """Mail can't be sent to it; `reason` is a sentence that never repeats it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """An address as mail is sent to it. Its `repr` shows none of it.

    local: before the @, in NFC. domain: in ASCII, each label in other letters as its A-label. unicode_domain: the same
    in its own letters, in small ones.
    """

    local: str = field(repr=False)
    domain: str = field(repr=False)
    unicode_domain: str = field(repr=False)

    @property
    def needs_utf8(self) -> bool:
        """Whether only a relay that offers SMTPUTF8 (RFC 6531) can write to it."""
        return not self.local.isascii()


def check_email(text: str, *, takes_utf8: bool) -> str:
    """The address that a family has, as it was typed, without what is invisible around it. Raises BadEmail.

    takes_utf8: whether the office's relay writes to addresses with other letters than ASCII's before the @.
    """
    email = bare_address(text, takes_utf8=takes_utf8)
    domain = mailbox_of(email).domain
    labels = domain.split(".")
    if len(labels) < 2 or not labels[-1][-1].isalpha():
        raise BadEmail(_NOT_ONE)
    if f".{domain}".endswith(_NO_MAIL):
        raise BadEmail(_NO_MAIL_THERE)
    return email


def bare_address(text: str, *, takes_utf8: bool) -> str:
    """An address on any domain, an office's own too, without what is invisible around it. Raises BadEmail."""
    email = trimmed(text)
    if len(email) > MAX_CHARACTERS:
        raise BadEmail(f"An email address has at most {MAX_CHARACTERS} characters.")
    if mailbox_of(email).needs_utf8 and not takes_utf8:
        raise BadEmail(_NOT_PLAIN)
    return email


def mailbox_of(text: str) -> Mailbox:
    """One bare address in the form in which mail is sent to it. Raises BadEmail.

    Quoted local parts and address literals are refused: no real mailbox needs them, and they can carry an injection.
    """
    try:
        found = validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise BadEmail(_NOT_ONE) from None
    if len(found.local_part.encode()) > _MAX_LOCAL_BYTES:
        raise BadEmail(f"Before the @ an email address has at most {_MAX_LOCAL_BYTES} bytes.")
    return Mailbox(local=found.local_part, domain=found.ascii_domain.lower(), unicode_domain=found.domain)
