"""Tasks: what the office has to do about a case by a day."""

from __future__ import annotations

from functools import partial
from typing import Any

from services.consent.actions import tasks as actions
from services.consent.context import Context
from services.consent.model.tasks import Task
from services.consent.schemas.office import TaskOut, TaskPage, TasksQuery
from shared.errors import NotFound
from shared.http import Blueprint, Inward, JsonResponse, allow, audit_case, current_caller, idempotent, ok, page
from shared.security.roles import CASEWORK, CONSENT_READERS


def task_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("tasks", description="What there is to do about a case by a day: ids, a kind and dates")

    @blp.route("/tasks")
    @allow(*CONSENT_READERS)
    @blp.arguments(TasksQuery, location="query")
    @blp.response(200, TaskPage)
    def list_tasks(query: dict[str, Any]) -> Any:
        """Tasks, oldest first; `due_before` is a date and inclusive."""
        where: dict[str, Any] = {name: query[name] for name in ("case_id", "state") if name in query}
        if "case_id" in query:
            context.require_known(query["case_id"])
        if "due_before" in query:
            where["due_on"] = {"$lte": query["due_before"].isoformat()}
        return ok(page(query, partial(stores.tasks.page, where), _shown))

    @blp.route("/tasks/<task_id>")
    @allow(*CONSENT_READERS)
    @blp.response(200, TaskOut)
    def get_task(task_id: str) -> Any:
        """One task."""
        task = _found(task_id)
        return ok(_shown(task), etag=task.version)

    @blp.route("/tasks/<task_id>/done", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.NO)
    @blp.response(200, TaskOut)
    @idempotent(_done)
    def finish_task(task_id: str) -> Any:
        """It has been done; also while the case is frozen. 409 when it was done before."""
        _found(task_id)
        return actions.finish_task(stores, task_id=task_id, sub=current_caller().sub)

    def _found(task_id: str) -> Task:
        task = stores.tasks.get(task_id)
        if task is None:
            raise NotFound(actions.NO_TASK)
        audit_case(task.case_id)
        return task

    return blp


def _shown(task: Task) -> dict[str, Any]:
    shown: dict[str, Any] = TaskOut().dump(task)
    return shown


def _done(task: Task) -> JsonResponse:
    return ok(_shown(task), etag=task.version).about(task.case_id)
