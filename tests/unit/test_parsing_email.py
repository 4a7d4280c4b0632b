"""Emails: what they have attached, byte for byte; whole or refused; and hostile ones, which end within limits."""

from __future__ import annotations

import email
import io
import random
import time
from collections.abc import Callable
from email import policy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.document.parsing import email_message
from services.document.parsing.attachments import MOST_ATTACHMENTS, Attachment
from services.document.parsing.errors import Reason
from services.document.parsing.inspection import Inspection
from services.document.parsing.media_types import EMAIL, TEXT
from services.document.upload.spool import Spool
from tests import samples
from tests.samples_email import DATE, HEADERS, NAME, in_base64, multipart, nested, with_inner
from tests.samples_email import email as an_email
from tests.unit.parsing_rig import Look, look_in, reason, status

PLAN = samples.pdf_text("A plan", pages=1)
WORDS = ("", b"Hello")
IN_BASE64 = "Content-Transfer-Encoding: base64\r\nContent-Type: application/pdf; name=a.pdf"


@pytest.fixture
def look(tmp_path: Path) -> Look:
    return look_in(tmp_path)


@pytest.fixture
def part(tmp_path: Path) -> Callable[[bytes, int], bytes]:
    """The bytes of an attachment."""

    def opened(data: bytes, number: int) -> bytes:
        out = io.BytesIO()
        with Spool(tmp_path) as spool:
            spool.write(data)
            email_message.attachment(spool, number, out)
        return out.getvalue()

    return opened


def attachments(look: Look, data: bytes) -> list[tuple[str | None, str, int]]:
    seen = look(data)
    assert (seen.media_type, seen.pages) == (EMAIL, None)
    assert [one.number for one in seen.attachments] == list(range(1, len(seen.attachments) + 1))
    return [(one.name, one.media_type, one.size) for one in seen.attachments]


# What an email has attached


@pytest.mark.parametrize("crlf", [True, False])
def test_an_email_lists_what_it_has_attached_and_gives_each_byte_for_byte(
    look: Look, part: Callable[[bytes, int], bytes], crlf: bool
) -> None:
    picture, inner = samples.jpeg(), an_email(("b.pdf", "application/pdf", PLAN))
    data = an_email((NAME, "application/pdf", PLAN), ("photo.jpg", "image/jpeg", picture), crlf=crlf)
    assert attachments(look, data) == [
        (NAME, "application/pdf", len(PLAN)),
        ("photo.jpg", "image/jpeg", len(picture)),
    ]
    assert [part(data, 1), part(data, 2)] == [PLAN, picture]
    with pytest.raises(LookupError):
        part(data, 3)
    forwarded = with_inner(inner)
    assert attachments(look, forwarded) == [(None, "message/rfc822", len(inner))]
    assert part(forwarded, 1) == inner


def test_an_emails_own_words_are_no_attachment(look: Look) -> None:
    assert attachments(look, an_email()) == []
    assert attachments(look, an_email(html=False)) == []
    plain = f"{HEADERS}\r\nJust words".encode()
    assert attachments(look, plain) == []
    assert attachments(look, b"\xef\xbb\xbf" + plain) == []
    assert attachments(look, b"\r\n" + plain) == []
    assert attachments(look, b"From zo@example.org Mon Nov 30 10:00:00 2026\n" + plain) == []
    assert attachments(look, b"Received: from a by b; " + DATE.encode() + b"\n\nwords") == []


@pytest.mark.parametrize(
    ("told", "name", "media_type"),
    [
        ("Content-Type: text/plain\r\nContent-Disposition: attachment", None, "text/plain"),
        ('Content-Type: text/plain; name="a.txt"', "a.txt", "text/plain"),
        ("Content-Type: image/png\r\nContent-ID: <logo>", None, "image/png"),
        ("Content-Disposition: inline; filename=logo.png\r\nContent-Type: image/png", "logo.png", "image/png"),
        ("Content-Type: application/ms-tnef; name=winmail.dat", "winmail.dat", "application/ms-tnef"),
        ("Content-Type: text/calendar; method=REQUEST", None, "text/calendar"),
        ("Content-Disposition: attachment; filename*=utf-8''Zo%C3%AB.pdf", "Zoë.pdf", "text/plain"),
        ("Content-Disposition: attachment; filename*0*=utf-8''Zo%C3%AB; filename*1=.pdf", "Zoë.pdf", "text/plain"),
        ("Content-Disposition: attachment; filename*=iso-8859-2''%A3.pdf", "Ł.pdf", "text/plain"),
        ('Content-Disposition: attachment; filename="=?utf-8?B?Wm/Dqy5wZGY=?="', "Zoë.pdf", "text/plain"),
        ('Content-Disposition: attachment; filename="Zoë.pdf"', "Zoë.pdf", "text/plain"),
        ('Content-Disposition: attachment;\r\n filename="a\r\n b.pdf"', "a b.pdf", "text/plain"),
        ('Content-Disposition: attachment; filename="gpj\u202eexe.\u0007pdf"', "gpjexe. pdf", "text/plain"),
        ("Content-Type: nonsense; name=a.pdf", "a.pdf", "text/plain"),
        ("Content-Type: APPLICATION/PDF; NAME=a.pdf", "a.pdf", "application/pdf"),
    ],
)  # fmt: skip
def test_names_and_types_are_as_the_email_tells_them(look: Look, told: str, name: str | None, media_type: str) -> None:
    assert attachments(look, multipart([WORDS, (told, b"12345")])) == [(name, media_type, 5)]


