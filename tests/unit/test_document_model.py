"""Documents' ranges and consents, and the rules of paper files: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.document.model import documents, papers
from services.document.model.documents import ByteRange, byte_range, object_key
from services.document.parsing import inspection, media_types
from shared.errors import Conflict, Forbidden, Invalid, RangeNotSatisfiable
from shared.known_consents import KnownConsents, standing_in

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


def test_the_api_tells_every_kind_and_warning_that_a_file_may_have() -> None:
    assert documents.MEDIA_TYPES == media_types.ALL
    assert documents.WARNINGS == inspection.WARNINGS
    assert set(media_types.PAGED) == documents.PREVIEWED


@given(size=st.integers(1, 10**9), start=st.integers(0, 10**9), more=st.integers(0, 10**9))
def test_a_range_lies_within_the_file(size: int, start: int, more: int) -> None:
    asked = f"bytes={start}-{start + more}"
    if start >= size:
        with pytest.raises(RangeNotSatisfiable):
            byte_range(asked, size)
        return
    part = byte_range(asked, size)
    assert part is not None
    assert part.start == start
    assert part.length >= 1
    assert part.end == min(start + more, size - 1)


@given(size=st.integers(1, 10**9), last=st.integers(1, 10**9))
def test_a_suffix_ends_at_the_end(size: int, last: int) -> None:
    part = byte_range(f"bytes=-{last}", size)
    assert part is not None
    assert (part.end, part.length) == (size - 1, min(last, size))


@given(st.text(max_size=80))
def test_any_other_header_is_passed_over(header: str) -> None:
    assert byte_range(f"{header}x", 10) is None


@pytest.mark.parametrize("header", [None, "", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "items=0-1", "bytes=٣-٤"])
def test_what_is_no_single_range_of_bytes_is_the_whole(header: str | None) -> None:
    assert byte_range(header, 100) is None


def test_an_open_range_goes_to_the_end() -> None:
    assert byte_range("bytes = 40-", 100) == ByteRange(40, 60)
    for outside in ("bytes=100-", "bytes=-0"):
        with pytest.raises(RangeNotSatisfiable):
            byte_range(outside, 100)


def test_an_object_key_names_case_document_and_version() -> None:
    assert object_key("c", "d", 3) == "c/d/3"


def stands(*standing: dict[str, object], at: datetime = NOW) -> bool:
    return KnownConsents(case_id="c", standing=standing_in(standing)).allow("casework", at)


def test_casework_stands_until_its_end() -> None:
    assert not stands()
    assert stands({"consent": "x", "purpose": "casework"})
    until = {"consent": "x", "purpose": "casework", "until": NOW}
    assert stands(until, at=NOW - timedelta(seconds=1))
    assert not stands(until)


def test_of_several_consents_the_longest_counts() -> None:
    soon, later = (NOW + timedelta(days=days) for days in (1, 2))
    standing = [
        {"consent": "x", "purpose": "casework", "until": soon.isoformat()},
        {"consent": "y", "purpose": "casework", "until": later},
    ]
    assert stands(*standing, at=soon)
    assert not stands(*standing, at=later)
    assert stands(*standing, {"consent": "z", "purpose": "casework"}, at=later)
    assert not stands({"consent": "x", "purpose": "share"})


def a_paper(state: str = papers.HELD) -> papers.PaperFile:
    return papers.PaperFile(
        id="p",
        case_id="c",
        state=state,
        label=papers.label_of(7),
        location="Cabinet 3",
        description="Letters",
        out_with="Ama Mensah" if state == papers.OUT else None,
        at=NOW,
    )


def a_disposal(method: str = papers.SHREDDED, **more: str | None) -> papers.Disposed:
    said = {"by": "Ama Mensah", "witnessed_by": "Li Wei", "to": None, "reason": None, **more}
    return papers.Disposed(method=method, at=NOW, **said)  # type: ignore[arg-type]


def a_movement(direction: str) -> papers.Movement:
    return papers.Movement(direction=direction, who="Ama Mensah", reason=None, at=NOW)


def test_a_label_can_be_said_on_the_phone() -> None:
    assert a_paper().label == "P-0007"


def test_out_and_in_again() -> None:
    out = papers.moved(a_paper(), a_movement("out"))
    assert (out.state, out.out_with) == ("out", "Ama Mensah")
    back = papers.moved(out, a_movement("in"))
    assert (back.state, back.out_with, len(back.movements)) == ("held", None, 2)
    for paper, direction in ((out, "out"), (back, "in")):
        with pytest.raises(Conflict):
            papers.moved(paper, a_movement(direction))


@pytest.mark.parametrize(
    ("by", "witness"), [("Ama Mensah", "ama  mensah"), ("Zoë O’Neil", "ZOE ONEIL"), ("Ama", "A.M.A")]
)
def test_nobody_witnesses_their_own_act(by: str, witness: str) -> None:
    with pytest.raises(Invalid) as said:
        papers.disposed(a_paper(), a_disposal(by=by, witnessed_by=witness), by_manager=True)
    assert set(said.value.errors) == {"witnessed_by"}


def test_a_return_says_to_whom_and_a_loss_says_why_and_is_a_managers() -> None:
    with pytest.raises(Invalid):
        papers.disposed(a_paper(), a_disposal("returned"), by_manager=False)
    with pytest.raises(Forbidden):
        papers.disposed(a_paper(), a_disposal("not_found", reason="Searched"), by_manager=False)
    with pytest.raises(Invalid):
        papers.disposed(a_paper(), a_disposal("not_found"), by_manager=True)
    lost = papers.disposed(a_paper(), a_disposal("not_found", reason="Searched"), by_manager=True)
    assert lost.state == "not_found"


def test_one_that_is_out_is_brought_in_by_its_disposal_and_it_ends_once() -> None:
    gone = papers.disposed(a_paper(papers.OUT), a_disposal(), by_manager=False)
    assert (gone.state, gone.out_with, gone.movements[-1].direction) == ("shredded", None, "in")
    with pytest.raises(Conflict):
        papers.disposed(gone, a_disposal(), by_manager=True)
    with pytest.raises(Conflict):
        papers.moved(gone, a_movement("out"))
