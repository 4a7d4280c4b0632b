"""What a worker says of itself: an outbox that waits is an alarm, and its metrics have a page."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from deploy.local.machine import free_port
from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.db.unit_of_work import outbox_row
from shared.ids import new_id
from shared.ops.logs import configure
from tests.helpers import eventually
from tests.races.inside import an_inside
from tests.service.messaging_rig import Node, a_rig
from tests.service.test_messaging import an_event
from tests.system import System


def test_an_outbox_that_waits_for_a_minute_is_an_alarm_every_five(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(service="case", process="worker")
    with a_rig(stack) as rig:
        node = Node(rig.config, "case", amqp=f"amqp://nobody:nothing@127.0.0.1:{free_port()}/").open()
        now = utc_now()
        node.unit_of_work.outbox.insert_one(outbox_row(an_event(new_id()), now))
        for seconds in (30, 61, 120, 360, 370, 500):
            node.outbox.sweep(now + timedelta(seconds=seconds))
        node.close()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"outbox.waiting"' in line]
    assert [(line["level"], line["seconds"]) for line in lines] == [("error", 61), ("error", 370)]


def test_a_workers_metrics_have_a_page(system: System) -> None:
    port = free_port()
    with (
        an_inside(system) as inside,
        inside.with_settings("case-worker", FMN_WORKER_METRICS=f"127.0.0.1:{port}"),
    ):
        page = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    assert page.status_code == 200
    for figure in ("fmn_outbox_oldest_seconds", "fmn_messages_unhandled", "fmn_step_failures"):
        assert figure in page.text


def test_a_letter_that_nothing_takes_from_the_printer_is_an_alarm_without_its_name(system: System) -> None:
    port, id = free_port(), new_id()
    letter = system.provided.post / f"{id}.pdf"
    letter.write_bytes(b"%PDF- Dear Zoe")
    os.utime(letter, (0, (utc_now() - timedelta(hours=2)).timestamp()))
    settings = {"FMN_PRINTER_HOURS": "1", "FMN_WORKER_METRICS": f"127.0.0.1:{port}"}
    try:
        with an_inside(system) as inside, inside.with_settings("notifier-worker", **settings):
            log = Path(system.process("notifier-worker").log)
            line = eventually(lambda: [one for one in log.read_text().splitlines() if "printer.letters_waiting" in one])
            page = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
            said = log.read_text()
    finally:
        letter.unlink()
    told = json.loads(line[-1])
    assert (told["level"], told["count"]) == ("error", 1)
    assert "\nfmn_printer_letters_waiting 1.0\n" in page
    assert id not in page
    assert f"{id}.pdf" not in said
