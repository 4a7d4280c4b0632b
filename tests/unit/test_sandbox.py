"""What a stranger's file can do to the process that reads it, and what that process can do: as little as may be.

The fork server, its children, their limits and their filter are the real ones; the files are, or have taken over, their
readers (`tests/hostile_jobs.py`).
"""

from __future__ import annotations

import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local.places import PROJECT
from services.document.parsing.attachments import LONGEST_NAME, MOST_ATTACHMENTS
from services.document.parsing.errors import Reason, Unreadable
from services.document.sandbox.errors import Busy, CallerGone, Interrupted, NotConfined
from services.document.sandbox.running import Running
from services.document.sandbox.sandbox import Sandbox
from services.document.upload.spool import Spool
from tests import hostile_jobs
from tests.helpers import eventually
from tests.samples_email import multipart, nested
from tests.samples_office import open_xml, zipped
from tests.unit.test_parsing import GOOD
from tests.unit.test_parsing_office import GOOD as OFFICE
from tests.unit.test_parsing_office import WARNED as OFFICE_WARNED
from tests.unit.test_parsing_photos import GOOD as PHOTOS

TEXT = "What a family sent."
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into these processes")


@pytest.fixture(scope="module")
def hostile() -> Iterator[Sandbox]:
    sandbox = Sandbox(jobs="tests.hostile_jobs", cpu_seconds=1, wait_seconds=60)
    yield sandbox
    sandbox.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path) as made:
        made.write(TEXT.encode())
        yield made


@contextmanager
def a_sandbox(**more: object) -> Iterator[Sandbox]:
    sandbox = Sandbox(jobs="tests.hostile_jobs", **more)  # type: ignore[arg-type]
    try:
        yield sandbox
    finally:
        sandbox.close()


def server_of(sandbox: Sandbox) -> int:
    sandbox.confinement()
    started = sandbox._server._started
    assert started is not None
    return started.process.pid


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def the_one_that_waits(server: int) -> int:
    """The child that is forked ahead, once no other is left."""
    eventually(lambda: len(children_of(server)) == 1)
    return children_of(server)[0]


