"""Paper files: registering, moving, certifying how they went (P27, P29), also while an erasure waits for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.document.actions.uploads import check_casework
from services.document.model import papers as rules
from services.document.model.papers import HELD, OUT, Disposed, Movement, PaperFile
from services.document.store.stores import Stores
from shared.db.gates import CLOSED, OPEN
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, Erased, Forbidden, Invalid, NotFound, Unavailable
from shared.ids import new_id

SETTLE_STEP = "settle_papers"
_NO_PAPER = "There is no such paper file, or no longer."
_MOVING = "This case's erasure is beginning. Try again in a moment; nothing was changed."


@dataclass(frozen=True, slots=True, kw_only=True)
class MovementSaid:
    direction: str
    who: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DisposalSaid:
    method: str
    by: str
    witnessed_by: str
    to: str | None
    reason: str | None


def register_paper_file(
    stores: Stores, *, case_id: str, location: str, description: str, pages: int | None
) -> PaperFile:
    """Enter a paper file that is in the office; also of a frozen case, since paper that is found must be forgotten too.

    Raises Erased, NotFound, ConsentRequired.
    """
    paper_id, label = new_id(), rules.label_of(stores.papers.next_number())

    def act(tx: Tx) -> PaperFile:
        tx.enter(case_id, frozen_too=True)
        if tx.gates.state(case_id, tx.session) == OPEN:
            check_casework(stores, tx, case_id)
        paper = PaperFile(
            id=paper_id,
            case_id=case_id,
            etag=1,
            state=HELD,
            label=label,
            location=location,
            description=description,
            pages=pages,
            out_with=None,
            registered_at=tx.now,
        )
        stores.papers.add(tx, paper)
        return paper

    return stores.unit_of_work.run(act)


def list_paper_files(stores: Stores, *, case_id: str, after: str | None, limit: int) -> list[PaperFile]:
    """The case's paper files; of an erased case those it had: still to be certified, and certified."""
    if stores.unit_of_work.gates.state(case_id) != CLOSED:
        return _with_scans(stores, stores.papers.of_case(case_id, after=after, limit=limit))
    # What hasn't been moved to the late store yet is shown as it will be.
    waiting = [
        replace(paper, description=None, pages=None, movements=())
        for paper in stores.papers.of_case(case_id, after=None, limit=0)
    ]
    found = {paper.id: paper for paper in waiting}
    found |= {paper.id: paper for paper in stores.papers.late_of_case(case_id)}
    found |= {paper.id: paper for paper in stores.papers.disposals_of(case_id)}
    ordered = [found[id] for id in sorted(found) if after is None or id > after]
    return ordered[:limit]


def paper_file(stores: Stores, paper_id: str) -> PaperFile:
    """The paper file, or what is left of it. Raises NotFound; Unavailable in the moment an erasure begins."""
    paper = stores.papers.get(paper_id)
    if paper is not None and not is_closed(stores, paper):
        return _with_scans(stores, [paper])[0]
    late = stores.papers.late_get(paper_id)
    if late is not None:
        return late
    certified = stores.papers.disposal(paper_id)
    if certified is not None:
        return certified
    if paper is not None:
        raise Unavailable(_MOVING)
    raise NotFound(_NO_PAPER)


def is_closed(stores: Stores, paper: PaperFile) -> bool:
    """Whether the erasure of its case has begun."""
    return stores.unit_of_work.gates.state(paper.case_id) == CLOSED


def move_paper_file(stores: Stores, *, paper: PaperFile, said: MovementSaid) -> PaperFile:
    """Record that it went out or came in. Raises Conflict, Frozen (going out), NotFound."""

    def change(before: PaperFile, now: datetime) -> PaperFile:
        return rules.moved(before, Movement(direction=said.direction, who=said.who, reason=said.reason, at=now))

    if is_closed(stores, paper):
        return _told(lambda: stores.unit_of_work.run(lambda tx: _move_late(stores, tx, paper.id, change)))

    def act(tx: Tx) -> PaperFile:
        _enter(tx, paper.case_id, frozen_too=said.direction != OUT)
        before = _live(stores, tx, paper.id)
        after = stores.papers.change(tx, before, change(before, tx.now))
        return replace(after, scans=paper.scans)

    return _told(lambda: stores.unit_of_work.run(act))