def test_an_email_that_is_one_file_has_it_attached(look: Look, part: Callable[[bytes, int], bytes]) -> None:
    data = (HEADERS + IN_BASE64 + "\r\n\r\n").encode() + in_base64(PLAN)
    assert attachments(look, data) == [("a.pdf", "application/pdf", len(PLAN))]
    assert part(data, 1) == PLAN


def test_each_message_of_a_digest_is_attached(look: Look) -> None:
    inner = an_email()
    data = multipart([("", inner), ("", inner)], kind="multipart/digest")
    assert attachments(look, data) == [(None, "message/rfc822", len(inner))] * 2


@pytest.mark.parametrize(
    ("encoding", "body", "content"),
    [
        ("base64", b"SGVs\r\nbG8=\r\n", b"Hello"),
        ("base64", b"SGVsbG8", b"Hello"),
        ("BASE64", b" S G V s bG8 = ", b"Hello"),
        ("base64", b"", b""),
        ("quoted-printable", b"Zo=C3=AB =\r\nand=20so on\r\n", "Zoë and so on\r\n".encode()),
        ("7bit", b"--no-boundary\r\n", b"--no-boundary\r\n"),
        ("8bit", "Zoë".encode(), "Zoë".encode()),
        ("binary", bytes(range(256)), bytes(range(256))),
    ],
)
def test_a_body_is_decoded_as_it_was_written(
    part: Callable[[bytes, int], bytes], encoding: str, body: bytes, content: bytes
) -> None:
    told = f"Content-Transfer-Encoding: {encoding}\r\nContent-Disposition: attachment"
    assert part(multipart([WORDS, (told, body)]), 1) == content


def test_the_standard_library_sees_the_same(look: Look, part: Callable[[bytes, int], bytes]) -> None:
    chance = random.Random(7)
    for _ in range(20):
        attached = [
            (f"{n}.bin" if chance.random() < 0.8 else None, "application/pdf", chance.randbytes(chance.randrange(3000)))
            for n in range(chance.randrange(6))
        ]
        data = an_email(*attached, crlf=chance.random() < 0.5)
        theirs = list(email.message_from_bytes(data, policy=policy.default).iter_attachments())
        assert [name for name, _, _ in attachments(look, data)] == [one.get_filename() for one in theirs]
        assert [part(data, number) for number in range(1, len(theirs) + 1)] == [one.get_content() for one in theirs]


# Whole, or refused


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.0, 1.0, exclude_max=True), crlf=st.booleans())
def test_an_email_cut_anywhere_is_refused(look: Look, share: float, crlf: bool) -> None:
    data = an_email((NAME, "application/pdf", PLAN), crlf=crlf)
    cut = max(data.index(b"Date:") + 60, int(len(data) * share))
    if data[cut:].strip(b"\r\n"):
        assert reason(look, data[:cut]) is Reason.BROKEN


@pytest.mark.parametrize(
    "data",
    [
        multipart([WORDS], close=False),
        multipart([WORDS]).replace(b'boundary="b-1"', b""),
        multipart([WORDS]).replace(b'boundary="b-1"', b'boundary="other"'),
        multipart([WORDS, (IN_BASE64, b"SGVsb*8=")]),
        multipart([WORDS, (IN_BASE64, b"SGVsbG8=SGVs")]),
        multipart([WORDS, (IN_BASE64, b"SGVsb")]),
        HEADERS.encode(),
    ],
    ids=["no end", "no boundary", "another", "no letter", "behind the end", "one letter", "no body"],
)
def test_an_email_of_which_something_is_lost_is_broken(look: Look, data: bytes) -> None:
    assert reason(look, data) is Reason.BROKEN


def test_what_loses_nothing_is_taken(look: Look) -> None:
    inner = b'Content-Type: multipart/mixed; boundary="c"\r\n\r\n--c\r\n\r\nwords\r\n'  # and no closing boundary
    for data in (
        multipart([("", b"words")], before=b"This is a MIME message.\r\n", behind=b"\r\n-- \r\nA footer\r\n"),
        multipart([("Content-Type: text/plain; charset=no-such-set\r\nContent-Transfer-Encoding: base64", b"*")]),
        multipart([(inner.decode().split("\r\n\r\n", 1)[0], inner.split(b"\r\n\r\n", 1)[1])]),
        multipart([("Not a header", b"words")]),
        multipart([WORDS]).replace(b"--b-1\r\n", b"--b-1 \t\r\n"),
        multipart([WORDS]).removesuffix(b"\r\n"),
        multipart([]),
    ):
        assert attachments(look, data) == []