def is_alive(pid: int) -> bool:
    """A zombie is dead to those who wait for its memory and descriptors; it is looked for apart."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def a_child_that_hangs(sandbox: Sandbox, spool: Spool) -> Iterator[tuple[int, Running]]:
    """A child that has read the file and waits until its output is read: its pid, and the job."""
    with sandbox.stream("hang", spool) as running:
        assert running.read(1)
        yield running.pid, running


def still_works(sandbox: Sandbox, spool: Spool) -> None:
    assert sandbox.run("read", spool) == {"text": TEXT}
    server = server_of(sandbox)
    eventually(lambda: len(children_of(server)) == 1)  # the one that waits for the next file


# What a child may do


def test_a_child_reads_its_file_and_gives_plain_values_back(hostile: Sandbox, spool: Spool) -> None:
    assert hostile.confinement() == "seccomp"
    still_works(hostile, spool)


@pytest.mark.parametrize("what", hostile_jobs.FATAL)
def test_a_child_that_asks_for_more_than_its_file_is_killed(hostile: Sandbox, spool: Spool, what: str) -> None:
    with pytest.raises(Unreadable) as caught:
        hostile.run(what, spool)
    assert caught.value.reason is Reason.BROKEN
    still_works(hostile, spool)


@pytest.mark.parametrize("what", hostile_jobs.REFUSED)
def test_what_libraries_try_is_refused_and_the_child_goes_on(hostile: Sandbox, spool: Spool, what: str) -> None:
    assert hostile.run(what, spool)["said"] in ("PermissionError", "BlockingIOError", "OSError")


def test_the_filter_lets_through_what_it_must_without_a_child(tmp_path: Path) -> None:
    """What is refused above is refused by the confinement, and not by this machine."""
    assert hostile_jobs.JOBS["the password file"](None, {}, None) == {"said": "done"}
    assert hostile_jobs.JOBS["a socket"](None, {}, None) == {"said": "done"}
    assert hostile_jobs.JOBS["a socket in a thread"](None, {}, None) == {"said": "done"}


def test_a_child_may_have_threads_under_the_same_filter(hostile: Sandbox, spool: Spool) -> None:
    """The decoder of HEIC works in one. What is forbidden is forbidden there too: see above."""
    assert hostile.run("a thread", spool) == {"done": None}


# What a child has


@pytest.mark.skipif(os.geteuid() == 0, reason="root looks into every process; the tests below look in as root")
def test_no_process_of_the_same_user_looks_into_a_child_or_its_server(hostile: Sandbox, spool: Spool) -> None:
    with a_child_that_hangs(hostile, spool) as (child, _):
        for pid in (child, server_of(hostile)):
            with pytest.raises(PermissionError):
                Path(f"/proc/{pid}/environ").read_bytes()
            with pytest.raises(PermissionError):
                list(Path(f"/proc/{pid}/fd").iterdir())


@as_root
def test_a_child_has_its_file_two_pipes_and_nothing_else(hostile: Sandbox, spool: Spool) -> None:
    with a_child_that_hangs(hostile, spool) as (child, _):
        open_files = {int(fd.name): os.readlink(fd) for fd in Path(f"/proc/{child}/fd").iterdir()}
        assert {number: name for number, name in open_files.items() if number < 3} == dict.fromkeys(
            range(3), "/dev/null"
        )
        assert sorted(open_files) == [0, 1, 2, 3, 4, 5]
        assert open_files[3].endswith("(deleted)")
        assert open_files[4].startswith("pipe:")
        assert open_files[5].startswith("pipe:")
        flags = re.search(r"flags:\s+(\d+)", Path(f"/proc/{child}/fdinfo/3").read_text())
        assert flags is not None
        assert int(flags[1], 8) & os.O_ACCMODE == os.O_RDONLY


def test_a_child_and_its_server_have_no_environment_and_no_way_out(
    hostile: Sandbox, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FMN_SECRET", "a secret of the environment")
    with a_child_that_hangs(hostile, spool) as (child, _):
        if os.geteuid() == 0:  # others can't look, which a test above says
            for pid in (child, server_of(hostile)):
                assert Path(f"/proc/{pid}/environ").read_bytes() == b""
        status = Path(f"/proc/{child}/status").read_text()
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
        assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
        assert re.search(r"^Threads:\s+1$", status, re.MULTILINE)
        limits = dict(re.findall(r"^(Max [a-z ]+?) {2,}(\S+)", Path(f"/proc/{child}/limits").read_text(), re.MULTILINE))
        assert limits["Max file size"] == limits["Max core file size"] == "0"
        assert limits["Max open files"] == "6"
        assert limits["Max cpu time"] == "1"
        assert int(limits["Max address space"]) < 1024 * 1024 * 1024


def memory_of(pid: int) -> Iterator[bytes]:
    """Everything that a process has in memory and could have written to."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights = line.split()[:2]
            if "r" in rights and "[v" not in line:
                start, end = (int(part, 16) for part in place.split("-"))
                memory.seek(start)
                try:
                    yield memory.read(end - start)
                except OSError:  # a part of a mapping that isn't there
                    continue


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into a child's memory")
def test_a_childs_memory_has_one_key_and_its_servers_none(tmp_path: Path, spool: Spool) -> None:
    secret = random.Random(7).randbytes(32)  # what the process that asks knows, and children mustn't
    with a_sandbox() as sandbox, Spool(tmp_path) as other:
        other.write(b"another family's letter")
        sandbox.run("read", other)
        with a_child_that_hangs(sandbox, spool) as (child, _):
            for pid, expected in ((child, True), (server_of(sandbox), False)):
                whole = b"".join(memory_of(pid))
                assert len(whole) > 10_000_000
                assert (spool.key in whole) is expected
                assert (TEXT.encode() in whole) is expected
                for unknown in (secret, other.key, other.key.hex().encode(), b"another family's letter"):
                    assert unknown not in whole


# What ends a child


def test_a_child_that_computes_without_end_is_ended_by_the_system(hostile: Sandbox, spool: Spool) -> None:
    with pytest.raises(Unreadable) as caught:
        hostile.run("spin", spool)
    assert caught.value.reason is Reason.TOO_MUCH
    still_works(hostile, spool)


