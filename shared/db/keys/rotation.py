"""A rotation: the root that deleted keys hung on is destroyed, and with it whatever could still open them.

The numbers in the comments are the steps of docs/key-tree.md. Every step may be repeated, and a process may die between
any two: what it left behind is found at step 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pymongo import ReturnDocument, UpdateOne
from pymongo.client_session import ClientSession

from shared.clock import utc_now
from shared.db.keys.errors import KeysAway
from shared.db.keys.roots import new_root
from shared.db.keys.tree import BUCKETS, TREE_ID, Row, Tree
from shared.db.keys.vault import Vault
from shared.db.transactions import transact
from shared.errors import Temporary

#: Rows of one transaction, which MongoDB ends after three seconds.
ROWS_AT_ONCE: Final = 2_000

#: Does anew what depends on a bucket's key: told the session, the named keys of the buckets by name, and the new tree.
Rehash = Callable[[ClientSession, Mapping[str, bytes], Tree], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What one rotation did. doomed: the rows of the keys that are gone now. destroyed_at: when the old root was gone
    from every place.
    """

    doomed: Sequence[Row]
    generation: int
    destroyed_at: datetime


class Rotation:
    """Rotates one service's tree. One process at a time should; the fence keeps a slow one from doing harm."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._rehash: list[Rehash] = []

    def rehash_with(self, rehash: Rehash) -> None:
        self._rehash.append(rehash)

    def run(self, *, every_bucket: bool = False) -> Rotated | None:
        """Destroy the root for the keys that were doomed longest ago, as many as go in one transaction.

        Returns which are gone now; None when none was doomed, and every place had the root. every_bucket: give each
        bucket a new key, doomed or not (an operator's rotation), in as many transactions as it takes. Raises PlaceAway,
        KeysAway, Temporary and PyMongoError: nothing then says that a key is destroyed, and the next run begins anew.
        """
        rotated: Rotated | None = None
        done: set[int] = set()
        roots = self._vault.roots
        if not every_bucket and self._has_nothing_to_do():
            return None
        while True:
            # 2, and 8 of a run that died. The roots are listed before the fence is raised: one that is made afterwards
            # may be a newer rotation's, and the tree may name it by now.
            found = roots.ids()
            document = self._raise_fence()
            tree = self._vault.opened(document)
            for other in sorted(found - {str(document["root"])}):
                roots.destroy(other)
            buckets = self._buckets(all_but=done if every_bucket else None)
            if not buckets and roots.is_whole(tree.root):
                return rotated
            # A disk that was replaced belongs to this tree from now on.
            roots.begin(tree.store)
            rotated = self._rotate(tree, int(document["fence"]), buckets)
            done |= set(buckets)
            if not every_bucket:
                return rotated

    def _has_nothing_to_do(self) -> bool:
        """No key is doomed, and every place has the root and no other."""
        root = str(self._vault.document()["root"])
        waits = self._vault.doomed.count_documents({"gone_at": None}, limit=1)
        return not waits and self._vault.roots.ids() == {root} and self._vault.roots.is_whole(root)

    def _raise_fence(self) -> Row:
        """2. From now on no older rotation can commit, so a root that the tree doesn't name hangs on nothing."""
        document = self._vault.trees.find_one_and_update(
            {"_id": TREE_ID}, {"$inc": {"fence": 1}}, return_document=ReturnDocument.AFTER
        )
        if document is None:
            raise KeysAway
        return document

    def _buckets(self, *, all_but: set[int] | None) -> list[int]:
        """3. The buckets to change, with at most ROWS_AT_ONCE keys together, but one at least."""
        if all_but is None:
            wanted = dict.fromkeys(
                int(row["bucket"])
                for row in self._vault.doomed.find({"gone_at": None}, {"bucket": 1}).sort("at", 1).limit(ROWS_AT_ONCE)
            )
        else:
            wanted = dict.fromkeys(sorted(set(range(BUCKETS)) - all_but))
        if not wanted:
            return []
        counts = {
            int(row["_id"]): int(row["keys"])
            for row in self._vault.keys.aggregate(
                [
                    {"$match": {"bucket": {"$in": list(wanted)}}},
                    {"$group": {"_id": "$bucket", "keys": {"$sum": 1}}},
                ]
            )
        }
        chosen: list[int] = []
        rows = 0
        for bucket in wanted:
            rows += counts.get(bucket, 0)
            if chosen and rows > ROWS_AT_ONCE:
                break
            chosen.append(bucket)
        return chosen

    def _rotate(self, tree: Tree, fence: int, buckets: Sequence[int]) -> Rotated:
        vault = self._vault
        # 4. Also where no bucket changes, but a place lacks the root: a copy of the old one might come after its end.
        id, root = new_root()
        try:
            is_mine = vault.roots.create(id, root) == root
        except FileExistsError:
            is_mine = False
        if not is_mine:
            # It is being destroyed by a rotation that has raised the fence since.
            raise Temporary("another-rotation")
        after = tree.next(root=id, changed=buckets)
        sealed = after.sealed(root)
        doomed: list[Row] = []

        def act(session: ClientSession) -> None:
            # 5
            mine = {"_id": TREE_ID, "fence": fence, "generation": tree.generation}
            if vault.trees.update_one(mine, {"$set": sealed}, session=session).matched_count != 1:
                raise Temporary("another-rotation")
            changed = {"_id": {"$in": list(buckets)}}
            if buckets:
                vault.buckets.update_many(changed, {"$inc": {"version": 1}}, session=session)
            these = {"bucket": {"$in": list(buckets)}}
            doomed[:] = vault.doomed.find({**these, "gone_at": None}, session=session)
            keys = {str(row["_id"]): tree.unwrap(row) for row in vault.keys.find(these, session=session)}
            if keys:
                rewrapped = [UpdateOne({"_id": name}, {"$set": after.wrap(name, key)}) for name, key in keys.items()]
                vault.keys.bulk_write(rewrapped, ordered=False, session=session)
            for rehash in self._rehash:
                rehash(session, keys, after)

        transact(vault.client, act)
        # 7
        document = vault.document()
        if document["root"] != id or document["generation"] != after.generation:
            raise Temporary("another-rotation")
        if not vault.roots.is_whole(id):
            raise Temporary("root-damaged")
        vault.opened(document)
        # 8
        vault.roots.destroy(tree.root)
        return Rotated(doomed=doomed, generation=after.generation, destroyed_at=utc_now())
