"""The four services that are backed up or restored, each with its settings and its own accounts.

In the embedded stack the settings are those that `forgetmenot up` gives the services. In a container they come from the
environment, where `{service}` in FMN_SECRETS and FMN_ROOTS stands for a service's name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from pymongo import MongoClient

from deploy.local.errors import StackError
from deploy.local.provision import environment, prefix_from_environment, service_ports_of
from deploy.local.stack import Stack
from shared.db.keys.roots import Folders
from shared.db.keys.tree import Row
from shared.db.unit_of_work import connect
from shared.events import SERVICES
from shared.ops.settings import Settings, load

_NAME = "forgetmenot operator"
_FROM_NAME = "{service}"
_SETTINGS = ("FMN_SECRETS", "FMN_ROOTS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One service: its settings, as variables too, a connection with its own account, and its roots."""

    service: str
    variables: Mapping[str, str]
    settings: Settings
    client: MongoClient[Row]
    roots: Folders

    @property
    def database(self) -> str:
        return f"{self.settings.names}_{self.service}"

    @property
    def vault(self) -> str:
        return f"{self.database}_vault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """All four, by name."""

    members: Mapping[str, Member]

    def __getitem__(self, service: str) -> Member:
        return self.members[service]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values())

    @property
    def names(self) -> str:
        return self.members["consent"].settings.names


@contextmanager
def opened(variables: Mapping[str, Mapping[str, str]]) -> Iterator[Installation]:
    """Connect to the servers of the services with these settings. Raises SettingsError."""
    with ExitStack() as stack:
        members = {}
        for service in SERVICES:
            with patch.dict(os.environ, variables[service]):
                settings = load()
            members[service] = Member(
                service=service,
                variables=variables[service],
                settings=settings,
                client=stack.enter_context(connect(settings.mongo_url, name=_NAME)),
                roots=Folders(settings.roots),
            )
        yield Installation(members=members)


def in_container() -> bool:
    """Whether the environment names the settings of all services together."""
    return any(_FROM_NAME in os.environ.get(name, "") for name in _SETTINGS)


def variables_here() -> dict[str, dict[str, str]]:
    """The settings of every service of this machine's deployment. Raises StackError where none is set up."""
    if in_container():
        return {
            service: {
                "FMN_SERVICE": service,
                **{name: os.environ.get(name, "").replace(_FROM_NAME, service) for name in _SETTINGS},
            }
            for service in SERVICES
        }
    stack, prefix = Stack.from_environment().attach(), prefix_from_environment()
    if not (stack.places.run_of(prefix) / "ports.json").exists():
        raise StackError(f"Nothing is set up under the names {prefix} in {stack.places.root}.")
    ports = service_ports_of(stack.places, stack.ports, prefix)
    return environment(stack.places, stack.ports, prefix, ports)
