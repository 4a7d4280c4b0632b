"""Object stores by how they keep accounts: the same bucket and key pair for a service on each of them."""

from __future__ import annotations

from enum import StrEnum

from deploy.objects import minio
from deploy.objects.accounts import KeyPair, ObjectAdmin


class Kind(StrEnum):
    """`iam`: accounts through AWS's API; `minio`: through MinIO's own; `shared`: none, so all share one key pair."""

    IAM = "iam"
    MINIO = "minio"
    SHARED = "shared"


def ensure_account(kind: Kind, admin: ObjectAdmin, name: str, known: KeyPair | None) -> KeyPair:
    """Make the bucket called `name`, and an account of that name which opens no other; answers the account's key pair.

    known: the pair that it has, if it was made before. A store of kind `shared` answers its only pair.
    """
    match kind:
        case Kind.IAM:
            admin.ensure_bucket(name)
            return admin.ensure_identity(name, name, known)
        case Kind.MINIO:
            pair = known or KeyPair.made()
            minio.ensure_account(admin, name, name, pair)
            return pair
        case Kind.SHARED:
            admin.ensure_bucket(name)
            return admin.keys


def drop_account(kind: Kind, admin: ObjectAdmin, name: str, known: KeyPair | None) -> None:
    """Drop the bucket called `name` with every version in it, and the account where there is one."""
    admin.drop_bucket(name)
    if kind is Kind.IAM:
        admin.drop_identity(name)
    elif kind is Kind.MINIO and known:
        minio.drop_account(admin, name, known)
