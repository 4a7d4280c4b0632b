"""Errors of the embedded stack. Each message is one sentence for the person who started it."""

from __future__ import annotations


class StackError(Exception):
    """The stack can't start, or one of its processes ended; the message says what to do."""


class UnsupportedMachine(StackError):
    """This machine can't run the embedded stack; the message recommends Docker Compose."""


class PortTaken(StackError):
    """A port that the stack needs is in use; the message names the process that has it."""


class AlreadyRunning(StackError):
    """Another process runs a stack in the same folder."""
