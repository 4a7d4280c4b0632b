"""What an archive of keys also holds: the sealed records of cases that were given another key since a data archive.

Something personal has left such a case, and the key is destroyed that a data archive's records of it are sealed under.
Its records as they are sealed now take their place in a restore.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import bson
from bson import Timestamp
from bson.codec_options import CodecOptions

from deploy.backup import snapshot
from deploy.backup.archives import Writer
from deploy.backup.installation import Member
from shared.db.keys.tree import owner_of

#: Below the service's name in the archive: the cases, and a folder of the collections.
CASES: Final = "renewed"
#: A record that hangs on its case's key.
SEALED: Final = {"personal": {"$exists": True}, "own_key": {"$exists": False}}
_KEYS: Final = "keys"
# For as long a case's records may still have been under the older key when a data archive was made: that waits while a
# record doesn't open.
_SEALED_LATER: Final = timedelta(days=1)
_AWARE: Final = CodecOptions[dict[str, Any]](tz_aware=True)


def cases_name(service: str) -> str:
    """Where the ids of these cases lie in an archive."""
    return f"{service}/{CASES}.bson"


def rows_name(member: Member, database: str, collection: str) -> str:
    """Where the records of one collection lie."""
    return f"{member.service}/{CASES}/{'vault/' if database == member.vault else ''}{collection}.bson"


def write(writer: Writer, member: Member, at: Timestamp, since: datetime) -> None:
    """Add the sealed records of the service's cases that were given another key since then. Raises as `snapshot`."""
    cases = sorted(_renewed(member, at, since))
    writer.add(cases_name(member.service), (bson.encode({"_id": case_id}) for case_id in cases), counted=True)
    if not cases:
        return
    where = {"case_id": {"$in": cases}, **SEALED}
    for database, collection in _of_cases(member):
        rows = snapshot.documents(member.client, database, collection, at, where=where)
        writer.add(rows_name(member, database, collection), rows, counted=True)


def _renewed(member: Member, at: Timestamp, since: datetime) -> set[str]:
    later = {"_id": {"$regex": "#"}, "made_at": {"$gte": since - _SEALED_LATER}}
    rows = snapshot.documents(member.client, member.vault, _KEYS, at, where=later)
    return {owner_of(str(bson.decode(row, _AWARE)["_id"])) for row in rows}


def _of_cases(member: Member) -> Iterator[tuple[str, str]]:
    """(database, collection) of those that have an index by case: all that seal something of one have."""
    for database in (member.database, member.vault):
        for name in sorted(member.client[database].list_collection_names(filter={"type": "collection"})):
            indexes = member.client[database][name].index_information().values()
            if any(index["key"][0][0] == "case_id" for index in indexes):
                yield database, name
