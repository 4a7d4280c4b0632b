"""A client that a generator makes of each description tells a family's story, with typed models alone."""

from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests
from joserfc import jws
from joserfc.jwk import OKPKey
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType

from shared.events import SERVICES
from tests import samples
from tests.described import ROOT
from tests.helpers import eventually
from tests.system import System

_SETTINGS = ROOT / "docs" / "openapi-python-client.yml"


def name_of(service: str) -> str:
    """The package that is generated for a service."""
    return f"fmn_{service}_client"


@pytest.fixture(scope="module")
def generated(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Any]]]:
    """The four packages, importable by their names; what the generator had to say, by service."""
    folder = tmp_path_factory.mktemp("clients")
    said = {}
    for service in SERVICES:
        file = folder / f"{service}.json"
        file.write_bytes(requests.get(f"{system.provided.urls[service]}/openapi.json", timeout=60).content)
        config = Config.from_sources(
            ConfigFile.load_from_path(_SETTINGS),
            meta_type=MetaType.NONE,
            document_source=file,
            file_encoding="utf-8",
            overwrite=True,
            output_path=folder / name_of(service),
        )
        said[service] = list(generate(config=config))
    sys.path.insert(0, str(folder))
    yield said
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.startswith("fmn_")]:
        del sys.modules[name]


class Office:
    """One member of staff, with the generated clients of the four services."""

    def __init__(self, system: System, *roles: str, sub: str) -> None:
        token = system.token(*roles, sub=sub)
        self._clients = {
            service: self._package(service).AuthenticatedClient(
                base_url=system.provided.urls[service],
                token=token,
                timeout=importlib.import_module("httpx").Timeout(30),
                raise_on_unexpected_status=True,
                httpx_args={"trust_env": False},
            )
            for service in SERVICES
        }

    @staticmethod
    def _package(service: str) -> ModuleType:
        return importlib.import_module(name_of(service))

    def ask(self, service: str, operation: str, *ids: Any, **arguments: Any) -> Any:
        """The parsed answer of one operation, `group.name`."""
        module = importlib.import_module(f"{name_of(service)}.api.{operation}")
        return module.sync_detailed(*ids, client=self._clients[service], **arguments).parsed


def models(service: str) -> Any:
    return importlib.import_module(f"{name_of(service)}.models")


def test_a_client_of_each_service_is_generated_whole(generated: dict[str, list[Any]]) -> None:
    assert {service: [f"{e.header}: {e.detail}" for e in said] for service, said in generated.items()} == {
        service: [] for service in SERVICES
    }


def intake(m: Any, version: str) -> Any:
    now = datetime.now(UTC)
    return m.IntakeIn(
        case=m.IntakeCase(channel=m.IntakeCaseChannel.PHONE),
        consent=m.IntakeConsent(
            given_by=m.IntakeGivenBy(
                name="Żaneta Okonkwo-Łukasik", person=0, capacity=m.IntakeGivenByCapacity.PARENTAL_RESPONSIBILITY
            ),
            channel=m.IntakeConsentChannel.PHONE,
            informed_at=now - timedelta(minutes=4),
            given_at=now,
            statement_version=version,
            purposes=[m.LimitedPurpose(purpose=m.LimitedPurposePurpose.CASEWORK)],
        ),
        people=[
            m.IntakePerson(
                role=m.IntakePersonRole.PARENT,
                given_name="Żaneta",
                family_name="Okonkwo-Łukasik",
                address=["14 Dolphin Terrace", "Marlow Vale", "SW1A 1AA"],
            )
        ],
    )


