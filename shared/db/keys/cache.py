"""Opened keys and the opened tree, in one process's memory, for a few seconds."""

from __future__ import annotations

import threading
import time
from typing import Final

from shared.db.keys.tree import Tree

#: How long an opened key, or the opened tree, stays in memory.
CACHE_SECONDS: Final = 5.0
_AT_MOST: Final = 20_000


class KeyCache:
    """Drops what it holds after CACHE_SECONDS by itself: a process with nothing to do holds no key."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[float, bytes]] = {}
        self._tree: tuple[float, Tree] | None = None
        self._guard = threading.Lock()
        self._filled = threading.Event()
        self._thread: threading.Thread | None = None

    def key(self, name: str) -> bytes | None:
        found = self._keys.get(name)
        return found[1] if found is not None and time.monotonic() < found[0] else None

    def tree(self) -> Tree | None:
        found = self._tree
        return found[1] if found is not None and time.monotonic() < found[0] else None

    def put_key(self, name: str, key: bytes) -> None:
        with self._guard:
            if len(self._keys) >= _AT_MOST:
                self._keys.clear()
            self._keys[name] = (time.monotonic() + CACHE_SECONDS, key)
        self._fill()

    def put_tree(self, tree: Tree) -> None:
        with self._guard:
            self._tree = (time.monotonic() + CACHE_SECONDS, tree)
        self._fill()

    def drop(self, name: str) -> None:
        with self._guard:
            self._keys.pop(name, None)

    def _fill(self) -> None:
        """Have the thread run that empties it; it begins with the first key, since a process forks before that."""
        self._filled.set()
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._empty, name="key-cache", daemon=True)
                self._thread.start()

    def _empty(self) -> None:
        while True:
            self._filled.wait()
            time.sleep(CACHE_SECONDS)
            with self._guard:
                now = time.monotonic()
                self._keys = {name: kept for name, kept in self._keys.items() if kept[0] > now}
                if self._tree is not None and self._tree[0] <= now:
                    self._tree = None
                if not self._keys and self._tree is None:
                    self._filled.clear()
