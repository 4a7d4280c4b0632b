"""An organisation that may be a person goes with its key once no case names it, and not before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson import encode

from services.consent.actions.consents import record_consent
from services.consent.actions.organisations import end_unless_named, end_unnamed
from services.consent.context import Context
from services.consent.main import service
from services.consent.model.consents import Grant
from services.consent.model.organisations import SETTLES, UNNAMED_KEPT, organisation_key
from shared.clock import utc_now
from shared.db.unit_of_work import Tx
from shared.errors import Conflict
from shared.ids import first_id_at, new_id
from tests.helpers import eventually, problem
from tests.races.inside import Inside, an_inside
from tests.system import System

NAME = "Mrs Jane Quillfeather, tutor"


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


@pytest.fixture
def context(system: System, monkeypatch: pytest.MonkeyPatch) -> Context:
    """What the consent service's worker works with, opened in this process."""
    for name, value in system.provided.env["consent"].items():
        monkeypatch.setenv(name, value)
    return service.open("worker").context


def a_tutor(system: System) -> str:
    return str(system.caseworker.made("/organisations", {"name": NAME, "kind": "other"})["id"])


def a_case_naming(system: System, *tutors: str) -> str:
    return system.an_open_case({"purpose": "casework"}, *({"purpose": "contact", "party": tutor} for tutor in tutors))


def later(context: Context, id: str) -> None:
    """What the worker does once it has settled."""
    end_unless_named(context.stores, id=id, now=utc_now() + SETTLES)


def is_ending(inside: Inside, id: str) -> bool:
    row = inside.row("consent", "organisations", _id=id)
    return row is not None and row["ending_at"] is not None


def begin_erasure(system: System, inside: Inside, case_id: str) -> str:
    request = str(system.an_erasure(case_id)["id"])
    system.confirm(request)
    eventually(lambda: inside.phase(request) not in ("asked", "preparing"))
    return request


def exists(system: System, id: str) -> bool:
    return system.caseworker.get(f"/organisations/{id}").status_code == 200


def thief_reads(inside: Inside) -> bytes:
    names = [f"{inside.names}_consent{suffix}" for suffix in ("", "_vault")]
    return b"".join(
        encode(row)
        for name in names
        for each in inside.mongo[name].list_collection_names()
        for row in inside.mongo[name][each].find()
    )


# It goes


def test_a_tutor_whom_one_family_named_goes_with_that_familys_erasure(
    system: System, inside: Inside, context: Context
) -> None:
    tutor = a_tutor(system)
    request = begin_erasure(system, inside, a_case_naming(system, tutor))
    # The worker finds that no other case names it
    eventually(lambda: is_ending(inside, tutor))
    assert exists(system, tutor)
    # It isn't removed before every transaction is over that may have named it
    end_unless_named(context.stores, id=tutor, now=utc_now() + SETTLES / 2)
    assert exists(system, tutor)
    # And then with its key, and the root that the key hung on
    later(context, tutor)
    assert problem(system.caseworker.get(f"/organisations/{tutor}")) == (404, "not-found")
    assert inside.keys_named("consent", organisation_key(tutor)) == 0
    eventually(lambda: context.stores.keys.destroyed(organisation_key(tutor)) is not None)
    assert b"Quillfeather" not in thief_reads(inside)
    inside.completes(request)
    row = inside.row("consent", "requests", _id=request)
    assert row is not None
    assert row["organisations_left"] == 0
    # Done again, nothing happens
    later(context, tutor)


def test_one_that_another_family_names_stays_and_is_counted(system: System, inside: Inside, context: Context) -> None:
    shared, own = a_tutor(system), a_tutor(system)
    first, second = a_case_naming(system, shared, own), a_case_naming(system, shared)
    request = begin_erasure(system, inside, first)
    eventually(lambda: is_ending(inside, own))
    row = inside.row("consent", "requests", _id=request)
    assert row is not None
    assert row["organisations_left"] == 1
    later(context, shared)
    assert not is_ending(inside, shared)
    # It goes with the last family that names it
    begin_erasure(system, inside, second)
    eventually(lambda: is_ending(inside, shared))
    for id in (shared, own):
        later(context, id)
        assert not exists(system, id)


def test_one_that_no_case_ever_named_goes_after_thirty_days(system: System, inside: Inside, context: Context) -> None:
    tutor, named = a_tutor(system), a_tutor(system)
    a_case_naming(system, named)
    end_unnamed(context, utc_now() + UNNAMED_KEPT - timedelta(hours=1))
    assert inside.row("consent", "steps", key=tutor) is None
    assert not is_ending(inside, tutor)
    assert end_unnamed(context, utc_now() + UNNAMED_KEPT + timedelta(seconds=1)) >= 1
    eventually(lambda: is_ending(inside, tutor))
    later(context, tutor)
    assert not exists(system, tutor)
    assert not is_ending(inside, named)


