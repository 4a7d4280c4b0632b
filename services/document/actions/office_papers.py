"""The paper of the whole office: finding it, and recording that what stood in one place stands in another now (P29)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from services.document.actions.papers import ERASURE_BEGINS, Shown, with_scans
from services.document.model.papers import HELD, CabinetMove, PaperFile, PaperToCertify, Sought, folded_place, is_at
from services.document.store import Stores
from services.document.store.papers import count_moved, moved_so_far, sought_in_clear
from shared.db import Repository
from shared.db.batches import batches
from shared.db.gates import CLOSED
from shared.db.unit_of_work import Tx
from shared.errors import Erased, Invalid, Unavailable

P = TypeVar("P", PaperFile, PaperToCertify)
#: Told each paper file that is moved, in the transaction that moves it: its case and its id.
Audit = Callable[[Tx, str, str], None]

_IN_ONE_TRANSACTION: Final = 20
_SAME_PLACE = "This is the same place."
_SOME_NOT_YET = f"{ERASURE_BEGINS} All other paper files were moved; repeat this."


class HasCase(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def case_id(self) -> str: ...


def find_papers(stores: Stores, sought: Sought, *, after: str | None, limit: int) -> list[Shown]:
    """One page of the office's paper files, by id; of erased cases those that are still to be certified.

    Where a paper file is is sealed, so all that could be meant are opened.
    """
    where = sought_in_clear(sought)
    found: dict[str, Shown] = {}
    for batch in batches(stores.unit_of_work.vault, stores.paper_files, where, after=after):
        for shown in _as_they_are(stores, [paper for paper in batch if sought.fits(paper)]):
            found[shown.id] = shown
        if len(found) >= limit:
            break
    for late in stores.papers_to_certify.find(where, after=after):
        if sought.fits(paper := late.as_paper_file()):
            found[late.id] = Shown(paper=paper)
    return [found[id] for id in sorted(found)][:limit]


def move_cabinet(stores: Stores, *, act: str, old: str, new: str, audit: Audit) -> CabinetMove:
    """Record that every paper file that is held at `old` is at `new` now; also of frozen and of erased cases.

    It is many transactions. If it ends early, the same again finishes it; act: the id of the whole, under which is
    counted. Raises Invalid (the same place), Unavailable.
    """
    if folded_place(old) == folded_place(new):
        raise Invalid(f"{_SAME_PLACE} Nothing was changed.", errors={"to": [_SAME_PLACE]})
    left_out: list[str] = []

    def move_live(papers: Sequence[HasCase], tx: Tx) -> Iterator[HasCase]:
        left_out[:] = []
        for paper in papers:
            try:
                tx.enter(paper.case_id, frozen_too=True)
            except Erased:
                left_out.append(paper.id)
                continue
            found = stores.paper_files.get(paper.id, tx=tx)
            if found is not None and is_at(found, old):
                stores.paper_files.save(replace(found, location=new), tx=tx)
                yield found

    def move_late(papers: Sequence[HasCase], tx: Tx) -> Iterator[HasCase]:
        for paper in papers:
            tx.gates.touch(tx.session, paper.case_id)
            found = stores.papers_to_certify.get(paper.id, tx=tx)
            if found is not None and is_at(found.as_paper_file(), old):
                stores.papers_to_certify.save(replace(found, location=new), tx=tx)
                yield found

    def moved(papers: Sequence[HasCase], move: Callable[[Sequence[HasCase], Tx], Iterator[HasCase]]) -> None:
        def act_on(tx: Tx) -> None:
            count = 0
            for paper in move(papers, tx):
                audit(tx, paper.case_id, paper.id)
                count += 1
            count_moved(stores.cabinet_moves, act, count, tx=tx)

        stores.unit_of_work.run(act_on)

    waits: list[str] = []
    for live in _here(stores, stores.paper_files, lambda paper: is_at(paper, old)):
        moved(live, move_live)
        waits += left_out
    for late in _here(stores, stores.papers_to_certify, lambda paper: is_at(paper.as_paper_file(), old)):
        moved(late, move_late)
    if any(stores.paper_files.exists({"_id": id}) for id in waits):
        raise Unavailable(_SOME_NOT_YET)

    def tell(tx: Tx) -> CabinetMove:
        count_moved(stores.cabinet_moves, act, 0, tx=tx)
        return moved_so_far(stores.cabinet_moves, act, tx=tx)

    return stores.unit_of_work.run(tell)


def _here(stores: Stores, papers: Repository[P], is_here: Callable[[P], bool]) -> Iterator[list[P]]:
    """Those that are held at the place, as many together as one transaction moves."""
    for batch in batches(stores.unit_of_work.vault, papers, {"state": HELD}):
        here = [paper for paper in batch if is_here(paper)]
        for first in range(0, len(here), _IN_ONE_TRANSACTION):
            yield here[first : first + _IN_ONE_TRANSACTION]


def _as_they_are(stores: Stores, papers: Sequence[PaperFile]) -> list[Shown]:
    """With their scans; of a case whose erasure has just begun, as they will be shown until they are certified."""
    states = stores.unit_of_work.gates.states({paper.case_id for paper in papers})
    closed = [paper for paper in papers if states.get(paper.case_id) == CLOSED]
    live = [paper for paper in papers if states.get(paper.case_id) != CLOSED]
    going = [Shown(paper=paper.without_details()) for paper in closed if not paper.is_disposed]
    return [*with_scans(stores, live), *going]
