"""What the casework row is measured against: Flask and one pymongo insert, under gunicorn with our own flags.

The insert waits for the same promise about the disk as ours do: a majority, and its journal. Nothing else is done: no
token, no role, no schema, no gate, no encryption, no audit, no event.
"""

from __future__ import annotations

import os

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from pymongo import MongoClient

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
