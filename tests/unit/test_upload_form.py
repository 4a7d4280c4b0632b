"""An upload's form, read as it streams in."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import ClientDisconnected

from services.document.upload.errors import BadField, FileTooLarge, Incomplete, MalformedForm, NotAForm
from services.document.upload.form import Form, Limits, read_form
from shared.errors import Problem
from tests.samples import SECRET

BOUNDARY = "----frontier7MA4YWxkTrZu0gW"
CONTENT_TYPE = f'multipart/form-data; boundary="{BOUNDARY}"'
ALLOWED = ("kind", "source", "title", "paper_file_id")
LIMITS = Limits(file_bytes=1_000_000)


def a_body(parts: Sequence[tuple[str, bytes]], *, filename: str = "plan.pdf", extra: str = "") -> bytes:
    """The body a browser would send: `file` gets a filename, other parts don't."""
    out = bytearray()
    for name, content in parts:
        named = f'; filename="{filename}"\r\nContent-Type: application/pdf' if name == "file" else ""
        out += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}{extra}\r\n\r\n'.encode()
        out += content + b"\r\n"
    return bytes(out) + f"--{BOUNDARY}--\r\n".encode()


class Dribble:
    """A connection that hands over as many bytes at a time as it likes; it may break at the end."""

    def __init__(self, body: bytes, sizes: Sequence[int] = (), *, breaks_with: Exception | None = None) -> None:
        self._body = io.BytesIO(body)
        self._sizes = list(sizes)
        self._breaks_with = breaks_with

    def read(self, size: int, /) -> bytes:
        data = self._body.read(min(size, self._sizes.pop(0) if self._sizes else size))
        if not data and self._breaks_with is not None:
            raise self._breaks_with
        return data


def read_all(body: bytes, *, sizes: Sequence[int] = (), limits: Limits = LIMITS) -> tuple[bytes, dict[str, str]]:
    form = read_form(Dribble(body, sizes), CONTENT_TYPE, allowed=ALLOWED, limits=limits)
    content = b"".join(iter(lambda: form.file.read(1000), b""))
    return content, form.finish()


contents = st.one_of(
    st.binary(max_size=3000),
    # What looks like the boundary, but isn't it.
    st.lists(st.sampled_from([b"\r", b"\n", b"--", b"\r\n--", BOUNDARY.encode()[:-1], b"x"])).map(b"".join),
)


@given(
    content=contents,
    title=st.text(max_size=200),
    order=st.permutations(["kind", "source", "title", "file"]),
    sizes=st.lists(st.integers(1, 90), max_size=200),
)
def test_any_order_and_any_split_gives_the_same_form(
    content: bytes, title: str, order: list[str], sizes: list[int]
) -> None:
    values = {"kind": b"ehc_plan", "source": b"family", "title": title.encode(), "file": content}
    body = a_body([(name, values[name]) for name in order])
    assert read_all(body, sizes=sizes) == (content, {"kind": "ehc_plan", "source": "family", "title": title})


@given(share=st.floats(0, 1, exclude_max=True), sizes=st.lists(st.integers(1, 200), max_size=20))
def test_a_body_cut_anywhere_is_incomplete(share: float, sizes: list[int]) -> None:
    body = a_body([("kind", b"report"), ("file", b"scan" * 300), ("source", b"family")])[: -len("--\r\n")]
    with pytest.raises(Incomplete):
        read_all(body[: int(len(body) * share)], sizes=sizes)


@pytest.mark.parametrize("breaks_with", [ConnectionResetError(), ClientDisconnected()])
def test_a_connection_that_breaks_is_incomplete(breaks_with: Exception) -> None:
    stream = Dribble(a_body([("kind", b"report"), ("file", b"scan" * 300)])[:600], breaks_with=breaks_with)
    form = read_form(stream, CONTENT_TYPE, allowed=ALLOWED, limits=LIMITS)
    with pytest.raises(Incomplete):
        form.file.read()
    with pytest.raises(Incomplete):  # and stays so
        form.file.read(1)


