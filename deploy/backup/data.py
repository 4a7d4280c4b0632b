"""The data archive: the services' databases at one cluster time, the objects, and the ledger's signed head."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import IO, Any, Final

from bson import Timestamp
from minio.error import S3Error
from pymongo.errors import PyMongoError
from urllib3.exceptions import HTTPError

from deploy.backup import snapshot
from deploy.backup.archives import Writer, written
from deploy.backup.catalogue import ARCHIVES, Archive
from deploy.backup.errors import CannotBackUp
from deploy.backup.installation import Installation, Member
from services.document.store.files import connect
from shared.db.keys.tree import KEY_COLLECTIONS
from shared.ledger import LedgerBroken, from_row, read_head, sign_head, verified
from shared.security.signing import PublicKeys, Signer
from shared.service.restores import RESTORES

#: The services that keep objects.
WITH_OBJECTS: Final = ("document",)
# Made anew where they are missing, or about this installation and not about its data.
_LEFT_OUT: Final = frozenset({"nudges", ARCHIVES, RESTORES})
_TRIES: Final = 5
_AGAIN_S: Final = 1.0
_GONE: Final = ("NoSuchKey", "NoSuchObject")
_PIECE: Final = 128 * 1024


def make(installation: Installation, archive: Archive) -> dict[str, Any]:
    """Write the archive's file; its manifest. Raises CannotBackUp: then no file is there."""
    try:
        return snapshot.tried_again(
            lambda: _written(installation, archive),
            after=(snapshot.Rearranged,),
            times=_TRIES,
            pause_seconds=_AGAIN_S,
        )
    except snapshot.WindowOver as error:
        raise CannotBackUp(
            "The backup took longer than MongoDB keeps the moment that it reads (minSnapshotHistoryWindowInSeconds). "
            "Nothing was kept of it. Raise that setting, or run it at a quieter time."
        ) from error
    except snapshot.Rearranged as error:
        raise CannotBackUp("Collections were being made all the while. Nothing was kept. Try again.") from error
    except (PyMongoError, S3Error, HTTPError) as error:
        raise CannotBackUp(f"A server failed ({type(error).__name__}). Nothing was kept. Try again.") from error
    except LedgerBroken as error:
        raise CannotBackUp(
            f"The ledger isn't what the consent service wrote ({error}). Nothing was kept. See the runbook, Ledger."
        ) from error
    except OSError as error:
        raise CannotBackUp(f"{archive.folder} can't be written: {error.strerror}. Nothing was kept.") from error


def _written(installation: Installation, archive: Archive) -> dict[str, Any]:
    with written(archive.path) as file:
        return _write(installation, archive, file)


def _write(installation: Installation, archive: Archive, file: IO[bytes]) -> dict[str, Any]:
    # Before the databases: what is entered later may be of what the archive doesn't have.
    head = _signed_head(installation, archive.began_at)
    collections = _collections(installation)
    consent = installation["consent"]
    at = snapshot.now_at(consent.client, consent.database, "gates")
    if _collections(installation) != collections:
        raise snapshot.Rearranged
    with closing(Writer(file)) as writer:
        for member, database, collection in collections:
            pieces = snapshot.documents(installation[member].client, database, collection, at)
            writer.add(member_name(installation[member], database, collection), pieces, counted=True)
        # Objects are never overwritten, so they may be read later. One that is gone by then was deleted since.
        for service in WITH_OBJECTS:
            _write_objects(writer, installation[service])
        return writer.finish(
            {
                "kind": archive.kind,
                "made_at": archive.began_at.isoformat(),
                "until": archive.until.isoformat(),
                "names": installation.names,
                "cluster_time": cluster_time(at),
                "versions": versions(installation),
                "ledger_head": head,
            }
        )


def member_name(member: Member, database: str, collection: str) -> str:
    """Where a collection lies in an archive: `<service>/<collection>.bson`, or `<service>/vault/…`."""
    return f"{member.service}/{'vault/' if database == member.vault else ''}{collection}.bson"


def cluster_time(at: Timestamp) -> list[int]:
    return [at.time, at.inc]


def versions(installation: Installation) -> dict[str, str]:
    """What wrote an archive, and the server that it was read from."""
    try:
        ours = version("forgetmenot")
    except PackageNotFoundError:
        # In a container the code lies there without its package.
        ours = "unknown"
    return {"forgetmenot": ours, "mongodb": str(installation["consent"].client.server_info()["version"])}


def _collections(installation: Installation) -> list[tuple[str, str, str]]:
    """(service, database, collection) of all that there is, without what holds keys."""
    found = []
    for member in installation:
        for database, left_out in ((member.database, _LEFT_OUT), (member.vault, KEY_COLLECTIONS | _LEFT_OUT)):
            names = member.client[database].list_collection_names(filter={"type": "collection"})
            found += [
                (member.service, database, name)
                for name in sorted(names)
                if name not in left_out and not name.startswith("system.")
            ]
    return found


def _signed_head(installation: Installation, now: datetime) -> str:
    """How far the ledger has come, signed by the consent service's key. Raises LedgerBroken."""
    consent = installation["consent"]
    jwk = consent.settings.ledger_jwk
    if jwk is None:
        raise CannotBackUp("The consent service's secrets have no ledger.jwk.")
    keys = PublicKeys.load(consent.settings.public_keys)
    rows = consent.client[f"{installation.names}_ledger"]["ledger"].find().sort("_id", 1)
    entries = verified(map(from_row, rows), keys).entries
    head = sign_head(Signer(jwk), last=entries[-1] if entries else None, at=now)
    read_head(head, keys)
    return head


def _write_objects(writer: Writer, member: Member) -> None:
    client, bucket = connect(member.settings), member.settings.bucket
    for item in client.list_objects(bucket, recursive=True):
        key = str(item.object_name)
        try:
            answer = client.get_object(bucket, key)
        except S3Error as error:
            if error.code not in _GONE:
                raise
            continue
        try:
            writer.add(object_name(member, key), answer.stream(_PIECE))
        finally:
            answer.close()
            answer.release_conn()


def object_name(member: Member, key: str) -> str:
    """Where an object lies in an archive."""
    return f"{member.service}/objects/{key}"
