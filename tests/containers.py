"""The run's MongoDB, RabbitMQ and object store as containers, where FMN_TEST_SERVERS=containers asks for them.

They listen on the stack's ports and have the administrators' secrets that lie in its folder, so that whoever attaches
to the stack sees no difference. Services and the mail catcher stay processes of the run.

A keeper (deploy/local/keeper.py) runs this file as a program, which removes the containers when the run ends, however
it ends: Ctrl-C, an error and `kill -9` included, whether or not testcontainers' own reaper may run.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from docker.errors import DockerException, NotFound
from minio.error import S3Error
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from urllib3.exceptions import HTTPError

from deploy.local import broker, mongo, objects
from deploy.local.errors import StackError
from deploy.local.places import PROJECT, write_private
from deploy.local.processes import Process, Program
from deploy.local.stack import Stack
from deploy.mongo.replica_set import ensure_replica_set
from deploy.objects.kinds import Kind

LABEL = "forgetmenot.test-run"
_READY_WITHIN_S = 120
# What a client of the engine, and testcontainers, read of their surroundings.
_ENGINE_SETTINGS = ("DOCKER_", "TESTCONTAINERS_", "TC_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The images of docker-compose.yml, by the same settings."""

    mongo: str = os.environ.get("MONGO_IMAGE") or "mongo:8.0"
    rabbitmq: str = os.environ.get("RABBITMQ_IMAGE") or "rabbitmq:4-management"
    objects: str = os.environ.get("OBJECT_STORE_IMAGE") or "pgsty/silo:RELEASE.2026-09-03T13-18-01Z"

    def __iter__(self) -> Iterator[str]:
        return iter((self.mongo, self.rabbitmq, self.objects))


IMAGES = Images()


