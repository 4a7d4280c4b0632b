"""What the casework row is measured against, under gunicorn with our own flags: two apps of Flask and pymongo.

`create_app` makes one insert. It waits for the same promise about the disk as ours do: a majority, and its journal.
Nothing else is done: no token, no role, no schema, no gate, no encryption, no audit, no event. `by_hand` writes the
same documents as ours in one transaction, of the same size, and does nothing else either.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from shared.ids import new_id

URL, DATABASE = "BENCH_MONGO_URL", "BENCH_DATABASE"


def create_app() -> Flask:
    """`POST /cases` and `POST /cases/<id>/people`, each one insert of the body that was sent."""
    client: MongoClient[dict[str, object]] = MongoClient(os.environ[URL], w="majority", journal=True)
    database = client[os.environ[DATABASE]]
    app = Flask("bare")

    @app.post("/v1/cases")
    def open_case() -> ResponseReturnValue:
        row = {"_id": new_id(), **request.get_json()}
        database["bare_cases"].insert_one(row)
        return jsonify(id=row["_id"]), 201

    @app.post("/v1/cases/<case_id>/people")
    def add_person(case_id: str) -> ResponseReturnValue:
        row = {"_id": new_id(), "case_id": case_id, **request.get_json()}
        database["bare_people"].insert_one(row)
        return jsonify(id=row["_id"]), 201

    return app


_SEALED = bytes(600)
_ROW = {"version": 1, "at": "2026-11-29T12:00:00Z", "personal": _SEALED}


def by_hand() -> Flask:
    """The same two routes, each one transaction that writes what ours writes: the change, gate and key, the event, the
    kept answer and the audit row.
    """
    client: MongoClient[dict[str, object]] = MongoClient(os.environ[URL], w="majority", journal=True)
    database = client[os.environ[DATABASE]]
    database["hand_people"].create_index("case_id")
    app = Flask("by hand")

    def written(act: Callable[[ClientSession], None]) -> None:
        with client.start_session() as session:
            session.with_transaction(act, ReadConcern("snapshot"), WriteConcern("majority", j=True))

    def also(case_id: str, session: ClientSession) -> None:
        for name in ("outbox", "answers", "audit"):
            database[f"hand_{name}"].insert_one({"_id": new_id(), "case_id": case_id, **_ROW}, session=session)

    @app.post("/v1/cases")
    def open_case() -> ResponseReturnValue:
        row = {"_id": new_id(), **request.get_json(), **_ROW}
        case_id = str(row["_id"])

        def act(session: ClientSession) -> None:
            database["hand_buckets"].update_one(
                {"_id": case_id[-2:]}, {"$inc": {"made": 1}}, upsert=True, session=session
            )
            database["hand_keys"].insert_one({"_id": case_id, "wrapped": bytes(60)}, session=session)
            database["hand_gates"].insert_one({"_id": case_id, "state": "open", "seq": 1}, session=session)
            database["hand_cases"].insert_one(row, session=session)
            also(case_id, session)

        written(act)
        return jsonify(id=case_id), 201

    @app.post("/v1/cases/<case_id>/people")
    def add_person(case_id: str) -> ResponseReturnValue:
        row = {"_id": new_id(), "case_id": case_id, **request.get_json(), **_ROW}

        def act(session: ClientSession) -> None:
            gate = {"$inc": {"seq": 1}}
            database["hand_gates"].find_one_and_update({"_id": case_id}, gate, upsert=True, session=session)
            list(database["hand_people"].find({"case_id": case_id}, session=session))
            database["hand_keys"].update_one({"_id": case_id}, {"$inc": {"hashed": 1}}, upsert=True, session=session)
            database["hand_cases"].replace_one({"_id": case_id}, _ROW, upsert=True, session=session)
            database["hand_people"].insert_one(row, session=session)
            database["hand_hashes"].insert_one({"_id": row["_id"], "case_id": case_id, **_ROW}, session=session)
            also(case_id, session)

        written(act)
        return jsonify(id=row["_id"]), 201

    return app
