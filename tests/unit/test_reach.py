"""What a view can come to is read from the source: what is raised, caught, handed on, and by which methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytest

from shared.errors import Changed, Conflict, Erased, Forbidden, Frozen, Invalid, NotFound, Problem
from shared.http import known
from shared.http.reach import Reach

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _tests_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_OURS", ("shared.", "services.", "tests."))


def check() -> None:
    raise Changed("x")


def ok(body: object, *, etag: object = None) -> None:
    raise Invalid("never looked into")


def of(*roots: Callable[..., Any]) -> set[Any]:
    reach = Reach(
        (Problem,), {check: "checked"}, with_etag=ok, waived={"frozen_too": Frozen}, of_service="services.none"
    )
    return set(reach.of(roots))


def enter(*, frozen_too: bool = False) -> None:
    if not frozen_too:
        raise Frozen("x")
    raise Erased("x")


class Store(Generic[T]):
    def save(self, item: T) -> T:
        raise Conflict("x")

    def first(self) -> T | None:
        return None


class Thing:
    def refuse(self) -> None:
        raise Forbidden("x")


@dataclass
class Stores:
    things: Store[Thing]


def test_it_finds_what_is_raised_by_what_is_called() -> None:
    def view() -> None:
        enter()

    assert of(view) == {Frozen, Erased}


def test_what_a_try_or_suppress_catches_is_taken_off_and_what_it_raises_added() -> None:
    def turned() -> None:
        try:
            enter()
        except Erased as error:
            raise NotFound("x") from error

    def suppressed() -> None:
        with suppress(Erased):
            enter()

    def raised_again() -> None:
        try:
            enter()
        except Erased:
            raise

    assert of(turned) == {Frozen, NotFound}
    assert of(suppressed) == {Frozen}
    assert of(raised_again) == {Frozen, Erased}


@contextmanager
def erased_as_not_found() -> Iterator[None]:
    try:
        yield
    except Erased:
        raise NotFound("x") from None


def test_a_context_manager_turns_one_problem_into_another() -> None:
    def view() -> None:
        with erased_as_not_found():
            enter()

    assert of(view) == {Frozen, NotFound}


def test_a_function_that_is_handed_on_counts_as_called() -> None:
    def run(act: Callable[[], None]) -> None:
        act()

    def by_name() -> None:
        run(check)

    def in_a_lambda() -> None:
        run(lambda: check())

    assert of(by_name) == of(in_a_lambda) == {Changed, "checked"}


def test_a_keyword_waives_what_it_allows() -> None:
    def view() -> None:
        enter(frozen_too=True)

    assert of(view) == {Erased}


def action(stores: Stores) -> None:
    thing = stores.things.first()
    if thing is not None:
        thing.refuse()


def test_methods_are_found_by_annotations_and_what_generic_classes_were_given() -> None:
    def view() -> None:
        action(None)  # type: ignore[arg-type]

    assert of(view) == {Forbidden}


def test_methods_of_live_objects_in_a_closure_are_found() -> None:
    stores = Stores(things=Store())

    def view() -> None:
        stores.things.save(Thing())

    assert of(view) == {Conflict}


def test_an_etag_is_found_where_an_answer_is_given_one() -> None:
    assert of(lambda: ok({}, etag=1)) == {"etag"}

    def without() -> None:
        ok({})

    assert of(without) == set()


def test_two_views_of_one_decorator_are_told_apart() -> None:
    def decorate(view: Callable[[], None]) -> Callable[[], None]:
        def answered() -> None:
            view()

        answered.__wrapped__ = view  # type: ignore[attr-defined]
        return answered

    assert of(decorate(check)) == {Changed, "checked"}
    assert of(decorate(enter)) == {Frozen, Erased}
    reach = Reach((Problem,), {}, with_etag=ok, waived={}, of_service="services.none")
    assert (set(reach.of([decorate(check)])), set(reach.of([decorate(enter)]))) == ({Changed}, {Frozen, Erased})


def test_a_circle_of_calls_is_followed_to_its_end() -> None:
    def one(left: int) -> None:
        other(left)

    def other(left: int) -> None:
        if left:
            one(left - 1)
        check()

    assert of(one) == {Changed, "checked"}
