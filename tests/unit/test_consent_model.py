"""Consents, decisions and the erasure as a state machine: pure rules, and every way through them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.consent.model import certificates
from services.consent.model.consents import Consent, Ended, Ending, Grant, Standing, decide, faults, standing
from services.consent.model.histories import history, is_given_twice, last_to_leave, supersessions
from services.consent.model.requests import (
    KINDS,
    PAPER_STORE,
    SETTLEMENTS,
    Hold,
    Move,
    Phase,
    Receipt,
    Request,
    Status,
    awaited,
    kept_promise,
    letter_outcome,
    next_move,
    waiting_on,
)
from services.consent.schemas.consents import flat
from shared.erasure.manifest import CASE_KEYS
from shared.events import SERVICES
from tests.helpers import stores_listed

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
TODAY = date(2026, 11, 22)
COUNCIL, SCHOOL = "council", "school"
FILE = Grant(purpose="casework")


def a_consent(
    id: str = "c1",
    *grants: Grant,
    person: str | None = None,
    name: str = "Zoë",
    at: datetime = NOW,
    **given_by: Any,
) -> Consent:
    return Consent(
        id=id,
        case_id="case",
        **{"name": name, "capacity": "parental_responsibility", "person_id": person, **flat(given_by)},
        channel="phone",
        informed_at=at,
        given_at=at,
        statement_version=1,
        statement_sha256="0" * 64,
        grants=grants or (FILE,),
        evidence=None,
        recorded_at=NOW,
        recorded_by="worker",
    )


def an_end(consent_id: str, *grants: Grant) -> Ending:
    return Ending(
        id="w", case_id="case", consent_id=consent_id, channel="phone", by="Zoë", grants=grants or None, recorded_at=NOW
    )


def stands(consents: Iterable[Consent], endings: Iterable[Ending] = (), on: date = TODAY) -> tuple[Standing, ...]:
    return standing(consents, endings, today=on)


# What stands, and what it allows


def test_a_withdrawal_ends_all_of_its_consent_or_the_purposes_it_names() -> None:
    contact = Grant(purpose="contact", party=COUNCIL)
    one, other = a_consent("c1", FILE, contact), a_consent("c2", FILE)
    assert [s.consent_id for s in stands([other, one], [])] == ["c1", "c1", "c2"]
    assert [(s.consent_id, s.grant) for s in stands([one, other], [an_end("c1", contact)])] == [
        ("c1", FILE),
        ("c2", FILE),
    ]
    assert [s.consent_id for s in stands([one, other], [an_end("c1")])] == ["c2"]
    assert stands([one, other], [an_end("c1"), an_end("c2")]) == ()


GRANTS = st.builds(
    Grant,
    purpose=st.sampled_from(["casework", "contact", "obtain_documents", "share", "email"]),
    party=st.sampled_from([None, COUNCIL, SCHOOL]),
    document_kind=st.sampled_from([None, "ehc_plan", "report"]),
)


@given(st.lists(st.lists(GRANTS, min_size=1, max_size=4), max_size=4), st.data())
def test_p13_nothing_is_allowed_that_no_standing_consent_covers(given_: list[list[Grant]], data: st.DataObject) -> None:
    consents = [a_consent(f"c{n}", *grants) for n, grants in enumerate(given_)]
    ended = data.draw(st.sets(st.sampled_from([c.id for c in consents]))) if consents else set()
    asked = data.draw(GRANTS)
    agreed = stands(consents, [an_end(id) for id in ended])
    decision = decide(agreed, asked, person_id=None, first_adult=None)
    left = [g for c in consents if c.id not in ended for g in c.grants]
    covered = [
        g
        for g in left
        if (g.purpose, g.party) == (asked.purpose, asked.party) and g.document_kind in (None, asked.document_kind)
    ]
    assert decision.allowed == bool(covered and any(g.purpose == "casework" for g in left))
    assert (decision.consent_id is not None) == decision.allowed
    assert decision.consent_id not in ended


@pytest.mark.parametrize(
    ("said", "asked", "allowed"),
    [
        (None, None, True),
        (None, "report", True),
        ("report", "report", True),
        ("report", "ehc_plan", False),
        ("report", None, False),
    ],
)
def test_p11_a_consent_that_names_a_kind_covers_that_kind_alone(
    said: str | None, asked: str | None, allowed: bool
) -> None:
    obtain = Grant(purpose="obtain_documents", party=COUNCIL, document_kind=said)
    agreed = stands([a_consent("c1", FILE, obtain)], [])
    question = Grant(purpose="obtain_documents", party=COUNCIL, document_kind=asked)
    assert decide(agreed, question, person_id=None, first_adult=None).allowed is allowed
    elsewhere = replace(question, party=SCHOOL)
    assert not decide(agreed, elsewhere, person_id=None, first_adult=None).allowed


def test_a_consent_that_names_nobody_speaks_for_the_adult_added_first() -> None:
    agreed = stands([a_consent("c1", FILE), a_consent("c2", FILE, Grant(purpose="email"), person="bob")], [])

    def says(person: str | None, purpose: str = "casework", first: str | None = "ann") -> bool:
        return decide(agreed, Grant(purpose=purpose), person_id=person, first_adult=first).allowed

    assert says("ann")
    assert says("bob")
    assert not says("cid")
    assert not says("ann", first=None)
    assert says("bob", "email")
    assert not says("ann", "email")
    assert says(None, "email")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"given_at": NOW + timedelta(seconds=61)}, "given_at"),
        ({"given_at": NOW - timedelta(hours=2)}, "given_at"),
        ({"informed_at": NOW + timedelta(minutes=2), "given_at": NOW + timedelta(minutes=3)}, "informed_at"),
        ({"given_by": {"name": "x", "capacity": "child"}}, "given_by.basis"),
        ({"given_by": {"name": "x", "capacity": "other", "basis": ""}}, "given_by.basis"),
        ({"grants": [FILE, FILE]}, "purposes"),
        ({"grants": [Grant(purpose="contact")]}, "purposes"),
        ({"grants": [Grant(purpose="share")]}, "purposes"),
        ({"grants": [Grant(purpose="obtain_documents")]}, "purposes"),
        ({"grants": [Grant(purpose="email", party=COUNCIL)]}, "purposes"),
        ({"grants": [Grant(purpose="share", party=COUNCIL, document_kind="report")]}, "purposes"),
    ],
)
def test_p7_what_can_t_be_so_is_named_by_its_field(changed: dict[str, Any], field: str) -> None:
    right = {
        "informed_at": NOW - timedelta(hours=1),
        "given_at": NOW,
        "grants": [FILE],
        "given_by": {"name": "x", "capacity": "young_person"},
    }
    assert wrong_with(right) == {}
    assert field in wrong_with({**right, **changed})


def wrong_with(body: dict[str, Any]) -> dict[str, list[str]]:
    """What is wrong with a consent whose body says so."""
    said = {"grants": tuple(body["grants"]), **{name: body[name] for name in ("informed_at", "given_at")}}
    return faults(replace(a_consent(), **said, **flat({"capacity": "", **body["given_by"]})), now=NOW)


# Last days


@pytest.mark.parametrize(("day", "left"), [(TODAY, 1), (TODAY - timedelta(days=1), 0), (TODAY + timedelta(days=1), 1)])
def test_a_purpose_stands_through_its_last_day_and_no_longer(day: date, left: int) -> None:
    assert len(stands([a_consent("c1", Grant(purpose="casework", until=day))])) == left


def test_a_decision_says_until_when_it_holds() -> None:
    contact = Grant(purpose="contact", party=COUNCIL, until=TODAY + timedelta(days=9))
    file = Grant(purpose="casework", until=TODAY + timedelta(days=2))
    decision = decide(stands([a_consent("c1", file, contact)]), contact, person_id=None, first_adult=None)
    # The last second of the day in London on which the file itself is no longer agreed to
    assert (decision.allowed, decision.until) == (True, datetime(2026, 11, 24, 23, 59, 59, tzinfo=UTC))
    beside = a_consent("c2", name="Bo")
    longer = decide(stands([a_consent("c1", file, contact), beside]), contact, person_id=None, first_adult=None)
    assert longer.until == datetime(2026, 12, 1, 23, 59, 59, tzinfo=UTC)
    assert decide(stands([beside]), FILE, person_id=None, first_adult=None).until is None


def test_a_last_day_that_is_over_can_t_be_named() -> None:
    right = {"informed_at": NOW, "given_at": NOW, "given_by": {"capacity": "young_person"}}
    assert wrong_with({**right, "grants": [replace(FILE, until=TODAY)]}) == {}
    over = replace(FILE, until=TODAY - timedelta(days=1))
    assert set(wrong_with({**right, "grants": [over]})) == {"purposes"}


# One after another

LATER = NOW + timedelta(hours=1)
CONTACT = Grant(purpose="contact", party=COUNCIL)


def gone(new: Consent, *before: Consent, first: str | None = None) -> list[tuple[str, tuple[Grant, ...], str]]:
    return supersessions(new, before, stands(before), first_adult=first)


def test_what_the_same_person_says_later_takes_the_place_of_the_same_purpose() -> None:
    old = a_consent("c1", FILE, CONTACT, person="ann")
    assert gone(a_consent("c2", FILE, person="ann", at=LATER), old) == [("c1", (FILE,), "c2")]
    assert gone(a_consent("c2", CONTACT, FILE, person="ann", at=LATER), old) == [("c1", (FILE, CONTACT), "c2")]
    assert gone(a_consent("c2", replace(CONTACT, party=SCHOOL), person="ann", at=LATER), old) == []


def test_one_that_is_recorded_late_gives_way_to_what_was_said_since() -> None:
    newer = a_consent("c1", FILE, person="ann", at=LATER)
    assert gone(a_consent("c2", FILE, CONTACT, person="ann"), newer) == [("c2", (FILE,), "c1")]
    # Also where that has been withdrawn: what was said before it comes back to life by nobody's word
    late = a_consent("c2", FILE, person="ann")
    assert supersessions(late, [newer], [], first_adult=None) == [("c2", (FILE,), "c1")]


def test_nobody_s_consent_ends_by_another_s() -> None:
    for other in (
        a_consent("c1", person="bob"),
        a_consent("c1", name="Bob"),
        a_consent("c1", person="ann", for_person_id="cid", incapacity={"represented_by": "parent"}),
    ):
        assert gone(a_consent("c2", person="ann", at=LATER), other, first="ann") == []
    unnamed = a_consent("c1", name="ZOË ")
    assert gone(a_consent("c2", at=LATER), unnamed) == [("c1", (FILE,), "c2")]
    assert gone(a_consent("c2", person="ann", at=LATER), unnamed) == []
    assert gone(a_consent("c2", person="ann", at=LATER), unnamed, first="ann") == [("c1", (FILE,), "c2")]


def test_a_kind_of_document_that_is_added_takes_nothing_away() -> None:
    plans = Grant(purpose="obtain_documents", party=COUNCIL, document_kind="ehc_plan")
    reports, everything = replace(plans, document_kind="report"), replace(plans, document_kind=None)
    old = a_consent("c1", FILE, plans, person="ann")
    assert gone(a_consent("c2", reports, person="ann", at=LATER), old) == []
    assert gone(a_consent("c2", everything, person="ann", at=LATER), old) == [("c1", (plans,), "c2")]


def test_the_same_words_at_the_same_moment_are_the_same_consent() -> None:
    one = a_consent("c1", FILE, CONTACT, person="ann")

    def twice(other: Consent) -> bool:
        return is_given_twice(other, [one], first_adult=None)

    assert twice(a_consent("c2", CONTACT, FILE, person="ann"))
    assert not twice(a_consent("c2", FILE, person="ann"))
    assert not twice(a_consent("c2", FILE, CONTACT, person="bob"))
    assert not twice(a_consent("c2", FILE, CONTACT, person="ann", at=LATER))


def test_p7_a_history_tells_everything_in_order_and_changes_nothing() -> None:
    passing = replace(CONTACT, until=TODAY - timedelta(days=1))
    consent = a_consent("c1", FILE, passing, at=NOW - timedelta(days=30))
    told = history(consent, [an_end("c1", FILE), an_end("c9")], today=TODAY)
    assert [(h.event, h.purposes) for h in told] == [
        ("given", None),
        ("expired", (passing,)),
        ("withdrawn", (FILE,)),
    ]
    assert told[1].at == datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)
    # The clock's own entry says the same once, not twice
    noticed = Ending(
        id="e", case_id="case", consent_id="c1", kind=Ended.EXPIRED, grants=(passing,), recorded_at=told[1].at
    )  # fmt: skip
    assert history(consent, [an_end("c1", FILE), noticed], today=TODAY) == told


def test_the_last_to_leave_is_whoever_ends_the_last_consent_to_the_file() -> None:
    ann, bob = a_consent("c1", FILE, CONTACT), a_consent("c2", FILE, name="Bob")
    both, one, neither = stands([ann, bob]), stands([ann, bob], [an_end("c2")]), stands([ann], [an_end("c1", FILE)])
    assert not last_to_leave(both, one)
    assert last_to_leave(one, neither)
    assert not last_to_leave(neither, ())


@pytest.mark.parametrize(
    ("given_by", "field"),
    [
        ({"capacity": "other", "for_person_id": "cid"}, "given_by.incapacity"),
        ({"capacity": "other", "basis": "x", "incapacity": {"represented_by": "deputy"}}, "given_by.incapacity"),
        (
            {"capacity": "young_person", "for_person_id": "cid", "incapacity": {"represented_by": "deputy"}},
            "given_by.incapacity",
        ),
        (
            {
                "capacity": "other",
                "person_id": "cid",
                "for_person_id": "cid",
                "incapacity": {"represented_by": "deputy"},
            },
            "given_by.for_person_id",
        ),
    ],
)
def test_p7_whoever_decides_for_another_says_for_whom_and_how_it_was_judged(
    given_by: dict[str, Any], field: str
) -> None:
    right = {"informed_at": NOW, "given_at": NOW, "grants": [FILE]}
    assert field in wrong_with({**right, "given_by": {"name": "x", **given_by}})
    whole = {"capacity": "other", "for_person_id": "cid", "incapacity": {"represented_by": "deputy"}}
    assert wrong_with({**right, "given_by": {"name": "x", **whole}}) == {}


# The erasure


def a_request(**changed: Any) -> Request:
    start: dict[str, Any] = {
        "id": "r",
        "kind": "erasure",
        "case_id": "case",
        "status": Status.RECEIVED,
        "phase": Phase.ASKED,
        "received_at": NOW,
        "logged_at": NOW,
        "logged_by": "one",
        "channel": "phone",
        "due_on": date(2026, 11, 24),
        "due_at": NOW + timedelta(days=2),
        "about": (),
        "identity_settled": True,
        "confirmed_by": None,
        "confirmed_at": None,
        "letter": None,
        "attempts": {},
        "elsewhere": (),
        "elsewhere_certified": (),
        "verified_at": None,
        "completed_at": None,
        "certificate": None,
        "personal": {},
        "version": 1,
    }
    return Request(**{**start, **changed})


def a_receipt(service: str, **changed: Any) -> Receipt:
    start: dict[str, Any] = {
        "id": "receipt",
        "request": "r",
        "case_id": "case",
        "at": NOW,
        "service": service,
        "attempt": 1,
        "outcome": "erased",
        "stores": stores_listed(service, found=2),
        "late": [],
        "signed_at": NOW,
        "jws": "a.b.c",
    }
    return Receipt(**{**start, **changed})


DONE = {"confirmed_at": NOW, "confirmed_by": "two"}
BEGUN = {
    **DONE,
    "phase": Phase.BEGUN,
    "status": Status.IN_PROGRESS,
    "letter": "sealed",
    "attempts": dict.fromkeys(SERVICES, 1),
}
VERIFIED = {**BEGUN, "phase": Phase.VERIFIED}
ALL = tuple(a_receipt(service) for service in SERVICES)
TOLD = replace(ALL[3], last_letter="sent", signed_at=NOW + timedelta(minutes=1))
LATE_PAPER = replace(ALL[1], late=[PAPER_STORE])
LEFT = {service: stores_listed(service, found=2, remaining=1) for service in SERVICES}


@pytest.mark.parametrize(
    ("request_", "receipts", "held", "waits", "move"),
    [
        (a_request(), (), False, ["confirmation"], None),
        (a_request(identity_settled=False), (), True, ["confirmation", "identity", "hold"], None),
        (a_request(**DONE), (), False, [], Move.PREPARE),
        (a_request(**DONE), (), True, ["hold"], None),
        (a_request(**DONE, identity_settled=False), (), False, ["identity"], None),
        (a_request(**DONE, phase=Phase.PREPARING), (), False, ["letter"], None),
        (a_request(**DONE, phase=Phase.PREPARING), (), True, ["hold", "letter"], None),
        (a_request(**DONE, phase=Phase.PREPARING, letter="sealed"), (), True, ["hold"], None),
        (a_request(**DONE, phase=Phase.PREPARING, letter="sealed"), (), False, [], Move.BEGIN),
        (a_request(**DONE, phase=Phase.PREPARING, letter="nobody_to_write_to"), (), False, [], Move.BEGIN),
        (a_request(**{**BEGUN, "phase": Phase.BEGINNING, "attempts": {}}), (), False, list(SERVICES), None),
        # It can't be held any more.
        (a_request(**{**BEGUN, "phase": Phase.BEGINNING, "attempts": {}}), (), True, list(SERVICES), None),
        (a_request(**BEGUN), (), False, list(SERVICES), None),
        (a_request(**BEGUN), (), True, list(SERVICES), None),
        (a_request(**BEGUN), ALL[1:], False, ["case"], None),
        (a_request(**BEGUN), ALL, False, [], Move.VERIFY),
        (a_request(**BEGUN), (*ALL[:3], replace(ALL[3], outcome="failed")), False, ["notifier"], None),
        (a_request(**BEGUN), (*ALL[:3], replace(ALL[3], stores=LEFT["notifier"])), False, ["notifier"], None),
        (a_request(**BEGUN), (*ALL[:3], replace(ALL[3], attempt=0)), False, ["notifier"], None),
        (a_request(**BEGUN), (ALL[0], LATE_PAPER, *ALL[2:]), False, ["paper"], None),
        (a_request(**BEGUN, elsewhere=("phones",)), ALL, False, ["elsewhere"], None),
        (a_request(**BEGUN, elsewhere=("x",)), (ALL[0], LATE_PAPER, *ALL[2:]), False, ["paper", "elsewhere"], None),
        (a_request(**BEGUN, elsewhere=("phones",), elsewhere_certified=("phones",)), ALL, False, [], Move.VERIFY),
        (a_request(**VERIFIED), ALL, False, ["letter"], None),
        (a_request(**VERIFIED), (ALL[0], LATE_PAPER, ALL[2], TOLD), False, ["paper"], None),
        (a_request(**VERIFIED), (*ALL, TOLD), False, [], Move.COMPLETE),
        (a_request(**VERIFIED), (*ALL, replace(TOLD, stores=LEFT["notifier"])), False, ["notifier"], None),
        (a_request(**VERIFIED), (*ALL, replace(TOLD, late=["x"])), False, ["letter"], None),
        (a_request(**{**BEGUN, "phase": Phase.DONE, "status": Status.COMPLETED}), (*ALL, TOLD), False, [], None),
        (a_request(status=Status.WITHDRAWN, phase=Phase.STOPPED), (), True, [], None),
        (a_request(**DONE, status=Status.VOID, phase=Phase.STOPPED), (), False, [], None),
    ],
)  # fmt: skip
def test_p24_what_a_request_waits_for_and_what_comes_next(
    request_: Request, receipts: tuple[Receipt, ...], held: bool, waits: list[str], move: Move | None
) -> None:
    assert waiting_on(request_, receipts, held=held) == waits
    assert next_move(request_, receipts, held=held) == move


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "erasure"])
@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("status", Status)
def test_only_a_request_for_erasure_yields_a_step_of_one(kind: str, phase: Phase, status: Status) -> None:
    # Everything has been said and done that an erasure could wait for, at every phase
    request = a_request(**{**BEGUN, "kind": kind, "phase": phase, "status": status})
    for receipts in ((), ALL, (*ALL, TOLD)):
        assert next_move(request, receipts, held=False) is None
        assert waiting_on(request, receipts, held=True) == []
    assert not request.is_open_erasure


@pytest.mark.parametrize(
    ("letter", "receipts", "outcome"),
    [
        ("sealed", ALL, None),
        ("nobody_to_write_to", ALL, None),
        ("sealed", (*ALL, TOLD), "sent"),
        ("undeliverable", ALL, "undeliverable"),
        ("undeliverable", (*ALL, replace(TOLD, last_letter="unknown")), "undeliverable"),
    ],
)
def test_a_last_letter_ends_once(letter: str, receipts: tuple[Receipt, ...], outcome: str | None) -> None:
    assert letter_outcome(a_request(**{**VERIFIED, "letter": letter}), receipts) == outcome


def test_the_last_receipt_is_the_one_signed_last_in_whatever_order_they_came() -> None:
    certified = replace(LATE_PAPER, late=[], signed_at=NOW + timedelta(hours=1))
    request = a_request(**BEGUN)
    for receipts in ([LATE_PAPER, certified], [certified, LATE_PAPER]):
        assert waiting_on(request, [ALL[0], *receipts, *ALL[2:]], held=False) == []


def test_a_second_receipt_that_found_something_undoes_the_first() -> None:
    found_again = replace(ALL[1], stores=LEFT["document"], outcome="failed", signed_at=NOW + timedelta(hours=1))
    request = a_request(**BEGUN)
    assert awaited(request, [*ALL, found_again]) == ["document"]
    assert next_move(request, [*ALL, found_again], held=False) is None
    anew = replace(request, attempts={**request.attempts, "document": 2})
    assert awaited(anew, [*ALL, found_again, replace(ALL[1], attempt=2, signed_at=NOW + timedelta(hours=2))]) == []


def told_to_remain(
    final: Mapping[str, Receipt],
    backups_gone_by: datetime | None = None,
    organisations_gone_by: datetime | None = None,
    **more: Any,
) -> list[Any]:
    request = a_request(**{**VERIFIED, **more})
    told = certificates.payload(
        request,
        final,
        independent={},
        backups_gone_by=backups_gone_by,
        completed_at=NOW,
        organisations_gone_by=organisations_gone_by,
    )
    return list(told["what_remains"])


def test_what_remains_says_of_each_thing_where_it_is_and_whether_and_until_when_it_can_be_read() -> None:
    final = {**{r.service: r for r in ALL}, "notifier": TOLD}
    for item in told_to_remain(final):
        assert set(item) == {"what", "where", "readable", "gone_by"}
        assert item["what"]
        assert item["where"]
        assert isinstance(item["readable"], bool)
    gone = NOW + timedelta(days=9)
    [backups] = [item for item in told_to_remain(final, gone) if item["gone_by"] is not None]
    assert (backups["gone_by"], backups["readable"]) == (gone.isoformat(), True)
    assert "backups" in backups["where"]
    [organisations] = [item for item in told_to_remain(final, None, gone) if item["gone_by"] is not None]
    assert (organisations["gone_by"], organisations["readable"]) == (gone.isoformat(), True)
    assert "organisations that no family names any more" in organisations["what"]


def test_what_remains_lists_what_is_true_of_this_case_alone() -> None:
    def nothing(service: str) -> Receipt:
        return a_receipt(service, stores=stores_listed(service, found=0))

    def says(words: str, final: Mapping[str, Receipt], **more: Any) -> bool:
        return any(words in item["what"] for item in told_to_remain(final, **more))

    bare = {service: nothing(service) for service in SERVICES}
    bare["notifier"] = replace(bare["notifier"], last_letter="nobody")
    for always in ("tombstones", "ledger", "parked", "sealed records", "search hashes", "roots", "copies of the data",
                   "another family", "at risk"):  # fmt: skip
        assert says(always, bare), always
    for never in ("letters", "mail relay", "paper files", "shared with others", "organisations"):
        assert not says(never, bare), never
    # A letter that has gone, or may have
    for outcome in ("sent", "unknown"):
        letter = {**bare, "notifier": replace(bare["notifier"], last_letter=outcome)}
        assert says("letters and emails", letter)
        assert says("mail relay", letter)
        assert says("printer", letter)
    # Or an earlier one, though the last one couldn't be delivered
    before = [{**store, "found": int(store["store"] == "notifications")} for store in bare["notifier"].stores]
    assert says("letters", {**bare, "notifier": replace(bare["notifier"], stores=before, last_letter="undeliverable")})
    papers = tuple({"paper_file": "p", "method": method, "at": NOW} for method in ("shredded", "returned", "not_found"))
    for count, expected in ((1, (False, False)), (2, (True, False)), (3, (True, True))):
        paper = {**bare, "document": replace(bare["document"], paper=papers[:count])}
        assert (says("were returned", paper), says("could not be found", paper)) == expected
    for service, store, words in (("case", "disclosures", "shared with others"), ("consent", "consents", "organisa")):
        stores = [{**one, "found": int(one["store"] == store)} for one in bare[service].stores]
        assert says(words, {**bare, service: replace(bare[service], stores=stores)})
        if words == "organisa":
            assert not says(words, {**bare, service: replace(bare[service], stores=stores)}, organisations_left=0)
    assert says("organisations that the family named: 2,", bare, organisations_left=2)
    letter = {**bare, "notifier": replace(bare["notifier"], last_letter="sent")}
    assert says("certified to be emptied: phones", letter, elsewhere_certified=("phones",))


@pytest.mark.parametrize("service", SERVICES)
def test_a_receipt_counts_only_with_every_store_of_the_manifest_and_no_other(service: str) -> None:
    whole = a_receipt(service)
    others = [store for store in whole.stores if store["store"] != CASE_KEYS]
    unknown = {"store": "a_newer_store", "found": 0, "deleted": 0, "remaining": 0}
    assert (whole.fault, whole.clean) == (None, True)
    for stores in ([], whole.stores[1:], others, [*whole.stores, unknown]):
        # Whatever it says besides: also that nothing was held.
        for outcome in ("erased", "nothing_held"):
            wrong = replace(whole, stores=stores, outcome=outcome)
            assert (wrong.fault, wrong.clean) == ("stores", False)


def test_a_receipt_of_a_case_that_had_a_key_counts_only_with_the_root_destroyed() -> None:
    whole = a_receipt("case")
    stores = [{**store, "found": int(store["store"] == CASE_KEYS)} for store in whole.stores]
    had_key = replace(whole, stores=stores)
    assert (had_key.fault, replace(had_key, root_destroyed_at=NOW, root_generation=3).fault) == ("root", None)


def test_a_hold_ends_with_its_day() -> None:
    hold = Hold(
        id="h",
        case_id="c",
        ground="legal_claim",
        until=date(2026, 11, 24),
        reason="a tribunal",
        placed_by="m",
        placed_at=NOW,
        version=1,
    )
    assert hold.holds_on(date(2026, 11, 24))
    assert not hold.holds_on(date(2026, 11, 25))


class AnErasure(RuleBasedStateMachine):
    """Anything may happen in any order; what begins, is verified or completes must have had its reasons."""

    def __init__(self) -> None:
        super().__init__()
        self.request = a_request(elsewhere=("phones", "shared_drive"))
        self.receipts: list[Receipt] = []
        self.held = False
        self.clock = NOW

    @initialize(begun=st.booleans())
    def start(self, begun: bool) -> None:
        """Half of the stories begin where every service has been asked."""
        if begun:
            self.request = a_request(**BEGUN, elsewhere=("phones",))

    @rule(paper=st.booleans())
    @precondition(lambda self: self.request.begun)
    def everyone_answers(self, paper: bool) -> None:
        for service in SERVICES:
            self.answer(service, 0, [PAPER_STORE] if paper and service == "document" else [], None, 0, False)

    def advance(self) -> None:
        """As the coordinator does after every change."""
        while (move := next_move(self.request, self.receipts, held=self.held)) is not None:
            if move is Move.PREPARE:
                self.request = replace(self.request, phase=Phase.PREPARING, status=Status.IN_PROGRESS)
            elif move is Move.BEGIN:
                self.may_begin()
                self.request = replace(self.request, phase=Phase.BEGINNING)
            elif move is Move.VERIFY:
                self.nothing_is_left()
                self.request = replace(self.request, phase=Phase.VERIFIED)
            else:
                self.nothing_is_left()
                self.nothing_is_late()
                self.request = replace(self.request, phase=Phase.DONE, status=Status.COMPLETED)

    def last(self, service: str) -> Receipt | None:
        theirs = [r for r in self.receipts if r.service == service and r.attempt == self.request.attempts[service]]
        return max(theirs, key=lambda r: r.signed_at, default=None)

    def may_begin(self) -> None:
        assert self.request.confirmed_at
        assert self.request.identity_settled
        assert not self.held
        assert self.request.letter

    def nothing_is_left(self) -> None:
        for service in SERVICES:
            last = self.last(service)
            assert last is not None, service
            assert last.outcome != "failed"
            assert sum(store["remaining"] for store in last.stores) == 0
        document = self.last("document")
        assert document is not None
        assert PAPER_STORE not in document.late
        assert set(self.request.elsewhere) <= set(self.request.elsewhere_certified)

    def nothing_is_late(self) -> None:
        assert not any(receipt.late for receipt in map(self.last, SERVICES) if receipt)
        notifier = self.last("notifier")
        assert notifier is not None
        assert notifier.last_letter is not None

    @rule()
    @precondition(lambda self: self.request.phase in (Phase.ASKED, Phase.PREPARING))
    def confirm(self) -> None:
        self.request = replace(self.request, confirmed_at=self.clock, confirmed_by="two")
        self.advance()

    @rule(settled=st.booleans())
    @precondition(lambda self: self.request.phase in (Phase.ASKED, Phase.PREPARING))
    def identity(self, settled: bool) -> None:
        self.request = replace(self.request, identity_settled=settled)
        self.advance()

    @rule(held=st.booleans())
    def hold(self, held: bool) -> None:
        self.held = held
        self.advance()

    @rule(outcome=st.sampled_from(["sealed", "nobody_to_write_to", *SETTLEMENTS]))
    @precondition(lambda self: self.request.phase is not Phase.ASKED)
    def letter(self, outcome: str) -> None:
        self.request = replace(self.request, letter=outcome)
        self.advance()

    @rule(
        service=st.sampled_from(SERVICES),
        left=st.integers(0, 3).map(lambda n: n if n > 2 else 0),
        late=st.sampled_from([[], [], [PAPER_STORE], ["sealed_letters"]]),
        told=st.sampled_from([None, "sent", "unknown"]),
        behind=st.integers(0, 1),
        came_late=st.booleans(),
    )
    @precondition(lambda self: self.request.begun)
    def one_answers(
        self, service: str, left: int, late: list[str], told: str | None, behind: int, came_late: bool
    ) -> None:
        self.answer(service, left, late, told, behind, came_late)

    def answer(self, service: str, left: int, late: list[str], told: str | None, behind: int, came_late: bool) -> None:
        self.clock += timedelta(seconds=1)
        receipt = a_receipt(
            service,
            attempt=self.request.attempts[service] - behind,
            outcome="failed" if left else "erased",
            stores=stores_listed(service, found=3, remaining=left),
            late=late,
            last_letter=told if service == "notifier" else None,
            signed_at=self.clock,
        )
        self.receipts.insert(0 if came_late else len(self.receipts), receipt)
        self.advance()

    @rule()
    @precondition(lambda self: self.request.begun and self.request.stands)
    def ask_anew(self) -> None:
        for service in awaited(self.request, self.receipts):
            if self.last(service) is not None:
                attempts = {**self.request.attempts, service: self.request.attempts[service] + 1}
                self.request = replace(self.request, attempts=attempts)

    @rule()
    @precondition(lambda self: self.request.phase is Phase.BEGINNING)
    def is_entered_in_the_ledger(self) -> None:
        self.request = replace(self.request, phase=Phase.BEGUN, attempts=dict.fromkeys(SERVICES, 1))
        self.advance()

    @rule(place=st.sampled_from(["phones", "shared_drive"]))
    @precondition(lambda self: self.request.begun)
    def certify(self, place: str) -> None:
        certified = {*self.request.elsewhere_certified, place}
        self.request = replace(self.request, elsewhere_certified=tuple(sorted(certified)))
        self.advance()

    @invariant()
    def it_never_stands_still_for_no_reason(self) -> None:
        if self.request.stands:
            assert waiting_on(self.request, self.receipts, held=self.held)
        else:
            assert waiting_on(self.request, self.receipts, held=self.held) == []


AnErasure.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestAnErasure = AnErasure.TestCase


# The certificate


@pytest.mark.parametrize(
    ("completed", "paper", "kept"),
    [
        (timedelta(0), [], True),
        (timedelta(0), [{"method": "shredded"}, {"method": "returned"}], True),
        (timedelta(0), [{"method": "shredded"}, {"method": "not_found"}], False),
        (timedelta(seconds=1), [], False),
    ],
)
def test_p24_a_promise_is_kept_in_time_and_with_every_paper_found(
    completed: timedelta, paper: list[dict[str, Any]], kept: bool
) -> None:
    assert kept_promise(completed_at=NOW + completed, due_at=NOW, paper=paper) is kept


def test_a_certificate_is_one_of_its_own_receipts_or_does_not_hold() -> None:
    request = a_request(**VERIFIED)
    paper = ({"paper_file": "p", "method": "shredded", "at": NOW},)
    final = {**{r.service: r for r in ALL}, "notifier": TOLD, "document": replace(ALL[1], paper=paper)}
    independent = {"at": NOW.isoformat(), "found": 0, "reading": "a.b.c"}
    claims = certificates.payload(request, final, independent=independent, backups_gone_by=None, completed_at=NOW)
    assert claims["independent"] == independent
    assert claims["kept_promise"] is True
    assert claims["paper"] == [{"paper_file": "p", "method": "shredded", "at": NOW.isoformat()}]
    said = [
        {"service": s, "request": "r", "case": "case", "outcome": "erased", "stores": [{"remaining": 0}], "late": []}
        for s in SERVICES
    ]
    assert certificates.faults(claims, said) == []
    assert certificates.faults(claims, said[1:])
    for wrong in ({"request": "other"}, {"case": "other"}, {"outcome": "failed"}, {"stores": [{"remaining": 1}]},
                  {"stores": [{}]}, {"stores": []}, {"late": ["paper"]}):  # fmt: skip
        assert certificates.faults(claims, [{**said[0], **wrong}, *said[1:]]), wrong
    assert certificates.faults({**claims, "last_letter": None}, said)
