"""Who sent it: a message is believed only from the account of the service that it says it is from."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.errors import Permanent
from shared.events import Event, UnknownType, consent, write
from shared.ids import new_id
from shared.messaging.senders import is_never_dropped, passes_closed_gate, verify


def a_freeze(**changed: object) -> Event:
    given = {"id": new_id(), "type": consent.FROZEN, "source": "consent", "time": datetime.now(UTC), "seq": 1}
    return Event(**{**given, "data": {"case": new_id()}, **changed})  # type: ignore[arg-type]


def test_a_message_of_its_publishers_account_is_read() -> None:
    event = a_freeze()
    assert verify(write(event), "fmn-consent", names="fmn").id == event.id


@pytest.mark.parametrize("user_id", [None, "", "guest", "fmn-case", "other-consent", "consent", "fmn-consent "])
def test_a_message_of_any_other_account_is_forged(user_id: str | None) -> None:
    with pytest.raises(Permanent, match="forged-sender"):
        verify(write(a_freeze()), user_id, names="fmn")


def test_a_service_that_may_not_publish_a_type_is_refused_though_it_names_itself() -> None:
    body = write(a_freeze()).replace(b'"/consent"', b'"/case"')
    assert b"/case" in body
    with pytest.raises(Permanent):
        verify(body, "fmn-case", names="fmn")


def test_an_unknown_version_is_told_apart_from_rubbish() -> None:
    body = write(a_freeze()).replace(b"case.frozen.v1", b"case.frozen.v2")
    with pytest.raises(UnknownType) as unknown:
        verify(body, "fmn-consent", names="fmn")
    assert is_never_dropped(unknown.value.type_name)
    with pytest.raises(Permanent, match="unreadable"):
        verify(b"{", "fmn-consent", names="fmn")


def test_the_sender_is_checked_before_the_body_is_read() -> None:
    with pytest.raises(Permanent, match="forged-sender"):
        verify(b"{", None, names="fmn")


def test_only_the_saga_passes_a_closed_gate() -> None:
    assert passes_closed_gate("erasure.started.v1")
    assert passes_closed_gate("last_letter.sealed.v1")
    assert not passes_closed_gate("case.frozen.v1")
    assert not is_never_dropped("case.created.v2")
