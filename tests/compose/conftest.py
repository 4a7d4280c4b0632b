"""A deployment with containers of this suite's own: its project, secrets, settings, volumes and ports."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploy.local.machine import free_port
from deploy.local.places import PROJECT
from deploy.ops.secrets import let_containers_read, make_secrets
from tests.compose.deployment import Deployment

_UP_SECONDS = 600


def why_not() -> str | None:
    """Why no deployment can be tried here; None if it can."""
    try:
        done = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=20, check=False)
        engine = subprocess.run(["docker", "version"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "there is no docker command"
    if engine.returncode:
        return "no Docker engine answers"
    return None if done.returncode == 0 else "docker has no compose plugin"


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """Up and healthy; gone afterwards with its volumes."""
    if reason := why_not():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="fmn-compose-"))
    settings = folder / ".env"
    let_containers_read()
    make_secrets(folder / "secrets", settings)
    port, mail = free_port(), free_port()
    # Compose reads these from its environment, and so does whatever calls it on the way (`demo --against`).
    env: Mapping[str, str] = {
        **os.environ,
        "COMPOSE_PROJECT_NAME": "fmncompose",
        "COMPOSE_ENV_FILES": str(settings),
        "COMPOSE_PROFILES": "demo",
        "FMN_PORT": str(port),
        "FMN_MAILPIT_PORT": str(mail),
        "FMN_LOCAL": str(folder / "local"),
    }
    made = Deployment(folder=folder, env=env, port=port, mail_port=mail)
    try:
        made.compose("up", "--build", "--wait", within_seconds=_UP_SECONDS)
        made.trust()
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout", "15", check=False)
        shutil.rmtree(folder, ignore_errors=True)


def pytest_report_header() -> str:
    return f"deployment: {why_not() or f'docker compose, of {PROJECT}'}"
