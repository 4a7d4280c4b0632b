"""A backup and a restore in containers, as the runbook says, by the operator's own commands."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.places import PROJECT
from shared.events import SERVICES
from tests.compose.deployment import Caller, Deployment, a_family
from tests.faults.client import until

_SERVICES = [f"{service}-{process}" for service in SERVICES for process in ("api", "worker")]
_DROP = """
for (const one of db.adminCommand("listDatabases").databases)
  if (one.name.startsWith("fmn_") && one.name !== "fmn_ledger") db.getSiblingDB(one.name).dropDatabase()
"""
_MONGOSH = (
    'mongosh --quiet --host "$(hostname)" --username "$(cat /run/fmn/secrets/root-name)"'
    ' --password "$(cat /run/fmn/secrets/root-password)" --eval "$DROP"'
)


def test_p24_a_backup_in_containers_is_restored_and_brings_nobody_back(deployment: Deployment) -> None:
    identity = deployment.folder / "identity.json"
    _forgetmenot("backup-key", str(identity))
    # The container that reads it isn't run by the same user
    identity.chmod(0o644)
    backed_up = replace(deployment, env={**deployment.env, "FMN_BACKUP_KEY": f"{identity}.pub"})
    # Given two families, and a backup
    caller = deployment.caller("caseworker", sub="worker-backup")
    forgotten, kept = a_family(caller), a_family(caller)
    people = caller.items(f"/cases/{kept}/people")
    backed_up.compose("run", "--rm", "backup", "backup", "/backups")
    backed_up.compose("run", "--rm", "backup", "backup", "keys", "/backups")
    # When one of them is forgotten, all databases are lost, and the backup is restored
    _is_forgotten(deployment, caller, forgotten)
    deployment.compose("stop", *_SERVICES)
    deployment.compose("exec", "-T", "-e", f"DROP={_DROP}", "mongo", "sh", "-c", _MONGOSH)
    run = ("run", "--rm", "-v", f"{identity}:/identity:ro", "backup", "restore", "/backups", "--identity", "/identity")
    said = backed_up.compose(*run)
    deployment.compose("up", "--wait", *_SERVICES)
    # Then the forgotten family doesn't come back, and the other is whole
    assert "Erased again: 1 cases" in said, said
    assert caller.session.get(f"{deployment.url}/v1/cases/{forgotten}", timeout=30).status_code == 410
    assert caller.items(f"/cases/{kept}/people") == people
    (document,) = caller.items(f"/cases/{kept}/documents")
    assert caller.call("GET", f"/documents/{document['id']}/content").content.startswith(b"%PDF-")


def _is_forgotten(deployment: Deployment, caller: Caller, case_id: str) -> None:
    request = caller.made(
        "/requests",
        {
            "kind": "erasure",
            "case_id": case_id,
            "received_at": datetime.now(UTC).isoformat(),
            "channel": "phone",
            "made_by": {"name": "Żaneta Okonkwo-Łukasik", "authority": "parental_responsibility"},
        },
    )
    colleague = deployment.caller("caseworker", sub="worker-confirming")
    checked = {"checked": ["family", "authority", "safeguarding"]}
    colleague.call("POST", f"/requests/{request}/confirmation", json=checked)

    def is_completed() -> bool:
        found = caller.call("GET", f"/requests/{request}").json()
        # Compose lists the printer among the places that are to be certified.
        if found["waiting_on"] == ["elsewhere"]:
            certified = {"place": "printer", "by": "the office"}
            colleague.call("POST", f"/requests/{request}/elsewhere", json=certified)
        return bool(found["status"] == "completed")

    until(is_completed, f"the erasure of {case_id} is completed", within_seconds=180)


def _forgetmenot(*arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("forgetmenot")), *arguments]
    subprocess.run(command, cwd=PROJECT, env=dict(os.environ), check=True, capture_output=True)
