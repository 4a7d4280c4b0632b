"""A container's health check, run every few seconds with the standard library alone: exit 0 when its process works.

`api` requests /readyz, which checks the servers that the service needs. `worker` checks that the queue was reached and
that a connection to the broker is open. `disks` requests one disk's space.
"""

import http.client
import os
import sys
from urllib.parse import urlsplit

_ESTABLISHED = "01"
_AMQP_PORT = 5672


def answers(path: str, port: int = 8000) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    connection.request("GET", path)
    return connection.getresponse().status == 200


def worker_is_ready(ready_file: str, amqp_port: int, tables: tuple[str, ...] = ("tcp", "tcp6")) -> bool:
    """Return whether the ready file exists and the kernel lists an open connection to that port."""
    if not os.path.exists(ready_file):
        return False
    wanted = f":{amqp_port:04X}"
    for table in tables:
        try:
            with open(f"/proc/net/{table}") as file:
                rows = [line.split() for line in file][1:]
        except FileNotFoundError:
            continue
        if any(row[2].endswith(wanted) and row[3] == _ESTABLISHED for row in rows):
            return True
    return False


def main(role: str) -> int:
    try:
        if role == "api":
            return 0 if answers("/readyz") else 1
        if role == "disks":
            return 0 if answers("/rabbitmq") else 1
        with open(os.path.join(os.environ["FMN_SECRETS"], "amqp-url")) as file:
            port = urlsplit(file.read().strip()).port or _AMQP_PORT
        return 0 if worker_is_ready(os.environ["FMN_READY_FILE"], port) else 1
    except (OSError, KeyError, http.client.HTTPException):
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
