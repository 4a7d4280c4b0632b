"""Transports: a real folder and real mail servers, and for each failure what to do next."""

import email as email_parser
import email.policy
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.notifier.letters import Email
from services.notifier.transports import (
    Attachment,
    Refused,
    TryAgain,
    Unknown,
    letters_waiting,
    parse_relay,
    print_letter,
    printer_folder,
    send_email,
)

NOW = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)
NAME = "019aa7c4-7d2e-7c1b-9f10-3a5d6c7e8f90"
MAIL = Email(
    subject="A letter for you",
    text="Dear Zoë,\n\n.a line that starts with a dot\n..\n" + "x" * 2000 + "\nDiolch, Łódź\n.\n",
    html="<p>Dear Zoë,</p>\n.\n<p>Diolch, Łódź</p>\n",
)


class _Mailbox:
    """A real server's handler that keeps what it accepts, and answers as it is told to."""

    def __init__(self, *, sender: str = "", mailbox: str = "", data: str = "250 OK") -> None:
        self.sender, self.mailbox, self.data = sender, mailbox, data
        self.kept: list[Any] = []

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.sender or "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if not self.mailbox:
            envelope.rcpt_tos.append(address)
        return self.mailbox or "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.kept.append(envelope)
        if self.data == "drop":
            server.transport.abort()
        return self.data


@contextmanager
def a_server(handler: _Mailbox, **options: Any) -> Iterator[str]:
    controller = Controller(handler, hostname="127.0.0.1", port=_free_port(), **options)
    controller.start()
    try:
        yield f"smtp://127.0.0.1:{controller.port}"
    finally:
        controller.stop()


