"""Tasks: where an inference, or the deployment of a network, stands. Their ids are our jobs'."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from starlette.datastructures import QueryParams

from geodl_lab.errors import AccessError
from geodl_lab.jobs.core import Core
from geodl_lab.jobs.job import Caller, Job, Level, State
from geodl_lab.server.deepomatic.bodies import structured
from geodl_lab.server.deepomatic.errors import FieldError
from geodl_lab.server.deepomatic.inference import MOST_PREDICTIONS
from geodl_lab.server.deepomatic.render import data_of
from geodl_lab.server.deepomatic.words import STATUS, date

ID = re.compile(r"j[0-9a-f]{32}")
MOST = 1000
"""Tasks that one request may name."""


def task(core: Core, caller: Caller, id: str) -> dict[str, Any]:
    """Return a task; raises FieldError where there is none to be seen."""
    if (job := _known(core, caller, id)) is None:
        raise FieldError(
            f"there is no task {id[:100]!r}; it may have been removed by age: send the image again",
            status=404,
        )
    return _worded(core, job)


def tasks(core: Core, caller: Caller, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Return those of some tasks that are there, in the order asked."""
    found = (_known(core, caller, id) for id in ids)
    return [_worded(core, job) for job in found if job]


def ids_of(query: QueryParams) -> list[str]:
    """Return the ids that a query asks for, each once: repeated, as JSON, or with commas.

    Raises
    ------
    FieldError
        If there is none, or too many.
    """
    ids: dict[str, None] = {}
    for text in (*query.getlist("task_ids"), *query.getlist("task_ids[]")):
        given = structured(text, "task_ids")
        rows = given if isinstance(given, list) else str(given or "").split(",")
        ids |= dict.fromkeys(str(one).strip() for one in rows)
    ids.pop("", None)
    if not 0 < len(ids) <= MOST:
        raise FieldError(
            f"{len(ids)} tasks are asked for; name 1 to {MOST}, as in ?task_ids=A&task_ids=B",
            field="task_ids",
        )
    return list(ids)


def _known(core: Core, caller: Caller, id: str) -> Job | None:
    if not ID.fullmatch(id):
        return None
    try:
        job = core.job(id, caller)
    except AccessError:
        return None
    return job if job.request.get("protocol") == "deepomatic" else None


def _worded(core: Core, job: Job) -> dict[str, Any]:
    failed = STATUS[job.state] == "error"
    return {
        "id": job.id,
        "status": STATUS[job.state],
        "error": _reason(core, job) if failed else None,
        "date_created": date(job.created),
        "date_updated": date(job.finished or job.started or job.created),
        "data": _data(job) if job.state is State.SUCCEEDED else None,
        "subtasks": None,
    }


def _reason(core: Core, job: Job) -> str:
    messages = core.messages(job)
    said = [one.text for one in messages if one.level is Level.ERROR] or [messages[-1].text]
    return said[-1]


def _data(job: Job) -> dict[str, Any]:
    values = job.results.get("values") or {}
    if job.request.get("task") != "inference":
        return dict(values)
    asked = job.request.get("parameters") or {}
    most = int(asked.get("most", MOST_PREDICTIONS))
    return data_of(values, most=most, discarded=bool(asked.get("discarded")))
