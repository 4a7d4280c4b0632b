"""An office whose servers are lost and brought back from a backup, while its operator runs commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from typer.testing import Result

from deploy.local import mongo, objects
from deploy.local.processes import Process
from deploy.local.provision import Provision, backup_identity
from deploy.local.stack import Stack
from shared.db.objects import ObjectStore
from shared.events import SERVICES
from shared.ids import new_id
from tests.helpers import eventually, start
from tests.operator_commands import command, variables_of
from tests.system import System

#: What a family reads of its case, by every door.
_DOORS = ("", "/people", "/entries", "/documents", "/contacts", "/disclosures", "/paper-files")


@dataclass(frozen=True, kw_only=True)
class Office:
    """Four services on names of their own, and the commands of the operator who runs them."""

    system: System
    folder: Path
    processes: Collection[Process]

    @property
    def provided(self) -> Provision:
        return self.system.provided

    @property
    def stack(self) -> Stack:
        return self.system.stack

    @property
    def identity(self) -> Path:
        return backup_identity(self.provided.run)

    @property
    def ledger_copy(self) -> Path:
        return Path(self.provided.env["consent"]["FMN_LEDGER_COPY"]) / "ledger.jsonl"

    def run(self, *arguments: str) -> Result:
        return command(self.system, *arguments)

    def backs_up(self) -> None:
        done = self.run("backup", str(self.folder))
        assert done.exit_code == 0, done.output

    def archives_its_keys(self) -> None:
        done = self.run("backup", "keys", str(self.folder))
        assert done.exit_code == 0, done.output

    def restores(self) -> Result:
        return self.run("restore", str(self.folder), "--identity", str(self.identity))

    def restores_and_dies(self, at: str) -> tuple[int, str]:
        """Run a restore that kills itself where it calls this function (`module:name`) for the second time, or the
        first where it is called once; its exit code, and what it said.
        """
        module, _, name = at.partition(":")
        script = (
            "import importlib, os, signal\n"
            f"module = importlib.import_module({module!r})\n"
            "calls = []\n"
            f"once = {name!r} in ('replay', 'tell_again', 'complete')\n"
            f"call = getattr(module, {name!r})\n"
            "def act(*args, **more):\n"
            "    calls.append(1)\n"
            "    if once or len(calls) == 2:\n"
            "        os.kill(os.getpid(), signal.SIGKILL)\n"
            "    return call(*args, **more)\n"
            f"setattr(module, {name!r}, act)\n"
            "from deploy.ops.main import app\n"
            f"app(['restore', {str(self.folder)!r}, '--identity', {str(self.identity)!r}])\n"
        )
        environment = dict(os.environ) | variables_of(self.system) | {"PYTHONUNBUFFERED": "1"}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, check=False, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    def sent(self) -> set[str]:
        """Every letter and email that has left the system."""
        return {path.name for path in self.provided.post.glob("*.pdf")} | {
            path.name for path in self.provided.mail.glob("*.eml")
        }

    def told(self, case_id: str) -> dict[str, Any]:
        """All that the APIs say of a case, with the bytes of its documents."""
        read = self.system.caseworker.read
        said: dict[str, Any] = {door: read(f"/cases/{case_id}{door}") for door in _DOORS}
        said["consents"] = read("/consents", case_id=case_id)
        said["content"] = [
            self.system.caseworker.get(f"/documents/{document['id']}/content").content
            for document in said["/documents"]["items"]
        ]
        return said

    def remembered(self, case_id: str) -> dict[str, int]:
        """The doors that don't say that the case is gone, and what they answer. (Paper may still be certified.)"""
        get = self.system.caseworker.get
        answers = {door: get(f"/cases/{case_id}{door}") for door in _DOORS if door != "/paper-files"}
        answers |= {path: get(path, case_id=case_id) for path in ("/consents", "/notifications")}
        return {path: answer.status_code for path, answer in answers.items() if answer.status_code != 410}

    def loses_its_servers(self) -> None:
        """Databases, objects, roots and the live ledger are gone, and new, empty servers are set up in their place."""
        for process in self.processes:
            process.stop()
        names = self.provided.prefix
        with mongo.admin_client(self.stack.places, self.stack.ports) as client:
            for name in client.list_database_names():
                if name.startswith(f"{names}_"):
                    client.drop_database(name)
        store = objects.admin(self.stack.places, self.stack.ports).s3
        bucket = ObjectStore("objects", client=store, bucket=f"{names}-document")
        for key in set(bucket.keys()):
            bucket.purge(key)
        for service in SERVICES:
            for place in self.provided.env[service]["FMN_ROOTS"].split(","):
                shutil.rmtree(place)
        self.stack.provision(names, self.provided.ports)

    def starts(self) -> None:
        start(self.processes)

    def is_open(self) -> bool:
        return self.statuses() == {200}

    def statuses(self) -> set[int]:
        """What the services' APIs answer; 0 of one that is just being started."""
        return {self._status(service) for service in SERVICES}

    def _status(self, service: str) -> int:
        try:
            return self.system.caseworker.call("GET", f"{service}:/readyz").status_code
        except requests.ConnectionError:
            return 0


@contextmanager
def an_office(stack: Stack, folder: Path) -> Iterator[Office]:
    names = f"rs{new_id()[-8:]}".replace("-", "")
    provided = stack.provision(names)
    started = stack.start_services(provided)
    try:
        yield Office(system=System(stack, provided), folder=folder, processes=started.values())
    finally:
        for process in started.values():
            process.stop()
        stack.deprovision(names)


def settled(office: Office) -> None:
    """Every service has said and heard what it had to: nothing waits in an outbox or a queue."""
    from tests.races.inside import an_inside

    with an_inside(office.system) as inside:
        eventually(lambda: not any(inside.rows(service, "outbox") for service in SERVICES))
        eventually(lambda: not any(inside.queued().values()))
