"""The broker lets a service say what it publishes, and nothing that another publishes."""

from __future__ import annotations

import re

import pytest

from deploy.rabbitmq.definitions import render
from shared.events import SERVICES, all_types


def allowed(service: str, routing_key: str) -> bool:
    """Whether the account of that service may publish with that routing key."""
    definitions = render("fmn", dict.fromkeys(SERVICES, "a password that is only hashed here"))
    rules = [rule for rule in definitions["topic_permissions"] if rule["user"] == f"fmn-{service}"]
    assert len(rules) == 1
    return re.search(rules[0]["write"], routing_key) is not None


@pytest.mark.parametrize("type_name", sorted(all_types()))
def test_only_the_publishers_of_an_event_may_say_it(type_name: str) -> None:
    event_type = all_types()[type_name]
    for speaker in SERVICES:
        key = f"{type_name}.{speaker}" if event_type.key_ends_in_service else type_name
        assert allowed(speaker, key) == (speaker in event_type.publishers), f"{speaker} saying {key}"


@pytest.mark.parametrize("type_name", sorted(t for t, kind in all_types().items() if kind.key_ends_in_service))
def test_nobody_says_it_under_the_name_of_another(type_name: str) -> None:
    for speaker in SERVICES:
        others = [other for other in SERVICES if other != speaker]
        assert not any(allowed(speaker, f"{type_name}.{other}") for other in others)
