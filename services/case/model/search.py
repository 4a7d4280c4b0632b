"""What a person is found by: the normal form of each criterion, and its hash."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Final

from services.case.model.folding import fold, fold_domain
from services.case.model.people import Person
from shared.emails import BadEmail, mailbox_of
from shared.errors import Invalid
from shared.text import trimmed
from shared.uk.phones import BadPhone, to_e164

#: Cases in one answer; a caller who finds more searches by something more exact.
MAX_FOUND: Final = 50
# A domain is judged by itself: before the @ a caller may have typed spaces, or forgotten a dot.
_ANY_LOCAL: Final = "x"


class Criterion(StrEnum):
    """Named after what a caller gives; a family name comes with a date of birth."""

    FAMILY_NAME = "family_name"
    POSTCODE = "postcode"
    EMAIL = "email"
    PHONE = "phone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A case that was found, and by what. kept_apart: a person in it is, so that others may not be told of the file."""

    case_id: str
    reference: str
    state: str
    matched: str
    kept_apart: bool = False


def name_key(family_name: str, born: date) -> str | None:
    """The family name folded, and the date of birth; None where nothing of the name is left to compare."""
    folded = fold(family_name)
    return f"{folded} {born.isoformat()}" if folded else None


def text_key(text: str) -> str | None:
    """A postcode folded; None where nothing is left to compare."""
    return fold(text) or None


def email_key(text: str) -> str | None:
    """An email address folded, its domain by IDNA 2008; None where nothing is left to compare."""
    local, at, domain = text.rpartition("@")
    try:
        domain = mailbox_of(f"{_ANY_LOCAL}@{trimmed(domain)}").unicode_domain
    except BadEmail:
        domain = domain.lower()
    return (fold(local) + fold_domain(domain) if at else fold(text)) or None


def older_email_keys(text: str) -> tuple[str, ...]:
    """What version 0.2 and earlier may have hashed this address by; nothing where that was `email_key`, too."""
    local, _, domain = text.rpartition("@")
    try:
        mailbox = mailbox_of(f"{_ANY_LOCAL}@{trimmed(domain)}")
    except BadEmail:
        return ()
    spelled = (fold(f"{local}@{one}") for one in (mailbox.domain, mailbox.unicode_domain))
    return tuple(key for key in dict.fromkeys(spelled) if key and key != email_key(text))


def has_email(people: Iterable[Person], key: str) -> bool:
    """Whether one of these people has the email address of that key: an older hash says it of another domain, too."""
    return any(person.email is not None and email_key(person.email) == key for person in people)


def phone_key(text: str) -> str | None:
    """A phone number as E.164, so that +44 equals 0; None for what can't be one."""
    try:
        return to_e164(text)
    except BadPhone:
        return None


def keys_of(person: Person) -> dict[Criterion, str]:
    """All that the person is found by."""
    keys = {
        Criterion.FAMILY_NAME: name_key(person.family_name, person.date_of_birth) if person.date_of_birth else None,
        # The last line of an address is its postcode, or a BFPO number.
        Criterion.POSTCODE: text_key(person.address[-1]) if person.address else None,
        Criterion.EMAIL: email_key(person.email) if person.email else None,
        Criterion.PHONE: phone_key(person.phone) if person.phone else None,
    }
    return {criterion: key for criterion, key in keys.items() if key is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHashes:
    """What one person is found by, hashed; None where there is nothing. Its id is the person's.

    forms: the normal forms that were hashed, by criterion; they are hashed anew when the search key changes.
    """

    id: str
    case_id: str
    version: int = 1
    family_name: str | None
    postcode: str | None
    email: str | None
    phone: str | None
    forms: Mapping[str, str]


def hashes_of(person: Person, *, search_key: bytes) -> SearchHashes:
    """All that the person is found by, hashed under the search key of their case."""
    forms = {criterion.value: key for criterion, key in keys_of(person).items()}
    empty = SearchHashes(
        id=person.id,
        case_id=person.case_id,
        version=person.version,
        family_name=None,
        postcode=None,
        email=None,
        phone=None,
        forms=forms,
    )
    return hashed_anew(empty, search_key=search_key)


def hashed_anew(hashes: SearchHashes, *, search_key: bytes) -> SearchHashes:
    """The same under another search key."""

    def hashed(criterion: Criterion) -> str | None:
        form = hashes.forms.get(criterion.value)
        return None if form is None else hash_of(criterion, form, search_key=search_key)

    return replace(
        hashes,
        family_name=hashed(Criterion.FAMILY_NAME),
        postcode=hashed(Criterion.POSTCODE),
        email=hashed(Criterion.EMAIL),
        phone=hashed(Criterion.PHONE),
    )


def hash_of(criterion: Criterion, key: str, *, search_key: bytes) -> str:
    """The HMAC-SHA-256 of one criterion's normal form, in hex."""
    # The criterion is hashed too, so that a postcode's hash says nothing about a phone's.
    return hmac.new(search_key, f"search {criterion.value}\0{key}".encode(), "sha256").hexdigest()


def nothing_to_compare(field: str) -> Invalid:
    return Invalid("There is nothing in this to search by.", errors={field: ["It needs a letter or a digit."]})
