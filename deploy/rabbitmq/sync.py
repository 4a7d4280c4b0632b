"""Compare a running broker with its definitions: what to add or change, and what to remove.

Ours are the vhost `<prefix>` and, in it, queues and exchanges named `fmn.…`, their bindings, and policies named
`fmn-…`; and the accounts `<prefix>-…` without the administrator's. Everything else is foreign: reported, not changed.
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
    """One change and the API call that makes it.

    name: which object, without its content. restored: definitions that the call also removes, to import again.
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
    """Changes in their order, and sentences about what can't be corrected (wrong) or isn't ours (foreign)."""

    additions: list[Change] = field(default_factory=list)
    removals: list[Change] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


def plan(api: Api, prefix: str, passwords: Mapping[str, str], administrator: str) -> Plan:
    """Compare the broker with the definitions of `prefix`. passwords: by service."""
    return _Comparison(api, prefix, passwords, administrator).plan()


class _Comparison:
    def __init__(self, api: Api, prefix: str, passwords: Mapping[str, str], administrator: str) -> None:
        self._api, self._prefix, self._administrator = api, prefix, administrator
        self._vhost = quote(prefix, safe="")
        self._wanted: dict[str, list[Object]] = render(prefix, passwords)
        self._wanted["permissions"].append(administrators_permission(prefix, administrator))
        self._passwords = {account(prefix, service): password for service, password in passwords.items()}
        self._plan = Plan()

    def plan(self) -> Plan:
        if self._api.call("GET", f"/api/vhosts/{self._vhost}", absent_is_fine=True) is None:
            self._add("vhosts", {"name": self._prefix}, self._prefix)
        self._users()
        self._rights("permissions", ("configure", "write", "read"))
        self._topic_rights()
        self._policies()
        self._exchanges()
        self._queues()
        self._bindings()
        # Bindings go before queues, so that no message arrives after a queue is checked; users go last.
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
                # The API deletes all of a user's topic permissions, those that are defined too.
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
        self._immutable("exchange", "exchanges", there, ("type", "durable", "auto_delete", "internal", "arguments"))

    def _queues(self) -> None:
        there = self._of_vhost(f"/api/queues/{self._vhost}")
        self._immutable("queue", "queues", there, ("durable", "auto_delete", "arguments"))

    def _immutable(self, kind: str, section: str, there: list[Object], compared: tuple[str, ...]) -> None:
        """Compare queues or exchanges, whose properties can't be changed once they exist."""
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
        # Every queue is bound to the default exchange, which has no name; that can't be changed.
        found = {_ends(b): b for b in self._of_vhost(f"/api/bindings/{self._vhost}") if b["source"]}
        wanted = {_ends(binding): binding for binding in self._wanted["bindings"]}
        for ends in wanted.keys() - found.keys():
            self._add("bindings", wanted[ends], _described(wanted[ends]))
        for ends in found.keys() - wanted.keys():
            binding = found[ends]
            if binding["destination"].startswith(_OUR_QUEUES):
                self._remove("binding", _described(binding), self._binding_path(binding))
            elif binding["source"].startswith(_OUR_QUEUES):
                self._plan.foreign.append(f"What isn't ours gets our events: {_described(binding)}.")

    def _binding_path(self, binding: Object) -> str:
        to = "q" if binding["destination_type"] == "queue" else "e"
        source, destination = quote(binding["source"], safe=""), quote(binding["destination"], safe="")
        key = quote(binding["properties_key"], safe="")
        return f"/api/bindings/{self._vhost}/e/{source}/{to}/{destination}/{key}"

    # Shared by all kinds

    def _compare(self, section: str, wanted: Mapping[Any, Object], found: Mapping[Any, Object], compared: Any) -> None:
        for key, item in wanted.items():
            name = " on ".join(key) if isinstance(key, tuple) else key
            if key not in found:
                self._add(section, item, name)
            elif any(found[key].get(part) != item[part] for part in compared):
                self._add(section, item, name, verb="change")

    def _add(self, section: str, item: Object, name: str, verb: str = "add") -> None:
        """Add through a definitions import, which needs no rights in the vhost."""
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
        return name.startswith(account(self._prefix, "")) and name != self._administrator


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


def _described(binding: Object) -> str:
    return f"{binding['source']} -> {binding['destination']} ({binding['routing_key']})"


def _is_hash_of(stored: str, password: str) -> bool:
    """Return whether this salted hash (definitions.password_hash) is of the password."""
    raw = base64.b64decode(stored)
    return raw[_SALT_BYTES:] == hashlib.sha256(raw[:_SALT_BYTES] + password.encode()).digest()
