"""Email addresses: what is taken as typed, and that no spelling of a domain leads to another person's."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.case.model.search import email_key, older_email_keys
from shared.emails import BadEmail, check_email, mailbox_of


@pytest.mark.parametrize(
    "email",
    [
        "a@b.example", "zoë+x@bücher.example", "zoe@bu\u0308cher.example", "o'neil@sub.example.co.uk", "用户@例子.广告",
        "a@1.example", "पता@उदाहरण.भारत", "user@faß.example", "user@xn--fa-hia.example", "a@b.test", "a@b.invalid",
        "a@ex。ample.example",
    ],
)  # fmt: skip
def test_an_email_address_may_be_in_any_script(email: str) -> None:
    assert check_email(f" {email} ", takes_utf8=True) == email


@pytest.mark.parametrize(
    "email",
    [
        "", "@", "a@", "@b.example", "a@b", "a b@c.example", "a@b..example", ".a@b.example", "a.@b.example",
        "a@@b.example",
        "a@b.example\r\nBcc: c@d.example", "a\x00@b.example", "a@b.exa\u2028mple", "a\u202e@b.example",
        "a@-b.example", "a@b-.example", "a@[127.0.0.1]", "a@127.0.0.1", '"a b"@c.example', "a@b.example,c@d.example",
        "A <a@b.example>", "a;b@c.example", f"{'a' * 65}@b.example", f"a@{'b' * 250}.example", "a\u00a0b@c.example",
        f"{'é' * 33}@b.example",
    ],
)  # fmt: skip
def test_what_could_break_out_of_a_header_is_no_email_address(email: str) -> None:
    with pytest.raises(BadEmail, match="email address"):
        check_email(email, takes_utf8=True)


@pytest.mark.parametrize("around", ["\u200b", "\u00ad", "\ufeff", "\u200e", "\u2060", "\u00a0", "\n", "\u200b \u200b"])
def test_what_is_invisible_around_an_address_is_trimmed_and_inside_it_is_refused(around: str) -> None:
    assert check_email(f"{around}a@b.example{around}", takes_utf8=False) == "a@b.example"
    with pytest.raises(BadEmail):
        check_email(f"a@b{around}.example", takes_utf8=True)


@pytest.mark.parametrize(
    "undeliverable",
    ["a@printer.local", "a@localhost.localhost", "a@hidden.onion", "a@1.0.0.10.in-addr.arpa", "a@☃.example",
     "a@b_c.example", "a@xn--zz.example", "a@m\u200dail.example", "a@b.123", f"a@{'ß' * 60}.example"],
)  # fmt: skip
def test_an_address_to_which_no_mail_can_be_delivered_is_refused(undeliverable: str) -> None:
    with pytest.raises(BadEmail) as refused:
        check_email(undeliverable, takes_utf8=True)
    assert undeliverable not in refused.value.reason


def test_letters_before_the_at_that_the_relay_does_not_take_are_refused_when_they_are_typed() -> None:
    assert check_email("zoë@bücher.example", takes_utf8=True) == "zoë@bücher.example"
    with pytest.raises(BadEmail, match="relay"):
        check_email("zoë@bücher.example", takes_utf8=False)
    # The domain has an ASCII form, which every relay takes.
    assert check_email("zoe@bücher.example", takes_utf8=False) == "zoe@bücher.example"


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("user@faß.example", "xn--fa-hia.example"),
        ("user@FAẞ.Example", "xn--fa-hia.example"),
        ("user@XN--FA-HIA.example", "xn--fa-hia.example"),
        ("user@fass.example", "fass.example"),
        ("user@βόλος.example", "xn--nxasmm1c.example"),
        ("user@bu\u0308cher.example", "xn--bcher-kva.example"),
        ("user@ＥＸＡＭＰＬＥ.org", "example.org"),
    ],
)
def test_mail_is_addressed_by_idna_2008(email: str, domain: str) -> None:
    mailbox = mailbox_of(email)
    assert (mailbox.local, mailbox.domain) == ("user", domain)
    assert domain.split(".")[0] not in repr(mailbox)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user@faß.example", "user@xn--fa-hia.example"),
        ("user@faß.example", "USER@FAẞ.EXAMPLE"),
        ("zoe@bücher.example", "zoe@xn--bcher-kva.example"),
        ("zoe@bücher.example", "ZOE@BUCHER.EXAMPLE"),
        ("zoe.łukasińska@exämple.net", "zoe lukasinska @ example.net"),
        ("a.b@my-school.example", "AB@myschool.example"),
    ],
)
def test_two_spellings_of_an_address_are_searched_as_one(one: str, other: str) -> None:
    assert email_key(one) == email_key(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user@faß.example", "user@fass.example"),
        ("user@xn--fa-hia.example", "user@fass.example"),
        ("user@faß .example", "user@fass.example"),
        ("user@βόλος.example", "user@βόλοσ.example"),
        ("a@b.example", "a@c.example"),
    ],
)
def test_another_persons_domain_is_never_searched_as_one(one: str, other: str) -> None:
    assert email_key(one) != email_key(other)


def test_what_an_older_version_hashed_is_asked_for_too() -> None:
    assert older_email_keys("user@faß.example") == ("userxnfahiaexample", "userfassexample")
    assert older_email_keys("user@xn--fa-hia.example") == ("userxnfahiaexample", "userfassexample")
    assert older_email_keys("zoe@bücher.example") == ("zoexnbcherkvaexample",)
    assert older_email_keys("zoe@example.org") == older_email_keys("zoe@fass.example") == older_email_keys("@") == ()


@given(st.text(max_size=40) | st.from_regex(r"[a-zéß]{1,9}@[a-zßüς.\-]{1,20}", fullmatch=True))
def test_whatever_is_typed_has_one_form_or_a_reason_that_does_not_repeat_it(text: str) -> None:
    email_key(text), older_email_keys(text)
    with suppress(BadEmail):
        email = check_email(text, takes_utf8=True)
        mailbox = mailbox_of(email)
        assert mailbox.domain.isascii()
        again = f"{mailbox.local}@{mailbox.domain}"
        assert mailbox_of(again) == mailbox
        assert email_key(again) == email_key(email)
