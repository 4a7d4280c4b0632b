"""The embedded stack with its real servers: start and stop, crash and return, two side by side, names of one's own."""

from __future__ import annotations

import io
import os
import re
import signal
import smtplib
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pymongo import MongoClient

from deploy.local import mongo
from deploy.local.errors import AlreadyRunning, PortTaken
from deploy.local.places import PROJECT, Ports, from_environment, places
from deploy.local.processes import leftovers
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from shared.events import SERVICES
from shared.ids import new_id
from tests.service.accounts_rig import mongo_of, secret, store_of

_SPAN = 100
_NAMES = "embedded"
# They share one set of names on the run's servers.
pytestmark = [pytest.mark.xdist_group("embedded-stack"), pytest.mark.embedded]


def a_port_base() -> int:
    """A hundred ports of which none is in use."""
    offset = os.getpid() % 50 * _SPAN  # two runs at once begin to look in different places
    for base in range(20000 + offset, 32000, _SPAN):
        if all(_is_free(port) for port in Ports(base=base).servers.values()):
            return base
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def a_stack(root: Path) -> Stack:
    """A stack of its own that uses the packages which the project's own stack has unpacked."""
    return Stack(root, a_port_base(), packages=places(from_environment()[0]).packages)


@pytest.fixture(scope="module")
def one(stack: Stack) -> Iterator[Provision]:
    yield stack.provision(_NAMES)
    stack.deprovision(_NAMES)


def test_everything_listens_on_loopback_alone(stack: Stack) -> None:
    ours = set(stack.ports.servers.values())
    seen = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].rpartition(":")
            if fields[3] == "0A" and int(port, 16) in ours:
                seen.add(int(port, 16))
                assert address in ("0100007F", "00000000000000000000000001000000"), f"port {int(port, 16)}"
    assert seen == ours


def test_no_password_can_be_seen_in_the_list_of_processes(stack: Stack, one: Provision) -> None:
    secrets = [path.read_text() for path in stack.places.admin.iterdir()]
    secrets += [secret(one, service, "mongo-password") for service in SERVICES]
    for pid in leftovers(stack.places.root):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        assert not [True for each in secrets if each in command]


def test_every_file_of_the_run_folder_is_its_owners_alone(stack: Stack, one: Provision) -> None:
    for path in stack.places.run.rglob("*"):
        with suppress(FileNotFoundError):  # other tests drop names meanwhile
            assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
    assert one.run == stack.places.run / _NAMES


def test_a_transaction_works_and_lives_three_seconds_at_most(stack: Stack, one: Provision) -> None:
    with mongo_of(one, "case") as client, client.start_session() as session, session.start_transaction():
        client[f"{_NAMES}_case"]["probes"].insert_one({"n": 1}, session=session)
    with mongo.admin_client(stack.places, stack.ports) as admin:
        answer = admin.admin.command("getParameter", transactionLifetimeLimitSeconds=1)
        settings = admin.admin.command("getCmdLineOpts")["parsed"]["storage"]["wiredTiger"]
    assert answer["transactionLifetimeLimitSeconds"] == 3
    assert settings["collectionConfig"] == {"blockCompressor": "none"}
    assert settings["engineConfig"]["journalCompressor"] == "none"


def test_another_process_can_provision_on_a_stack_that_is_up(stack: Stack) -> None:
    attached = Stack(stack.places.root, stack.ports.base).attach()

    provided = attached.provision("visitor")
    attached.stop()

    assert stack.is_up()
    with mongo_of(provided, "notifier") as client:
        client["visitor_notifier"]["probes"].insert_one({"n": 1})
    stack.deprovision("visitor")


def test_mail_is_written_as_its_recipient_has_it_accents_included(stack: Stack) -> None:
    to = f"żółw-{new_id()}@example.org"
    with smtplib.SMTP("127.0.0.1", stack.ports["smtp"]) as client:
        message = "Subject: Zażółć\r\n\r\ngęślą jaźń\r\n".encode()
        options = ["SMTPUTF8", "BODY=8BITMIME"]
        client.sendmail("office@example.org", [to], message, mail_options=options)
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("office@example.org", ["refuses-all@example.org"], message)

    # Other tests' mail lies beside it.
    (written,) = [path for path in stack.places.mail.iterdir() if to.encode() in path.read_bytes()]
    assert message.strip() in written.read_bytes()
    assert written.suffix == ".eml"


def test_a_second_start_in_the_same_folder_is_refused_and_disturbs_nothing(stack: Stack) -> None:
    with pytest.raises(AlreadyRunning, match="FMN_LOCAL"):
        Stack(stack.places.root, a_port_base()).start_servers()

    assert stack.is_up()


def test_a_second_stack_on_the_same_ports_is_refused_by_naming_the_owner(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(PortTaken) as refused:
        Stack(tmp_path, stack.ports.base, packages=stack.places.packages).start_servers()

    named = re.search(r"\(for mongodb\) is held by process (\d+) \(", str(refused.value))
    assert named is not None
    assert Path(f"/proc/{named[1]}/exe").resolve().name == "mongod"
    assert int(named[1]) in leftovers(stack.places.root)
    assert leftovers(tmp_path) == []


def test_a_second_stack_runs_beside_it_and_returns_with_its_data_after_a_crash(stack: Stack, tmp_path: Path) -> None:
    """One test of three, since each start takes seconds: side by side; killed with -9; back, on other ports too."""
    beside = a_stack(tmp_path)
    script = (
        "import sys, time; from pathlib import Path; from deploy.local.stack import Stack\n"
        "root, base, packages = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])\n"
        "s = Stack(root, base, packages=packages); s.start_servers(); s.provision('kept')\n"
        "print('up', flush=True); time.sleep(300)"
    )
    arguments = [str(tmp_path), str(beside.ports.base), str(beside.places.packages)]
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == "up\n"
    assert stack.is_up()
    with MongoClient((tmp_path / "run/kept/secrets/case/mongo-url").read_text()) as client:
        client["kept_case"]["probes"].insert_one({"n": 7})

    supervisor.kill()
    supervisor.wait()
    for pid in leftovers(tmp_path):
        with suppress(ProcessLookupError):  # a program ends with its keeper
            os.kill(pid, signal.SIGKILL)  # and the keepers too: nothing may depend on an orderly end
    moved = Stack(tmp_path, beside.ports.base + 2 * _SPAN, packages=beside.places.packages)
    assert moved.ports != beside.ports
    with moved:
        moved.start_servers()
        provided = moved.provision("kept")
        with mongo_of(provided, "case") as client:
            assert client["kept_case"]["probes"].find_one({}, {"_id": 0}) == {"n": 7}
        store_of(moved, provided, "document").put_object("kept-document", "a/b/1", io.BytesIO(b"first"), 5)
        began = time.monotonic()
    # Promised: an orderly end of the whole stack takes ten seconds at most.
    assert time.monotonic() - began < 10
    assert leftovers(tmp_path) == []
    for ports in (beside.ports, moved.ports):
        assert not list(Path("/tmp").glob(f"seaweedfs-*-{ports['s3-grpc']}.sock"))
    assert stack.is_up()