def test_generated_clients_tell_the_story_of_a_family_from_intake_to_certificate(
    system: System, generated: dict[str, list[Any]]
) -> None:
    case, document, consent, notifier = (models(service) for service in SERVICES)
    worker = Office(system, "caseworker", sub="worker-one")
    colleague = Office(system, "caseworker", sub="worker-two")
    # Given a family that agreed on the phone
    statement = worker.ask("consent", "statement.get_statement")
    body = intake(consent, statement.version)
    taken = worker.ask("consent", "intake.take_in", body=body, idempotency_key="story-1")
    again = worker.ask("consent", "intake.take_in", body=body, idempotency_key="story-1")
    assert (taken.id, taken.case.people[0].family_name) == (again.id, "Okonkwo-Łukasik")
    eventually(lambda: worker.ask("case", "cases.read_case", taken.id).state is case.CaseOutState.OPEN)
    # And a child, added and corrected
    child = case.PersonIn(role=case.PersonInRole.CHILD, given_name="Zbynek", family_name="Okonkwo-Łukasik")
    added = worker.ask("case", "people.add_person", taken.id, body=child)
    unread = worker.ask(
        "case", "people.change_person", taken.id, added.id, body=case.PersonPatch(given_name="Zbyněk"), if_match='"9"'
    )
    assert (unread.type_, unread.status) == ("urn:fmn:problem:changed", 412)
    corrected = worker.ask(
        "case", "people.change_person", taken.id, added.id, body=case.PersonPatch(given_name="Zbyněk"), if_match='"1"'
    )
    assert corrected.given_name == "Zbyněk"
    # And a scan of their plan
    scan = samples.pdf_scan()
    filed = worker.ask(
        "document",
        "documents.file_document",
        taken.id,
        body=document.DocumentForm(
            kind=document.DocumentFormKind.EHC_PLAN,
            source="family",
            file=importlib.import_module(f"{name_of('document')}.types").File(
                payload=io.BytesIO(scan), file_name="plan.pdf", mime_type="application/pdf"
            ),
        ),
    )
    assert (filed.size, filed.state) == (len(scan), document.DocumentOutState.ACCEPTED)
    assert worker.ask("document", "content.read_content", filed.id).payload.read() == scan
    # And a letter that has gone
    made = worker.ask(
        "notifier",
        "notifications.send_notification",
        body=notifier.NewNotification(
            case_id=taken.id,
            person_id=taken.case.people[0].id,
            template="opening",
            values=notifier.NewNotificationValues(),
        ),
    )
    eventually(
        lambda: (
            worker.ask("notifier", "notifications.read_notification", made.id).status
            is notifier.NotificationOutStatus.DELIVERED
        )
    )
    # When they ask to be forgotten, and a colleague confirms it
    asked = worker.ask(
        "consent",
        "requests.log_request",
        body=consent.RequestIn(
            kind=consent.RequestInKind.ERASURE,
            case_id=taken.id,
            received_at=datetime.now(UTC),
            channel=consent.RequestInChannel.PHONE,
            made_by=consent.MadeBy(name="Żaneta Okonkwo-Łukasik", authority=consent.MadeByAuthority.SELF),
        ),
    )
    checked = consent.ConfirmationIn(checked=list(consent.ConfirmationInCheckedItem))
    refused = worker.ask("consent", "requests.confirm_request", asked.id, body=checked)
    assert refused.type_ == "urn:fmn:problem:forbidden"
    assert colleague.ask("consent", "requests.confirm_request", asked.id, body=checked).id == asked.id
    # Then it is completed, the case is gone, and anyone can verify the certificate
    eventually(
        lambda: worker.ask("consent", "requests.get_request", asked.id).status is consent.RequestOutStatus.COMPLETED
    )
    gone = worker.ask("case", "cases.read_case", taken.id)
    assert (gone.type_, gone.status) == ("urn:fmn:problem:erased", 410)
    receipts = worker.ask("consent", "requests.list_receipts", asked.id).items
    assert all(store.remaining == 0 for receipt in receipts for store in receipt.stores)
    certificate = worker.ask("consent", "requests.get_certificate", asked.id)
    assert verified(system, certificate)["kept_promise"] is True


def verified(system: System, certificate: str) -> Any:
    """What the certificate says, once its signature fits the published keys."""
    published = requests.get(f"{system.provided.urls['consent']}/.well-known/jwks.json", timeout=30).json()["keys"]
    keys = {jwk["kid"]: OKPKey.import_key(jwk) for jwk in published}
    opened = jws.deserialize_compact(
        certificate, lambda found: keys[found.headers()["kid"]], algorithms=["EdDSA", "Ed25519"]
    )
    return json.loads(opened.payload)


def test_the_settings_that_the_clients_are_generated_with_are_those_of_the_page() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert Path(_SETTINGS).relative_to(ROOT).as_posix() in page
