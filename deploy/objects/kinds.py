"""Object stores by how they manage accounts. A service gets its bucket and key pair on each kind."""

from __future__ import annotations

from enum import StrEnum

from deploy.objects import minio
from deploy.objects.accounts import EVERY_BUCKET, READER_ALLOWED, KeyPair, ObjectAdmin


class Kind(StrEnum):
    """`iam`: accounts through AWS's API. `minio`: through MinIO's admin API. `shared`: no accounts, one key pair."""

    IAM = "iam"
    MINIO = "minio"
    SHARED = "shared"


def ensure_account(kind: Kind, admin: ObjectAdmin, name: str, known: KeyPair | None) -> KeyPair:
    """Create the bucket `name` and an account `name` with access to it only; return the account's key pair.

    known: the account's key pair if it exists. A store of kind `shared` returns its only pair.
    """
    match kind:
        case Kind.IAM:
            admin.ensure_bucket(name)
            return admin.ensure_identity(name, name, known)
        case Kind.MINIO:
            pair = known or KeyPair.generate()
            minio.ensure_account(admin, name, name, pair)
            return pair
        case Kind.SHARED:
            admin.ensure_bucket(name)
            return admin.keys


def ensure_reader(kind: Kind, admin: ObjectAdmin, name: str, known: KeyPair | None) -> KeyPair:
    """Create the account `name`, which may list the names in every bucket; return its key pair, as `ensure_account`."""
    match kind:
        case Kind.IAM:
            return admin.ensure_identity(name, EVERY_BUCKET, known, READER_ALLOWED)
        case Kind.MINIO:
            pair = known or KeyPair.generate()
            minio.ensure_reader(admin, name, pair)
            return pair
        case Kind.SHARED:
            return admin.keys


def drop_identity(kind: Kind, admin: ObjectAdmin, name: str, known: KeyPair | None) -> None:
    """Delete the account `name`, if there is one."""
    if kind is Kind.IAM:
        admin.drop_identity(name)
    elif kind is Kind.MINIO and known:
        minio.drop_account(admin, name, known)


def drop_account(kind: Kind, admin: ObjectAdmin, name: str, known: KeyPair | None) -> None:
    """Delete the bucket `name` with all versions of its objects, and the account if there is one."""
    admin.drop_bucket(name)
    drop_identity(kind, admin, name, known)