class ContainerStack(Stack):
    """A stack whose servers are containers on its ports."""

    _remover: Process | None = None

    def server_starts(self) -> Sequence[Callable[[], None]]:
        self._remover = Process(self._remover_program(), self.places)
        self._remover.start()
        self._remover.wait_ready()
        return (self._mongo, self._rabbitmq, self._objects, self.start_mail)

    def stop(self) -> None:
        super().stop()
        if self._remover is not None:
            self._remover.stop()
            self._remover = None

    def _remover_program(self) -> Program:
        ready_file = self.places.run / "containers-ready"
        return Program(
            name="containers",
            command=[sys.executable, "-m", "tests.containers", str(self.places.root), str(ready_file)],
            cwd=PROJECT,
            env={name: value for name, value in os.environ.items() if name.startswith(_ENGINE_SETTINGS)},
            ready=ready_file.exists,
            ready_file=ready_file,
            grace_s=60,
        )

    # Each server

    def _mongo(self) -> None:
        port = self.ports["mongodb"]
        # mongod takes a keyfile of its own user's only, and a copied file is root's.
        owned = "install -m 0400 -o mongodb -g mongodb /run/fmn/keyfile /data/configdb/keyfile"
        begin = ["sh", "-ec", f'{owned}; exec docker-entrypoint.sh "$@"', "sh"]
        container = (
            self._container(IMAGES.mongo, {port: port})
            .with_kwargs(**self._kwargs(), entrypoint=begin)
            .with_command(
                [
                    "mongod", "--replSet", mongo.REPLICA_SET, "--keyFile", "/data/configdb/keyfile", "--bind_ip_all",
                    # The same port inside and outside: members of a set, and clients, know it by one address.
                    "--port", str(port), "--wiredTigerCacheSizeGB", "0.5",
                    "--setParameter", "transactionLifetimeLimitSeconds=3",
                    "--setParameter", f"minSnapshotHistoryWindowInSeconds={mongo.SNAPSHOT_SECONDS}",
                    "--setParameter", "diagnosticDataCollectionEnabled=false",
                ]
            )
            .with_env("MONGO_INITDB_ROOT_USERNAME", mongo.ADMINISTRATOR)
            .with_env("MONGO_INITDB_ROOT_PASSWORD_FILE", "/run/fmn/password")
            .with_copy_into_container(mongo.admin_password(self.places).encode(), "/run/fmn/password", 0o444)
            .with_copy_into_container(mongo.key_file(self.places), "/run/fmn/keyfile", 0o444)
        )  # fmt: skip
        self._run("mongodb", container, lambda: mongo.answers(self.ports))
        with mongo.admin_client(self.places, self.ports) as client:
            ensure_replica_set(client, mongo.REPLICA_SET, f"127.0.0.1:{port}")
        self.report("mongodb", "ready")

    def _rabbitmq(self) -> None:
        config = (PROJECT / "deploy/rabbitmq/compose.conf").read_bytes()
        container = (
            self._container(IMAGES.rabbitmq, {5672: self.ports["amqp"], 15672: self.ports["rabbitmq-management"]})
            .with_copy_into_container(config, "/etc/rabbitmq/conf.d/20-forgetmenot.conf")
            .with_copy_into_container(broker.first_definitions(self.places).encode(), "/definitions/definitions.json")
            .with_env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+sbwt none +sbwtdcpu none +sbwtdio none")
            .with_env("ERL_CRASH_DUMP", "/dev/null")
        )
        self._run("rabbitmq", container, lambda: broker.answers(self.places, self.ports))
        self.report("rabbitmq", "ready")

    def _objects(self) -> None:
        keys = objects.admin_keys(self.places)
        container = (
            self._container(IMAGES.objects, {9000: self.ports["s3"]})
            .with_command(["server", "/data"])
            .with_env("MINIO_ROOT_USER", keys.access)
            .with_env("MINIO_ROOT_PASSWORD", keys.secret)
        )
        self._run("objects", container, self._objects_answer)
        # By its program's name, and not by how it answers: a store that has lost its accounts must not pass for one
        # that never had any.
        has_accounts = container.exec(["sh", "-c", "command -v silo || command -v minio"]).exit_code == 0
        write_private(self.places.admin / "s3-kind", Kind.MINIO if has_accounts else Kind.SHARED)
        self.report("objects", "ready" if has_accounts else "ready; it has no accounts: services share its only key")

    def _objects_answer(self) -> bool:
        try:
            with requests.Session() as session:
                session.trust_env = False
                if not session.get(f"http://127.0.0.1:{self.ports['s3']}/minio/health/ready", timeout=1).ok:
                    return False
            objects.admin(self.places, self.ports).s3.list_buckets()
        except (requests.RequestException, S3Error, HTTPError):
            return False
        return True

    # What they have in common

    def _container(self, image: str, ports: dict[int, int]) -> DockerContainer:
        try:
            container = DockerContainer(image).with_kwargs(**self._kwargs())
        except DockerException as error:
            raise StackError(f"FMN_TEST_SERVERS=containers needs a Docker engine: {error}") from error
        # On loopback alone, which `with_bind_ports` can't say.
        container.ports = {f"{inside}/tcp": ("127.0.0.1", outside) for inside, outside in ports.items()}  # type: ignore[misc]
        return container

    def _kwargs(self) -> dict[str, Any]:
        return {"labels": {LABEL: str(self.places.root)}}

    def _run(self, name: str, container: DockerContainer, ready: Callable[[], bool]) -> None:
        """Start it and wait until it works; raises StackError with its last words."""
        self.report(name, "starting")
        try:
            container.start()
        except DockerException as error:
            raise StackError(f"{name} could not be started from {container.image}: {error}") from error
        deadline = time.monotonic() + _READY_WITHIN_S
        while not ready():
            if self.ending:
                raise StackError(f"{name} isn't waited for: the stack is ending.")
            wrapped = container.get_wrapped_container()
            wrapped.reload()
            if wrapped.status != "running" or time.monotonic() > deadline:
                words = wrapped.logs(tail=5).decode(errors="replace")
                raise StackError(
                    f"{name} ({container.image}) is {wrapped.status} and doesn't work. Its log ends:\n{words}"
                )
            time.sleep(0.1)


def remove(run: str) -> None:
    """Remove every container of this run, and what volumes they made for themselves."""
    client = DockerClient().client
    for container in client.containers.list(all=True, filters={"label": f"{LABEL}={run}"}):
        try:
            container.remove(force=True, v=True)
        except NotFound:
            continue


def main(run: str, ready_file: str) -> None:
    """Wait for the keeper's SIGTERM, and then remove the run's containers."""
    awaited = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    Path(ready_file).touch()
    signal.sigwait(awaited)
    remove(run)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