@contextmanager
def a_silent_end(*answers: bytes) -> Iterator[str]:
    """A server that gives these answers one by one, each to one command or body, then hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            for answer in answers:
                connection.sendall(answer)
                if not connection.recv(65536):
                    return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"smtp://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(timeout=6)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def send(smtp_url: str, **changes: Any) -> None:
    options: dict[str, Any] = {
        "plain_allowed": True,
        "message_id": NAME,
        "sender": "office@northvale.example",
        "to": "zoe@family.example",
        "email": MAIL,
        "now": NOW,
        "answer_seconds": 3.0,
        "last_answer_seconds": 3.0,
    }
    send_email(smtp_url=smtp_url, **{**options, **changes})


def test_an_email_arrives_whole_with_headers_that_name_nobody_but_its_ends() -> None:
    box = _Mailbox()
    with a_server(box) as url:
        send(url, sender_name="Gwasanaeth Caffè")
    (envelope,) = box.kept
    assert (envelope.mail_from, envelope.rcpt_tos) == ("office@northvale.example", ["zoe@family.example"])
    message = email_parser.message_from_bytes(envelope.content, policy=email.policy.default)
    assert message["Message-ID"] == f"<{NAME}@northvale.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Subject"] == "A letter for you"
    assert message["From"] == "Gwasanaeth Caffè <office@northvale.example>"
    assert message["Date"].datetime == NOW
    assert message.get_content_type() == "multipart/alternative"
    plain, html = message.iter_parts()
    assert plain.get_content().replace("\r\n", "\n") == MAIL.text
    assert html.get_content().replace("\r\n", "\n") == MAIL.html
    assert {part.get_content_charset() for part in (plain, html)} == {"utf-8"}
    assert max(len(line) for line in envelope.content.split(b"\r\n")) < 998


def test_an_attached_file_arrives_whole_beside_both_forms_of_the_words() -> None:
    box, content = _Mailbox(), bytes(range(256)) * 9 + b"\n.\n"
    with a_server(box) as url:
        send(url, attached=Attachment(name="head.jws", media_type="application/jose", content=content))
    message = email_parser.message_from_bytes(box.kept[0].content, policy=email.policy.default)
    assert message.get_content_type() == "multipart/mixed"
    words, file = message.iter_parts()
    assert [part.get_content_type() for part in words.iter_parts()] == ["text/plain", "text/html"]
    assert next(words.iter_parts()).get_content().replace("\r\n", "\n") == MAIL.text
    assert (file.get_content_type(), file.get_filename()) == ("application/jose", "head.jws")
    assert file.get_content() == content


def test_an_address_with_accents_goes_by_smtputf8_and_a_domain_in_ascii() -> None:
    box = _Mailbox()
    with a_server(box, enable_SMTPUTF8=True) as url:
        send(url, to="zoë@caffè.example")
    assert box.kept[0].rcpt_tos == ["zoë@xn--caff-8oa.example"]
    assert "SMTPUTF8" in box.kept[0].mail_options
    assert "zoë@" in box.kept[0].content.decode("utf-8")


@pytest.mark.parametrize("to", ["user@faß.example", "user@FAẞ.Example", "user@xn--fa-hia.example"])
def test_mail_goes_to_the_domain_that_was_meant_and_not_to_one_that_idna_2003_makes_of_it(to: str) -> None:
    box = _Mailbox()
    with a_server(box, enable_SMTPUTF8=False) as url:
        send(url, to=to)
        send(url, to="user@fass.example")
    assert [envelope.rcpt_tos for envelope in box.kept] == [["user@xn--fa-hia.example"], ["user@fass.example"]]
    assert b"user@xn--fa-hia.example" in box.kept[0].content.split(b"\r\n\r\n")[0]
    assert parse_relay("smtp://mail.faß.example", plain_allowed=True).host == "mail.xn--fa-hia.example"


def test_a_relay_without_smtputf8_refuses_an_address_with_accents() -> None:
    box = _Mailbox()
    with a_server(box, enable_SMTPUTF8=False) as url, pytest.raises(Refused):
        send(url, to="zoë@family.example")
    assert box.kept == []


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"mailbox": "550 no such mailbox <zoe@family.example>"}, Refused),
        ({"mailbox": "450 busy"}, TryAgain),
        ({"sender": "553 not you"}, Refused),
        ({"sender": "451 later"}, TryAgain),
        ({"data": "554 looks like spam"}, Refused),
        ({"data": "452 disk full"}, TryAgain),
        ({"data": "drop"}, Unknown),
    ],
)
def test_each_answer_of_a_relay_says_what_to_do_next(answers: dict[str, str], error: type[Exception]) -> None:
    box = _Mailbox(**answers)
    with a_server(box) as url, pytest.raises(error) as caught:
        send(url)
    assert "zoe" not in str(caught.value)
    assert "zoe" not in repr(caught.value)


HELLO = (b"220 here\r\n", b"250 here\r\n", b"250 ok\r\n", b"250 ok\r\n")


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ((), TryAgain),
        ((b"554 go away\r\n",), TryAgain),
        (HELLO[:1], TryAgain),
        (HELLO[:2], TryAgain),
        (HELLO[:3], TryAgain),
        (HELLO, TryAgain),
        ((*HELLO, b"451 not now\r\n"), TryAgain),
        ((*HELLO, b"354 go\r\n"), Unknown),
        ((*HELLO, b"354 go\r\n", b"what?\r\n"), Unknown),
    ],
)
def test_a_connection_lost_before_the_last_dot_may_be_repeated_and_after_it_not(
    answers: tuple[bytes, ...], error: type[Exception]
) -> None:
    with a_silent_end(*answers) as url, pytest.raises(error):
        send(url)


def test_a_relay_that_never_answers_the_whole_email_leaves_it_unknown() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            for answer in (*HELLO, b"354 go\r\n"):
                connection.sendall(answer)
                connection.recv(65536)
            done.wait(5)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with pytest.raises(Unknown):
        send(f"smtp://127.0.0.1:{listener.getsockname()[1]}", last_answer_seconds=0.3)
    done.set()
    thread.join(timeout=6)
    listener.close()


def test_a_relay_that_is_away_is_tried_again() -> None:
    with pytest.raises(TryAgain):
        send(f"smtp://127.0.0.1:{_free_port()}")


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "zoe@family.example\r\nBcc: all@family.example"},
        {"to": "zoe@family.example, other@family.example"},
        {"to": "Zoë <zoe@family.example>"},
        {"to": "zoe"},
        {"to": "zoe@"},
        {"to": "@family.example"},
        {"to": ""},
        {"to": "zoe@family..example"},
        {"to": "zoe@" + "x" * 80 + ".example"},
        {"to": "zoe\ud800@family.example"},
        {"sender": "office@northvale.example\nX: y"},
        {"sender_name": "Office\r\nBcc: all@family.example"},
        {"email": Email(subject="A letter\r\nBcc: all@family.example", text="x", html="x")},
    ],
)
def test_nothing_breaks_out_of_a_header(changes: dict[str, Any]) -> None:
    box = _Mailbox()
    with a_server(box) as url, pytest.raises(Refused) as caught:
        send(url, **changes)
    assert box.kept == []
    assert "family" not in str(caught.value)


def test_a_message_is_named_by_an_id_only() -> None:
    for wrong in ("", "zoe@family.example", "a>\r\nX: y", "ż"):
        with pytest.raises(ValueError, match="notification's id"):
            send("smtp://127.0.0.1:1", message_id=wrong)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for 127.0.0.1, and a client's that trusts it."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    (folder / "cert.pem").write_bytes(
        pem
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem")
    return server, ssl.create_default_context(cadata=pem.decode("ascii"))


def test_starttls_is_used_and_its_certificate_must_hold(certificate: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, trusting = certificate
    box = _Mailbox()
    with a_server(box, tls_context=server, require_starttls=True) as url:
        with pytest.raises(TryAgain, match="certificate"):
            send(url, plain_allowed=False)
        assert box.kept == []
        send(url, plain_allowed=False, tls=trusting)
        send(url.replace("smtp://", "smtp+starttls://"), tls=trusting)
    assert len(box.kept) == 2


def test_smtps_is_used_and_its_certificate_must_hold(certificate: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, trusting = certificate
    box = _Mailbox()
    with a_server(box, ssl_context=server) as plain:
        url = plain.replace("smtp://", "smtps://")
        with pytest.raises(TryAgain, match="certificate"):
            send(url)
        send(url, tls=trusting)
    assert len(box.kept) == 1


def test_a_relay_without_tls_gets_nothing_unless_plain_is_allowed() -> None:
    box = _Mailbox()
    with a_server(box) as url, pytest.raises(TryAgain, match="no TLS"):
        send(url, plain_allowed=False)
    assert box.kept == []


def test_a_wrong_password_is_the_operators_and_not_the_familys(
    certificate: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, trusting = certificate
    box = _Mailbox()

    def check(*asked: Any) -> AuthResult:
        return AuthResult(success=asked[-1].password == b"right:1", handled=False)

    with a_server(box, tls_context=server, authenticator=check, auth_required=True) as plain:
        port = plain.rsplit(":", 1)[1]
        with pytest.raises(TryAgain, match="account"):
            send(f"smtp+starttls://office:wrong@127.0.0.1:{port}", tls=trusting)
        send(f"smtp+starttls://office:right%3A1@127.0.0.1:{port}", tls=trusting)
    assert len(box.kept) == 1


@pytest.mark.parametrize("url", ["", "http://mail.example", "smtp://", "smtp://office:pw@mail.example"])
def test_a_relay_that_cannot_be_right_is_said_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="smtp"):
        parse_relay(url, plain_allowed=True)


def test_a_relays_password_never_shows_itself_by_accident() -> None:
    assert "pw" not in repr(parse_relay("smtps://office:pw@mail.example", plain_allowed=False))


def test_a_letter_is_in_the_printers_folder_whole_and_alone(tmp_path: Path) -> None:
    assert print_letter(printer_url=tmp_path.as_uri(), name=NAME, pdf=b"%PDF-one")
    assert [file.name for file in tmp_path.iterdir()] == [f"{NAME}.pdf"]
    assert (tmp_path / f"{NAME}.pdf").read_bytes() == b"%PDF-one"


def test_a_letter_that_is_there_is_never_printed_again_or_replaced(tmp_path: Path) -> None:
    print_letter(printer_url=tmp_path.as_uri(), name=NAME, pdf=b"%PDF-one")
    assert not print_letter(printer_url=tmp_path.as_uri(), name=NAME, pdf=b"%PDF-two")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"%PDF-one"]


def test_what_a_crash_left_half_written_goes_with_the_next_try(tmp_path: Path) -> None:
    (tmp_path / f".{NAME}.abc.part").write_bytes(b"%PDF-h")
    print_letter(printer_url=tmp_path.as_uri(), name=NAME, pdf=b"%PDF-one")
    assert [file.name for file in tmp_path.iterdir()] == [f"{NAME}.pdf"]


def test_a_crash_before_the_letter_has_its_name_leaves_nothing_in_the_folder(tmp_path: Path) -> None:
    dies = """
