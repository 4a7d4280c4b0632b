"""A random family for one run of the demo. Its words are new, so a hit in a search can only come from this run."""

from __future__ import annotations

import itertools
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import date
from functools import cached_property

# Names with letters that software often gets wrong.
_GIVEN = ("Żaneta", "Þórdís", "Siobhán", "Çağla", "Bronisława", "Anaïsa", "Ngọcanh", "Václava", "Eðvarda", "Øyvind")
_SYLLABLES = ("bra", "dě", "fjo", "gwy", "hül", "kve", "lø", "mró", "ndę", "pša", "qui", "rzo", "ské", "tłu", "vyš")
_ENDINGS = ("łowicz", "jørnsen", "ççelik", "ářová", "úlfsson", "ñuelos", "õigaste", "żewska")
_STREETS = ("Wren", "Tansy", "Harrier", "Bramble", "Otter", "Linnet", "Sorrel", "Curlew")
_TOWNS = ("Nether Quillby", "Upper Thrushcombe", "Great Marlowdene", "Little Oxenhythe")
_INWARD = "ABDEFGHJLNPQRSTUWXYZ"
# The last three digits of Ofcom's numbers for drama: two people of one run don't share a number.
_NUMBERS = itertools.cycle(secrets.SystemRandom().sample(range(1_000), 1_000))


def without_accents(text: str) -> str:
    """Return the text as typed on a British keyboard."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return plain.replace("ł", "l").replace("Ł", "L").replace("ø", "o").replace("Ø", "O")


def _name(syllables: int) -> str:
    return "".join(secrets.choice(_SYLLABLES) for _ in range(syllables))


@dataclass(frozen=True, slots=True, kw_only=True)
class Adult:
    given_name: str
    family_name: str
    email: str
    phone: str

    @property
    def name(self) -> str:
        return f"{self.given_name} {self.family_name}"


@dataclass(frozen=True, kw_only=True)
class Family:
    """Two adults, one written to by post and one by email, and a child."""

    surname: str
    by_post: Adult
    by_email: Adult
    child_given_name: str
    child_born: date
    address: list[str]
    wish: str
    action: str
    outcome: str
    paper_location: str
    paper_description: str
    scan_title: str

    @property
    def postcode(self) -> str:
        return self.address[-1]

    @cached_property
    def words(self) -> dict[str, str]:
        """The texts that no search may find, by what they are."""
        return {
            "the family's name": self.surname,
            "the first parent's name": self.by_post.name,
            "the second parent's name": self.by_email.given_name,
            "the child's name": self.child_given_name,
            "the child's date of birth and name": f"{self.child_given_name} {self.surname}",
            "the street": self.address[0],
            "the postcode": self.postcode,
            "an email address": self.by_email.email,
            "a phone number": self.by_post.phone,
            "a phone number, written together": self.by_post.phone.replace(" ", ""),
            "a phone number, as dialled from abroad": "+44" + self.by_post.phone.replace(" ", "")[1:],
            "the family's name in small letters": self.surname.casefold(),
            "the family's name without accents": without_accents(self.surname),
            "a wish": self.wish,
            "an action": self.action,
            "an outcome": self.outcome,
            "where the paper is": self.paper_location,
            "what the paper is": self.paper_description,
            "the scan's title": self.scan_title,
        }


def random_family() -> Family:
    """Return an invented family; no real person has its numbers (Ofcom's for drama) and domains (RFC 2606)."""
    surname = (_name(2) + secrets.choice(_ENDINGS)).capitalize()
    first, second = secrets.SystemRandom().sample(_GIVEN, 2)
    child = (_name(3) + "ëk").capitalize()
    ascii_tag = secrets.token_hex(4)
    inward = secrets.choice(_INWARD) + secrets.choice(_INWARD)
    return Family(
        surname=surname,
        by_post=_adult(first, surname, ascii_tag),
        by_email=_adult(second + _name(1), surname, ascii_tag),
        child_given_name=child,
        child_born=date(2014 + secrets.randbelow(5), 1 + secrets.randbelow(12), 1 + secrets.randbelow(28)),
        address=[
            f"{1 + secrets.randbelow(98)} {secrets.choice(_STREETS)}{secrets.token_hex(2)} Rise",
            secrets.choice(_TOWNS),
            f"ZE{1 + secrets.randbelow(3)} {secrets.randbelow(10)}{inward}",
        ],
        wish=f"{child} wishes for a quiet room, and for {_name(3)} the therapy dog",
        action=f"We rang the school about {child}'s speech therapy ({_name(4)})",
        outcome=f"The plan now names {_name(3)} House, as {first} had asked",
        paper_location=f"Cabinet {_name(2)}, drawer {1 + secrets.randbelow(8)}",
        paper_description=f"Green folder marked {surname}: letters and {child}'s drawings",
        scan_title=f"EHC plan of {child} {surname}",
    )


def _adult(given: str, surname: str, tag: str) -> Adult:
    return Adult(
        given_name=given,
        family_name=surname,
        email=f"{secrets.token_hex(3)}.{tag}@family.example",
        phone=f"07700 900{next(_NUMBERS):03d}",
    )
