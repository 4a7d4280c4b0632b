"""Paper files: registering, moving, certifying how they went (P27, P29), also while an erasure waits for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.document.actions.uploads import require_casework
from services.document.model import papers as rules
from services.document.model.papers import HELD, OUT, Disposed, Movement, PaperDisposal, PaperFile, PaperToCertify
from services.document.store import Stores
from services.document.store.documents import scans_of
from services.document.store.papers import add_disposal, disposal_of, disposals_of_case, next_number
from shared.db.gates import CLOSED, OPEN
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, Erased, NotFound, Unavailable
from shared.ids import new_id

SETTLE_STEP = "settle_papers"
_NO_PAPER = "There is no such paper file, or no longer."
ERASURE_BEGINS = "A case's erasure is just beginning."
_ERASURE_BEGINS = f"{ERASURE_BEGINS} Try again in a moment; nothing was changed."
_ONLY_LOCATION = "Once a case is erased, only the location of its paper is kept. Nothing was changed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is known of a paper file, and the documents that were scanned from it."""

    paper: PaperFile | PaperDisposal
    scans: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return self.paper.id

    @property
    def movements(self) -> tuple[Movement, ...] | None:
        """Who took it out or brought it in, oldest first; None once its case is erased, since that isn't kept."""
        if isinstance(self.paper, PaperDisposal) or self.paper.at is None:
            return None
        return self.paper.movements


def register_paper_file(stores: Stores, *, case_id: str, location: str, description: str, pages: int | None) -> Shown:
    """Enter a paper file that is in the office; also of a frozen case, since paper that is found must be forgotten too.

    Raises Erased, NotFound, ConsentRequired.
    """
    paper_id, number = new_id(), next_number(stores.counters)

    def act(tx: Tx) -> Shown:
        tx.enter(case_id, frozen_too=True)
        if tx.gates.state(case_id, tx.session) == OPEN:
            require_casework(stores, case_id, tx=tx)
        paper = PaperFile(
            id=paper_id,
            case_id=case_id,
            state=HELD,
            at=tx.now,
            label=rules.label_of(number),
            number=number,
            location=location,
            description=description,
            pages=pages,
        )
        return Shown(paper=stores.paper_files.add(paper, tx=tx))

    return stores.unit_of_work.run(act)


def list_paper_files(stores: Stores, *, case_id: str, after: str | None, limit: int) -> list[Shown]:
    """The case's paper files; of an erased case those it had: still to be certified, and certified."""
    if stores.unit_of_work.gates.state(case_id) != CLOSED:
        return with_scans(stores, stores.paper_files.page({"case_id": case_id}, after, limit))
    # What hasn't been moved to the late store yet is shown as it will be.
    found: dict[str, PaperFile | PaperDisposal] = {
        paper.id: paper.without_details() for paper in stores.paper_files.of_case(case_id)
    }
    found |= {paper.id: paper.as_paper_file() for paper in stores.papers_to_certify.of_case(case_id)}
    found |= {paper.id: paper for paper in disposals_of_case(stores.paper_disposals, case_id)}
    return [Shown(paper=found[id]) for id in sorted(found) if after is None or id > after][:limit]


def paper_file(stores: Stores, paper_id: str) -> Shown:
    """The paper file, or what is left of it. Raises NotFound; Unavailable in the moment an erasure begins."""
    paper = stores.paper_files.get(paper_id)
    if paper is not None and not is_closed(stores, paper.case_id):
        return with_scans(stores, [paper])[0]
    late = stores.papers_to_certify.get(paper_id)
    if late is not None:
        return Shown(paper=late.as_paper_file())
    certified = disposal_of(stores.paper_disposals, paper_id)
    if certified is not None:
        return Shown(paper=certified)
    if paper is not None:
        raise Unavailable(_ERASURE_BEGINS)
    raise NotFound(_NO_PAPER)


def label_on_sheet(shown: Shown) -> str:
    """What its cover sheet says. Raises Conflict once it is disposed of: it needs none, and its label may be gone."""
    if isinstance(shown.paper, PaperDisposal) or shown.paper.is_disposed:
        raise Conflict(rules.CERTIFIED_SENTENCE)
    return shown.paper.label


def is_closed(stores: Stores, case_id: str) -> bool:
    """Whether the erasure of the case has begun."""
    return stores.unit_of_work.gates.state(case_id) == CLOSED


