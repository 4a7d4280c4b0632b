"""The document service's stores, opened through the register."""

from services.document.store.stores import Stores

__all__ = ["Stores"]
