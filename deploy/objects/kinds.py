"""Object stores by how they manage accounts. A service gets its bucket and key pair on each kind."""

from __future__ import annotations

from enum import StrEnum

from deploy.objects import minio
from deploy.objects.accounts import KeyPair, ObjectAdmin


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


def drop_account(kind: Kind, admin: ObjectAdmin, name: str, known: KeyPair | None) -> None:
    """Delete the bucket `name` with all versions of its objects, and the account if there is one."""
    admin.drop_bucket(name)
    if kind is Kind.IAM:
        admin.drop_identity(name)
    elif kind is Kind.MINIO and known:
        minio.drop_account(admin, name, known)
