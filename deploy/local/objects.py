"""The embedded object store: SeaweedFS in one process, everything on loopback and behind keys."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

import requests

from deploy.local.errors import StackError
from deploy.local.places import Places, Ports, private_folder, write_private
from deploy.local.processes import Program
from deploy.objects.accounts import KeyPair, ObjectAdmin, StoreRefused
from deploy.objects.kinds import Kind


def program(places: Places, ports: Ports) -> Program:
    """`weed server` with a filer and the S3 gateway."""
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
        # On its second start a lone master waits an election out before it leads itself.
        "-master.electionTimeout=1s", "-master.heartbeatInterval=200ms", "-master.volumeSizeLimitMB=1024",
        f"-volume.port={ports['weed-volume']}", f"-volume.port.grpc={ports['weed-volume-grpc']}",
        "-volume.max=2000", "-volume.preStopSeconds=0",
        "-filer", f"-filer.port={ports['weed-filer']}", f"-filer.port.grpc={ports['weed-filer-grpc']}",
        "-filer.disableDirListing", "-filer.exposeDirectoryData=false", "-filer.ui.deleteDir=false",
        "-s3", f"-s3.port={ports['s3']}", f"-s3.port.grpc={ports['s3-grpc']}", "-s3.config=s3.json",
        "-s3.iam.readOnly=false", "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        # Relative to its working folder: a socket's path may not be longer than 107 bytes.
        "-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock",
    ]  # fmt: skip
    return Program(
        name="seaweedfs",
        command=command,
        cwd=run,
        env={"HOME": str(run)},
        ready=lambda: _answers(places, ports),
        # It waits 15 s for streams between its own parts. What it was given is in the files by then.
        grace_s=2,
        remove=_stray_sockets(ports),
    )


def _stray_sockets(ports: Ports) -> list[str]:
    """Sockets that weed puts in /tmp whatever it is told; readable by their owner alone, and removed with it."""
    grpc = {"master": "weed-master-grpc", "volume": "weed-volume-grpc", "filer": "weed-filer-grpc", "s3": "s3-grpc"}
    return [f"/tmp/seaweedfs-{part}-grpc-{ports[name]}.sock" for part, name in grpc.items()]  # noqa: S108


def remove_stray_sockets(ports: Ports) -> None:
    """Remove those sockets after a run that was killed."""
    for path in _stray_sockets(ports):
        Path(path).unlink(missing_ok=True)


def admin_keys(places: Places) -> KeyPair:
    """The administrator's key pair, made the first time."""
    access, secret = places.admin / "s3-access-key", places.admin / "s3-secret-key"
    if not secret.exists():
        made = KeyPair.made()
        write_private(access, made.access)
        write_private(secret, made.secret)
    return KeyPair(access=access.read_text(), secret=secret.read_text())


def kind(places: Places) -> Kind:
    """How the store that serves this stack keeps accounts; ours has AWS's API, others say so in a file."""
    said = places.admin / "s3-kind"
    return Kind(said.read_text()) if said.exists() else Kind.IAM


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
    # One volume at a time per bucket: seven each, the default, are for racks of machines.
    write_private(run / "master.toml", "[master.volume_growth]\ncopy_1 = 1\ncopy_other = 1\n")
    identity = {
        "name": "fmn-admin",
        "credentials": [{"accessKey": admin.access, "secretKey": admin.secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    write_private(run / "s3.json", json.dumps({"identities": [identity]}))


def admin(places: Places, ports: Ports) -> ObjectAdmin:
    """The store's administrator."""
    return ObjectAdmin(endpoint=f"127.0.0.1:{ports['s3']}", keys=admin_keys(places))


def _answers(places: Places, ports: Ports) -> bool:
    """True when the gateway knows its administrator and the master has a volume server to write to."""
    try:
        with requests.Session() as session:
            session.trust_env = False
            topology = session.get(f"http://127.0.0.1:{ports['weed-master']}/dir/status", timeout=1).json()
        if not topology["Topology"].get("DataCenters"):
            return False
        admin(places, ports).iam("ListUsers")
    except (requests.RequestException, StoreRefused, ValueError, KeyError):
        return False
    return True
