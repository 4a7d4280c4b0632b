"""The `forgetmenot` command line. Each module of this package adds its commands with `register(app)`."""

from __future__ import annotations

import importlib
import pkgutil

import typer

import deploy.ops

app = typer.Typer(
    name="forgetmenot",
    help="Casework that asks before it records, and can prove that it forgot.",
    no_args_is_help=True,
    add_completion=False,
    # typer's tracebacks show local variables, which can contain secrets.
    pretty_exceptions_enable=False,
)


@app.callback()
def _forgetmenot() -> None:
    """Makes typer treat the commands as subcommands."""


for _found in sorted(pkgutil.iter_modules(deploy.ops.__path__), key=lambda module: module.name):
    if _found.name != "main":
        _module = importlib.import_module(f"deploy.ops.{_found.name}")
        if _register := getattr(_module, "register", None):
            _register(app)
