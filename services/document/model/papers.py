"""Paper files: where each is, who has it out, and how it went (P27, P29)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from shared.errors import Conflict, Forbidden, Invalid

HELD, OUT = "held", "out"
SHREDDED, RETURNED, NOT_FOUND = "shredded", "returned", "not_found"
STATES = (HELD, OUT, SHREDDED, RETURNED, NOT_FOUND)
METHODS = (SHREDDED, RETURNED, NOT_FOUND)
_MOST_DIGITS = 15
CERTIFIED_SENTENCE = "This paper file's disposal is certified already. Nothing was changed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One time it went out or came in: who took or brought it, and when."""

    direction: str
    who: str
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposed:
    """How it went: shredded, returned (`to` whom), or not found (`reason`); by whom, witnessed by another."""

    method: str
    by: str
    witnessed_by: str
    to: str | None
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperFile:
    """One folder of paper. at: when it was registered; None where only what a certificate needs is known.

    number: the one in its label, by which it is found; None where version 0.2 registered it.
    """

    id: str
    case_id: str
    version: int = 1
    state: str
    at: datetime | None = None
    label: str
    number: int | None = None
    location: str
    description: str | None = None
    pages: int | None = None
    out_with: str | None = None
    movements: tuple[Movement, ...] = ()
    disposal: Disposed | None = None

    @property
    def disposed_at(self) -> datetime | None:
        return None if self.disposal is None else self.disposal.at

    @property
    def is_disposed(self) -> bool:
        return self.state in METHODS

    def without_details(self) -> PaperFile:
        """What an erasure will leave of it, as it is shown."""
        return replace(self, at=None, description=None, pages=None, movements=())


@dataclass(frozen=True, slots=True, kw_only=True)
class CabinetMove:
    """That all paper of one place is in another now: how many paper files that were."""

    id: str
    moved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperToCertify:
    """What an erasure leaves of a paper file until its disposal is certified. at: when the rest was erased."""

    id: str
    case_id: str
    version: int = 1
    state: str
    at: datetime
    label: str
    number: int | None = None
    location: str
    out_with: str | None
    return_to: str | None = None

    def as_paper_file(self) -> PaperFile:
        return PaperFile(
            id=self.id,
            case_id=self.case_id,
            version=self.version,
            state=self.state,
            label=self.label,
            number=self.number,
            location=self.location,
            out_with=self.out_with,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperDisposal:
    """All that is kept of a paper file: an id, how it went (`state`), and when."""

    id: str
    case_id: str
    version: int = 0
    state: str
    disposed_at: datetime


def label_of(number: int) -> str:
    """What is written on the folder and said on the phone: P-0007."""
    return f"P-{number:04d}"


def number_in(label: str) -> int | None:
    """The number in a label as it was said or typed; None where it has none that could be one."""
    digits = "".join(character for character in label if character in "0123456789")
    return int(digits) if 0 < len(digits) <= _MOST_DIGITS else None


def to_certify(paper: PaperFile, now: datetime) -> PaperToCertify:
    """What its certification needs of it."""
    return PaperToCertify(
        id=paper.id,
        case_id=paper.case_id,
        state=paper.state,
        at=now,
        label=paper.label,
        number=paper.number,
        location=paper.location,
        out_with=paper.out_with,
    )


def moved(paper: PaperFile, movement: Movement) -> PaperFile:
    """The paper file after the movement. Raises Conflict when it is there already, or gone."""
    _require_present(paper)
    if movement.direction == OUT:
        if paper.state == OUT:
            raise Conflict("This paper file is out already. Bring it in first; nothing was changed.")
        return replace(paper, state=OUT, out_with=movement.who, movements=(*paper.movements, movement))
    if paper.state == HELD:
        raise Conflict("This paper file is in already. Nothing was changed.")
    return replace(paper, state=HELD, out_with=None, movements=(*paper.movements, movement))


def corrected(paper: PaperFile, given: Mapping[str, str]) -> PaperFile:
    """The paper file with another `location` or `description`. Raises Conflict when it is gone."""
    _require_present(paper)
    location, description = given.get("location", paper.location), given.get("description", paper.description)
    return replace(paper, location=location, description=description)


def is_at(paper: PaperFile, location: str) -> bool:
    """Whether it is held there: the same words, whatever their capitals and spaces."""
    return paper.state == HELD and folded_place(paper.location) == folded_place(location)


def folded_place(location: str) -> str:
    """A location to compare by. Punctuation stays: shelf 3-1 isn't shelf 31."""
    return " ".join(unicodedata.normalize("NFKC", location).casefold().split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Which paper files are asked for, by each of these that isn't None.

    location: part of it, whatever its capitals and spaces; label: the whole of it, whatever its punctuation.
    """

    location: str | None = None
    state: str | None = None
    label: str | None = None

    def fits(self, paper: PaperFile) -> bool:
        """Whether this is one of them."""
        if self.state is not None and paper.state != self.state:
            return False
        if self.label is not None and not same_words(paper.label, self.label):
            return False
        return self.location is None or folded_place(self.location) in folded_place(paper.location)


def require_valid(act: Disposed, *, by_manager: bool) -> None:
    """Check what is certified. Raises Forbidden for what only a manager may certify, Invalid for a wrong field."""
    if act.method == NOT_FOUND and not by_manager:
        raise Forbidden("Only a manager may certify that a paper file can't be found. Nothing was changed.")
    if same_words(act.by, act.witnessed_by):
        raise _invalid("witnessed_by", "The witness is another person than the one who does it.")
    if act.method == RETURNED and not act.to:
        raise _invalid("to", "Say to whom it was returned.")
    if act.method == NOT_FOUND and not act.reason:
        raise _invalid("reason", "Say where it was looked for, and why it can't be found.")


def disposed(paper: PaperFile, act: Disposed, *, by_manager: bool) -> PaperFile:
    """The paper file after its certified disposal; one that is out is brought in by it.

    Raises Conflict when it is gone already, and as `require_valid`.
    """
    require_valid(act, by_manager=by_manager)
    _require_present(paper)
    movements = paper.movements
    if paper.state == OUT:
        movements = (*movements, Movement(direction="in", who=act.by, reason=None, at=act.at))
    return replace(paper, state=act.method, out_with=None, movements=movements, disposal=act)


def same_words(one: str, other: str) -> bool:
    """Whether two names or labels are the same but for capitals, accents, spaces and punctuation."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    apart = unicodedata.normalize("NFKD", name).casefold()
    return "".join(character for character in apart if character.isalnum())


def _require_present(paper: PaperFile) -> None:
    if paper.is_disposed:
        raise Conflict(CERTIFIED_SENTENCE)


def _invalid(field: str, sentence: str) -> Invalid:
    return Invalid(f"{sentence} Nothing was changed.", errors={field: [sentence]})
