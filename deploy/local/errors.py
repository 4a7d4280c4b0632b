"""What the embedded stack says when it can't go on: one sentence for the person who started it."""

from __future__ import annotations


class StackError(Exception):
    """The stack can't start, or a part of it ended; the message says what to do."""


class UnsupportedMachine(StackError):
    """This machine can't run the embedded stack at all; the message points at compose."""


class PortTaken(StackError):
    """A port the stack needs is in use; the message names the owner."""


class AlreadyRunning(StackError):
    """Another process runs a stack in the same folder."""
