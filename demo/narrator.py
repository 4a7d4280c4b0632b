"""How the story is told: headings and lines that stay, and on a terminal something live while one waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from demo.office import Failed

_POLL_S = 0.2
_MARKS = {"done": ("✓", "green"), "refused": ("✗", "yellow"), "note": ("·", "dim"), "failed": ("✗", "red")}


class Narrator:
    """Tells one story on a console. Words of the family's are shown as text, never as markup."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._step = 0
        self._hidden: list[str] = []
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def hide(self, words: Iterable[str]) -> None:
        """Cut these words short wherever this isn't a terminal: output that is kept may lie in a folder we search."""
        if not self.console.is_terminal:
            # The shortest first: with a name cut, the sentence that it is in is another one already.
            self._hidden = sorted(words, key=len)

    def heading(self, title: str, explains: str) -> None:
        self._step += 1
        self.console.print()
        self._line(Text(f"{self._step:2}  ", style="bold cyan"), Text(title, style="bold"))
        self._line(Text("    "), Text(explains, style="dim"))

    def done(self, text: str) -> None:
        self._marked("done", text)

    def refused(self, text: str) -> None:
        self._marked("refused", text)

    def note(self, text: str) -> None:
        self._marked("note", text)

    def failed(self, text: str) -> None:
        self._marked("failed", text)

    def _marked(self, kind: str, text: str) -> None:
        mark, style = _MARKS[kind]
        self._line(Text(f"    {mark} ", style=style), Text(text, style=style if kind in ("failed", "note") else ""))

    def _line(self, margin: Text, text: Text) -> None:
        if self.console.is_terminal:
            grid = Table.grid()
            grid.add_row(margin, text)
            self.console.print(grid)
            return
        plain = text.plain
        for word in self._hidden:
            plain = plain.replace(word, word[: len(word) // 2] + "…")
        # Plain output is for logs and pipes, where a line is a line however long.
        self.console.print(margin.plain + plain, markup=False, soft_wrap=True)

    def table(self, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """A table that stays; plain lines where there is no terminal."""
        if not self.console.is_terminal:
            for row in rows:
                self._line(Text("    "), Text("  ".join(cell for cell in row if cell)))
            return
        self.console.print(drawn(heads, rows))

    @contextmanager
    def waiting(self, what: str, show: Callable[[], RenderableType] | None = None) -> Iterator[None]:
        """While the block lasts: a spinner, what is waited for, and on a terminal whatever `show` draws."""
        if not self.console.is_terminal:
            yield
            return
        spinner = Spinner("dots", Text(f" {what}", style="dim"))

        class Shown:
            def __rich__(self) -> RenderableType:
                return Group(show(), _indented(spinner)) if show else _indented(spinner)

        with Live(Shown(), console=self.console, refresh_per_second=10, transient=True):
            yield

    def farewell(self, title: str, lines: Iterable[str]) -> None:
        """The last screen."""
        self.console.print()
        if not self.console.is_terminal:
            self._line(Text(""), Text(title))
            for line in lines:
                self._line(Text("  "), Text(line))
            return
        body = Text("\n".join(lines))
        self.console.print(Panel(body, title=Text(title, style="bold green"), border_style="green", expand=False))


def until(check: Callable[[], bool], *, within_s: float, expected: str, services: Iterable[str] = ()) -> None:
    """Ask again and again until `check` is true. Raises Failed after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not check():
        if time.monotonic() > deadline:
            raise Failed(expected, f"not within {within_s:.0f} s", *services)
        pause.wait(_POLL_S)


def drawn(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> RenderableType:
    table = Table(*heads, box=None, padding=(0, 2, 0, 0), header_style="dim", title_justify="left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return _indented(table)


def _indented(content: RenderableType) -> RenderableType:
    grid = Table.grid(padding=(0, 0))
    grid.add_row("    ", content)
    return grid
