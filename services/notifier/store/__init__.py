"""The notifier's stores, each opened through the register once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from services.notifier import model as m
from services.notifier.model import NOTHING_KEPT, Content
from services.notifier.store import records
from services.notifier.store.alerts import Alerts
from shared.db import Collection, Disposal, KeptRows, Record, Register
from shared.db.unit_of_work import Row, Tx, UnitOfWork
from shared.db.vault import Vault
from shared.errors import Changed
from shared.messaging.steps import Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Every store of the service, opened through the register once."""

    unit_of_work: UnitOfWork
    vault: Vault
    steps: Steps
    notifications: Collection
    projections: Collection
    sealed_letters: Collection
    last_letters: KeptRows
    alerts: Alerts

    @classmethod
    def open(cls, register: Register, steps: Steps) -> Stores:
        return cls(
            unit_of_work=register.unit_of_work,
            vault=register.vault,
            steps=steps,
            notifications=register.collection(
                "notifications",
                clear=records.NOTIFICATION,
                disposal=Disposal.ERASE,
                indexes=(("case_id", "status"),),
                unique=(("intent",),),
            ),
            projections=register.collection("projections", clear=records.PROJECTION, disposal=Disposal.ERASE),
            sealed_letters=register.collection(
                "sealed_letters", clear=records.SEALED, disposal=Disposal.LATE, indexes=(("request",),)
            ),
            last_letters=register.keep(
                "last_letters",
                clear=records.LAST_LETTER,
                retention=None,
                why="a preparing or a verification that comes again is answered as before, and nothing is sealed anew",
                indexes=(("case_id",),),
            ),
            alerts=Alerts(register),
        )

    # Notifications

    def notification(self, id: str, tx: Tx | None = None) -> m.Notification | None:
        record = self.notifications.get(id, tx=tx)
        return None if record is None else records.notification(record)

    def content(self, id: str) -> Content:
        record = self.notifications.get(id)
        return NOTHING_KEPT if record is None else records.content(record)

    def notifications_of(self, case_id: str, tx: Tx | None = None) -> list[m.Notification]:
        return [records.notification(record) for record in self.notifications.of_case(case_id, tx=tx)]

    def page_of(self, case_id: str, after: str | None, limit: int) -> list[m.Notification]:
        found = self.notifications.find({"case_id": case_id}, after=after, limit=limit)
        return [records.notification(record) for record in found]

    def by_intent(self, tx: Tx, intent: str) -> m.Notification | None:
        record = self.notifications.first({"intent": intent}, tx=tx)
        return None if record is None else records.notification(record)

    def add_notification(self, tx: Tx, new: m.Notification, content: Content = NOTHING_KEPT) -> None:
        clear, personal = records.notification_out(new), records.content_out(content)
        self.notifications.insert(tx, id=new.id, case_id=new.case_id, clear=clear, personal=personal)

    def change_notification(
        self, tx: Tx, before: m.Notification, after: m.Notification, content: Content | None = None
    ) -> m.Notification:
        """Write what changed; content None leaves what was written as it is. Raises Changed."""
        clear = records.notification_out(after)
        if content is None:
            self.notifications.change_clear(tx, id=before.id, version=before.version, clear=clear)
        else:
            was = records.notification_out(before)
            record = Record(id=before.id, case_id=before.case_id, version=before.version, clear=was, personal={})
            self.notifications.change(tx, record, clear=clear, personal=records.content_out(content))
        return replace(after, version=before.version + 1)

    def being_handed_over(self, case_id: str) -> int:
        where = {"case_id": case_id, "status": m.Status.SENDING.value}
        return self.notifications.rows.count_documents(where)

    # What events have told of a case

    def projection(self, case_id: str, tx: Tx | None = None) -> m.Projection:
        record = self.projections.get(case_id, tx=tx)
        return m.Projection(case_id=case_id) if record is None else records.projection(record)

    def put_projection(self, tx: Tx, case: m.Projection) -> None:
        clear = {
            "state": case.state,
            "opened_at": case.opened_at,
            "people": [
                {"person": one.person, "role": one.role, "post": one.post, "email": one.email} for one in case.people
            ],
            "standing": records.standing_out(case.standing),
            "before": None if case.before is None else records.standing_out(case.before),
            "frozen_seq": case.frozen_seq,
            "frozen_at": case.frozen_at,
            "stopped": case.stopped,
        }
        record = self.projections.get(case.case_id, tx=tx)
        if record is None:
            self.projections.insert(tx, id=case.case_id, case_id=case.case_id, clear=clear)
        else:
            self.projections.change(tx, record, clear=clear)

    # The last letter

    def last_letter(self, request: str, tx: Tx | None = None) -> Row | None:
        return self.last_letters.rows.find_one({"_id": request}, session=None if tx is None else tx.session)

    def put_last_letter(self, tx: Tx, request: str, case_id: str, **changed: Any) -> None:
        """Change these fields of the row, which is made if there is none."""
        row = self.last_letter(request, tx)
        if row is None:
            start: Row = {
                "state": m.LetterState.ASKED.value,
                "outcome": None,
                "ended": [],
                "tries": 0,
                "asked_at": None,
                "due_at": None,
                "at": tx.now,
                "done_at": None,
            }
            self.last_letters.insert({"_id": request, "case_id": case_id, **start, **changed}, session=tx.session)
        else:
            self.last_letters.rows.update_one({"_id": request}, {"$set": changed}, session=tx.session)

    def sealed_of(self, request: str, tx: Tx | None = None) -> list[Record]:
        return self.sealed_letters.find({"request": request}, tx=tx)

    def seal(self, tx: Tx, *, id: str, case_id: str, request: str, letter: m.LastLetter, key: str) -> None:
        """Keep one last letter under the key of that name."""
        clear = {
            "request": request,
            "person_id": letter.person_id,
            "channel": letter.channel.value,
            "state": "sealed",
            "attempt": None,
        }
        self.sealed_letters.insert(tx, id=id, case_id=case_id, clear=clear, personal=letter.personal, key=key)

    def move_sealed(self, tx: Tx, letter: Record, **clear: Any) -> bool:
        """Change where one sealed letter is; False when it isn't where it was read any more."""
        try:
            self.sealed_letters.change_clear(tx, id=letter.id, version=letter.version, clear=clear)
        except Changed:
            return False
        return True

    def end_sealed(self, tx: Tx, letter: Record, request: str, outcome: m.Outcome) -> None:
        """Destroy one sealed letter and note how it ended; nothing when it was destroyed already."""
        gone = self.sealed_letters.rows.delete_one({"_id": letter.id}, session=tx.session)
        if gone.deleted_count:
            self.last_letters.rows.update_one({"_id": request}, {"$push": {"ended": outcome.value}}, session=tx.session)

    def sealed_requests(self, case_id: str, tx: Tx) -> list[str]:
        """The requests for which a last letter of this case lies sealed."""
        rows = self.last_letters.rows.find(
            {"case_id": case_id, "state": m.LetterState.SEALED.value}, {"_id": 1}, session=tx.session
        )
        return [str(row["_id"]) for row in rows]

    def still_sealed(self, request: str, *, state: str | None = None, tx: Tx | None = None) -> int:
        where = {"request": request} if state is None else {"request": request, "state": state}
        return self.sealed_letters.rows.count_documents(where, session=None if tx is None else tx.session)

    def forget_sealed(self, tx: Tx, request: str) -> None:
        """Destroy every sealed letter of that request; its key goes in a step, outside the transaction."""
        self.sealed_letters.rows.delete_many({"request": request}, session=tx.session)
