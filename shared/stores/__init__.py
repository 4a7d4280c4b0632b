"""The register: the only way to open a store that holds anything of a case.

A store knows how to count, export and delete a case in it. Erasure, access and the read-back walk the register, so a
new store is covered the day it is born, or it cannot be opened. `ObjectStore` is in `objects`: its client takes long
to load, and one service alone keeps files.
"""

from shared.stores.apart import Apart
from shared.stores.collection import Collection, Record
from shared.stores.keep import KeptRows
from shared.stores.register import Disposal, Look, Register, Store

__all__ = ["Apart", "Collection", "Disposal", "KeptRows", "Look", "Record", "Register", "Store"]
