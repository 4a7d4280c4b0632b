"""The runbook names every alarm and every figure that the code has, and keeps its commands right; read from both."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from deploy.local.places import PROJECT

RUNBOOK = (PROJECT / "docs/runbook.md").read_text()
TREES = [
    ast.parse(path.read_text())
    for folder in ("shared", "services", "reader", "deploy")
    for path in sorted((PROJECT / folder).rglob("*.py"))
]
# `log.log` takes its level from elsewhere, which may be any.
ALARMING = {"error", "critical", "exception", "fatal", "log"}
# What prometheus_client adds to a name where it doesn't end so.
FIGURES = {"Counter": "_total", "Gauge": "", "Histogram": "", "Summary": "", "Info": "_info", "Enum": ""}


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)


def text(node: ast.expr) -> str:
    """A name that can be read here: one that is put together when it runs couldn't be looked up in the runbook."""
    assert isinstance(node, ast.Constant), ast.unparse(node)
    assert isinstance(node.value, str), ast.unparse(node)
    return node.value


def alarms(node: ast.AST) -> bool:
    """Whether it is `log.error` or its like, or a choice that may be: `log.error if … else log.warning`."""
    match node:
        case ast.IfExp():
            return alarms(node.body) or alarms(node.orelse)
        case ast.Attribute(value=ast.Name(id="log"), attr=attr):
            return attr in ALARMING
    return False


def events(tree: ast.AST) -> Iterator[str]:
    """What is logged as an alarm, or by a name that was given to one: `say = log.error if … else …`."""
    said_by = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and alarms(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in calls(tree):
        if alarms(call.func) or (isinstance(call.func, ast.Name) and call.func.id in said_by):
            level_first = isinstance(call.func, ast.Attribute) and call.func.attr == "log"
            yield text(call.args[1 if level_first else 0])


def figures(tree: ast.AST) -> Iterator[str]:
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = {alias.name for node in imports if node.module == "prometheus_client" for alias in node.names}
    for call in calls(tree):
        if isinstance(call.func, ast.Name) and call.func.id in FIGURES and call.func.id in ours:
            ending = FIGURES[call.func.id]
            yield text(call.args[0]).removesuffix(ending) + ending


def test_the_runbook_says_what_every_alarm_means() -> None:
    found = {event for tree in TREES for event in events(tree)}
    assert {"message.deferred", "message.parked", "stopped-by", "library", "disk-low", "clock.stopped"} <= found
    section = RUNBOOK[RUNBOOK.index("### Alarms") : RUNBOOK.index("### A disk fills up")]
    assert sorted(event for event in found if f"`{event}`" not in section) == []


def test_the_runbook_says_what_every_figure_means() -> None:
    found = {name for tree in TREES for name in figures(tree)}
    assert {"fmn_ready", "fmn_messages_total", "fmn_http_answer_seconds", "fmn_disk_low"} <= found
    section = RUNBOOK[RUNBOOK.index("### The health page") : RUNBOOK.index("### Alarms")]
    assert sorted(name for name in found if f"`{name}`" not in section) == []


def test_the_runbooks_search_of_the_log_finds_every_alarm() -> None:
    pattern = re.search(r"logs --since 24h \| grep -E '(.+)'", RUNBOOK)
    assert pattern
    for level, found in (("error", True), ("critical", True), ("warning", False)):
        for line in (f'{{"event": "x", "level": "{level}"}}', f'{{"event":"x","level":"{level}"}}'):
            assert bool(re.search(pattern[1], line)) is found


def test_commands_find_the_secrets_where_they_were_put() -> None:
    commands = "".join(re.findall(r"```\n(.*?)```", RUNBOOK, re.S))
    assert re.findall(r".*(?<![\w$}:/-])secrets/.*", commands) == []


def test_an_upgrade_renews_everything_that_is_made_from_the_checkout() -> None:
    upgrade = RUNBOOK[RUNBOOK.index("## Upgrade") : RUNBOOK.index("## Rotate a secret")]
    steps = [
        "build",
        "definitions",
        "provision",
        "disks",
        "gateway",
        "--only-add",
        "-worker",
        "-api",
        "no longer defined",
    ]
    places = [upgrade.index(step) for step in steps]
    assert places == sorted(places)
