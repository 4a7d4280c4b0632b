"""The key archive: the vaults at one cluster time with the roots that they hang on, encrypted to the operator's key.

A file is one line of JSON, which says what it is, and the sealed rest, which is bound to that line.
"""

from __future__ import annotations

import io
import json
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import bson
from bson import Timestamp
from pymongo.errors import PyMongoError

from deploy.backup import renewed, snapshot
from deploy.backup.archives import Reader, Writer, written
from deploy.backup.catalogue import DATA, Archive, listed
from deploy.backup.data import cluster_time, member_name, versions
from deploy.backup.envelope import open_sealed, seal
from deploy.backup.errors import BadArchive, CannotBackUp
from deploy.backup.installation import Installation, Member
from shared.db.keys.roots import PlaceAway, RootMissing
from shared.db.keys.tree import KEY_COLLECTIONS, TREE_ID, DoesNotOpen, open_tree
from shared.events import SERVICES

_TRIES: Final = 20
_AGAIN_S: Final = 0.5
_LONGEST_LINE: Final = 64 * 1024


class _Rotated(Exception):
    """The root that the tree named was destroyed before it was read."""


def make(installation: Installation, archive: Archive, public_key: Path) -> Reader:
    """Write the archive's file; what is sealed in it. Raises CannotBackUp: then no file is there."""
    try:
        # Vaults of one moment, each with the root that opens it.
        said, plain = snapshot.tried_again(
            lambda: _read(installation, archive),
            after=(_Rotated, snapshot.Rearranged),
            times=_TRIES,
            pause_seconds=_AGAIN_S,
        )
        line = json.dumps(said).encode() + b"\n"
        sealed = seal(plain, public_key, line)
        with written(archive.path) as file:
            file.write(line)
            file.write(sealed)
        return Reader(io.BytesIO(plain), archive.name)
    except (_Rotated, snapshot.Rearranged) as error:
        raise CannotBackUp(
            "No root was found that opens the keys of the same moment: they are being rotated, or a root is damaged. "
            "Nothing was kept. Try again; `forgetmenot keys status` names a root that is damaged."
        ) from error
    except snapshot.WindowOver as error:
        raise CannotBackUp("Reading the keys took too long. Nothing was kept. Try again.") from error
    except PyMongoError as error:
        raise CannotBackUp(f"MongoDB failed ({type(error).__name__}). Nothing was kept. Try again.") from error
    except PlaceAway as error:
        raise CannotBackUp(f"The roots can't be read: {error}. Nothing was kept.") from error
    except OSError as error:
        raise CannotBackUp(f"{archive.folder} can't be written: {error.strerror}. Nothing was kept.") from error


def _read(installation: Installation, archive: Archive) -> tuple[dict[str, Any], bytes]:
    consent = installation["consent"]
    at = snapshot.now_at(consent.client, consent.vault, "tree")
    said = {
        "kind": archive.kind,
        "made_at": archive.began_at.isoformat(),
        "names": installation.names,
        "cluster_time": cluster_time(at),
        "versions": versions(installation),
    }
    data_archives = listed(archive.folder, DATA)
    plain = io.BytesIO()
    with closing(Writer(plain)) as writer:
        for member in installation:
            writer.add(root_name(member.service), [_root(member, at)])
            for name in sorted(KEY_COLLECTIONS):
                pieces = snapshot.documents(member.client, member.vault, name, at)
                writer.add(member_name(member, member.vault, name), pieces, counted=True)
            if data_archives:
                renewed.write(writer, member, at, data_archives[0].began_at)
        writer.finish(said)
    return said, plain.getvalue()


def _root(member: Member, at: Timestamp) -> bytes:
    """The root that the service's tree named then, tried on it. Raises _Rotated, PlaceAway."""
    documents = [bson.decode(raw) for raw in snapshot.documents(member.client, member.vault, TREE_ID, at)]
    if not documents:
        raise CannotBackUp(f"The {member.service} service has no key tree yet: its worker makes it when it starts.")
    try:
        copies = member.roots.copies(str(documents[0]["root"]))
    except RootMissing as error:
        raise _Rotated from error
    for root in copies:
        with suppress(DoesNotOpen):
            open_tree(member.service, documents[0], root)
            return root
    # Being overwritten at this moment, or every copy is damaged.
    raise _Rotated


def root_name(service: str) -> str:
    """Where a service's root lies in an archive."""
    return f"{service}/root"


def opened(archive: Archive, identity: Path) -> Reader:
    """The archive's content, every root tried on its tree. Raises BadArchive."""
    try:
        with archive.path.open("rb") as file:
            line = file.readline(_LONGEST_LINE)
            sealed = file.read()
    except OSError as error:
        raise BadArchive(f"{archive.path} can't be read: {error.strerror}.") from error
    reader = Reader(io.BytesIO(open_sealed(sealed, identity, line)), archive.name)
    reader.check()
    for service in SERVICES:
        try:
            (document,) = reader.documents(f"{service}/vault/{TREE_ID}.bson")
            open_tree(service, document, reader.read(root_name(service)))
        except (DoesNotOpen, KeyError, ValueError) as error:
            raise BadArchive(f"{archive.name} lacks the root that opens the keys of the {service} service.") from error
    return reader
