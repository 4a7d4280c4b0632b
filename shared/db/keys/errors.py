"""What can go wrong with keys, and with what they protect."""

from __future__ import annotations

from shared.db.transactions import TryAgain
from shared.errors import Unavailable


class KeyGone(Exception):
    """The key that would open this record was destroyed."""


class KeyReplaced(TryAgain):
    """The record was read before it was sealed anew under its case's next key: it opens when it is read again."""


class Altered(Unavailable):
    """A record isn't what this service wrote: a part was moved, or a field edited, in the database."""

    def __init__(self) -> None:
        super().__init__("A record was changed by something else than this service, and isn't used. Tell the operator.")


class KeysAway(Unavailable):
    """The root of the key tree can't be used, or a key that is there doesn't open."""

    def __init__(self) -> None:
        super().__init__("The keys can't be used just now. Nothing was stored. The operator has been alarmed.")


class RootsElsewhere(Exception):
    """The folders of FMN_ROOTS aren't those that this database's key tree hangs on."""

    def __init__(self) -> None:
        super().__init__(
            "The folders of FMN_ROOTS don't fit this database: they must be the ones that its key tree was made with. "
            "A new database needs new, empty folders. If all of them are lost, see the runbook."
        )


class NoTreeYet(Exception):
    """The database has no key tree, and this process may not make one."""

    def __init__(self) -> None:
        super().__init__(
            "This service has no key tree yet: its worker makes one at its first start, in the folders of FMN_ROOTS. "
            "Start the worker, and make sure that it may write in these folders."
        )
