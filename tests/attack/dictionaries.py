"""Digests in clear fields, and dictionaries that contain the right answer."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from services.case.model.search import Criterion, hash_of, name_key, phone_key, text_key
from tests.attack.disks import Loot
from tests.attack.parts import Guess, texts

# Labels that keys are derived with.
_LABELS = (b"forgetmenot search", b"forgetmenot idempotency")
_DIGEST = re.compile(r"[0-9a-f]{64}")

# A digest -> what kind it is, what it hides, and the secret it was made with.
_Table = dict[str, tuple[str, str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dictionary:
    """What the thief guesses with.

    forms: normal forms by criterion. bodies: requests' bodies, as JSON values, or as the bytes that identify an upload.
    words: texts that may have been hashed as they are.
    """

    forms: Mapping[Criterion, Sequence[str]]
    bodies: Sequence[Any] = ()
    words: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Guesses:
    """The digests that fell, and how many there were: in fields of search hashes, and elsewhere."""

    fallen: Sequence[Guess]
    tried: Mapping[str, int] = field(default_factory=dict)


def dictionary(
    people: Iterable[Mapping[str, Any]],
    bodies: Sequence[Any] = (),
    words: Sequence[str] = (),
    *,
    more: Iterable[str] = (),
) -> Dictionary:
    """Of people (family_name, date_of_birth, postcode, email, phone). more: postcodes that nobody has."""
    forms: dict[Criterion, list[str]] = {criterion: [] for criterion in Criterion}
    forms[Criterion.POSTCODE] += [key for text in more if (key := text_key(text))]
    for person in people:
        if (born := person.get("date_of_birth")) and (family := person.get("family_name")):
            forms[Criterion.FAMILY_NAME].append(name_key(family, date.fromisoformat(born)) or "")
        if postcode := person.get("postcode"):
            forms[Criterion.POSTCODE].append(text_key(postcode) or "")
        if email := person.get("email"):
            forms[Criterion.EMAIL].append(text_key(email) or "")
        if phone := person.get("phone"):
            forms[Criterion.PHONE].append(phone_key(phone) or "")
    return Dictionary(forms=forms, bodies=bodies, words=words)


def as_sent(body: Any) -> bytes:
    """A body as the services digest it."""
    return body if isinstance(body, bytes) else json.dumps(body, sort_keys=True, ensure_ascii=False).encode()


def guess(loot: Loot, words: Dictionary, secrets: Mapping[bytes, str]) -> Guesses:
    """Try every digest of every version of every document. secrets: every key there is, by where it is from."""
    table = _table(words, secrets)
    tried = {"search": 0, "other": 0}
    fallen: list[Guess] = []
    for found in loot.found:
        for name, value in found.row.items():
            digests = [text for text in texts(value) if _DIGEST.fullmatch(text)] if not isinstance(value, bytes) else ()
            for digest in digests:
                tried["search" if name in tuple(Criterion) else "other"] += 1
                if digest in table:
                    kind, answer, secret = table[digest]
                    row = {"id": str(found.row.get("_id")), "case_id": found.row.get("case_id")}
                    fallen.append(Guess(kind=kind, answer=answer, secret=secret, where=found.space or "?", **row))
    return Guesses(fallen=fallen, tried=tried)


def _table(words: Dictionary, secrets: Mapping[bytes, str]) -> _Table:
    table: _Table = {}
    for word in words.words:
        for form in (word, word.casefold(), word.replace(" ", "")):
            table[hashlib.sha256(form.encode()).hexdigest()] = ("plain", form, "none")
    for body in words.bodies:
        table[hashlib.sha256(as_sent(body)).hexdigest()] = ("plain", as_sent(body).decode(), "none")
    for secret, source in secrets.items():
        for key in _keys_from(secret):
            for criterion, forms in words.forms.items():
                for form in forms:
                    table[hash_of(criterion, form, search_key=key)] = ("search", f"{criterion.value}: {form}", source)
            for body in words.bodies:
                raw = as_sent(body)
                for data in (raw, len(raw).to_bytes(8, "big") + raw):
                    table[hmac.digest(key, data, "sha256").hex()] = ("body", raw.decode(), source)
    return table


def _keys_from(secret: bytes) -> Iterator[bytes]:
    """The secret, and all that the services derive from one."""
    yield secret
    for label in _LABELS:
        yield HKDF(SHA256(), 32, salt=None, info=label).derive(secret)
        yield HKDFExpand(SHA256(), 32, label).derive(secret)
