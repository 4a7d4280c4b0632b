"""The entry point of the image.

`SERVICE api|worker|migrate`, `reader`, `provision`, `definitions`, `disks`, `broker …`.

`broker`, `clock`, `keys`, `ledger`, `backup`, `restore` and `migrate` are commands of `forgetmenot`; `migrate` works on
one service at a time here.
"""

from __future__ import annotations

import os
import sys

from deploy.commands import api_command, reader_command, worker_command
from shared.events import SERVICES

API_PORT = 8000
USAGE = (
    f"usage: {'|'.join(SERVICES)} api|worker|migrate, or reader, or provision, or definitions, or disks, "
    "or broker|clock|keys|ledger|backup|restore …"
)


def main(arguments: list[str]) -> int:
    match arguments:
        case [service, "api"] if service in SERVICES:
            command = api_command(service, f"0.0.0.0:{API_PORT}", "/tmp")  # noqa: S108 - the container's own /tmp
        case [service, "worker"] if service in SERVICES:
            command = worker_command(service)
        case ["reader"]:
            command = reader_command()
        case [service, "migrate"] if service in SERVICES:
            from deploy.ops import migrate

            os.environ["FMN_SERVICE"] = service
            return migrate.migrate_here()
        case ["provision" | "definitions" as task]:
            from deploy.ops import provision

            return provision.main(task)
        case ["disks"]:
            from deploy import disks

            return disks.main()
        case ["broker" | "clock" | "keys" | "ledger" | "backup" | "restore", *_]:
            from deploy.ops.main import app

            return int(app(arguments, prog_name="forgetmenot") or 0)
        case _:
            print(USAGE, file=sys.stderr)  # noqa: T201
            return 2
    os.environ["FMN_SERVICE"] = arguments[0]
    os.execv(command[0], command)  # noqa: S606 - exec, so that the service gets the signals


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
