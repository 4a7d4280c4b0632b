"""Paper files: where each is, who has it out, and how it went (P27, P29)."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, replace
from datetime import datetime

HELD, OUT = "held", "out"
SHREDDED, RETURNED, NOT_FOUND = "shredded", "returned", "not_found"
STATES = (HELD, OUT, SHREDDED, RETURNED, NOT_FOUND)
METHODS = (SHREDDED, RETURNED, NOT_FOUND)


class PaperRule(Exception):
    """A rule of paper files that would be broken. `sentence` is for people."""

    def __init__(self, sentence: str) -> None:
        super().__init__("a rule of paper files")
        self.sentence = sentence


class Unfit(PaperRule):
    """What was said about the act can't be right; `field` names the part."""

    def __init__(self, field_name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field_name


class AsThingsStand(PaperRule):
    """The paper file is in a state in which this can't be done."""


class ManagersOnly(PaperRule):
    """Only a manager may say this."""


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
    """One folder of paper. `location` is None once only what a certificate needs is known of it.

    scans: the documents that were scanned from it.
    """

    id: str
    case_id: str
    etag: int
    state: str
    label: str | None
    location: str | None
    description: str | None
    pages: int | None
    out_with: str | None
    registered_at: datetime | None
    movements: tuple[Movement, ...] = ()
    disposal: Disposed | None = None
    disposed_at: datetime | None = None
    scans: tuple[str, ...] = field(default=())

    @property
    def is_disposed(self) -> bool:
        return self.state in METHODS


def label_of(number: int) -> str:
    """What is written on the folder and said on the phone: P-0007."""
    return f"P-{number:04d}"


def moved(paper: PaperFile, movement: Movement) -> PaperFile:
    """The paper file after the movement. Raises AsThingsStand when it is there already, or gone."""
    _check_there(paper)
    if movement.direction == OUT:
        if paper.state == OUT:
            raise AsThingsStand("This paper file is out already. Bring it in first; nothing was changed.")
        return replace(paper, state=OUT, out_with=movement.who, movements=(*paper.movements, movement))
    if paper.state == HELD:
        raise AsThingsStand("This paper file is in already. Nothing was changed.")
    return replace(paper, state=HELD, out_with=None, movements=(*paper.movements, movement))


def disposed(paper: PaperFile, act: Disposed, *, by_manager: bool) -> PaperFile:
    """The paper file after its certified disposal; one that is out is brought in by it.

    Raises Unfit, ManagersOnly or AsThingsStand.
    """
    if act.method == NOT_FOUND and not by_manager:
        raise ManagersOnly("Only a manager may certify that a paper file can't be found. Nothing was changed.")
    if same_person(act.by, act.witnessed_by):
        raise Unfit("witnessed_by", "Whoever witnesses it is another person than whoever does it.")
    if act.method == RETURNED and not act.to:
        raise Unfit("to", "Say to whom it was returned.")
    if act.method == NOT_FOUND and not act.reason:
        raise Unfit("reason", "Say where it was looked for, and why it can't be found.")
    _check_there(paper)
    movements = paper.movements
    if paper.state == OUT:
        brought_in = Movement(direction="in", who=act.by, reason=None, at=act.at)
        movements = (*movements, brought_in)
    return replace(paper, state=act.method, out_with=None, movements=movements, disposal=act, disposed_at=act.at)


def same_person(one: str, other: str) -> bool:
    """Whether two names are the same but for capitals, accents, spaces and punctuation."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    apart = unicodedata.normalize("NFKD", name).casefold()
    return "".join(character for character in apart if character.isalnum())


def _check_there(paper: PaperFile) -> None:
    if paper.is_disposed:
        raise AsThingsStand("This paper file's disposal is certified already. Nothing was changed.")