def test_a_child_gets_no_more_memory_than_its_limit(spool: Spool) -> None:
    with a_sandbox(memory_bytes=100_000_000) as sandbox:
        with pytest.raises(Unreadable) as caught:
            sandbox.run("eat", spool)
        assert caught.value.reason is Reason.TOO_MUCH
        # What its server had freed and it took over isn't new to it.
        assert 60 < sandbox.run("eat quietly", spool)["megabytes"] < 110
        still_works(sandbox, spool)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("refused", Reason.LOCKED),
        ("aborted", Reason.BROKEN),
        ("segfault", Reason.BROKEN),
        ("failed", None),
        ("silent", None),
        ("nonsense", None),
        ("half an answer", None),
        ("a list", None),
        ("an unknown refusal", None),
        ("a list as its answer", None),
        ("a deep answer", None),
        ("too much", None),
    ],
)
@pytest.mark.parametrize("megabytes", [0, 2])
def test_every_end_of_a_child_is_a_refusal_or_an_interruption(
    hostile: Sandbox,
    spool: Spool,
    capsys: pytest.CaptureFixture[str],
    end: str,
    expected: Reason | None,
    megabytes: int,
) -> None:
    with hostile.stream("make", spool, {"megabytes": megabytes, "end": end}) as running:
        with pytest.raises((Unreadable, Interrupted)) as caught:
            read_on(running)
        with pytest.raises((Unreadable, Interrupted)):
            running.finish()
    assert getattr(caught.value, "reason", None) is expected
    assert "Zo" not in f"{caught.value!r} {caught.value.detail}" + "".join(capsys.readouterr())
    still_works(hostile, spool)


def test_a_child_that_has_told_its_result_is_over(hostile: Sandbox, spool: Spool) -> None:
    with hostile.stream("make", spool, {"megabytes": 1, "end": "well, and goes on"}) as running:
        read_on(running)
        assert running.finish() == {"well": True}
    eventually(lambda: not is_alive(running.pid))
    still_works(hostile, spool)


def test_output_is_pulled_as_it_is_made_and_whole_at_its_end(hostile: Sandbox, spool: Spool) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with hostile.stream("make", spool, {"megabytes": 200, "end": "well"}) as running:
        made = sum(len(piece) for piece in iter(lambda: running.read(1_000_000), b""))
        assert running.finish() == {"well": True}
    assert made == 200_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_what_no_inspection_says_is_not_believed(hostile: Sandbox, spool: Spool) -> None:
    with pytest.raises(Interrupted):
        hostile.inspect(spool)


def test_output_that_is_not_wanted_any_more_ends_its_child(hostile: Sandbox, spool: Spool) -> None:
    with hostile.stream("make", spool, {"megabytes": 1_000, "end": "well"}) as running:
        assert running.read(10)
        child = running.pid
    assert not is_alive(child)
    still_works(hostile, spool)