def correct_paper_file(
    stores: Stores, *, shown: Shown, given: Mapping[str, str], check: Callable[[int], None], closed: bool
) -> Shown:
    """Change what is given, `location` or `description`; where paper is is a fact, so that also of a frozen case.

    check: raises unless the caller read this version of it. closed: see `move_paper_file`. Raises Changed, Conflict
    (disposed of, or the description of an erased case's), Frozen, NotFound, Unavailable.
    """
    id, case_id = shown.paper.id, shown.paper.case_id

    def act(tx: Tx) -> Shown:
        before = _live(stores, id, case_id, frozen_too="description" not in given, tx=tx)
        check(before.version)
        after = rules.corrected(before, given)
        return replace(shown, paper=before if after == before else stores.paper_files.save(after, tx=tx))

    def act_late(tx: Tx) -> Shown:
        late = _late(stores, id, case_id, tx=tx)
        check(late.version)
        if "description" in given:
            raise Conflict(_ONLY_LOCATION)
        location = given.get("location", late.location)
        if location != late.location:
            late = stores.papers_to_certify.save(replace(late, location=location), tx=tx)
        return Shown(paper=late.as_paper_file())

    return stores.unit_of_work.run(act_late if closed else act)


def move_paper_file(stores: Stores, *, shown: Shown, movement: Movement, closed: bool) -> Shown:
    """Record that it went out or came in. Raises Conflict, Frozen (going out), NotFound, Unavailable.

    closed: whether the erasure of its case has begun, decided once for a request.
    """
    id, case_id = shown.paper.id, shown.paper.case_id

    def act(tx: Tx) -> Shown:
        before = _live(stores, id, case_id, frozen_too=movement.direction != OUT, tx=tx)
        after = rules.moved(before, movement)
        return replace(shown, paper=stores.paper_files.save(after, tx=tx))

    def act_late(tx: Tx) -> Shown:
        late = _late(stores, id, case_id, tx=tx)
        after = rules.moved(late.as_paper_file(), movement)
        late = stores.papers_to_certify.save(replace(late, state=after.state, out_with=after.out_with), tx=tx)
        return Shown(paper=late.as_paper_file())

    return stores.unit_of_work.run(act_late if closed else act)


def dispose_of_paper_file(stores: Stores, *, shown: Shown, disposal: Disposed, by_manager: bool, closed: bool) -> Shown:
    """Certify how it went; with the last one that an erasure waited for, the erasure goes on.

    Raises Invalid, Forbidden, Conflict, Frozen (asked for, but not begun), NotFound, Unavailable. closed: see
    `move_paper_file`.
    """
    id, case_id = shown.paper.id, shown.paper.case_id

    def act(tx: Tx) -> Shown:
        before = _live(stores, id, case_id, frozen_too=False, tx=tx)
        after = rules.disposed(before, disposal, by_manager=by_manager)
        after = stores.paper_files.save(after, tx=tx)
        add_disposal(stores.paper_disposals, after, tx=tx)
        return replace(shown, paper=after)

    def act_late(tx: Tx) -> Shown:
        rules.require_valid(disposal, by_manager=by_manager)
        late = _late(stores, id, case_id, tx=tx)
        after = rules.disposed(late.as_paper_file(), disposal, by_manager=by_manager)
        add_disposal(stores.paper_disposals, after, tx=tx)
        stores.papers_to_certify.remove(late, tx=tx)
        if not stores.papers_to_certify.exists({"case_id": case_id}, tx=tx):
            stores.steps.add(tx, SETTLE_STEP, case_id, case_id)
        return Shown(paper=after)

    return stores.unit_of_work.run(act_late if closed else act)


def _live(stores: Stores, paper_id: str, case_id: str, *, frozen_too: bool, tx: Tx) -> PaperFile:
    """Through the gate, the paper file. Raises Frozen, NotFound, Unavailable."""
    try:
        tx.enter(case_id, frozen_too=frozen_too)
    except Erased:
        # It was found before the gate closed: in a moment it is found among those to be certified.
        raise Unavailable(_ERASURE_BEGINS) from None
    found = stores.paper_files.get(paper_id, tx=tx)
    if found is None:
        raise NotFound(_NO_PAPER)
    return found


def _late(stores: Stores, paper_id: str, case_id: str, *, tx: Tx) -> PaperToCertify:
    """The paper file that an erasure waits for. Raises Conflict (certified already), Unavailable, NotFound."""
    # Two certifications of one case conflict, so that one of them knows that it is the last.
    tx.gates.touch(tx.session, case_id)
    found = stores.papers_to_certify.get(paper_id, tx=tx)
    if found is None:
        if disposal_of(stores.paper_disposals, paper_id, tx=tx):
            raise Conflict(rules.CERTIFIED_SENTENCE)
        raise Unavailable(_ERASURE_BEGINS) if stores.paper_files.get(paper_id, tx=tx) else NotFound(_NO_PAPER)
    return found


def with_scans(stores: Stores, found: Sequence[PaperFile]) -> list[Shown]:
    """Each with the documents that were scanned from it."""
    scans = scans_of(stores.documents, [paper.id for paper in found])
    return [Shown(paper=paper, scans=scans.get(paper.id, ())) for paper in found]
