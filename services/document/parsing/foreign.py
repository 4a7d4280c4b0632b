"""The fence around libraries that open strangers' files."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from services.document.parsing.errors import Reason, Unreadable
from shared.errors import Problem

# They can log a file's metadata (a title, an author, a place); nothing they have to say is needed here.
for _library in ("PIL", "pikepdf", "pillow_heif", "olefile"):
    logging.getLogger(_library).setLevel(logging.CRITICAL + 1)

# Pixels are counted before they are decoded, and what else Pillow warns of is about metadata.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")


@contextmanager
def reading() -> Iterator[None]:
    """Turn every error of a library over a file into Unreadable, without its text or its traceback.

    What is not the file's fault comes through: our own refusals, and errors of the disk under the spool. It stands
    where a file is first opened (`inspect`, `previews`, an email's attachment), once around everything they call.
    """
    try:
        yield
    except Problem:
        raise
    except MemoryError:
        raise Unreadable(Reason.TOO_MUCH) from None
    except Exception as error:
        # A hostile file can make a reader raise anything. Pillow's own OSErrors carry no errno, the disk's do.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Unreadable(Reason.BROKEN) from None
