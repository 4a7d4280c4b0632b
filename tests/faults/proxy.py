"""A TCP proxy that stands between a service and a server, and breaks connections in the ways that networks do."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType

_CHUNK = 64 * 1024
_RESET = struct.pack("ii", 1, 0)


class Mode(Enum):
    """What the proxy does with connections, old ones and new ones."""

    PASSING = "passing"
    RESET = "reset"
    BLACKHOLE = "blackhole"
    HALF_OPEN = "half-open"


@dataclass(eq=False, slots=True)
class _Link:
    """One connection of a client, and the one to the server that belongs to it."""

    client: socket.socket
    server: socket.socket | None = None
    # The server has forgotten this connection, and the client doesn't know yet.
    forgotten: bool = False
    # Bytes of the client's that were read here and haven't been given to the server, or never will be.
    swallowed: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Proxy:
    """Listens on loopback and passes on to `host:port`; its methods may be called from any thread, in any order.

    carried: bytes passed on so far, both ways. connections: how many it has taken.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", *, listen: int = 0) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", listen))
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        self.carried = 0
        self.connections = 0
        self.mode = Mode.PASSING
        self._latency_s = 0.0
        self._bytes_per_s: float | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        # Cleared while nothing may pass.
        self._flows = asyncio.Event()
        self._flows.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{port}", daemon=True)
        self._thread.start()
        self._do(lambda: self._spawn(self._accept(), self._tasks))

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What a test does to it

    def reset(self) -> None:
        """Reset every connection now (RST, both sides), and every new one at once, until `heal`."""
        self._do(lambda: self._switch(Mode.RESET))

    def blackhole(self) -> None:
        """Pass nothing, close nothing. What was sent meanwhile arrives after `heal`, as TCP repeats it."""
        self._do(lambda: self._switch(Mode.BLACKHOLE))

    def half_open(self) -> None:
        """The server loses every connection, the clients don't hear of it: what they send is swallowed.

        New connections are taken and answered by silence. After `heal` a client that has spoken, or speaks again, on
        an old one is told (RST); one that only listens is not.
        """
        self._do(lambda: self._switch(Mode.HALF_OPEN))

    def slow(self, bytes_per_s: float | None = None, latency_s: float = 0.0) -> None:
        """Pass everything, each piece so much later, and no faster than so many bytes a second and direction."""

        def change() -> None:
            self._switch(Mode.PASSING)
            self._bytes_per_s, self._latency_s = bytes_per_s, latency_s

        self._do(change)

    def heal(self) -> None:
        """Pass everything at full speed again."""

        def change() -> None:
            self._bytes_per_s, self._latency_s = None, 0.0
            self._switch(Mode.PASSING)
            for link in [link for link in self._links if link.forgotten and link.swallowed]:
                self._end(link, _reset)

        self._do(change)

    def close(self) -> None:
        """Reset what is left and listen no more."""
        if self._loop.is_closed():
            return

        def end() -> None:
            for task in self._tasks:
                task.cancel()
            for link in list(self._links):
                self._end(link, _reset)
            self._listener.close()
            self._loop.call_soon(self._loop.stop)

        self._do(end)
        self._thread.join(5)
        self._loop.close()

    # The loop's own thread, from here on

    def _do(self, change: Callable[[], object]) -> None:
        done = threading.Event()

        def run() -> None:
            try:
                change()
            finally:
                done.set()

        self._loop.call_soon_threadsafe(run)
        if not done.wait(10):
            raise RuntimeError("the proxy's thread doesn't answer")

    def _switch(self, mode: Mode) -> None:
        self.mode = mode
        if mode is Mode.BLACKHOLE:
            self._flows.clear()
        else:
            self._flows.set()
        if mode is Mode.RESET:
            for link in list(self._links):
                self._end(link, _reset)
        if mode is Mode.HALF_OPEN:
            for link in self._links:
                if not link.forgotten:
                    self._forget(link)

    def _spawn(self, unit_of_work: Coroutine[object, None, None], tasks: set[asyncio.Task[None]]) -> None:
        task = self._loop.create_task(unit_of_work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            if self.mode is Mode.RESET:
                _reset(client)
                continue
            link = _Link(client, forgotten=self.mode is Mode.HALF_OPEN)
            self._links.add(link)
            self._spawn(self._carry(link), link.tasks)

    async def _carry(self, link: _Link) -> None:
        if link.forgotten:
            await self._pump(link, link.client, None)
            return
        await self._flows.wait()
        server = link.server = socket.socket()
        server.setblocking(False)
        try:
            await self._loop.sock_connect(server, self._target)
        except OSError:
            # The server itself is away, and its machine says so.
            self._end(link, _reset)
            return
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._spawn(self._pump(link, server, link.client), link.tasks)
        await self._pump(link, link.client, server)

    async def _pump(self, link: _Link, source: socket.socket, sink: socket.socket | None) -> None:
        try:
            while True:
                await self._flows.wait()
                data = await self._loop.sock_recv(source, _CHUNK)
                if source is link.client:
                    link.swallowed += len(data)
                if self._latency_s or self._bytes_per_s:
                    await asyncio.sleep(self._latency_s + len(data) / (self._bytes_per_s or float("inf")))
                await self._flows.wait()
                if not data:
                    break
                if sink is not None:
                    await self._loop.sock_sendall(sink, data)
                    self.carried += len(data)
                    if source is link.client:
                        link.swallowed -= len(data)
                elif self.mode is not Mode.HALF_OPEN:
                    self._end(link, _reset)
                    return
            if sink is not None:
                # This side has said all; the other may still speak.
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(link, _reset)
            return
        if len(link.tasks) == 1:
            self._end(link, socket.socket.close)

    def _forget(self, link: _Link) -> None:
        for task in link.tasks:
            task.cancel()
        link.forgotten = True
        if link.server is not None:
            _reset(link.server)
        self._spawn(self._pump(link, link.client, None), link.tasks)

    def _end(self, link: _Link, how: Callable[[socket.socket], None]) -> None:
        self._links.discard(link)
        for task in link.tasks:
            task.cancel()
        for end in (link.client, link.server):
            if end is not None and end.fileno() != -1:
                self._loop.remove_reader(end)
                self._loop.remove_writer(end)
                how(end)


def _reset(end: socket.socket) -> None:
    """Close with RST instead of FIN."""
    if end.fileno() != -1:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.close()
