"""A page of a document as a picture: made apart, in memory, and kept nowhere."""

from __future__ import annotations

from contextlib import closing

from services.document.actions.documents import open_version
from services.document.context import Context
from services.document.model.documents import Version
from services.document.parsing.errors import NoSuchPage, Reason, Unreadable
from services.document.upload.readable import CHUNK
from services.document.upload.spool import Spool
from shared.errors import Conflict

MOST_BYTES = 32 * 1024 * 1024  # of a picture: twice what one of 2,000 by 4,000 px needs as a rule
_NOT_PREVIEWABLE = "A document of this kind can't be shown as a picture. Its content can be fetched."


def preview(context: Context, version: Version, *, page: int, width: int, caller: int | None) -> bytes:
    """Page `page` (from 1) as a PNG of `width` px; narrower where it would be higher than 4,000 px.

    caller: see `Sandbox.run`. Raises Conflict where `previewable` is false, NotFound, and as `open_version` and
    `Sandbox.stream`.
    """
    if not version.previewable:
        raise Conflict(_NOT_PREVIEWABLE)
    if version.pages is None or page > version.pages:
        raise NoSuchPage
    with closing(Spool(context.spool)) as spool:
        with open_version(context.stores, version) as file:
            while piece := file.read(CHUNK):
                spool.write(piece)
        wanted = {"media_type": version.media_type, "page": page, "width": width}
        picture = bytearray()
        with context.sandbox.stream("preview", spool, wanted, caller=caller) as running:
            while data := running.read(CHUNK):
                picture += data
                if len(picture) > MOST_BYTES:
                    raise Unreadable(Reason.TOO_MUCH)
    return bytes(picture)