def dispose_of_paper_file(stores: Stores, *, paper: PaperFile, said: DisposalSaid, by_manager: bool) -> PaperFile:
    """Certify how it went; with the last one that an erasure waited for, the erasure goes on.

    Raises Invalid, Forbidden, Conflict, Frozen (asked for, but not begun), NotFound.
    """

    def change(before: PaperFile, now: datetime) -> PaperFile:
        act = Disposed(
            method=said.method,
            by=said.by,
            witnessed_by=said.witnessed_by,
            to=said.to,
            reason=said.reason,
            at=now,
        )
        return rules.disposed(before, act, by_manager=by_manager)

    if is_closed(stores, paper):
        return _told(lambda: stores.unit_of_work.run(lambda tx: _dispose_late(stores, tx, paper.id, change)))

    def act(tx: Tx) -> PaperFile:
        _enter(tx, paper.case_id, frozen_too=False)
        before = _live(stores, tx, paper.id)
        after = stores.papers.change(tx, before, change(before, tx.now))
        stores.papers.add_disposal(tx, after, said.method)
        return replace(after, scans=paper.scans)

    return _told(lambda: stores.unit_of_work.run(act))


Change = Callable[[PaperFile, datetime], PaperFile]


def _move_late(stores: Stores, tx: Tx, paper_id: str, change: Change) -> PaperFile:
    before = _late(stores, tx, paper_id)
    tx.gates.touch(tx.session, before.case_id)
    after = change(before, tx.now)
    return before if before.is_disposed else stores.papers.change_late(tx, before, after)


def _dispose_late(stores: Stores, tx: Tx, paper_id: str, change: Change) -> PaperFile:
    before = _late(stores, tx, paper_id)
    # Two certifications of one case conflict, so that one of them knows that it is the last.
    tx.gates.touch(tx.session, before.case_id)
    after = change(before, tx.now)
    stores.papers.add_disposal(tx, after, after.state)
    stores.papers.forget_late(tx, before)
    if not stores.papers.is_late(before.case_id, tx=tx):
        stores.steps.add(tx, SETTLE_STEP, before.case_id, before.case_id)
    return after


def _late(stores: Stores, tx: Tx, paper_id: str) -> PaperFile:
    found = stores.papers.late_get(paper_id, tx=tx) or stores.papers.disposal(paper_id, tx=tx)
    if found is None:
        raise Unavailable(_MOVING) if stores.papers.get(paper_id, tx=tx) else NotFound(_NO_PAPER)
    return found


def _live(stores: Stores, tx: Tx, paper_id: str) -> PaperFile:
    found = stores.papers.get(paper_id, tx=tx)
    if found is None:
        raise NotFound(_NO_PAPER)
    return found


def _enter(tx: Tx, case_id: str, *, frozen_too: bool) -> None:
    try:
        tx.enter(case_id, frozen_too=frozen_too)
    except Erased:
        # It was found before the gate closed: in a moment it is found among those to be certified.
        raise Unavailable(_MOVING) from None


def _told(act: Callable[[], PaperFile]) -> PaperFile:
    """The model's rules as problems."""
    try:
        return act()
    except rules.Unfit as unfit:
        raise Invalid(f"{unfit.sentence} Nothing was changed.", errors={unfit.field: [unfit.sentence]}) from None
    except rules.ManagersOnly as rule:
        raise Forbidden(rule.sentence) from None
    except rules.AsThingsStand as rule:
        raise Conflict(rule.sentence) from None


def _with_scans(stores: Stores, found: Sequence[PaperFile]) -> list[PaperFile]:
    scans = stores.documents.scans_of([paper.id for paper in found])
    return [replace(paper, scans=tuple(scans.get(paper.id, ()))) for paper in found]
