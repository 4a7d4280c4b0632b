"""Builders of emails, by the standard library as others' programs write them, and by hand."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from email import policy
from email.message import EmailMessage

from tests import samples

DATE = "Mon, 30 Nov 2026 10:00:00 +0000"
HEADERS = f"From: Zo <zo@example.org>\r\nDate: {DATE}\r\nSubject: Plan\r\nMIME-Version: 1.0\r\n"
#: A name that is nowhere else: what must be found in no store, no log and no error.
NAME = "Zoë Featherstonehaugh-Łukasińska’s draft.pdf"

Attached = tuple[str | None, str, bytes]


def email(*attached: Attached, text: str = "Please find attached.\n", html: bool = True, crlf: bool = True) -> bytes:
    """An email with words, and attachments: each its name, its media type and its bytes."""
    made = EmailMessage()
    made["From"], made["To"] = "Zoë Ł <zo@example.org>", "Casework <office@example.org>"
    made["Date"], made["Subject"] = DATE, f"About {samples.SECRET}"
    made.set_content(text)
    if html:
        made.add_alternative(f"<p>{text}</p>", subtype="html")
    for name, media_type, data in attached:
        kind, _, subtype = media_type.partition("/")
        made.add_attachment(data, maintype=kind, subtype=subtype, filename=name)
    return made.as_bytes(policy=policy.SMTP if crlf else policy.default)


def with_inner(inner: bytes) -> bytes:
    """An email that forwards another as an attachment."""
    return multipart([("Content-Type: message/rfc822", inner)])


def multipart(
    parts: Sequence[tuple[str, bytes]],
    *,
    kind: str = "multipart/mixed",
    boundary: str = "b-1",
    close: bool = True,
    before: bytes = b"",
    behind: bytes = b"",
    headers: str = HEADERS,
) -> bytes:
    """An email by hand: each part its headers and its body, as they are."""
    out = f'{headers}Content-Type: {kind}; boundary="{boundary}"\r\n\r\n'.encode() + before
    for told, body in parts:
        headers_of_part = f"{told}\r\n" if told else ""
        out += f"--{boundary}\r\n{headers_of_part}\r\n".encode() + body + b"\r\n"
    return out + (f"--{boundary}--\r\n".encode() if close else b"") + behind


def nested(depth: int) -> bytes:
    """Parts inside one another, that deep."""
    out = b"Content-Type: text/plain\r\n\r\nwords\r\n"
    for level in range(depth):
        mark = f"b-{level}"
        out = f"Content-Type: multipart/mixed; boundary={mark}\r\n\r\n--{mark}\r\n".encode() + out
        out += f"--{mark}--\r\n".encode()
    return HEADERS.encode() + out


def in_base64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")
