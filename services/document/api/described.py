"""What flask-smorest's own decorators don't say of a route in the API's description, with a type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from shared.http import Blueprint

View = TypeVar("View", bound=Callable[..., Any])


def described(blp: Blueprint, **operation: Any) -> Callable[[View], View]:
    """Add these parts of an OpenAPI operation to the route below."""

    def mark(view: View) -> View:
        marked: View = blp.doc(**operation)(view)
        return marked

    return mark