import os, signal, sys
from services.notifier.transports import printer
printer._link = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
printer.print_letter(printer_url=sys.argv[1], name=sys.argv[2], pdf=b"%PDF-whole")
"""
    ended = subprocess.run([sys.executable, "-c", dies, tmp_path.as_uri(), NAME], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_what_can_t_be_cleared_away_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / f".{NAME}.abc.part").mkdir()
    with pytest.raises(TryAgain):
        print_letter(printer_url=tmp_path.as_uri(), name=NAME, pdf=b"%PDF-one")


def test_a_printer_that_is_away_or_full_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(TryAgain):
        print_letter(printer_url=(tmp_path / "away").as_uri(), name=NAME, pdf=b"%PDF-one")
    assert not (tmp_path / "away").exists()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TryAgain):
        print_letter(printer_url=(tmp_path / "file").as_uri(), name=NAME, pdf=b"%PDF-one")
    with pytest.raises(TryAgain):  # /proc takes no file from anybody, root or not
        print_letter(printer_url=f"file:///proc/{os.getpid()}", name=NAME, pdf=b"%PDF-one")


def test_two_hands_at_once_make_one_letter(tmp_path: Path) -> None:
    results: list[bool | str] = []

    def hand_over() -> None:
        try:
            results.append(print_letter(printer_url=tmp_path.as_uri(), name=NAME, pdf=b"%PDF" * 50_000))
        except TryAgain:
            results.append("again")

    hands = [threading.Thread(target=hand_over) for _ in range(8)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert results.count(True) == 1
    assert [file.name for file in tmp_path.iterdir()] == [f"{NAME}.pdf"]


def test_letters_that_lie_in_the_printers_folder_are_counted_under_any_name(tmp_path: Path) -> None:
    # Given a letter that was printed long ago, the rest of one that a crash interrupted, and one of today
    print_letter(printer_url=tmp_path.as_uri(), name=NAME, pdf=b"%PDF-one")
    (tmp_path / ".other.abc.part").write_bytes(b"%PDF-two")
    for file in tmp_path.iterdir():
        os.utime(file, (0, (NOW - timedelta(hours=73)).timestamp()))
    print_letter(printer_url=tmp_path.as_uri(), name="of-today", pdf=b"%PDF-three")
    os.utime(tmp_path / "of-today.pdf", (0, NOW.timestamp()))
    # And things that are no letters
    (tmp_path / "done").mkdir()
    os.utime(tmp_path / "done", (0, 0))
    (tmp_path / "link.pdf").symlink_to(tmp_path / "gone")
    # Then only what is older than the moment counts
    assert letters_waiting(tmp_path.as_uri(), before=NOW - timedelta(hours=72)) == 2
    assert letters_waiting(tmp_path.as_uri(), before=NOW - timedelta(hours=74)) == 0
    (tmp_path / f"{NAME}.pdf").unlink()
    assert letters_waiting(tmp_path.as_uri(), before=NOW - timedelta(hours=72)) == 1
    with pytest.raises(OSError, match="away"):
        letters_waiting((tmp_path / "away").as_uri(), before=NOW)


@pytest.mark.parametrize("url", ["", "ipp://printer.example", "file://host/dir", "file:///", "/var/spool", "file:dir"])
def test_only_a_folder_is_a_printer(url: str) -> None:
    with pytest.raises(ValueError, match="folder"):
        printer_folder(url)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "zoe example"])
def test_a_letter_is_named_by_an_id_only(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="notification's id"):
        print_letter(printer_url=tmp_path.as_uri(), name=name, pdf=b"%PDF-one")
    assert list(tmp_path.iterdir()) == []