@pytest.mark.parametrize(
    "told",
    [
        "Content-Type: multipart/encrypted; boundary=c; protocol=application/pgp-encrypted",
        "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
    ],
)
def test_an_encrypted_email_is_locked(look: Look, told: str) -> None:
    assert reason(look, f"{HEADERS}{told}\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n".encode()) is Reason.LOCKED


@pytest.mark.parametrize(
    "text",
    [
        "Note: Zo called.\n\nShe asked for the plan.",
        "From: the school\nDate: today\n\nDear all",
        "Received: today\n\nA parcel",
        "From: a@example.org\n\nNo date",
        f"Date: {DATE}\n\nNo one",
        f"A letter\nFrom: a@example.org\nDate: {DATE}\n\n",
    ],
)
def test_a_text_that_only_looks_like_an_email_is_text(look: Look, text: str) -> None:
    assert look(text.encode()) == Inspection(media_type=TEXT, pages=None)


# Hostile


HOSTILE = {
    "many parts": multipart([WORDS] * (MOST_ATTACHMENTS + 1)),
    "deep": nested(200),
    "deeper": nested(5_000),
    "huge headers of a part": multipart([("X: " + "x" * 2_000_000, b"")]),
    "many headers": HEADERS.encode() + b"X: y\r\n" * 400_000 + b"\r\nwords",
    "a long line": multipart([(IN_BASE64, b"A" * 3_000_000)]),
    "a line of quoted-printable": multipart(
        [("Content-Transfer-Encoding: quoted-printable\r\nContent-Disposition: attachment", b"=" * 3_000_000)]
    ),
    "a long field": multipart([(f"Content-Type: a/b; {'x=y;' * 20_000}", b"")]),
    "many parameters": multipart([(f"Content-Disposition: attachment; {'a*0*=x;' * 2_000} filename=b", b"")]),
    "nested comments": multipart([(f"Content-Type: a/b {'(' * 15_000}", b"")]),
    "boundaries alone": multipart([WORDS], before=b"--b-1\r\n" * 100_000),
    "NULs": f"{HEADERS}\r\n".encode() + bytes(1_000_000),
    "surrogates": multipart([('Content-Disposition: attachment; filename*=utf-16\'\'%d8%00', b"x")]),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_email_is_taken_or_refused_within_limits(look: Look, name: str) -> None:
    began = time.process_time()
    assert status(look, HOSTILE[name]) in (201, 415, 422)
    assert time.process_time() - began < 10


def test_more_parts_than_anyone_sends_are_too_much(look: Look) -> None:
    for name in ("many parts", "deep", "deeper", "huge headers of a part", "boundaries alone"):
        assert reason(look, HOSTILE[name]) is Reason.TOO_MUCH
    most = multipart([WORDS, *[("Content-Disposition: attachment", b"x")] * (MOST_ATTACHMENTS - 2)])
    assert len(attachments(look, most)) == MOST_ATTACHMENTS - 2


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), size=st.integers(1, 200))
def test_a_damaged_email_is_taken_or_refused_and_nothing_else(look: Look, seed: int, size: int) -> None:
    chance = random.Random(seed)
    data = bytearray(an_email((NAME, "application/pdf", PLAN), ("b.png", "image/png", b"x" * 99)))
    place = chance.randrange(len(data))
    data[place : place + size] = chance.choice([b"", chance.randbytes(size), b"--", b"\r\n\r\n"])
    assert status(look, bytes(data)) in (201, 415, 422)


@given(told=st.text(max_size=300))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_header_says_a_name_is_one_line_or_none(look: Look, told: str) -> None:
    line = told.replace("\r", "").replace("\n", "")
    seen = look(multipart([WORDS, (f'Content-Disposition: attachment; filename="{line}"', b"x")]))
    for one in seen.attachments:
        assert one.name is None or one.name.isprintable() or not set(one.name) & set("\r\n\0\u202e")
        assert Attachment.of(one.number, {"number": 1, "name": one.name, "media_type": one.media_type, "size": 1})


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 99999999999 Jun 2026 10:00:00 +0000",
        "Mon, 30 Nov 99999999999 10:00:00 +0000",
        "Mon, 31 Feb 2026 10:00:00",
        "",
    ],
)
def test_an_email_without_a_date_that_is_one_is_an_email_by_its_other_fields(look: Look, date: str) -> None:
    told = f"Date: {date}\r\n" if date else ""
    head = f"From: Zoë <zo@example.org>\r\n{told}MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
    assert look(head.encode()).media_type == EMAIL


def test_an_attachment_whose_name_cannot_be_read_is_listed_all_the_same(look: Look) -> None:
    told = "Content-Type: text/plain\r\nContent-Disposition: attachment; filename*=utf-32''%41"
    assert attachments(look, multipart([WORDS, (told, b"x")])) == [(None, "text/plain", 1)]
