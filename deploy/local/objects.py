"""The embedded object store: SeaweedFS in one process, on loopback, with access keys."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

import requests

from deploy import direct_http
from deploy.local.errors import StackError
from deploy.local.places import ADMINISTRATOR, Places, Ports, private_folder, write_private
from deploy.local.processes import Program
from deploy.objects.accounts import KeyPair, ObjectAdmin, StoreRefused
from deploy.objects.kinds import Kind


def program(places: Places, ports: Ports) -> Program:
    """Return `weed server` with a filer and the S3 gateway."""
    weed = Path(sys.executable).parent / "weed"
    if not weed.exists():
        raise StackError("weed isn't in this environment: run `make setup`.")
    data = private_folder(places.servers / "seaweedfs")
    run = private_folder(places.run / "seaweedfs")
    _write_config(run, admin_keys(places))
    command = [
        str(weed), "-logtostderr=true", "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        f"-master.port={ports['weed-master']}", f"-master.port.grpc={ports['weed-master-grpc']}",
        # On its second start a single master waits for an election timeout before it becomes leader.
        "-master.electionTimeout=1s", "-master.heartbeatInterval=200ms", "-master.volumeSizeLimitMB=1024",
        f"-volume.port={ports['weed-volume']}", f"-volume.port.grpc={ports['weed-volume-grpc']}",
        "-volume.max=2000", "-volume.preStopSeconds=0",
        "-filer", f"-filer.port={ports['weed-filer']}", f"-filer.port.grpc={ports['weed-filer-grpc']}",
        "-filer.disableDirListing", "-filer.exposeDirectoryData=false", "-filer.ui.deleteDir=false",
        "-s3", f"-s3.port={ports['s3']}", f"-s3.port.grpc={ports['s3-grpc']}", "-s3.config=s3.json",
        "-s3.iam.readOnly=false", "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        # Relative to the working folder, because a socket's path has 107 bytes at most.
        "-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock",
    ]  # fmt: skip
    return Program(
        name="seaweedfs",
        command=command,
        cwd=run,
        env={"HOME": str(run)},
        ready=lambda: _answers(places, ports),
        # weed would wait 15 s for its internal streams. Its data is on the disk by then.
        grace_s=2,
        remove=_tmp_sockets(ports),
    )


def _tmp_sockets(ports: Ports) -> list[str]:
    """Return the sockets that weed always creates in /tmp; only their owner can read them."""
    grpc = {"master": "weed-master-grpc", "volume": "weed-volume-grpc", "filer": "weed-filer-grpc", "s3": "s3-grpc"}
    return [f"/tmp/seaweedfs-{part}-grpc-{ports[name]}.sock" for part, name in grpc.items()]  # noqa: S108


def remove_tmp_sockets(ports: Ports) -> None:
    """Remove the sockets in /tmp of a run that was killed."""
    for path in _tmp_sockets(ports):
        Path(path).unlink(missing_ok=True)


def admin_keys(places: Places) -> KeyPair:
    """Return the administrator's key pair; create it the first time."""
    known = read_keys(places.admin)
    if known is None:
        write_keys(places.admin, known := KeyPair.generate())
    return known


def read_keys(folder: Path) -> KeyPair | None:
    """Return the key pair in a folder of secrets, or None when there is none."""
    access, secret = folder / "s3-access-key", folder / "s3-secret-key"
    return KeyPair(access=access.read_text(), secret=secret.read_text()) if secret.exists() else None


def write_keys(folder: Path, keys: KeyPair) -> None:
    """Write a key pair to a folder of secrets."""
    write_private(folder / "s3-access-key", keys.access)
    write_private(folder / "s3-secret-key", keys.secret)


def kind(places: Places) -> Kind:
    """Return how this stack's store manages accounts: Kind.IAM for SeaweedFS, others from a file that names it."""
    file = places.admin / "s3-kind"
    return Kind(file.read_text()) if file.exists() else Kind.IAM


def _write_config(run: Path, admin: KeyPair) -> None:
    security = run / "security.toml"
    if not security.exists():
        sections = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
        write_private(
            security,
            "".join(
                f'[{name}]\nkey = "{secrets.token_urlsafe(32)}"\nexpires_after_seconds = 60\n' for name in sections
            ),
        )
    # One volume at a time per bucket; the default of seven is for clusters.
    write_private(run / "master.toml", "[master.volume_growth]\ncopy_1 = 1\ncopy_other = 1\n")
    identity = {
        "name": ADMINISTRATOR,
        "credentials": [{"accessKey": admin.access, "secretKey": admin.secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    write_private(run / "s3.json", json.dumps({"identities": [identity]}))


def admin(places: Places, ports: Ports) -> ObjectAdmin:
    """Return the administrator's client of the store."""
    return ObjectAdmin(endpoint=f"127.0.0.1:{ports['s3']}", keys=admin_keys(places))


def _answers(places: Places, ports: Ports) -> bool:
    """Return whether the gateway accepts the administrator and the master has a volume server to write to."""
    try:
        status_url = f"http://127.0.0.1:{ports['weed-master']}/dir/status"
        topology = direct_http.request("GET", status_url, timeout=1).json()
        if not topology["Topology"].get("DataCenters"):
            return False
        admin(places, ports).iam("ListUsers")
    except (requests.RequestException, StoreRefused, ValueError, KeyError):
        return False
    return True
