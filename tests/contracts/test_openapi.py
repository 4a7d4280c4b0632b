"""Requests made from each service's own description: whatever they are, none makes it fail."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

from shared.events import SERVICES
from tests.system import System

_QUICKLY = settings(
    max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


@pytest.mark.parametrize("service", SERVICES)
def test_no_request_that_fits_the_description_makes_a_service_fail(service: str, system: System) -> None:
    schema = schemathesis.openapi.from_url(f"{system.provided.urls[service]}/openapi.json")
    token = system.token("caseworker", "manager", "auditor", sub="schemathesis")
    tried = 0
    for found in schema.get_all_operations():
        tried += 1
        _try(found.ok(), token)
    assert tried > 5


def _try(operation: Any, token: str) -> None:
    @_QUICKLY
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {token}"})
        case.validate_response(answer, checks=[not_a_server_error])

    run()
