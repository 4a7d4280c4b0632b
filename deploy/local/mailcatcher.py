"""The embedded mail server: accepts every message and writes it to a folder as the recipient would receive it.

Run as `python -m deploy.local.mailcatcher PORT FOLDER`. It refuses a mailbox whose local part begins with `refuses`
(550), so that undeliverable mail can be tried out.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

_LIMIT_BYTES = 50 * 2**20


class ToFolder:
    """Writes each message to its own file, atomically."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.lower().startswith("refuses"):
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        path = self.folder / f"{stamp}-{secrets.token_hex(4)}.eml"
        part = path.with_suffix(".part")
        heading = "".join(f"X-Delivered-To: {address}\r\n" for address in envelope.rcpt_tos).encode()
        content = envelope.original_content or b""
        with part.open("xb") as file:
            file.write(heading + content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        return "250 2.0.0 Taken"


async def serve(port: int, folder: Path) -> None:
    """Accept mail on the loopback port until SIGTERM."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = ToFolder(folder)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(
        lambda: SMTP(handler, enable_SMTPUTF8=True, data_size_limit=_LIMIT_BYTES, hostname="localhost"),
        "127.0.0.1",
        port,
    )
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
