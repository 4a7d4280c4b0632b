"""P7, P13, P21, P22, P24: a year in the life of five families, side by side.

Told through the API and `forgetmenot clock run --now` alone, on a stack of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.local.stack import Stack
from deploy.ops.main import app
from tests.helpers import eventually, problem
from tests.journeys.clock_rig import Clock, a_clock
from tests.journeys.test_p1_growing_up import NOBODY, after_the_last_friday_in_june, decided
from tests.journeys.test_p13_contacts import a_school, about

BY_PHONE = {"channel": "phone", "by": "on the telephone"}


@pytest.fixture(scope="module")
def clock(stack: Stack, worker_id: str) -> Iterator[Clock]:
    with a_clock(stack, f"clv{worker_id}") as opened:
        yield opened


def test_p21_a_year_in_the_life_of_five_families(clock: Clock, tmp_path: Path) -> None:
    system, school = clock.system, a_school(clock.system)
    # Given five families who each agreed to a file; the fourth's school may be contacted, the fifth has somebody of 14
    contact = {"purpose": "contact", "party": school}
    silent, renewing, moved, guarded, growing = (
        system.an_open_case({"purpose": "casework"}, contact) for _ in range(5)
    )
    families = (silent, renewing, moved, guarded, growing)
    for case_id in families:
        system.a_person(case_id, email=None)
    year = clock.now.year
    while (day := after_the_last_friday_in_june(year)) < clock.now.date() + timedelta(days=420):
        year += 1
    born = f"{year - 16}-03-01"
    system.a_person(growing, role="child", given_name="Ali", date_of_birth=born, **NOBODY)
    eventually(lambda: str(decided(system, growing).get("until")).startswith(str(day - timedelta(days=1))))

    # A year later each is written to. Three say that the file may go on; one letter comes back; one family says nothing
    clock.a_year_passes()
    letters = {case_id: clock.written_to(case_id)[0]["id"] for case_id in families}
    for case_id in (renewing, guarded, growing):
        review = clock.the_review(case_id, state="asked")["id"]
        said = system.caseworker.post(f"/reviews/{review}/answer", {"decision": "renew", **BY_PHONE})
        assert said.status_code == 200, said.text
    assert system.caseworker.post(f"/notifications/{letters[moved]}/returned").status_code == 200
    eventually(lambda: clock.the_review(moved)["returned_at"])
    clock.ahead(days=14)
    clock.written_to(silent, template="review_reminder")
    # At 28 days whoever said nothing is frozen, and nobody else: what came back is no silence
    clock.ahead(days=13)
    for case_id in families:
        clock.stays_open(case_id)
    clock.ahead(days=2)
    asked = eventually(lambda: system.caseworker.read("/requests", case_id=silent)["items"])[0]
    eventually(lambda: clock.is_frozen(silent))
    for case_id in (renewing, moved, guarded, growing):
        clock.stays_open(case_id)
    assert clock.tasks(moved) == ["returned_post"]

    # Somebody else confirms it; the family is forgotten, and anyone can verify the certificate
    assert asked["waiting_on"] == ["confirmation"]
    system.confirm(asked["id"])
    eventually(lambda: system.is_completed(asked["id"]))
    assert problem(system.caseworker.get(f"/cases/{silent}")) == (410, "erased")
    certificate, keys = tmp_path / "certificate.jose", tmp_path / "jwks.json"
    certificate.write_text(system.auditor.get(f"/requests/{asked['id']}/certificate").text)
    keys.write_text(json.dumps(system.auditor.get("consent:/.well-known/jwks.json").json()))
    verified = CliRunner().invoke(app, ["certificate", "verify", str(certificate), "--jwks", str(keys)])
    assert verified.exit_code == 0, verified.output

    # The fourth takes one purpose back: the school isn't contacted any more, and the rest goes on
    system.caseworker.made(f"/cases/{guarded}/contacts", about(school))
    given = system.caseworker.read("/consents", case_id=guarded)["items"][-1]["id"]
    system.caseworker.made(f"/consents/{given}/withdrawal", {**BY_PHONE, "purposes": [contact]})
    assert problem(system.caseworker.post(f"/cases/{guarded}/contacts", about(school))) == (409, "consent-required")
    system.caseworker.made(f"/cases/{guarded}/entries", {"kind": "note", "text": "we go on without the school"})
    system.caseworker.made(f"/cases/{renewing}/contacts", about(school))

    # The day comes on which the fifth's young person decides for themselves: it is read, and nothing else
    clock.until(day)
    eventually(lambda: decided(system, growing) == {"allowed": False, "reason": "rights-passed"})
    assert problem(system.caseworker.post(f"/cases/{growing}/contacts", about(school))) == (409, "consent-required")
    erasure = {
        "kind": "erasure",
        "case_id": growing,
        "received_at": datetime.now(UTC).isoformat(),
        "channel": "phone",
        "made_by": {"name": "Ann Okonkwo", "authority": "parental_responsibility"},
    }
    assert problem(system.caseworker.post("/requests", erasure)) == (409, "conflict")
    assert system.caseworker.read(f"/cases/{growing}")["frozen"] is False