def test_the_file_is_pulled_and_not_read_ahead() -> None:
    stream = Dribble(a_body([("kind", b"report"), ("file", b"s" * 900_000), ("source", b"family")]), [1000] * 2000)
    form = read_form(stream, CONTENT_TYPE, allowed=ALLOWED, limits=LIMITS)
    assert form.fields == {"kind": "report"}
    assert form.file.read(10) == b"s" * 10
    assert stream._body.tell() <= 2000
    with pytest.raises(RuntimeError):
        form.finish()


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ([("kind", b"report"), ("source", b"family")], "file"),
        ([], "file"),
        ([("file", b"1"), ("file", b"2")], "file"),
        ([("kind", b"a"), ("file", b"1"), ("kind", b"b")], "kind"),
        ([("kind", b"a"), ("kind", b"b"), ("file", b"1")], "kind"),
        ([("colour", b"a"), ("file", b"1")], "colour"),
        ([("file", b"1"), ("colour", b"a")], "colour"),
        ([("title", b"x" * 8193), ("file", b"1")], "title"),
        ([("file", b"1"), ("title", b"x" * 8193)], "title"),
        ([("title", b"\xff\xfe"), ("file", b"1")], "title"),
        ([(f"{SECRET}, 3 Mill Lane", b"a"), ("file", b"1")], None),
        ([("", b"a"), ("file", b"1")], None),
    ],
)
def test_a_field_that_is_wrong_is_named(parts: list[tuple[str, bytes]], field: str | None) -> None:
    with pytest.raises(BadField) as caught:
        read_all(a_body(parts))
    assert list(caught.value.errors) == ([] if field is None else [field])
    assert caught.value.name == "invalid"


def test_a_field_of_the_greatest_length_is_taken() -> None:
    assert read_all(a_body([("title", b"x" * 8192), ("file", b"1")]))[1] == {"title": "x" * 8192}


def test_a_file_may_be_as_large_as_the_limit_and_not_a_byte_larger() -> None:
    limits = Limits(file_bytes=5000)
    assert len(read_all(a_body([("file", b"x" * 5000)]), limits=limits)[0]) == 5000
    with pytest.raises(FileTooLarge) as caught:
        read_all(a_body([("file", b"x" * 5001)]), limits=limits)
    assert caught.value.name == "too-large"


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=x",
     f"multipart/form-data; boundary={'x' * 71}"],
)  # fmt: skip
def test_a_body_of_another_type_is_not_a_form(content_type: str) -> None:
    with pytest.raises(NotAForm) as caught:
        read_form(Dribble(b""), content_type, allowed=ALLOWED, limits=LIMITS)
    assert caught.value.name == "unsupported-media-type"


@pytest.mark.parametrize(
    "body",
    [
        a_body([(name, b"") for name in ALLOWED] + [("file", b"")] + [("kind", b"")] * 40),
        f"--{BOUNDARY}\r\nX-Long: {'x' * 9000}\r\n\r\n".encode(),
        f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nx\r\n--{BOUNDARY}--".encode(),
        f"--{BOUNDARY}\nContent-Disposition: form-data\n\n".encode(),
        b"x" * 3_000_000,
        a_body([("file", b"1")]) + b"x" * 3_000_000,
    ],
    ids=["parts", "header", "disposition", "line-ends", "preamble", "epilogue"],
)
def test_a_body_that_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises((MalformedForm, BadField)):
        read_all(body)


def test_too_many_parts_are_refused_before_they_are_read() -> None:
    with pytest.raises(MalformedForm):
        read_all(a_body([("kind", b""), ("source", b""), ("file", b"")]), limits=Limits(file_bytes=10, parts=2))


def test_a_transfer_encoding_is_refused_rather_than_kept() -> None:
    with pytest.raises(BadField):
        read_all(a_body([("file", b"eA==")], extra="\r\nContent-Transfer-Encoding: base64"))


def a_titled_body(title: bytes, content_type: str) -> bytes:
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="title"\r\nContent-Type: {content_type}\r\n\r\n'
    return part.encode("latin-1") + title + b"\r\n" + a_body([("file", b"1")])


