"""What the worker looks for from time to time: uploads that died, objects without a record, records without one."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.document.actions.documents import report_missing
from services.document.actions.erasure import purge_dead_upload
from services.document.context import Context
from services.document.store import Stores
from services.document.store.documents import all_versions, lying_at
from shared.db.gates import CLOSED
from shared.ids import is_id
from shared.ops.logs import log, where

# Of an open case: longer than any upload's row could be behind its object. Of an erased one nothing may lie there.
_ORPHAN_AFTER = timedelta(hours=1)


def purge_dead_uploads(context: Context, now: datetime) -> None:
    """Purge the objects of uploads whose heartbeat has stopped."""
    for upload in context.stores.receiving.lapsed():
        try:
            purge_dead_upload(context.stores, upload)
        except Exception as error:  # noqa: BLE001 - the row stays, and is met again; the others must not wait for it
            log.warning("upload.not_purged", record_id=upload.id, **where(error))


def purge_abandoned_uploads(context: Context, now: datetime) -> None:
    """Purge once more what dead uploads may have written since: a process that was only slow may have gone on."""
    for upload in context.stores.receiving.abandoned_uploads():
        context.stores.files.purge(upload.object_key)


def reconcile(context: Context, now: datetime) -> None:
    """Make objects and records agree: an object without a record goes, a record without an object is reported."""
    stores = context.stores
    orphans = {key for key, at in stores.files.objects_and_times() if _is_orphan(stores, key, at, now)}
    for key in sorted(orphans):
        stores.files.purge(key)
    missing = 0
    for version in all_versions(stores.versions):
        if not stores.files.exists(version.object_key):
            missing += report_missing(stores, version.id, version.case_id, version.document_id, version.number)
    if orphans or missing:
        log.warning("objects.reconciled", count=len(orphans), outcome="missing" if missing else "purged")


def _is_orphan(stores: Stores, key: str, at: datetime | None, now: datetime) -> bool:
    case_id, _, rest = key.partition("/")
    document_id, _, place = rest.partition("/")
    if not (is_id(case_id) and is_id(document_id) and place.isascii() and place.isdecimal()):
        log.error("object.not_ours", store="objects")
        return False
    if stores.unit_of_work.gates.state(case_id) == CLOSED:
        return True
    if at is not None and now - at < _ORPHAN_AFTER:
        return False
    return not is_named(stores, case_id, document_id, int(place))


def is_named(stores: Stores, case_id: str, document_id: str, place: int) -> bool:
    """Whether a record speaks of the object at this place: an upload's or a version's."""
    here = lying_at(case_id, document_id, place)
    # In this order: an upload's row goes in the transaction that writes its version.
    return stores.receiving.store.exists(here) or stores.versions.exists(here)
