"""Buckets and key pairs on MinIO: a user per service, whose policy opens that service's bucket and nothing else.

MinIO has no IAM API: users and policies go through its own admin API. The same by hand, with its client:

    mc mb --with-versioning store/fmn-document
    mc admin policy create store fmn-document policy.json
    mc admin user add store ACCESS SECRET
    mc admin policy attach store fmn-document --user ACCESS
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException
from minio.minioadmin import MinioAdmin

from deploy.objects.accounts import ALLOWED, KeyPair, ObjectAdmin, StoreRefused, own_bucket_policy

# AWS calls it so and so does MinIO, which refuses a policy with an action it doesn't know.
OTHER_NAMES = {"s3:ListParts": "s3:ListMultipartUploadParts"}
# To list a key's unfinished uploads, which SeaweedFS counts as listing the bucket (and it knows no such action).
MORE = ("s3:ListBucketMultipartUploads",)
_TIMEOUT_S = 15


def ensure_account(admin: ObjectAdmin, name: str, bucket: str, keys: KeyPair) -> None:
    """Make the bucket, the policy called `name`, and the user with this key pair; doing it again changes nothing.

    Raises StoreRefused with the status of MinIO's refusal.
    """
    admin.ensure_bucket(bucket)
    client = _client(admin)
    with _told(f"an account called {name}"):
        client.policy_add(name, policy=own_bucket_policy(bucket, allowed()))
        client.user_add(keys.access, keys.secret)
        client.policy_set(name, user=keys.access)


def allowed() -> tuple[str, ...]:
    """What a service does with its bucket, in MinIO's words."""
    return (*(OTHER_NAMES.get(action, action) for action in ALLOWED), *MORE)


def drop_account(admin: ObjectAdmin, name: str, keys: KeyPair) -> None:
    """Drop the user with this key pair, and the policy called `name`. Raises StoreRefused."""
    client = _client(admin)
    with _told(f"dropping the account {name}"):
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
def _told(what: str) -> Iterator[None]:
    """MinIO's refusal as StoreRefused."""
    try:
        yield
    except MinioAdminException as error:
        # Its text holds the whole answer; the status is what tells.
        status = re.search(r"Status: (\d+)", str(error))
        raise StoreRefused(
            what, f"status {status[1] if status else 'unknown'} from MinIO's admin API, which not every store has"
        ) from error
