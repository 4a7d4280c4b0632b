"""Buckets and key pairs on the object store: one of each per service; a key pair has access to its bucket only.

Identities are managed through the IAM API (Signature Version 4) that SeaweedFS and AWS share.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from minio import Minio
from minio.credentials.credentials import Credentials
from minio.signer import _sign_v4  # the public functions sign for s3 and sts only
from minio.versioningconfig import VersioningConfig

from deploy import direct_http

# What a service may do with its bucket. It can't create or delete buckets, nor disable versioning.
ALLOWED = (
    "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion",
    "s3:ListBucket", "s3:ListBucketVersions", "s3:AbortMultipartUpload", "s3:ListParts", "s3:GetBucketVersioning",
    "s3:GetBucketLocation",
)  # fmt: skip
# What the independent reader may do, on every bucket: list buckets, and in them the names of objects, their versions
# and unfinished uploads. It can't read an object.
# SeaweedFS lists unfinished uploads for the wildcard alone.
READER_ALLOWED = ("s3:List*", "s3:GetBucketLocation")
EVERY_BUCKET = "*"
_REGION = "us-east-1"


class StoreRefused(Exception):
    """The object store refused an administrative call; `code` is its error code."""

    def __init__(self, action: str, code: str) -> None:
        super().__init__(f"The object store refused {action}: {code}.")
        self.code = code


def own_bucket_policy(bucket: str, actions: Sequence[str] = ALLOWED) -> dict[str, Any]:
    """Return a policy that allows these actions on this bucket, or EVERY_BUCKET, and its objects."""
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": resources}],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    access: str
    secret: str

    @classmethod
    def generate(cls) -> KeyPair:
        """Return a new pair. MinIO accepts access keys of 3 to 20 characters and secret keys of 8 to 40."""
        return cls(access=secrets.token_hex(10).upper(), secret=secrets.token_hex(20).upper())


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectAdmin:
    """The administrator's client of the object store at `endpoint` (host:port)."""

    endpoint: str
    keys: KeyPair
    secure: bool = False

    @property
    def s3(self) -> Minio:
        return Minio(self.endpoint, self.keys.access, self.keys.secret, secure=self.secure, region=_REGION)

    def iam(self, action: str, **values: str) -> ElementTree.Element:
        """Call the IAM API. Raises StoreRefused with the API's error code."""
        body = urlencode({"Action": action, "Version": "2010-05-08", **values})
        digest = hashlib.sha256(body.encode()).hexdigest()
        url = f"{'https' if self.secure else 'http'}://{self.endpoint}/"
        now = datetime.now(UTC)
        headers = _sign_v4(
            service_name="iam",
            method="POST",
            url=urlsplit(url),
            region=_REGION,
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Host": self.endpoint,
                "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
                "x-amz-content-sha256": digest,
            },
            credentials=Credentials(self.keys.access, self.keys.secret),
            content_sha256=digest,
            date=now,
        )
        signed = {name: str(value) for name, value in headers.items()}
        answer = direct_http.request("POST", url, data=body, headers=signed, timeout=10)
        root = ElementTree.fromstring(answer.content) if answer.content else ElementTree.Element("empty")  # noqa: S314
        if answer.status_code >= 300:
            raise StoreRefused(action, _text(root, "Code") or str(answer.status_code))
        return root

    def ensure_bucket(self, bucket: str) -> None:
        """Create the bucket, with versioning."""
        store = self.s3
        if not store.bucket_exists(bucket):
            store.make_bucket(bucket)
        store.set_bucket_versioning(bucket, VersioningConfig("Enabled"))

    def ensure_identity(
        self, name: str, bucket: str, known: KeyPair | None, actions: Sequence[str] = ALLOWED
    ) -> KeyPair:
        """Create the identity with these actions on its bucket only; return `known` if the store has
        it, or a new pair.
        """
        try:
            self.iam("CreateUser", UserName=name)
        except StoreRefused as error:
            if error.code != "EntityAlreadyExists":
                raise
        policy = own_bucket_policy(bucket, actions)
        self.iam("PutUserPolicy", UserName=name, PolicyName="own-bucket", PolicyDocument=json.dumps(policy))
        held = self._access_keys(name)
        if known and known.access in held:
            return known
        for access in held:
            self.iam("DeleteAccessKey", UserName=name, AccessKeyId=access)
        made = self.iam("CreateAccessKey", UserName=name)
        return KeyPair(access=_text(made, "AccessKeyId"), secret=_text(made, "SecretAccessKey"))

    def drop_bucket(self, bucket: str) -> None:
        """Delete the bucket, if it exists, with all versions of its objects."""
        store = self.s3
        if store.bucket_exists(bucket):
            for item in store.list_objects(bucket, recursive=True, include_version=True):
                store.remove_object(bucket, str(item.object_name), version_id=item.version_id)
            store.remove_bucket(bucket)

    def drop_identity(self, name: str) -> None:
        """Delete the identity, if it exists."""
        try:
            for access in self._access_keys(name):
                self.iam("DeleteAccessKey", UserName=name, AccessKeyId=access)
            self.iam("DeleteUserPolicy", UserName=name, PolicyName="own-bucket")
            self.iam("DeleteUser", UserName=name)
        except StoreRefused as error:
            if error.code != "NoSuchEntity":
                raise

    def _access_keys(self, name: str) -> list[str]:
        answer = self.iam("ListAccessKeys", UserName=name)
        return [element.text or "" for element in answer.iter() if element.tag.rpartition("}")[2] == "AccessKeyId"]


def _text(root: ElementTree.Element, tag: str) -> str:
    return next((element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == tag), "")
