"""The `forgetmenot` command line. Each module beside this one adds its own commands with `register(app)`."""

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
    # A traceback with local variables would show what they hold.
    pretty_exceptions_enable=False,
)


@app.callback()
def _forgetmenot() -> None:
    """Keeps the commands below commands even while there is only one."""


def _register_all() -> None:
    for found in sorted(pkgutil.iter_modules(deploy.ops.__path__), key=lambda module: module.name):
        if found.name == "main":
            continue
        module = importlib.import_module(f"deploy.ops.{found.name}")
        if register := getattr(module, "register", None):
            register(app)


_register_all()
