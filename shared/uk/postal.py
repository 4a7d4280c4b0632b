"""UK postal addresses: one value object that owns every rule and says which one was broken.

The rules are those a UK mail provider holds a letter to (GOV.UK Notify's are the model): three to seven
lines, the last a postcode or a BFPO number, none abroad, none of no fixed abode.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.text import JOINERS, trimmed

MIN_LINES: Final = 3
MAX_LINES: Final = 7
#: Characters in one line. Llanfair PG in full is 58; a longer line does not fit an envelope's window.
MAX_LINE_CHARACTERS: Final = 60

#: A line that starts with one of these confuses Royal Mail's sorting machines.
_FORBIDDEN_STARTS: Final = tuple('@()=[]"\\/,<>~')

#: Areas in use, with the islands' (GY, IM, JE) and the non-geographic ones that take letters.
_AREAS: Final = (
    "AB|AL|B|BA|BB|BD|BF|BH|BL|BN|BR|BS|BT|BX|CA|CB|CF|CH|CM|CO|CR|CT|CV|CW|DA|DD|DE|DG|DH|DL|DN|DT|DY|"
    "E|EC|EH|EN|EX|FK|FY|G|GL|GU|GY|HA|HD|HG|HP|HR|HS|HU|HX|IG|IM|IP|IV|JE|KA|KT|KW|KY|L|LA|LD|LE|LL|LN|"
    "LS|LU|M|ME|MK|ML|N|NE|NG|NN|NP|NR|NW|OL|OX|PA|PE|PH|PL|PO|PR|RG|RH|RM|S|SA|SE|SG|SK|SL|SM|SN|SO|SP|"
    "SR|SS|ST|SW|SY|TA|TD|TF|TN|TQ|TR|TS|TW|UB|W|WA|WC|WD|WF|WN|WR|WS|WV|YO|ZE"
)
# The letters C I K M O V never stand in the second half of a postcode.
_POSTCODE: Final = re.compile(rf"(?:(?:{_AREAS})[0-9][0-9A-Z]?|GIR)[0-9][ABD-HJLNP-UW-Z]{{2}}")
_BFPO: Final = re.compile(r"bfpo\s*(?:c/o\s*)?([0-9]{1,4})", re.IGNORECASE)
# Countries and islands are compared without spaces, punctuation and capitals; some in Welsh and Manx, too.
_HOME_COUNTRIES: Final = frozenset(
    {"england", "lloegr", "scotland", "yralban", "wales", "cymru", "northernireland", "nireland", "gogleddiwerddon"}
    | {"unitedkingdom", "theunitedkingdom", "uk", "ydeyrnasunedig", "greatbritain", "gb", "prydainfawr", "britain"}
    | {"unitedkingdomofgreatbritainandnorthernireland"}
)
# Their post is UK post. An island's postcodes are of the areas that it has here.
_ISLANDS: Final = {
    **dict.fromkeys(("jersey", "bailiwickofjersey"), ("JE",)),
    **dict.fromkeys(("guernsey", "bailiwickofguernsey", "alderney", "sark", "herm"), ("GY",)),
    **dict.fromkeys(("channelislands", "thechannelislands", "ci"), ("GY", "JE")),
    **dict.fromkeys(("isleofman", "theisleofman", "iom", "ellanvannin"), ("IM",)),
}
_NO_FIXED_ABODE: Final = re.compile(r"\bno fixed (?:abode|address)\b", re.IGNORECASE)
_SEPARATORS: Final = re.compile("[\u2028\u2029]")  # of a vertical tab, the first
#: Control, invisible, surrogate, private and unassigned characters, and line and paragraph separators.
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class BadAddress(ValueError):
    """An address that a letter can't be sent to; `reason` is a sentence that never repeats the address."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def normalise_postcode(text: str) -> str | None:
    """`sw1a1aa` as `SW1A 1AA`, or None when it isn't a UK postcode."""
    if not text.isascii():  # or a letter such as the long s would be folded into a real postcode
        text = text.replace("\u00a0", " ")
    compact = re.sub(r"[ \t.\-]", "", text)
    if not compact.isascii() or not _POSTCODE.fullmatch(compact := compact.upper()):
        return None
    return f"{compact[:-3]} {compact[-3:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostalAddress:
    """Three to seven lines in the order they are printed; the last is a postcode or `BFPO n`.

    Its `repr` shows no line, so that it can't end up in a log. Made by `parse`; made directly it holds
    the same rules, and refuses lines that aren't normalised.
    """

    lines: tuple[str, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if self.lines != _normalised(self.lines):
            raise BadAddress("The address's lines aren't in their normal form.")
        _check(self.lines)

    @classmethod
    def parse(cls, lines: Sequence[str]) -> "PostalAddress":
        """The address in these lines, tidied: spacing, trailing commas, empty lines, the postcode's form.

        A closing `England` or `U.K.` is dropped; a closing `Jersey` goes before the postcode, for its post is UK post.
        Raises BadAddress with the rule it breaks.
        """
        return cls(lines=_normalised(lines))

    @property
    def postcode(self) -> str | None:
        """The postcode, or None for a BFPO address that goes by its number alone."""
        return normalise_postcode(self.lines[-1])

    @property
    def bfpo_number(self) -> int | None:
        """The British Forces Post Office number, if the address has one."""
        return next((int(match[1]) for line in self.lines if (match := _BFPO.fullmatch(line))), None)


def _normalised(lines: Sequence[str]) -> tuple[str, ...]:
    if isinstance(lines, str):
        raise BadAddress("An address is a list of lines.")
    tidy = [line for raw in lines if (line := _tidy_line(raw))]
    tidy = _without_country(tidy) if tidy else tidy
    if not tidy:
        raise BadAddress("The address is empty.")
    tidy = [f"BFPO {int(match[1])}" if (match := _BFPO.fullmatch(line)) else line for line in tidy]
    if len(tidy) > 1 and _BFPO.fullmatch(tidy[-1]) and normalise_postcode(tidy[-2]):
        tidy[-2:] = [tidy[-1], tidy[-2]]  # the British Forces want the number, then the postcode
    tidy[-1] = normalise_postcode(tidy[-1]) or tidy[-1]
    return tuple(tidy)


def _without_country(lines: list[str]) -> list[str]:
    """The lines up to the postcode: without the UK's countries after it, and with an island's name before it.

    Royal Mail prints an island before the postcode. A name that the postcode contradicts stays, and is refused.
    """
    *before, last = lines
    left, closing = [*before, *_split_after_postcode(last)], list[str]()
    while left and _is_country(left[-1]):
        closing = [*(name.strip() for name in left.pop().split(",")), *closing]
    islands = [name for name in closing if _country_name(name) not in _HOME_COUNTRIES]
    if not left or not islands:
        return left
    *street, postcode = left
    area = (normalise_postcode(postcode) or "")[:2]
    if any(area not in _ISLANDS[_country_name(name)] for name in islands):
        return [*left, *closing]
    there = {_country_name(line) for line in street}
    new = [name for name in islands if _country_name(name) not in there]
    return [*street, *new[: max(0, MAX_LINES - len(left))], postcode]


def _split_after_postcode(line: str) -> list[str]:
    """`NN1 1AA, U.K.` as two lines; any other line as it is."""
    for gap in re.finditer("[ ,]+", line):
        code, country = line[: gap.start()], line[gap.end() :]
        if (normalise_postcode(code) or _BFPO.fullmatch(code)) and _is_country(country):
            return [code, country]
    return [line]


def _is_country(line: str) -> bool:
    """Whether it is `England`, `U.K.`, `Jersey`, or several of them with commas between."""
    return all(name in _HOME_COUNTRIES or name in _ISLANDS for name in map(_country_name, line.split(",")))


def _country_name(text: str) -> str:
    return re.sub(r"[\W_]", "", text).casefold()


def _tidy_line(raw: str) -> str:
    """One line in NFC with single spaces and no trailing comma. Raises BadAddress for unprintable text."""
    line = trimmed(_SEPARATORS.sub(" ", raw))
    if any(unicodedata.category(one) in _UNPRINTABLE and one not in JOINERS for one in line):
        raise BadAddress("The address has a character in it that can't be printed.")
    line = re.sub(r"\s+", " ", unicodedata.normalize("NFC", line))
    return trimmed(re.sub(r" +([,.])", r"\1", line).rstrip(" ,"))


def _check(lines: tuple[str, ...]) -> None:
    if any(len(line) > MAX_LINE_CHARACTERS for line in lines):
        raise BadAddress(f"A line of the address is longer than {MAX_LINE_CHARACTERS} characters.")
    if any(line.startswith(_FORBIDDEN_STARTS) for line in lines):
        raise BadAddress('A line of the address starts with one of @ ( ) = [ ] " \\ / , < > ~.')
    if not all(any(character.isalnum() for character in line) for line in lines):
        raise BadAddress("A line of the address has neither a letter nor a digit.")
    if any(re.sub(r"[\W_]", "", line).casefold() == "nfa" for line in lines) or _NO_FIXED_ABODE.search(" ".join(lines)):
        raise BadAddress("A letter can't be sent to a person of no fixed abode: agree another way.")
    postcode = normalise_postcode(lines[-1])
    bfpo = [line for line in lines if _BFPO.fullmatch(line)]
    if postcode is None and not _BFPO.fullmatch(lines[-1]):
        raise BadAddress("The last line must be a UK postcode, or a BFPO number.")
    if len(bfpo) > 1:
        raise BadAddress("The address has more than one BFPO number.")
    if bfpo and postcode is not None and not postcode.startswith("BF1 "):
        raise BadAddress("The postcode of a BFPO address starts with BF1.")
    if any(normalise_postcode(line) for line in lines[:-1]):
        raise BadAddress("The address has more than one postcode.")
    if not MIN_LINES <= len(lines) <= MAX_LINES:
        raise BadAddress(f"An address has {MIN_LINES} to {MAX_LINES} lines; this one has {len(lines)}.")
