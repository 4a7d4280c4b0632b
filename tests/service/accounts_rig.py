"""Clients that have the rights of one service's accounts on the three servers."""

from __future__ import annotations

import pika
from minio import Minio
from pymongo import MongoClient

from deploy.local.provision import Provision
from deploy.local.stack import Stack


def secret(provided: Provision, service: str, name: str) -> str:
    return (provided.secrets[service] / name).read_text()


def mongo_of(provided: Provision, service: str) -> MongoClient[dict[str, object]]:
    return MongoClient(secret(provided, service, "mongo-url"), serverSelectionTimeoutMS=3000)


def channel_of(provided: Provision, service: str) -> pika.adapters.blocking_connection.BlockingChannel:
    channel = pika.BlockingConnection(pika.URLParameters(secret(provided, service, "amqp-url"))).channel()
    channel.confirm_delivery()
    return channel


def store_of(stack: Stack, provided: Provision, service: str) -> Minio:
    access, secret_key = secret(provided, service, "s3-access-key"), secret(provided, service, "s3-secret-key")
    return Minio(f"127.0.0.1:{stack.ports['s3']}", access, secret_key, secure=False, region="us-east-1")