@pytest.mark.parametrize("seed", range(8))
def test_a_child_that_is_killed_at_any_moment_is_an_interruption(hostile: Sandbox, spool: Spool, seed: int) -> None:
    server, chance = server_of(hostile), random.Random(seed)
    waits = the_one_that_waits(server)  # it gets the job

    def kill() -> None:
        time.sleep(chance.random() * 0.02)
        os.kill(waits, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises((Interrupted, Unreadable)) as caught:
        hostile.run("spin", spool)
    killer.join()
    # Where it was killed before it got the job, another one did it, which computes without end.
    assert isinstance(caught.value, Interrupted) or caught.value.reason is Reason.TOO_MUCH
    still_works(hostile, spool)


def test_a_child_that_is_killed_while_it_waits_costs_the_next_file_nothing(hostile: Sandbox, spool: Spool) -> None:
    server = server_of(hostile)
    waits = the_one_that_waits(server)
    os.kill(waits, signal.SIGKILL)
    eventually(lambda: children_of(server) == [])
    still_works(hostile, spool)
    assert server_of(hostile) == server


def read_on(running: Running) -> None:
    while running.read(1_000_000):
        pass


def test_a_child_that_is_stopped_is_killed_when_its_time_is_up(spool: Spool) -> None:
    with a_sandbox(wall_seconds=1) as sandbox:
        with a_child_that_hangs(sandbox, spool) as (child, running):
            os.kill(child, signal.SIGSTOP)
            with pytest.raises(Interrupted):
                read_on(running)
        assert not is_alive(child)
        still_works(sandbox, spool)


def test_a_child_that_has_used_its_time_when_that_is_up_had_too_much_to_read(spool: Spool) -> None:
    with a_sandbox(wall_seconds=5, cpu_seconds=1_000) as sandbox:
        sandbox._server.cpu_seconds = 0.1  # of which half is enough, whatever else keeps this machine busy
        with pytest.raises(Unreadable) as caught:
            sandbox.run("spin", spool)
        assert caught.value.reason is Reason.TOO_MUCH
        still_works(sandbox, spool)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_fork_server_that_ends_or_hangs_is_started_anew(spool: Spool, number: signal.Signals) -> None:
    with a_sandbox(wall_seconds=2) as sandbox:
        server = server_of(sandbox)
        with a_child_that_hangs(sandbox, spool) as (child, running):
            os.kill(server, number)
            if number == signal.SIGSTOP:
                os.kill(child, number)
            with pytest.raises(Interrupted):
                read_on(running)
        eventually(lambda: not is_alive(child))
        still_works(sandbox, spool)
        assert server_of(sandbox) != server
        assert not Path(f"/proc/{server}").exists()  # not as a zombie either


def test_a_fork_server_that_hangs_before_it_forks_is_started_anew(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.document.sandbox.server._FORK_SECONDS", 3)
    with a_sandbox() as sandbox:
        server = server_of(sandbox)
        os.kill(server, signal.SIGSTOP)
        still_works(sandbox, spool)
        assert not Path(f"/proc/{server}").exists()


def test_a_fork_server_that_died_between_two_files_costs_neither(hostile: Sandbox, spool: Spool) -> None:
    server = server_of(hostile)
    os.kill(server, signal.SIGKILL)
    eventually(lambda: not is_alive(server))  # it has much memory to give back first
    still_works(hostile, spool)


def test_the_signals_that_end_a_service_leave_the_fork_server_to_its_service(hostile: Sandbox, spool: Spool) -> None:
    server = server_of(hostile)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(server, number)
    still_works(hostile, spool)
    assert server_of(hostile) == server


def test_a_caller_that_goes_away_ends_its_child(hostile: Sandbox, spool: Spool) -> None:
    ours, its = socket.socketpair()
    with ours, its, hostile.stream("hang", spool, caller=ours.fileno()) as running:
        its.close()
        with pytest.raises(CallerGone):
            read_on(running)
        assert not is_alive(running.pid)
    still_works(hostile, spool)


def test_a_process_that_is_killed_takes_its_children_with_it(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from services.document.sandbox.sandbox import Sandbox\n"
        "from services.document.upload.spool import Spool\n"
        "spool = Spool(pathlib.Path(sys.argv[1])); spool.write(b'x')\n"
        "sandbox = Sandbox(jobs='tests.hostile_jobs')\n"
        "with sandbox.stream('hang', spool) as running:\n"
        "    running.read(1); print(running.pid, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        (server,) = children_of(process.pid)
        assert child in children_of(server)
        process.kill()
    eventually(lambda: not is_alive(server) and not is_alive(child))


# How many at once


def test_two_children_run_at_once_and_a_third_waits_and_is_then_turned_away(tmp_path: Path, spool: Spool) -> None:
    with a_sandbox(wait_seconds=0.2) as sandbox, Spool(tmp_path) as other:
        with a_child_that_hangs(sandbox, spool), sandbox.stream("hang", other) as second:
            assert second.read(1)
            assert second.pid in children_of(server_of(sandbox))
            with pytest.raises(Busy) as caught:
                sandbox.run("read", spool)
            assert caught.value.status == 503
            assert "Retry-After" in caught.value.headers
        still_works(sandbox, spool)


def test_who_waits_gets_the_next_place(hostile: Sandbox, tmp_path: Path) -> None:
    read: list[object] = []

    def ask(number: int) -> None:
        with Spool(tmp_path) as own:
            own.write(f"letter {number}".encode())
            read.append(hostile.run("read", own)["text"])

    callers = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(read, key=str) == sorted(f"letter {number}" for number in range(50))  # each its own, none mixed up


@as_root
def test_nothing_of_a_job_stays_open(hostile: Sandbox, spool: Spool) -> None:
    still_works(hostile, spool)
    server = server_of(hostile)
    before = [len(os.listdir(f"/proc/{pid}/fd")) for pid in (os.getpid(), server)]
    for what in ("read", "a socket", "a thread", "read") * 5:
        try:
            hostile.run(what, spool)
        except Unreadable:
            assert what == "a socket"
    after = [len(os.listdir(f"/proc/{pid}/fd")) for pid in (os.getpid(), server)]
    # The child that waits for the next file has two here and two there, or has just been asked for.
    assert all(now <= then + 4 for now, then in zip(after, before, strict=True))


# Where it can't be had


@pytest.mark.parametrize("jobs", ["tests.no_such_jobs", "tests.helpers"])
def test_without_confinement_no_file_is_read(spool: Spool, jobs: str) -> None:
    sandbox = Sandbox(jobs=jobs)
    for use in (sandbox.confinement, lambda: sandbox.run("read", spool)):
        with pytest.raises(NotConfined):
            use()
    sandbox.close()


def test_the_process_with_the_keys_loads_no_library_that_opens_files() -> None:
    script = (
        "import sys\n"
        "import services.document.main, services.document.api\n"
        "print(*(name for name in ('PIL', 'pikepdf', 'pypdfium2', 'pyseccomp', 'lxml') if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_no_library_loads_anything_late(tmp_path: Path) -> None:
    """A child that has to open a file for it can't."""
    sandbox = Sandbox(jobs="tests.watchful_jobs")
    try:
        for name, (content, media_type, pages) in GOOD.items():
            with Spool(tmp_path) as spool:
                spool.write(content)
                said = sandbox.run("inspect", spool)
                found = {"media_type": media_type, "pages": pages, "warnings": [], "attachments": [], "locked": False}
                assert said == {**found, "loaded": [], "opened": []}, name
                asked = {"media_type": media_type, "page": pages, "width": 100}
                with sandbox.stream("preview", spool, asked) as running:
                    read_on(running)
                    assert running.finish() == {"loaded": [], "opened": []}, name
    finally:
        sandbox.close()


def test_no_library_of_the_other_kinds_loads_anything_late(tmp_path: Path) -> None:
    """Least of all the many character sets in which an email may tell a name."""
    named = [f"Content-Disposition: attachment; filename*={name}''%B1.pdf" for name in ("koi8-r", "big5", "cp1250")]
    email = multipart([(told, b"x") for told in named])
    sandbox = Sandbox(jobs="tests.watchful_jobs")
    try:
        for name, content in {
            **{name: data for name, (data, *_) in {**OFFICE, **OFFICE_WARNED, **PHOTOS}.items()},
            "words": "Łukasz".encode(),
            "old words": b"caf\xe9 and more of them",
            "wide words": "Łukasz".encode("utf-16"),
            "words with a mark": "Łukasz".encode("utf-8-sig"),
            "email": email,
        }.items():
            with Spool(tmp_path) as spool:
                spool.write(content)
                said = sandbox.run("inspect", spool)
                assert (said["loaded"], said["opened"]) == ([], []), name
                if name == "email":
                    assert [one["name"] for one in said["attachments"]] == ["╠.pdf", "\ufffd.pdf", "±.pdf"]
                    with sandbox.stream("attachment", spool, {"number": 1}) as running:
                        read_on(running)
                        assert running.finish() == {"loaded": [], "opened": []}
    finally:
        sandbox.close()


@pytest.mark.parametrize("name", ["a.zip", "many", "deep"])
def test_a_hostile_archive_or_email_ends_as_refused_within_its_limits(tmp_path: Path, name: str) -> None:
    hostile = {
        "a.zip": open_xml(more={"a.zip": zipped({"b.zip": zipped({"c": bytes(50_000_000)})})}),
        "many": multipart([("", b"x")] * 100_000),
        "deep": nested(3_000),
    }
    sandbox = Sandbox()
    try:
        with Spool(tmp_path) as spool:
            spool.write(hostile[name])
            with pytest.raises(Unreadable) as caught:
                sandbox.inspect(spool)
            assert caught.value.reason is Reason.TOO_MUCH
    finally:
        sandbox.close()


def test_all_the_attachments_of_an_email_are_told_whole(tmp_path: Path) -> None:
    name = "\U0001f600" * LONGEST_NAME
    told = f'Content-Disposition: attachment; filename="{name}"'
    sandbox = Sandbox()
    try:
        with Spool(tmp_path) as spool:
            spool.write(multipart([(told, b"x")] * (MOST_ATTACHMENTS - 1)))
            assert [one.name for one in sandbox.inspect(spool).attachments] == [name] * (MOST_ATTACHMENTS - 1)
    finally:
        sandbox.close()
