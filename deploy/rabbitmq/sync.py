"""What differs between a running broker and its definitions: what to add or change, and what to remove.

Ours are the vhost of our names and, in it, queues and exchanges called `fmn.…`, the bindings of those, and policies
called `fmn-…`; and the accounts `<names>-…`, but for the administrator's. What isn't ours is told of, and left alone.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

from deploy.rabbitmq.definitions import account, administrators_permission, render

Object = dict[str, Any]
_OUR_QUEUES, _OUR_POLICIES = "fmn.", "fmn-"
_SALT_BYTES = 4


class Api(Protocol):
    """RabbitMQ's management API, as an administrator."""

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, absent_is_fine: bool = False
    ) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing to do, and the call that does it.

    name: which one, never what is in it. restored: definitions that go with what is removed, to be imported again.
    """

    verb: str
    kind: str
    name: str
    method: str
    path: str
    body: Object | None = None
    restored: Object | None = None

    def __str__(self) -> str:
        return f"{self.verb} {self.kind} {self.name}"


@dataclass(slots=True, kw_only=True)
class Plan:
    """What to do, in this order, and sentences on what can't be mended (wrong) or isn't ours (foreign)."""

    additions: list[Change] = field(default_factory=list)
    removals: list[Change] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


def plan(api: Api, names: str, passwords: Mapping[str, str], administrator: str) -> Plan:
    """Compare the broker with the definitions of `names`. passwords: by service; administrator: whom it is done by."""
    return _Comparison(api, names, passwords, administrator).plan()


class _Comparison:
    def __init__(self, api: Api, names: str, passwords: Mapping[str, str], administrator: str) -> None:
        self._api, self._names, self._administrator = api, names, administrator
        self._vhost = quote(names, safe="")
        self._wanted: dict[str, list[Object]] = render(names, passwords)
        self._wanted["permissions"].append(administrators_permission(names, administrator))
        self._passwords = {account(names, service): password for service, password in passwords.items()}
        self._plan = Plan()

    def plan(self) -> Plan:
        if self._api.call("GET", f"/api/vhosts/{self._vhost}", absent_is_fine=True) is None:
            self._add("vhosts", {"name": self._names}, self._names)
        self._users()
        self._rights("permissions", ("configure", "write", "read"))
        self._topic_rights()
        self._policies()
        self._exchanges()
        self._queues()
        self._bindings()
        # Nothing more may come into a queue by the time that it is looked at, nor be done by a user who goes.
        order = ("binding", "queue", "exchange", "policy", "topic permission", "permission", "user")
        self._plan.removals.sort(key=lambda change: order.index(change.kind))
        return self._plan

    # Each kind

    def _users(self) -> None:
        found = {user["name"]: user for user in self._api.call("GET", "/api/users")}
        for wanted in self._wanted["users"]:
            there = found.get(wanted["name"])
            if there is None:
                self._add("users", wanted, wanted["name"])
            elif not _is_hash_of(there["password_hash"], self._passwords[wanted["name"]]) or there["tags"]:
                self._add("users", wanted, wanted["name"], verb="change")
        defined = {wanted["name"] for wanted in self._wanted["users"]}
        for name in found:
            if self._is_our_account(name) and name not in defined:
                self._remove("user", name, f"/api/users/{quote(name, safe='')}")

    def _rights(self, section: str, compared: tuple[str, ...]) -> None:
        found = {right["user"]: right for right in self._of_vhost(f"/api/vhosts/{self._vhost}/{section}")}
        wanted = {right["user"]: right for right in self._wanted[section]}
        self._compare(section, wanted, found, compared)
        for user in found.keys() - wanted.keys():
            if self._is_our_account(user):
                self._remove("permission", user, f"/api/permissions/{self._vhost}/{quote(user, safe='')}")
            else:
                self._plan.foreign.append(f"The account {user} isn't ours and may do something in our vhost.")

    def _topic_rights(self) -> None:
        there = self._of_vhost(f"/api/vhosts/{self._vhost}/topic-permissions")
        found = {(right["user"], right["exchange"]): right for right in there}
        wanted = {(right["user"], right["exchange"]): right for right in self._wanted["topic_permissions"]}
        for user, exchange in sorted(found.keys() - wanted.keys()):
            if self._is_our_account(user):
                # All of a user's go at once, those that are right too.
                right = [item for (whose, _), item in wanted.items() if whose == user]
                path = f"/api/topic-permissions/{self._vhost}/{quote(user, safe='')}"
                self._remove("topic permission", f"{user} on {exchange}", path, {"topic_permissions": right})
        self._compare("topic_permissions", wanted, found, ("write", "read"))

    def _policies(self) -> None:
        found = {policy["name"]: policy for policy in self._of_vhost(f"/api/policies/{self._vhost}")}
        wanted = {policy["name"]: policy for policy in self._wanted["policies"]}
        self._compare("policies", wanted, found, ("pattern", "definition", "priority", "apply-to"))
        for name in found.keys() - wanted.keys():
            if name.startswith(_OUR_POLICIES):
                self._remove("policy", name, f"/api/policies/{self._vhost}/{quote(name, safe='')}")
            else:
                self._plan.foreign.append(f"The policy {name} isn't ours and may change what our queues do.")

    def _exchanges(self) -> None:
        there = self._of_vhost(f"/api/exchanges/{self._vhost}")
        self._lasting("exchange", "exchanges", there, ("type", "durable", "auto_delete", "internal", "arguments"))

    def _queues(self) -> None:
        there = self._of_vhost(f"/api/queues/{self._vhost}")
        self._lasting("queue", "queues", there, ("durable", "auto_delete", "arguments"))

    def _lasting(self, kind: str, section: str, there: list[Object], compared: tuple[str, ...]) -> None:
        """Queues and exchanges: what they are is settled when they are made."""
        found = {item["name"]: item for item in there}
        for wanted in self._wanted[section]:
            name = wanted["name"]
            if name not in found:
                self._add(section, wanted, name)
            elif any(found[name][part] != wanted[part] for part in compared):
                self._plan.wrong.append(
                    f"The {kind} {name} isn't what its definition says, and can't be changed while it exists."
                )
        defined = {wanted["name"] for wanted in self._wanted[section]}
        for name in found.keys() - defined:
            if name.startswith(_OUR_QUEUES):
                self._remove(kind, name, f"/api/{section}/{self._vhost}/{quote(name, safe='')}")
            elif name and not name.startswith("amq."):
                self._plan.foreign.append(f"The {kind} {name} in our vhost isn't called as ours are.")

    def _bindings(self) -> None:
        # Every queue is bound to the exchange without a name, which can't be changed.
        found = {_ends(b): b for b in self._of_vhost(f"/api/bindings/{self._vhost}") if b["source"]}
        wanted = {_ends(binding): binding for binding in self._wanted["bindings"]}
        for ends in wanted.keys() - found.keys():
            self._add("bindings", wanted[ends], _spoken(wanted[ends]))
        for ends in found.keys() - wanted.keys():
            binding = found[ends]
            if binding["destination"].startswith(_OUR_QUEUES):
                self._remove("binding", _spoken(binding), self._binding_path(binding))
            elif binding["source"].startswith(_OUR_QUEUES):
                self._plan.foreign.append(f"What isn't ours gets our events: {_spoken(binding)}.")

    def _binding_path(self, binding: Object) -> str:
        to = "q" if binding["destination_type"] == "queue" else "e"
        source, destination = quote(binding["source"], safe=""), quote(binding["destination"], safe="")
        key = quote(binding["properties_key"], safe="")
        return f"/api/bindings/{self._vhost}/e/{source}/{to}/{destination}/{key}"

    # What they have in common

    def _compare(self, section: str, wanted: Mapping[Any, Object], found: Mapping[Any, Object], compared: Any) -> None:
        for key, item in wanted.items():
            name = " on ".join(key) if isinstance(key, tuple) else key
            if key not in found:
                self._add(section, item, name)
            elif any(found[key].get(part) != item[part] for part in compared):
                self._add(section, item, name, verb="change")

    def _add(self, section: str, item: Object, name: str, verb: str = "add") -> None:
        """Through the definitions, which also an administrator without rights in the vhost may import."""
        body = {section: [item]}
        self._plan.additions.append(
            Change(verb=verb, kind=_KINDS[section], name=name, method="POST", path="/api/definitions", body=body)
        )

    def _remove(self, kind: str, name: str, path: str, restored: Object | None = None) -> None:
        self._plan.removals.append(
            Change(verb="remove", kind=kind, name=name, method="DELETE", path=path, restored=restored)
        )

    def _of_vhost(self, path: str) -> list[Object]:
        return list(self._api.call("GET", path, absent_is_fine=True) or [])

    def _is_our_account(self, name: str) -> bool:
        return name.startswith(account(self._names, "")) and name != self._administrator


_KINDS = {
    "vhosts": "vhost",
    "users": "user",
    "permissions": "permission",
    "topic_permissions": "topic permission",
    "policies": "policy",
    "exchanges": "exchange",
    "queues": "queue",
    "bindings": "binding",
}


def _ends(binding: Object) -> tuple[str, str, str, str]:
    return binding["source"], binding["destination_type"], binding["destination"], binding["routing_key"]


def _spoken(binding: Object) -> str:
    return f"{binding['source']} -> {binding['destination']} ({binding['routing_key']})"


def _is_hash_of(stored: str, password: str) -> bool:
    """Whether this salted hash (definitions.password_hash) is that of the password."""
    raw = base64.b64decode(stored)
    return raw[_SALT_BYTES:] == hashlib.sha256(raw[:_SALT_BYTES] + password.encode()).digest()