@pytest.mark.parametrize(
    ("content_type", "codec"),
    [
        ("text/plain; charset=ISO-8859-1", "latin-1"),
        ('text/plain; charset="iso-8859-1"', "latin-1"),
        ("text/plain;charset=latin1", "latin-1"),
        ("text/plain; charset=windows-1252", "cp1252"),
        ("text/plain; charset=ISO-8859-15", "iso8859-15"),
        ("text/plain; charset=utf-16", "utf-16"),
        ("text/plain; charset=UTF-8", "utf-8"),
        ("text/plain; charset=utf-8", "utf-8-sig"),
        ("text/plain", "utf-8"),
        ("text/plain; format=flowed; charset=MacRoman", "mac-roman"),
    ],
)
def test_a_part_is_read_in_the_charset_that_it_names(content_type: str, codec: str) -> None:
    body = a_titled_body("Zoë’s plan".replace("’", "'").encode(codec), content_type)
    assert read_all(body)[1] == {"title": "Zoë's plan"}


@pytest.mark.parametrize(
    ("charset", "title"),
    [
        ("klingon", b"x"), ("base64", b"eA=="), ("rot13", b"k"), ("hex", b"78"), ("idna", b"xn--fa-hia"),
        ("punycode", b"fa-hia"), ("unicode-escape", b"\\x41"),
        ("zlib", b"x"), ("undefined", b"x"), ("../../etc", b"x"), ("utf-8", b"\xe9"),
        ("us-ascii", b"\xe9"), ("utf-16", b"x"), ("x" * 300, b"x"), ("é", b"x"),
    ],
)  # fmt: skip
def test_a_charset_that_is_none_or_that_the_text_is_not_in_is_told_by_its_field(charset: str, title: bytes) -> None:
    with pytest.raises(BadField) as refused:
        read_all(a_titled_body(title, f'text/plain; charset="{charset}"'))
    assert list(refused.value.errors) == ["title"]


@pytest.mark.parametrize(
    "name",
    [b"pl\xe4n.pdf", b"\xff\xfe\x00.pdf", "план.pdf".encode("koi8-r"), "計画.pdf".encode("shift_jis"), b'a"b.pdf',
     b"a;b=c.pdf", b"a\\b.pdf", b"%22.pdf", b"", b"x" * 2000,
     "Zoë.pdf".encode(), b"\x0b\x1b.pdf", b"C:\\Zo\xeb\\plan.pdf"],
)  # fmt: skip
def test_a_file_name_in_any_charset_is_no_reason_to_refuse(name: bytes) -> None:
    body = a_body([("kind", b"report"), ("file", b"scan"), ("title", b"t")], filename="NAME").replace(b"NAME", name)
    assert read_all(body) == (b"scan", {"kind": "report", "title": "t"})


def test_no_error_repeats_what_was_sent() -> None:
    secret = SECRET.encode()
    bodies = [
        a_body([("title", secret * 600), ("file", b"")], filename=SECRET),
        a_body([("title", secret), ("title", secret), ("file", b"")], filename=SECRET),
        a_body([("file", secret * 30_000)], filename=SECRET),
        a_body([("title", secret), (SECRET, secret)], filename=SECRET),
        a_body([("title", secret), ("file", secret)], filename=SECRET)[:-40],
    ]
    for body in bodies:
        with pytest.raises(Problem) as caught:
            read_all(body, limits=Limits(file_bytes=1000))
        error = caught.value
        assert "Zo" not in f"{error!r} {error} {error.detail} {error.errors} {error.__cause__!r}"


def test_finish_gives_fields_from_both_sides_of_the_file() -> None:
    body = a_body([("kind", b"report"), ("file", b"1"), ("source", b"family")])
    form: Form = read_form(Dribble(body), CONTENT_TYPE, allowed=ALLOWED, limits=LIMITS)
    form.file.read()
    assert form.finish() == {"kind": "report", "source": "family"}
