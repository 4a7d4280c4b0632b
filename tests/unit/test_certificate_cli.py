"""`forgetmenot certificate verify`: what holds, and each way in which one doesn't."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deploy.ops.certificate import InvalidCertificate, check, summary
from deploy.ops.main import app
from services.consent.model.certificates import CERTIFICATE_TYPE
from shared.erasure.participant import RECEIPT_TYPE
from shared.erasure.readings import READING_TYPE, digest_of
from shared.events import SERVICES
from shared.ids import new_id
from shared.security.signing import PublicKeys, Signer, make_key

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Ring:
    """Keys of all four services and of the reader, valid for a day from NOW."""

    def __init__(self) -> None:
        self.signers: dict[tuple[str, str], Signer] = {}
        self.public: list[dict[str, Any]] = []
        for service, use in [
            *((name, "receipt") for name in SERVICES),
            ("consent", "certificate"),
            ("reader", "reading"),
        ]:
            private, public = make_key(service, use, NOW, valid_for=timedelta(days=1))
            self.signers[service, use] = Signer(private)
            self.public.append(public)

    @property
    def keys(self) -> PublicKeys:
        return PublicKeys(self.public)

    def receipt(self, service: str, *, by: str | None = None, **changed: Any) -> str:
        claims = {
            "iss": service,
            "service": service,
            "request": REQUEST,
            "case": CASE,
            "attempt": 1,
            "outcome": "erased",
            "stores": [{"store": "people", "found": 3, "deleted": 3, "remaining": 0}],
            "late": [],
            "signed_at": NOW.isoformat(),
            **changed,
        }
        return self.signers[by or service, "receipt"].sign(claims, typ=RECEIPT_TYPE)

    def reading(self, *, by: tuple[str, str] = ("reader", "reading"), **changed: Any) -> str:
        claims = {
            "iss": "reader", "reading": new_id(), "request": REQUEST, "case": CASE, "at": NOW.isoformat(), "found": 0,
            "leftovers": {}, "kept": ["case.gates"], "unread": [], "receipts_sha256": digest_of([]), **changed,
        }  # fmt: skip
        return self.signers[by].sign(claims, typ=READING_TYPE)

    def certificate(self, instead: Mapping[str, str] | None = None, **changed: Any) -> bytes:
        given = {service: self.receipt(service) for service in SERVICES} | dict(instead or {})
        receipts = [receipt for receipt in given.values() if receipt]
        reading = self.reading(receipts_sha256=digest_of(receipts))
        claims = {
            "request": REQUEST,
            "case": CASE,
            "received_at": NOW.isoformat(),
            "due_at": (NOW + timedelta(days=2)).isoformat(),
            "completed_at": (NOW + timedelta(minutes=1)).isoformat(),
            "kept_promise": True,
            "receipts": receipts,
            "paper": [],
            "last_letter": "sent",
            "independent": {"at": NOW.isoformat(), "found": 0, "reading": reading},
            "what_remains": [],
            **changed,
        }
        return self.signers["consent", "certificate"].sign(claims, typ=CERTIFICATE_TYPE).encode()


REQUEST, CASE = new_id(), new_id()


@pytest.fixture(scope="module")
def ring() -> Ring:
    return Ring()


def reason(ring: Ring, content: bytes) -> str:
    with pytest.raises(InvalidCertificate) as caught:
        check(content, ring.keys)
    return caught.value.reason


def test_a_whole_certificate_holds(ring: Ring) -> None:
    holds = check(ring.certificate(), ring.keys)
    assert holds.claims["case"] == CASE
    assert holds.removed == dict.fromkeys(SERVICES, 3)
    check(ring.certificate() + b"\n", ring.keys)


def test_no_byte_of_it_can_be_changed(ring: Ring) -> None:
    content = ring.certificate()
    for at in [*range(0, len(content), 37), *range(len(content) - 90, len(content))]:
        for other in (b"A", b"B", b".", b"=", b"\n"):
            if content[at : at + 1] != other:
                reason(ring, content[:at] + other + content[at + 1 :])


@pytest.mark.parametrize(
    "content", [b"", b"a.b", b"not a certificate", b"a.b.c", b"\xff\xfe", b"A" * 3 * 2**20, b"e30.e30.e30"]
)
def test_what_is_no_certificate_is_said_to_be_none(ring: Ring, content: bytes) -> None:
    assert "certificate" in reason(ring, content)


def test_a_key_that_is_not_published_is_unknown(ring: Ring) -> None:
    assert "isn't among the public keys" in reason(ring, Ring().certificate())


def test_a_receipt_is_no_certificate(ring: Ring) -> None:
    assert reason(ring, ring.receipt("consent", completed_at=NOW.isoformat()).encode())


def test_a_missing_participant_is_named(ring: Ring) -> None:
    assert "no receipt of notifier" in reason(ring, ring.certificate({"notifier": ""}))


def test_what_remains_is_told(ring: Ring) -> None:
    stores = [{"store": "people", "found": 3, "deleted": 2, "remaining": 1}]
    left = ring.receipt("case", outcome="failed", stores=stores)
    assert "something remains" in reason(ring, ring.certificate({"case": left}))


def test_a_receipt_that_names_no_store_is_told(ring: Ring) -> None:
    empty = ring.receipt("case", stores=[])
    assert "doesn't say which stores it read" in reason(ring, ring.certificate({"case": empty}))


def test_the_independent_readers_word_is_checked(ring: Ring) -> None:
    at = NOW.isoformat()
    later = (NOW + timedelta(hours=1)).isoformat()
    for said, wrong in {
        "another service": ring.reading(by=("consent", "certificate")),
        "for another use": ring.reading(by=("case", "receipt")),
        "another case": ring.reading(case=new_id()),
        "another type": ring.receipt("case"),
        "otherwise": ring.reading(found=1),
    }.items():
        independent = {"at": at, "found": 0, "reading": wrong}
        answer = reason(ring, ring.certificate(independent=independent))
        assert "independent reading" in answer, (said, answer)
    found = {"at": at, "found": 2, "reading": ring.reading(found=2)}
    assert "found the case in 2 places" in reason(ring, ring.certificate(independent=found))
    young = {"at": later, "found": 0, "reading": ring.reading(at=later)}
    assert "younger" in reason(ring, ring.certificate(independent=young))
    for shape in (None, [], {}, {"at": at}, {"at": "now", "found": 0, "reading": ring.reading()}):
        reason(ring, ring.certificate(independent=shape))


def test_a_certificate_from_before_there_was_a_reader_holds_and_says_so(ring: Ring) -> None:
    claims = dict(check(ring.certificate(), ring.keys).claims)
    assert "found nothing left" in summary(check(ring.certificate(), ring.keys))[2]
    del claims["independent"]
    older = ring.signers["consent", "certificate"].sign(claims, typ=CERTIFICATE_TYPE).encode()
    assert "older version" in summary(check(older, ring.keys))[2]


def test_what_is_late_is_told(ring: Ring) -> None:
    late = ring.receipt("document", late=["papers_to_certify"])
    assert "late" in reason(ring, ring.certificate({"document": late}))


def test_a_receipt_for_another_case_counts_for_nothing(ring: Ring) -> None:
    other = ring.receipt("case", case=new_id())
    assert "another request or case" in reason(ring, ring.certificate({"case": other}))


def test_a_receipt_signed_by_another_services_key_is_refused(ring: Ring) -> None:
    forged = ring.receipt("case", by="document")
    assert "another service" in reason(ring, ring.certificate({"case": forged}))


def test_a_receipt_from_after_the_certificate_is_refused(ring: Ring) -> None:
    young = ring.receipt("case", signed_at=(NOW + timedelta(hours=2)).isoformat())
    assert "younger" in reason(ring, ring.certificate({"case": young}))


@pytest.mark.parametrize("days", [-2, 2])
def test_a_key_counts_only_within_its_validity(ring: Ring, days: int) -> None:
    at = (NOW + timedelta(days=days)).isoformat()
    assert "wasn't valid" in reason(ring, ring.certificate(completed_at=at))


@pytest.mark.parametrize(
    "changed", [{"receipts": 7}, {"receipts": None}, {"completed_at": "yesterday"}, {"completed_at": 1}]
)
def test_a_signed_thing_of_another_shape_is_refused(ring: Ring, changed: dict[str, Any]) -> None:
    assert reason(ring, ring.certificate(**changed))


# As a command


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["certificate", "verify", *map(str, arguments)])


@pytest.fixture
def files(tmp_path: Path, ring: Ring) -> tuple[Path, Path]:
    certificate, jwks = tmp_path / "certificate.jose", tmp_path / "keys.json"
    certificate.write_bytes(ring.certificate())
    jwks.write_text(json.dumps({"keys": ring.public}))
    return certificate, jwks


def test_the_command_says_that_it_holds(files: tuple[Path, Path]) -> None:
    done = run(files[0], "--jwks", files[1])
    assert done.exit_code == 0, done.output
    assert "holds" in done.output
    assert CASE in done.output


def test_the_local_stacks_keys_are_the_default(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FMN_LOCAL", str(tmp_path / "stack"))
    monkeypatch.delenv("FMN_NAMES", raising=False)
    assert run(files[0]).exit_code == 1
    (tmp_path / "stack" / "run").mkdir(parents=True)
    (tmp_path / "stack" / "run" / "public-keys.json").write_bytes(files[1].read_bytes())
    assert run(files[0]).exit_code == 0


def test_the_command_says_why_it_does_not_hold(files: tuple[Path, Path]) -> None:
    content = files[0].read_bytes()
    files[0].write_bytes(content[:-10] + b"AAAAAAAAAA")
    done = run(files[0], "--jwks", files[1])
    assert done.exit_code == 1
    assert "doesn't hold" in done.output


@pytest.mark.parametrize(
    "jwks", ["", "[]", "{}", '{"keys": 3}', '{"keys": [{}]}', '{"keys": ["x"]}', '{"keys": [null]}']
)
def test_a_file_that_is_no_jwks_is_said_to_be_none(files: tuple[Path, Path], jwks: str) -> None:
    files[1].write_text(jwks)
    done = run(files[0], "--jwks", files[1])
    assert done.exit_code == 1
    assert "isn't a file of our public keys" in done.output


def test_a_file_that_is_not_there_is_said_so(files: tuple[Path, Path]) -> None:
    done = run(files[0].with_name("nowhere"), "--jwks", files[1])
    assert done.exit_code == 1
    assert "can't be read" in done.output
