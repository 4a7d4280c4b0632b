"""A process that writes notes until it is ended: `feed_writer OFF FILE CASE…`. OFF: seconds that its clock is wrong by.

It says each id in the file once that is committed. FEED_URL, FEED_NAMES, FEED_FOLDER say where the databases are.
"""

from __future__ import annotations

import os
import random
import sys
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from shared.clock import utc_now
from shared.db.unit_of_work import connect
from shared.ids import first_id_at, new_id
from tests.service import feed_rig


def main() -> None:
    off, file, *cases = sys.argv[1:]
    wrong = timedelta(seconds=int(off))

    def wrong_now() -> datetime:
        return utc_now() + wrong

    def wrong_id() -> str:
        return first_id_at(wrong_now())[:13] + new_id()[13:]

    url, names = os.environ["FEED_URL"], os.environ["FEED_NAMES"]
    room = feed_rig.opened(connect(url), url=url, names=names, folder=Path(os.environ["FEED_FOLDER"]))
    with (
        Path(file).open("a", encoding="utf-8") as said,
        patch("shared.db.unit_of_work.utc_now", wrong_now),
        patch("tests.service.feed_rig.new_id", wrong_id),
    ):
        while True:
            note = room.a_note(random.choice(cases))
            said.write(f"{note.id}\n")
            said.flush()


if __name__ == "__main__":
    main()