def test_records_that_rest_on_no_consent_keep_it_until_their_case_goes(
    system: System, inside: Inside, context: Context
) -> None:
    # Given a tutor in a disclosure under a legal duty, and one who sent a document that nobody agreed to
    told, sender = a_tutor(system), a_tutor(system)
    case_id = system.an_open_case()
    duty = {"basis": "legal_duty", "recipient": "the court", "what": "dates", "party": told}
    system.manager.made(f"/cases/{case_id}/disclosures", {**duty, "order": "1", "issuer": "a court", "scope": "dates"})
    scan = system.a_scan(case_id, source=sender)
    assert (scan.status_code, scan.json()["state"]) == (201, "quarantined")
    for id in (told, sender):
        # Then it isn't taken for one that no case names
        end_unless_named(context.stores, id=id, now=utc_now())
        assert not is_ending(inside, id)
    # Until the case is erased
    begin_erasure(system, inside, case_id)
    for id in (told, sender):
        eventually(lambda id=id: is_ending(inside, id))  # type: ignore[misc]
        later(context, id)
        assert not exists(system, id)


# Not while it is being named


def test_one_that_is_ending_can_be_named_by_no_one(system: System, inside: Inside, context: Context) -> None:
    tutor = a_tutor(system)
    case_id = system.an_open_case()
    end_unless_named(context.stores, id=tutor, now=utc_now())
    assert is_ending(inside, tutor)
    now = utc_now().isoformat()
    consent = {
        "case_id": case_id,
        "decision": "given",
        "given_by": {"name": "Ann", "capacity": "parental_responsibility"},
        "channel": "phone",
        "informed_at": now,
        "given_at": now,
        "statement_version": system.caseworker.read("/statement")["version"],
        "purposes": [{"purpose": "contact", "party": tutor}],
    }
    refused = system.caseworker.post("/consents", consent)
    assert (problem(refused), set(refused.json()["errors"])) == ((400, "invalid"), {"purposes"})
    scan = system.a_scan(case_id, source=tutor)
    assert (problem(scan), set(scan.json()["errors"])) == ((400, "invalid"), {"source"})
    duty = {"basis": "legal_duty", "recipient": "x", "what": "y", "order": "1", "issuer": "z", "scope": "w"}
    told = system.manager.post(f"/cases/{case_id}/disclosures", {**duty, "party": tutor})
    assert (problem(told), set(told.json()["errors"])) == ((400, "invalid"), {"party"})


def a_consent(context: Context, case_id: str, party: str) -> Any:
    before = context.stores.consents.of_case(case_id)[0]
    grants = (Grant(purpose="contact", party=party),)
    return replace(before, id=new_id(), grants=grants, given_at=utc_now(), recorded_at=utc_now())


def test_a_consent_that_is_being_recorded_at_that_moment_keeps_it(
    system: System, inside: Inside, context: Context
) -> None:
    tutor, case_id = a_tutor(system), system.an_open_case()
    given = a_consent(context, case_id, tutor)

    def act(tx: Tx) -> None:
        record_consent(context.stores, tx, given, now=utc_now())
        # Another process finds it unnamed before this commits.
        other = threading.Thread(target=lambda: end_unless_named(context.stores, id=tutor, now=utc_now()))
        other.start()
        other.join()

    context.stores.unit_of_work.run(act)
    assert is_ending(inside, tutor)
    later(context, tutor)
    assert exists(system, tutor)
    assert not is_ending(inside, tutor)


@pytest.mark.parametrize("removed", [False, True])
def test_a_consent_that_was_checked_before_it_began_to_end_is_refused(
    system: System, inside: Inside, context: Context, removed: bool
) -> None:
    # Given that the check has found it, and the transaction begins only now
    tutor, case_id = a_tutor(system), system.an_open_case()
    given = a_consent(context, case_id, tutor)
    end_unless_named(context.stores, id=tutor, now=utc_now())
    if removed:
        later(context, tutor)
        assert not exists(system, tutor)
    with pytest.raises(Conflict) as refused:
        context.stores.unit_of_work.run(lambda tx: record_consent(context.stores, tx, given, now=utc_now()))
    assert "Enter it again" in refused.value.detail
    later(context, tutor)
    assert not exists(system, tutor)


def test_a_clock_that_was_ahead_removes_nothing_early(system: System, inside: Inside, context: Context) -> None:
    tutor = a_tutor(system)
    end_unless_named(context.stores, id=tutor, now=utc_now() + timedelta(days=400))
    end_unless_named(context.stores, id=tutor, now=utc_now())
    assert exists(system, tutor)
    later(context, tutor)
    assert not exists(system, tutor)


def test_one_that_version_0_2_entered_stays(system: System, inside: Inside, context: Context) -> None:
    tutor = a_tutor(system)
    inside.change("consent", "organisations", {"_id": tutor}, all_known=False)
    end_unnamed(context, utc_now() + 2 * UNNAMED_KEPT)
    end_unless_named(context.stores, id=tutor, now=utc_now())
    later(context, tutor)
    assert exists(system, tutor)
    assert not is_ending(inside, tutor)


def test_ids_are_told_by_the_moment_they_were_made_in() -> None:
    before = first_id_at(utc_now())
    made = new_id()
    assert before <= made < first_id_at(utc_now() + timedelta(milliseconds=2))


@pytest.mark.parametrize("nothing", ["\u200b", "\u00ad", "\ufeff\u2060", "\u3164"])
def test_an_organisation_has_a_name_that_can_be_seen(system: System, nothing: str) -> None:
    assert problem(system.caseworker.post("/organisations", {"name": nothing, "kind": "other"})) == (400, "invalid")
    made = system.caseworker.made("/organisations", {"name": f"{nothing}Elm Grove School{nothing}", "kind": "school"})
    assert made["name"] == "Elm Grove School"
