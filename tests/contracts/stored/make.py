"""Writes the stored records; run once, at the commit that added them, and not to be run again casually.

    .venv/bin/python -m tests.contracts.stored.make

It starts an embedded stack of its own, opens each service as its worker does, writes records through the services' own
stores (write_*.py), and dumps what lies in MongoDB and in the bucket, with the keys of the vault.

What the files are for is that they don't change, so it never overwrites one. It writes a file for a store that has
none, and adds its keys and its expectations to those that are there: for a new store, write its records in
write_<service>.py and run it. To change an existing file is to say that what families' databases hold may be lost.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from deploy.local.places import from_environment
from deploy.local.stack import Stack
from shared.events import SERVICES
from tests.conftest import _free_base
from tests.contracts.stored.opening import (
    BUCKETS,
    HERE,
    Opened,
    files_of,
    from_json,
    keys_of,
    objects_of,
    open_service,
    read,
    stored,
    to_json,
)
from tests.contracts.stored.write_case import write_case
from tests.contracts.stored.write_consent import write_consent
from tests.contracts.stored.write_document import write_document
from tests.contracts.stored.write_kernel import prepare, write_kernel
from tests.contracts.stored.write_notifier import write_notifier

_WRITERS = {"case": write_case, "consent": write_consent, "document": write_document, "notifier": write_notifier}


def dump(opened: Opened) -> list[str]:
    """Write what has no file yet; the stores it was written for."""
    folder = HERE / opened.name
    expected_file, keys_file = folder / "expected.json", folder / "keys.json"
    expected: dict[str, Any] = json.loads(expected_file.read_text()) if expected_file.exists() else {}
    keys = {row["_id"]: row for row in from_json(keys_file)} if keys_file.exists() else {}
    new = sorted(set(opened.registered) - set(files_of(opened.name)))
    for store in new:
        rows = objects_of(opened, store) if store in BUCKETS else stored(opened, store)
        if not rows:
            raise SystemExit(f"{opened.name}: nothing was written to {store}")
        to_json(folder / f"{store}.json", rows)
        if store not in BUCKETS:
            expected[store] = [read(opened, store, row) for row in rows]
    if new:
        to_json(keys_file, [*keys.values(), *(row for row in keys_of(opened) if row["_id"] not in keys)])
        told = json.dumps(expected, ensure_ascii=False, indent=1, sort_keys=True)
        expected_file.write_text(told + "\n", encoding="utf-8")
    return new


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fmn-stored-") as folder:
        packages = from_environment()[0] / "packages"
        with Stack(Path(folder) / "stack", _free_base(), packages=packages) as stack:
            stack.start_servers()
            provided = stack.provision("stored")
            for name in SERVICES:
                opened = open_service(name, provided, Path(folder) / "secrets")
                prepare(opened)
                _WRITERS[name](opened)
                write_kernel(opened)
                # A vault opens records for five seconds after their key was destroyed.
                time.sleep(6)
                sys.stdout.write(f"{name}: {', '.join(dump(opened)) or 'nothing new'}\n")


if __name__ == "__main__":
    main()
