"""The demo's output: headings and lines, and on a terminal a live display while a step waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_MARKS = {"done": ("✓", "green"), "refused": ("✗", "yellow"), "note": ("·", "dim"), "failed": ("✗", "red")}


class Output:
    """Prints one run of the demo to a console. The family's words are printed as text, never as markup."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._step = 0
        self._hidden: list[str] = []
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def hide(self, words: Iterable[str]) -> None:
        """Shorten these words unless this is a terminal: the output may be saved in a folder that is searched."""
        if not self.console.is_terminal:
            # The shortest first: a shortened name also changes every longer text that contains it.
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
        # Logs and pipes need unwrapped lines.
        self.console.print(margin.plain + plain, markup=False, soft_wrap=True)

    def table(self, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """Print a table; plain lines if this isn't a terminal."""
        if not self.console.is_terminal:
            for row in rows:
                self._line(Text("    "), Text("  ".join(cell for cell in row if cell)))
            return
        self.console.print(rendered_table(heads, rows))

    @contextmanager
    def waiting(self, what: str, show: Callable[[], RenderableType] | None = None) -> Iterator[None]:
        """On a terminal, show a spinner with the text `what`, and `show()` above it, while the block runs."""
        if not self.console.is_terminal:
            yield
            return
        spinner = Spinner("dots", Text(f" {what}", style="dim"))

        class Shown:
            def __rich__(self) -> RenderableType:
                return Group(show(), _indented(spinner)) if show else _indented(spinner)

        with Live(Shown(), console=self.console, refresh_per_second=10, transient=True):
            yield

    def summary(self, title: str, lines: Iterable[str]) -> None:
        """Print the end of a successful run, in a box on a terminal."""
        self.console.print()
        if not self.console.is_terminal:
            self._line(Text(""), Text(title))
            for line in lines:
                self._line(Text("  "), Text(line))
            return
        body = Text("\n".join(lines))
        self.console.print(Panel(body, title=Text(title, style="bold green"), border_style="green", expand=False))


def rendered_table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> RenderableType:
    table = Table(*heads, box=None, padding=(0, 2, 0, 0), header_style="dim", title_justify="left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return _indented(table)


def _indented(content: RenderableType) -> RenderableType:
    grid = Table.grid(padding=(0, 0))
    grid.add_row("    ", content)
    return grid
