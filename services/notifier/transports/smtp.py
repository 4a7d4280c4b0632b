"""A mail relay, spoken to by SMTP over verified TLS.

It sends the commands itself instead of calling `smtplib.sendmail`, because what a lost connection means depends on one
byte: before the final dot the mail certainly hasn't gone, after it that can't be known (RFC 5321, 4.2.5).
"""

import contextlib
import smtplib
import ssl
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from services.notifier.letters import Email
from services.notifier.transports.errors import Refused, TryAgain, Unknown
from shared.emails import BadEmail, mailbox_of

#: For each answer but the last one.
ANSWER_SECONDS: Final = 20.0
#: RFC 5321 asks for a long wait after the final dot: giving up early is what makes mail go twice.
LAST_ANSWER_SECONDS: Final = 120.0
_PORTS: Final = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Where mail is handed over, and how: `plain`, `starttls` or `tls`."""

    host: str
    port: int
    security: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that goes with an email. name: in ASCII, without a folder."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


def parse_relay(smtp_url: str, *, plain_allowed: bool) -> Relay:
    """The relay of `smtp://`, `smtp+starttls://` or `smtps://`, `[user:password@]host[:port]`.

    `smtp://` is plain only where that is allowed, and wants STARTTLS otherwise. Raises ValueError.
    """
    parts = urlsplit(smtp_url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("The mail relay must be smtp://, smtp+starttls:// or smtps:// with a host.")
    security = {"smtp": "plain" if plain_allowed else "starttls", "smtps": "tls"}.get(parts.scheme, "starttls")
    if security == "plain" and parts.username:
        raise ValueError("A password never goes over a plain connection: use smtp+starttls:// or smtps://.")
    return Relay(
        host=_ascii_host(parts.hostname),
        port=parts.port or _PORTS[parts.scheme],
        security=security,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _ascii_host(host: str) -> str:
    """A host's name in ASCII (IDNA 2008); the machine's own resolver would do it by IDNA 2003. Raises ValueError."""
    return host if host.isascii() else mailbox_of(f"postmaster@{host}").domain


def send_email(
    *,
    smtp_url: str,
    plain_allowed: bool,
    message_id: str,
    sender: str,
    to: str,
    email: Email,
    now: datetime,
    sender_name: str = "",
    attached: Attachment | None = None,
    tls: ssl.SSLContext | None = None,
    answer_seconds: float = ANSWER_SECONDS,
    last_answer_seconds: float = LAST_ANSWER_SECONDS,
) -> None:
    """Hand one email to the relay; it has accepted it when this returns.

    `message_id` is the notification's id; `sender` and `to` are bare addresses; `tls` replaces the machine's
    own certificate authorities. Raises TryAgain (not sent: relay away or busy, or it refuses us), Refused (not
    sent: the relay won't take this mail, or an address isn't one), Unknown (the answer to the whole mail was
    lost), ValueError for a setting that is wrong.
    """
    relay = parse_relay(smtp_url, plain_allowed=plain_allowed)
    origin, target = _address(sender), _address(to)
    message = _message(message_id, origin, sender_name, target, email, now)
    if attached is not None:
        _attach(message, attached, message_id)
    server = _connected(relay, origin.domain, tls, answer_seconds)
    try:
        _hand_over(
            server,
            message=message,
            origin=origin.addr_spec,
            target=target.addr_spec,
            last_answer_seconds=last_answer_seconds,
        )
    except (OSError, smtplib.SMTPException):
        raise TryAgain("The connection to the mail relay was lost before the email was whole.") from None
    finally:
        _quit(server)


def _address(text: str) -> Address:
    """One bare address, its domain in ASCII (IDNA 2008). Raises Refused, without repeating it."""
    try:
        mailbox = mailbox_of(text)
    except BadEmail:
        raise Refused("That isn't an email address.") from None
    return Address(username=mailbox.local, domain=mailbox.domain)


def _message(
    message_id: str, origin: Address, sender_name: str, target: Address, email: Email, now: datetime
) -> EmailMessage:
    """The email as multipart text and HTML in UTF-8. Raises Refused where a header would break out of its line."""
    if any(unicodedata.category(one) in {"Cc", "Zl", "Zp"} for one in email.subject + sender_name):
        raise Refused("The subject or the sender's name has a line break or a control character in it.")
    if not message_id.isascii() or not message_id.replace("-", "").isalnum():
        raise ValueError("An email is named by its notification's id.")
    if now.tzinfo is None:
        raise ValueError("A time needs its time zone.")
    utf8 = not (origin.addr_spec + target.addr_spec).isascii()
    message = EmailMessage(policy=SMTPUTF8 if utf8 else SMTP)
    message["From"] = Address(display_name=sender_name, addr_spec=origin.addr_spec)
    message["To"] = target
    message["Subject"] = email.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{message_id}@{origin.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday note answers it
    message["X-Auto-Response-Suppress"] = "All"
    # Quoted-printable passes every relay unchanged, whether or not it speaks 8BITMIME.
    message.set_content(email.text, cte="quoted-printable")
    message.add_alternative(email.html, subtype="html", cte="quoted-printable")
    message.set_boundary(f"=_{message_id}")  # "=_" never occurs in quoted-printable text
    return message


def _attach(message: EmailMessage, attached: Attachment, message_id: str) -> None:
    kind, _, subtype = attached.media_type.partition("/")
    message.add_attachment(attached.content, maintype=kind, subtype=subtype, filename=attached.name)
    # Neither boundary begins with the other, and neither occurs in Base64.
    message.set_boundary(f"=__{message_id}")


def _connected(relay: Relay, helo: str, tls: ssl.SSLContext | None, answer_seconds: float) -> smtplib.SMTP:
    """A session with the relay: over TLS unless plain is allowed, logged in where it has a user. Raises TryAgain."""
    context = tls or ssl.create_default_context()
    try:
        if relay.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                relay.host, relay.port, local_hostname=helo, timeout=answer_seconds, context=context
            )
        else:
            server = smtplib.SMTP(relay.host, relay.port, local_hostname=helo, timeout=answer_seconds)
    except ssl.SSLError:
        raise TryAgain("The mail relay's certificate doesn't hold, so nothing was sent.") from None
    except (OSError, smtplib.SMTPException):
        raise TryAgain("The mail relay can't be reached.") from None
    try:
        server.ehlo_or_helo_if_needed()
        if relay.security == "starttls":
            server.starttls(context=context)
            server.ehlo_or_helo_if_needed()
        if relay.user is not None:
            server.login(relay.user, relay.password or "")
    except ssl.SSLError:
        reason = "The mail relay's certificate doesn't hold, so nothing was sent."
    except smtplib.SMTPNotSupportedError:
        reason = "The mail relay offers no TLS or no login that we accept, so nothing was sent."
    except smtplib.SMTPAuthenticationError:
        reason = "The mail relay doesn't accept our account."
    except (OSError, smtplib.SMTPException):
        reason = "The mail relay broke off before it took an email."
    else:
        return server
    server.close()
    raise TryAgain(reason)


def _hand_over(
    server: smtplib.SMTP, *, message: EmailMessage, origin: str, target: str, last_answer_seconds: float
) -> None:
    options = []
    if not (origin + target).isascii():
        if not server.has_extn("smtputf8"):
            raise Refused("The mail relay can't write to an address with such letters in it.")
        server.command_encoding = "utf-8"
        options = ["SMTPUTF8", "BODY=8BITMIME"]
    _expect(server.mail(origin, options), "sender")
    _expect(server.rcpt(target), "mailbox")
    code, _ = server.docmd("DATA")
    _expect((code, b""), "email", wanted=3)
    body = message.as_bytes().replace(b"\r\n.", b"\r\n..")
    if body.startswith(b"."):
        body = b"." + body
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    server.send(body)
    # Up to here the relay can't have taken the mail; from the next byte on it may have.
    try:
        if server.sock is not None:
            server.sock.settimeout(last_answer_seconds)
        server.send(b".\r\n")
        answer = server.getreply()
    except (OSError, smtplib.SMTPException):
        raise Unknown("The mail relay had the whole email, and the connection was lost before it answered.") from None
    if not 200 <= answer[0] < 600:
        raise Unknown("The mail relay had the whole email, and its answer can't be understood.")
    _expect(answer, "email")


def _expect(answer: tuple[int, bytes], what: str, wanted: int = 2) -> None:
    """Nothing, when the answer is of the wanted class; its text isn't repeated, since relays quote addresses."""
    code, _ = answer
    if code // 100 == wanted:
        return
    if code // 100 == 5:
        raise Refused(f"The mail relay refuses the {what} ({code}).")
    raise TryAgain(f"The mail relay won't take the {what} now ({code}).")


def _quit(server: smtplib.SMTP) -> None:
    """Close politely; how the relay answers says nothing about the email any more."""
    with contextlib.suppress(OSError, smtplib.SMTPException):
        if server.sock is not None:
            server.sock.settimeout(2.0)
        server.quit()
    server.close()
