"""The four services as Flask apps in this process, for tests that go over their routes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest
from flask import Flask

from deploy.local.provision import Provision
from shared.events import SERVICES


@pytest.fixture(scope="module")
def apps(provided: Provision) -> Iterator[dict[str, Flask]]:
    with pytest.MonkeyPatch.context() as patch:
        made = {}
        for service in SERVICES:
            for name, value in provided.env[service].items():
                patch.setenv(name, value)
            declared = importlib.import_module(f"services.{service}.main").service
            made[service] = declared.app(declared.open("api"))
        yield made
