"""The malware scanner's client, with a real clamd, and with what answers otherwise than clamd does."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from services.document.upload.clamd import Clamd, OverScannersLimit, ScannerAway
from tests import clamd, samples
from tests.clamd import Scanner

pytestmark = pytest.mark.xdist_group("clamd")

STREAM_MAX = 2_000_000  # bytes


@pytest.fixture(scope="module")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scanner]:
    installed = clamd.find()
    if isinstance(installed, str):
        pytest.skip(installed)
    with clamd.running(tmp_path_factory.mktemp("clamd"), installed, stream_max=STREAM_MAX) as started:
        yield started


def test_a_clean_file_has_no_signature(scanner: Scanner) -> None:
    client = Clamd.at(scanner.address)
    client.check()
    for content in (samples.pdf_scan(2), samples.jpeg(), samples.png(), samples.tiff(2), b"x" * STREAM_MAX):
        assert client.signature_in([content]) is None


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (samples.pdf_scan(2) + b"%" + clamd.HARMLESS, clamd.HARMLESS_NAME),
        (clamd.EICAR, clamd.EICAR_NAME),
        (samples.jpeg() + clamd.EICAR, clamd.EICAR_NAME),
    ],
)
def test_malware_is_told_by_the_name_of_its_signature(scanner: Scanner, content: bytes, name: str) -> None:
    pieces = [content[at : at + 1000] for at in range(0, len(content), 1000)]
    # clamd says of a signature that isn't ClamAV's own that it is unofficial.
    assert Clamd.at(scanner.address).signature_in(pieces) == f"{name}.UNOFFICIAL"


@pytest.mark.parametrize("size", [STREAM_MAX + 1, 40_000_000])
def test_a_file_over_the_scanners_limit_is_too_large(scanner: Scanner, size: int) -> None:
    pieces = (bytes(min(250_000, size - at)) for at in range(0, size, 250_000))
    with pytest.raises(OverScannersLimit):
        Clamd.at(scanner.address).signature_in(pieces)


def test_a_scanner_that_is_silent_is_away_in_time(scanner: Scanner) -> None:
    scanner.process.kill(signal.SIGSTOP)
    try:
        with pytest.raises(ScannerAway) as away:
            Clamd.at(scanner.address).signature_in([b"a file"])
        assert away.value.headers["Retry-After"]
    finally:
        scanner.process.kill(signal.SIGCONT)
    assert Clamd.at(scanner.address).signature_in([b"a file"]) is None


@pytest.mark.parametrize("number", [2, 100])
def test_a_scanner_that_falls_silent_in_mid_file_is_away_in_time(scanner: Scanner, number: int) -> None:
    def pieces() -> Iterator[bytes]:
        for place in range(number):
            if place == 1:
                scanner.process.kill(signal.SIGSTOP)
            yield bytes(15_000)

    try:
        with pytest.raises(ScannerAway):
            replace(Clamd.at(scanner.address), seconds=1).signature_in(pieces())
    finally:
        scanner.process.kill(signal.SIGCONT)


def test_what_the_file_raises_comes_through(scanner: Scanner) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a file"
        raise ValueError("the caller is gone")

    with pytest.raises(ValueError, match="the caller is gone"):
        Clamd.at(scanner.address).signature_in(pieces())


def test_a_scanner_on_a_unix_socket_is_reached_too(scanner: Scanner) -> None:
    client = Clamd.at(f"unix:{scanner.socket}")
    client.check()
    assert client.signature_in([clamd.EICAR]) == f"{clamd.EICAR_NAME}.UNOFFICIAL"
    with pytest.raises(ScannerAway):
        Clamd.at(f"unix:{scanner.socket}.not-there").check()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"stream: OK",  # not whole: its end is missing
        b"HTTP/1.1 400 Bad Request\r\n\r\n\0",
        b"stream: OK FOUND it\0",
        b"UNKNOWN COMMAND\0",
        b"stream: Can't allocate memory ERROR\0",
        b"\xff\xfe\0",
        b"x" * 100_000,
    ],
)
def test_what_answers_otherwise_than_clamd_is_away(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer, args=(listener, answer), daemon=True).start()
        client = Clamd(("127.0.0.1", listener.getsockname()[1]), seconds=10)
        with pytest.raises(ScannerAway):
            client.signature_in([b"a file"])


def test_where_nothing_listens_it_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ScannerAway):
        Clamd.at(f"127.0.0.1:{port}").signature_in([b"a file"])


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("clamd:3310", ("clamd", 3310)),
        ("[::1]:3310", ("::1", 3310)),
        ("unix:/run/clamav/clamd.ctl", "/run/clamav/clamd.ctl"),
    ],
)
def test_a_setting_names_a_host_and_port_or_a_socket(setting: str, address: str | tuple[str, int]) -> None:
    assert Clamd.at(setting).address == address


@pytest.mark.parametrize("setting", ["clamd", "clamd:", ":3310", "clamd:0", "clamd:65536", "unix:clamd", "tcp://a:1/"])
def test_any_other_setting_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        Clamd.at(setting)


def _answer(listener: socket.socket, answer: bytes) -> None:
    """Answer as clamd does whether it is there, and otherwise about a file."""
    for end, said in ((b"zPING\0", b"PONG\0"), (b"\0\0\0\0", answer)):
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            # Its whole command, so that what is answered isn't lost with what wasn't read.
            received = b""
            while not received.endswith(end) and (piece := connection.recv(4096)):
                received += piece
            connection.sendall(said)
