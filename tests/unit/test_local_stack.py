"""What the embedded stack says and does before any server runs: ports, leftovers, keepers, secrets."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest

from deploy.local import bootstrap, packages
from deploy.local.errors import AlreadyRunning, PortTaken, StackError
from deploy.local.keeper import OPEN_FILES
from deploy.local.keys import ensure_keys
from deploy.local.machine import free_port, is_free, owner_of, require_free
from deploy.local.places import PROJECT, Ports, places
from deploy.local.processes import MARK, Process, Program, leftovers, running_pid, stop_leftovers
from deploy.local.provision import allocate_ports
from deploy.local.stack import Stack
from deploy.ops.token import mint
from deploy.rabbitmq.definitions import render
from shared.events import SERVICES
from shared.security.signing import PublicKeys
from tests.helpers import PATIENCE_SECONDS, eventually


@contextmanager
def a_listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def a_process(root: Path, script: str, name: str = "probe", grace_s: float = 3) -> Process:
    here = places(root)
    here.make()
    command = ["/bin/sh", "-c", script]
    return Process(Program(name=name, command=command, cwd=root, ready=lambda: True, grace_s=grace_s), here)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def test_a_busy_port_is_refused_with_its_owner_and_the_way_out() -> None:
    with a_listener() as port, pytest.raises(PortTaken) as refused:
        require_free([("mongodb", port), ("amqp", free_port())])

    assert f"Port {port} (for mongodb) is held by process {os.getpid()} (" in str(refused.value)
    assert "FMN_PORT_BASE" in str(refused.value)
    require_free([("mongodb", port)])


def test_an_owner_that_cannot_be_seen_is_said_to_be_so() -> None:
    assert "another user" in owner_of(free_port())


def test_names_that_draw_their_ports_at_once_share_none_though_nothing_listens_yet(tmp_path: Path) -> None:
    # Given so many that by chance some would meet
    here = places(tmp_path)
    names = [f"n{number}" for number in range(60)]
    with ThreadPoolExecutor(12) as threads:
        drawn = list(threads.map(lambda name: allocate_ports(here, name), names))
    ports = [port for each in drawn for port in each.values()]
    assert len(set(ports)) == len(ports) == (len(SERVICES) + 1) * len(names)
    assert json.loads((here.run_of("n7") / "ports.json").read_text()) == drawn[7]
    # Whose ports are drawn again gets others' neither
    again = allocate_ports(here, "n7")
    assert not set(again.values()) & {*ports} - {*drawn[7].values()}


def test_a_port_that_is_listened_on_is_not_free() -> None:
    with a_listener() as port:
        assert not is_free(port)
    assert is_free(port)


def test_no_two_parts_share_a_port_and_two_stacks_a_hundred_apart_do_not_meet() -> None:
    one, other = Ports(base=8400), Ports(base=8500)
    numbers = [*one.servers.values(), *one.services.values()]

    assert len(numbers) == len(set(numbers))
    assert not set(numbers) & {*other.servers.values(), *other.services.values()}


def test_a_second_stack_in_the_same_folder_is_refused_with_a_sentence(tmp_path: Path) -> None:
    first, second = Stack(tmp_path, 20000), Stack(tmp_path, 20000)
    first.places.make()
    first._take_lock()
    try:
        with pytest.raises(AlreadyRunning, match=f"already up in .* \\(process {os.getpid()}\\)"):
            second.start_servers()
    finally:
        first.stop()


def test_stopping_ends_a_helper_that_detached_itself(tmp_path: Path) -> None:
    process = a_process(tmp_path, f"setsid sleep 300 & echo $! > {tmp_path}/helper; sleep 300")
    process.start()
    eventually(lambda: (tmp_path / "helper").exists() and (tmp_path / "helper").read_text().strip(), what="no helper")
    helper = int((tmp_path / "helper").read_text())

    process.stop()

    assert not lives(process.pid)
    assert not lives(helper)
    assert leftovers(tmp_path) == []


def test_a_program_may_open_more_files_than_the_process_that_started_the_stack(tmp_path: Path) -> None:
    process = a_process(tmp_path, f"ulimit -Sn > {tmp_path}/limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        process.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    eventually(lambda: not process.running, what="it never ended")

    assert int((tmp_path / "limit").read_text()) == min(OPEN_FILES, hard) > 512


def test_a_program_that_ignores_sigterm_is_killed_once_its_grace_is_over(tmp_path: Path) -> None:
    process = a_process(tmp_path, "trap '' TERM; touch up; while :; do sleep 0.1; done", grace_s=0.5)
    process.start()
    eventually((tmp_path / "up").exists, what="it never started")
    began = time.monotonic()

    process.stop()

    assert process.exit_code == 128 + signal.SIGKILL
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_nothing_is_left_when_the_supervisor_itself_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.unit.test_local_stack import a_process\n"
        "root = Path(sys.argv[1]); p = a_process(root, 'sleep 300 & sleep 300'); p.start(); print(p.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    assert lives(pid)

    supervisor.kill()
    supervisor.wait()

    eventually(lambda: not leftovers(tmp_path), what="processes outlived their killed supervisor")
    assert not lives(pid)


def test_what_a_crash_left_is_stopped_and_nobody_elses_process(tmp_path: Path) -> None:
    ours = subprocess.Popen(["sleep", "300"], env={MARK: str(tmp_path), "PATH": os.environ["PATH"]})
    others = subprocess.Popen(["sleep", "300"], env={MARK: f"{tmp_path}-other", "PATH": os.environ["PATH"]})
    try:
        eventually(lambda: leftovers(tmp_path) == [ours.pid], what="the process of the crashed run isn't recognised")
        assert stop_leftovers(tmp_path) == 1
        assert ours.wait(PATIENCE_SECONDS) == -signal.SIGTERM
        assert others.poll() is None
    finally:
        for process in (ours, others):
            process.kill()
            process.wait()


def test_a_part_that_is_killed_is_started_again(tmp_path: Path) -> None:
    stack = Stack(tmp_path, free_port())
    part = a_process(tmp_path, "sleep 300")
    part.start()
    stack.services = {part.name: part}
    threading.Thread(target=stack.wait, daemon=True).start()
    first = part.pid
    try:
        os.kill(first, signal.SIGKILL)
        eventually(lambda: part.running and part.pid != first, what="the killed part stays away")
        assert lives(part.pid)
    finally:
        stack.services = {}
        part.stop()


def test_a_part_that_keeps_ending_ends_the_stack_with_its_name(tmp_path: Path) -> None:
    stack = Stack(tmp_path, free_port())
    part = a_process(tmp_path, "exit 3")
    part.start()
    stack.services = {part.name: part}
    with pytest.raises(StackError, match=rf"{part.name} keeps ending \(code 3\)"):
        stack.wait()


def test_a_program_that_ends_while_starting_is_reported_with_its_last_words(tmp_path: Path) -> None:
    here = places(tmp_path)
    here.make()
    command = ["/bin/sh", "-c", "echo the reason; exit 3"]
    process = Process(Program(name="probe", command=command, cwd=tmp_path, ready=lambda: False), here)
    process.start()

    with pytest.raises(StackError, match=r"probe ended while starting \(code 3\)[\s\S]*the reason"):
        process.wait_ready()


def test_a_pid_file_of_a_process_that_is_gone_or_of_another_tells_of_none(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(f"{os.getpid()} 1")

    assert running_pid(tmp_path / "pid") is None
    assert running_pid(tmp_path / "absent") is None


def test_secrets_are_made_once_and_only_their_owner_may_read_them(tmp_path: Path) -> None:
    ensure_keys(tmp_path)
    first = {path: path.read_bytes() for path in (tmp_path / "secrets").rglob("*") if path.is_file()}
    ensure_keys(tmp_path)

    assert first == {path: path.read_bytes() for path in first}
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_public_keys_hold_no_private_half_and_name_service_and_use(tmp_path: Path) -> None:
    entries = json.loads(ensure_keys(tmp_path).read_text())["keys"]

    assert not [entry for entry in entries if "d" in entry]
    uses = {(entry["fmn_service"], entry["fmn_use"]) for entry in entries}
    assert uses == {(service, use) for service in SERVICES for use in ("token", "receipt")} | {
        ("consent", "certificate"),
        ("consent", "consent_receipt"),
        ("consent", "grant"),
        ("consent", "ledger"),
        ("reader", "reading"),
        ("issuer", "issuer"),
    }
    assert PublicKeys(entries).published("receipt")


def test_a_minted_token_is_for_this_system_and_lasts_eight_hours(tmp_path: Path) -> None:
    entries = json.loads(ensure_keys(tmp_path).read_text())["keys"]
    now = datetime.now(UTC)

    token = mint(tmp_path / "secrets" / "issuer" / "issuer.jwk", ["caseworker", "manager"], "worker-7", now)

    issuer = next(entry for entry in entries if entry["fmn_use"] == "issuer")
    claims = jwt.decode(token, jwt.PyJWK(issuer), algorithms=["EdDSA"], audience="forgetmenot", issuer="urn:fmn:local")
    assert (claims["sub"], claims["roles"]) == ("worker-7", ["caseworker", "manager"])
    assert claims["exp"] - claims["iat"] == timedelta(hours=8).total_seconds()


def test_definitions_give_each_account_its_own_queue_and_no_right_to_configure() -> None:
    made = render("abc", {service: "password" for service in SERVICES})

    assert [permission["configure"] for permission in made["permissions"]] == ["^$"] * 4
    assert {permission["user"]: permission["read"] for permission in made["permissions"]} == {
        f"abc-{service}": rf"^fmn\.{service}$" for service in SERVICES
    }
    assert "@" not in json.dumps(made)
    assert {queue["vhost"] for queue in made["queues"]} == {"abc"}


def test_unpacked_scripts_follow_a_folder_that_was_moved(tmp_path: Path) -> None:
    script = tmp_path / "usr/lib/erlang/bin/erl"
    script.parent.mkdir(parents=True)
    script.write_text("ROOTDIR=/usr/lib/erlang\n")

    packages._point_scripts(tmp_path, "")
    assert script.read_text() == f'ROOTDIR="{tmp_path}/usr/lib/erlang"\n'

    script.write_text('ROOTDIR="/old/place/usr/lib/erlang"\n')
    packages._point_scripts(tmp_path, "/old/place")
    assert script.read_text() == f'ROOTDIR="{tmp_path}/usr/lib/erlang"\n'


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("linux", "aarch64")])
def test_a_machine_that_cannot_do_it_gets_one_sentence_that_points_at_compose(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)

    with pytest.raises(SystemExit) as ended:
        bootstrap.require_machine()

    assert "docker compose up" in str(ended.value)
    assert str(ended.value).count(".") == 1


def test_names_that_could_not_name_a_bucket_or_would_hide_a_folder_are_refused(tmp_path: Path) -> None:
    stack = Stack(tmp_path, 20000)

    for name in ("ab", "With-Capitals", "secrets", "a" * 21):
        with pytest.raises(StackError, match="can't name"):
            stack.provision(name)
