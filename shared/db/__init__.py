"""The register: the only way to open a store that holds anything of a case.

A store knows how to count, export and delete a case in it. Erasure, access and the read-back walk the register, so a
new store is covered the day it is born, or it cannot be opened. `ObjectStore` is in `objects`: its client takes long
to load, and one service alone keeps files.
"""

from shared.db.kept_rows import KeptRows
from shared.db.register import Register
from shared.db.repository import Repository
from shared.db.store import Disposal, Exported, Inventory, Readable, Store

__all__ = [
    "Disposal",
    "Exported",
    "Inventory",
    "KeptRows",
    "Readable",
    "Register",
    "Repository",
    "Store",
]
