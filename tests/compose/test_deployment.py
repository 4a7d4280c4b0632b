"""docker-compose.yml, run: the story holds against it, nothing but the API is reached, and it is scaled and rolled."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from http.client import HTTPResponse
from pathlib import Path

import pytest
import requests

from deploy.local.places import PROJECT
from tests.compose.deployment import Deployment, Office

_ONE_OF_EACH = {"people": 1, "documents": 1, "letters": 1}
_INSIDE = (
    "/metrics", "/readyz", "/livez", "/case/metrics", "/case/readyz", "//metrics", "/%6detrics", "/case/%6detrics",
    "/v1/../metrics", "/v1/cases/%2e%2e/%2e%2e/metrics", "/case/docs/..%2fmetrics", "/metrics/", "/CASE/METRICS", "/",
)  # fmt: skip


def test_everything_is_healthy_and_what_prepares_it_has_ended_well(deployment: Deployment) -> None:
    states = deployment.compose(
        "ps", "--all", "--format", "{{.Service}} {{.State}} {{.Health}} {{.ExitCode}}"
    ).splitlines()
    once = {"definitions exited  0", "provision exited  0"}
    assert once <= set(states)
    assert [line for line in states if line not in once and line.split()[1:3] != ["running", "healthy"]] == []


def test_the_demo_holds_against_it(deployment: Deployment) -> None:
    command = [
        str(Path(sys.executable).with_name("forgetmenot")), "demo", "--against", deployment.url,
        "--secrets", str(deployment.secrets), "--mail", f"http://127.0.0.1:{deployment.mail_port}",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=PROJECT, env=dict(deployment.env), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "Every step held" in done.stdout


@pytest.mark.parametrize("path", _INSIDE)
def test_what_is_for_operators_is_not_to_be_reached_from_outside(deployment: Deployment, path: str) -> None:
    # Sent as it is: an ordinary client would tidy the path up first.
    request = requests.Request("GET", deployment.url).prepare()
    request.url = deployment.url + path
    with requests.Session() as session:
        session.trust_env = False
        answer = session.send(request, verify=str(deployment.authority), timeout=10)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:fmn:problem:not-found")


def test_another_name_is_told_so_and_gets_nothing(deployment: Deployment) -> None:
    caller = deployment.caller("caseworker", sub="worker-one").session
    answer = caller.get(f"{deployment.url}/v1/cases", headers={"Host": "elsewhere.example"}, timeout=10)
    assert (answer.status_code, answer.json()["title"]) == (421, "Not found")


def test_a_body_that_can_t_be_read_is_the_caller_s_fault_and_not_the_service_s(deployment: Deployment) -> None:
    trusting = ssl.create_default_context(cafile=str(deployment.authority))
    with (
        socket.create_connection(("localhost", deployment.port), timeout=20) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as line,
    ):
        head = f"POST /v1/cases HTTP/1.1\r\nHost: localhost:{deployment.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        line.sendall(f"{head}no number\r\n{{}}\r\n".encode())
        answer = HTTPResponse(line)
        answer.begin()
        said = json.loads(answer.read())
    assert (answer.status, said["type"], answer.headers["Retry-After"]) == (400, "urn:fmn:problem:invalid", None)


@pytest.mark.parametrize("container", ["case-api", "case-worker"])
def test_an_operator_reads_the_metrics_inside(deployment: Deployment, container: str) -> None:
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/metrics').read().decode())"
    page = deployment.compose("exec", "-T", container, "python", "-c", ask)
    assert ("fmn_http_answer_seconds" if container == "case-api" else "fmn_outbox_oldest_seconds 0") in page.replace(
        '{service="case"}', ""
    )


def test_three_workers_and_two_apis_repeat_nothing_and_lose_nothing(deployment: Deployment) -> None:
    scaled = ("--scale", "case-worker=3", "--scale", "document-api=2")
    deployment.compose("up", "--wait", "--no-recreate", *scaled)
    running = deployment.compose("ps", "--format", "{{.Service}}").split()
    assert (running.count("case-worker"), running.count("document-api")) == (3, 2)
    with Office(deployment=deployment) as office:
        office.until(30, within_seconds=180)
        office.ends()
    assert {case: dict(had) for case, had in office.found().items() if had != _ONE_OF_EACH} == {}
    deployment.compose("up", "--wait", "--no-recreate", "--scale", "case-worker=1", "--scale", "document-api=1")


def test_rolling_a_service_drops_no_request_that_is_sent_again_once(deployment: Deployment) -> None:
    before = deployment.compose("ps", "--quiet", "case-api", "case-worker").split()
    with Office(deployment=deployment) as office:
        office.until(6, within_seconds=60)
        # Nothing has changed in the image, so Compose has to be told to take new containers.
        deployment.compose("up", "-d", "--no-deps", "--build", "--force-recreate", "case-api", "case-worker")
        office.until(len(office.cases) + 12, within_seconds=180)
        office.ends()
    after = deployment.compose("ps", "--quiet", "case-api", "case-worker").split()
    assert not set(before) & set(after)
    print(f"{len(office.cases)} cases; asked again: {office.asked_again}")
    assert {case: dict(had) for case, had in office.found().items() if had != _ONE_OF_EACH} == {}


def test_the_broker_is_in_line_with_its_definitions(deployment: Deployment) -> None:
    deployment.compose("run", "--rm", "broker", "sync", "--dry-run")
    queue = deployment.compose(
        "exec", "-T", "rabbitmq", "rabbitmqctl", "-q", "list_queues", "-p", "fmn", "name", "type"
    )
    assert sorted(line.split() for line in queue.strip().splitlines()[1:]) == [
        [f"fmn.{service}", "quorum"] for service in ("case", "consent", "document", "notifier")
    ]
