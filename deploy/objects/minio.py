"""Buckets and key pairs on MinIO: a user per service, whose policy allows access to that service's bucket only.

MinIO has no IAM API; users and policies are managed through its admin API. The same by hand, with its client:

    mc mb --with-versioning store/fmn-document
    mc admin policy create store fmn-document policy.json
    mc admin user add store ACCESS SECRET
    mc admin policy attach store fmn-document --user ACCESS
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import urllib3
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException
from minio.minioadmin import MinioAdmin

from deploy.objects.accounts import (
    ALLOWED,
    EVERY_BUCKET,
    KeyPair,
    ObjectAdmin,
    StoreRefused,
    own_bucket_policy,
)

# SeaweedFS's action names -> those of AWS and MinIO, which refuses a policy with an unknown action.
_MINIO_NAMES = {"s3:ListParts": "s3:ListMultipartUploadParts"}
# To list unfinished uploads, for which SeaweedFS uses s3:ListBucket.
_MINIO_ONLY = ("s3:ListBucketMultipartUploads",)
_READER_ALLOWED = (
    "s3:ListAllMyBuckets", "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads",
    "s3:GetBucketLocation",
)  # fmt: skip
_TIMEOUT_S = 15


def ensure_account(admin: ObjectAdmin, name: str, bucket: str, keys: KeyPair) -> None:
    """Create the bucket, the policy `name` and the user with this key pair; running it again changes nothing.

    Raises StoreRefused with the status of MinIO's refusal.
    """
    admin.ensure_bucket(bucket)
    _ensure_user(admin, name, bucket, keys, allowed())


def ensure_reader(admin: ObjectAdmin, name: str, keys: KeyPair) -> None:
    """Create the policy `name`, which allows listing names in every bucket, and the user with this key pair.

    Raises StoreRefused with the status of MinIO's refusal.
    """
    _ensure_user(admin, name, EVERY_BUCKET, keys, _READER_ALLOWED)


def _ensure_user(admin: ObjectAdmin, name: str, bucket: str, keys: KeyPair, actions: Sequence[str]) -> None:
    client = _client(admin)
    with _refusals(f"an account called {name}"):
        client.policy_add(name, policy=own_bucket_policy(bucket, actions))
        client.user_add(keys.access, keys.secret)
        client.policy_set(name, user=keys.access)


def allowed() -> tuple[str, ...]:
    """Return the actions that a service is allowed on its bucket, by MinIO's names."""
    return (*(_MINIO_NAMES.get(action, action) for action in ALLOWED), *_MINIO_ONLY)


def drop_account(admin: ObjectAdmin, name: str, keys: KeyPair) -> None:
    """Delete the user with this key pair, and the policy `name`. Raises StoreRefused."""
    client = _client(admin)
    with _refusals(f"dropping the account {name}"):
        client.user_remove(keys.access)
        client.policy_remove(name)


def _client(admin: ObjectAdmin) -> MinioAdmin:
    return MinioAdmin(
        endpoint=admin.endpoint,
        credentials=StaticProvider(admin.keys.access, admin.keys.secret),
        secure=admin.secure,
        http_client=urllib3.PoolManager(timeout=_TIMEOUT_S, retries=False),
    )


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Turn a refusal of MinIO into StoreRefused."""
    try:
        yield
    except MinioAdminException as error:
        # The error's text is the whole response; only the status is useful.
        status = re.search(r"Status: (\d+)", str(error))
        raise StoreRefused(
            what, f"status {status[1] if status else 'unknown'} from MinIO's admin API, which not every store has"
        ) from error
