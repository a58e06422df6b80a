"""The raster analysis tasks: their pages, and jobs submitted, followed and cancelled.

Source: ArcGIS REST API, GP Service, GP Task, GP Job, GP Result and GP Input. What is wrong with
parameters is said by the job, where clients look for it, and not by ``submitJob``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from geodl_lab.errors import AccessError
from geodl_lab.jobs.core import Core
from geodl_lab.jobs.job import Caller, Job
from geodl_lab.server.arcgis import html, words
from geodl_lab.server.arcgis.directory import format_of, show
from geodl_lab.server.arcgis.jobs import (
    JOB,
    input_answer,
    job_answer,
    lost_answer,
    request_of,
    result_answer,
    task_of,
)
from geodl_lab.server.arcgis.parse import given_to, recipe_of
from geodl_lab.server.arcgis.references import Here
from geodl_lab.server.arcgis.tasks import TASKS, Task, find_task, task_page
from geodl_lab.server.arcgis.web import ArcgisError, Parameters, parameters
from geodl_lab.server.context import base_url, caller_of, core_of, page_path

router = APIRouter(tags=["ArcGIS tasks"])

ROOT = "/rest/services/System/RasterAnalysisTools/GPServer"
TASK = ROOT + "/{task}"
ONE = TASK + "/jobs/{id}"
ABOUT = "Deep learning on rasters: pixels, objects, labels, changes, training data and models."


@router.get(ROOT)
@router.post(ROOT)
async def service_page(request: Request) -> Response:
    """Tell which tasks there are."""
    given, path = await parameters(request), page_path(request)
    values = {
        "currentVersion": words.VERSION,
        "serviceDescription": ABOUT,
        "tasks": [task.name for task in TASKS],
        "executionType": words.ASYNCHRONOUS,
        "resultMapServerName": "",
        "maximumRecords": 2000,
        "capabilities": "",
    }
    links = {task.title: f"{path}/{task.name}" for task in TASKS}
    return show(given, values, title="Raster analysis tasks", links=links)


@router.get(TASK)
@router.post(TASK)
async def one_task(request: Request, task: str) -> Response:
    """Tell what a task takes and gives."""
    given, found, path = await parameters(request), _task(task), page_path(request)
    form = html.fields(found.inputs, f"{path}/submitJob")
    return show(given, task_page(found), title=found.title, form=form)


@router.get(TASK + "/submitJob")
@router.post(TASK + "/submitJob")
async def submit_job(request: Request, task: str) -> Response:
    """Accept a job; it is on the disk when its id is told."""
    given, found = await parameters(request), _task(task)
    format_of(given)  # a job is not made for an answer that is not possible
    job = await run_in_threadpool(_submit, request, found, given)
    return _shown_job(request, given, {"jobId": job.id, "jobStatus": words.status(job)})


@router.get(ONE)
@router.post(ONE)
async def job_page(request: Request, task: str, id: str) -> Response:
    """Tell where a job stands."""
    given = await parameters(request)
    values = await run_in_threadpool(_job_values, request, id)
    if given.text("returnMessages").lower() == "false":
        values["messages"] = []
    return _shown_job(request, given, values)


@router.get(ONE + "/results/{name}")
@router.post(ONE + "/results/{name}")
async def result_page(request: Request, task: str, id: str, name: str) -> Response:
    """Tell the result of a job."""
    given = await parameters(request)
    values = await run_in_threadpool(_result_values, request, id, name)
    return _shown_value(request, given, values)


@router.get(ONE + "/inputs/{name}")
@router.post(ONE + "/inputs/{name}")
async def input_page(request: Request, task: str, id: str, name: str) -> Response:
    """Tell a parameter of a job as it was sent."""
    given = await parameters(request)
    values = await run_in_threadpool(_input_values, request, id, name)
    return _shown_value(request, given, values)


@router.get(ONE + "/cancel")
@router.post(ONE + "/cancel")
async def cancel_job(request: Request, task: str, id: str) -> Response:
    """Ask a job to stop; a finished one stays what it is."""
    given = await parameters(request)
    values = await run_in_threadpool(_cancel, request, id)
    return _shown_job(request, given, values)


def _task(name: str) -> Task:
    if (task := find_task(name)) is None:
        known = ", ".join(one.name for one in TASKS)
        raise ArcgisError(f"there is no task {name[:100]!r}; there are {known}", code=404)
    return task


def _submit(request: Request, task: Task, given: Parameters) -> Job:
    core, caller = core_of(request), caller_of(request)
    here = Here(
        base_url(request), tuple(core.options.stores), functools.partial(_item_of, core, caller)
    )
    parsed = given_to(task, given.named, here)
    return core.submit(recipe_of(parsed), caller, request=request_of(task, parsed.texts))


def _item_of(core: Core, caller: Caller, service: str) -> str:
    """Return the id of the item of a service, "" if the caller sees none."""
    try:
        return core.catalog.service(service, caller).item
    except AccessError:
        return ""


def _known(request: Request, id: str) -> Job | None:
    """Return a job, None if it is not there for this caller; ArcgisError for what is no id."""
    if not JOB.fullmatch(id):
        raise ArcgisError(f"{id[:100]!r} is no id of a job; submitJob gives one", code=404)
    try:
        job = core_of(request).job(id, caller_of(request))
        task_of(job)
        return job
    except (AccessError, ArcgisError):
        return None


def _job_values(request: Request, id: str) -> dict[str, Any]:
    job = _known(request, id)
    return job_answer(job, core_of(request).messages(job)) if job else lost_answer(id)


def _result_values(request: Request, id: str, name: str) -> dict[str, Any]:
    if job := _known(request, id):
        return result_answer(job, name, core_of(request), caller_of(request), base_url(request))
    return lost_answer(id)


def _input_values(request: Request, id: str, name: str) -> dict[str, Any]:
    job = _known(request, id)
    return input_answer(job, name) if job else lost_answer(id)


def _cancel(request: Request, id: str) -> dict[str, Any]:
    if (job := _known(request, id)) is None:
        return lost_answer(id)
    job = core_of(request).cancel(job)
    return {"jobId": job.id, "jobStatus": words.status(job)}


def _shown_job(request: Request, given: Parameters, values: Mapping[str, Any]) -> Response:
    path = page_path(request)
    task = path.partition("/jobs/")[0].removesuffix("/submitJob")
    job = f"{task}/jobs/{values['jobId']}"
    links = {"Look again": job, "Cancel": f"{job}/cancel"}
    for kind in ("results", "inputs"):
        for name, place in values.get(kind, {}).items():
            links[f"{kind[:-1]} {name}"] = f"{job}/{place['paramUrl']}"
    return show(given, values, title=f"Job {values['jobId']}", links=links)


def _shown_value(request: Request, given: Parameters, values: Mapping[str, Any]) -> Response:
    job = page_path(request).partition("/results/")[0].partition("/inputs/")[0]
    links, value = {"Job": job}, values.get("value")
    place = urlsplit(str(value.get("url", ""))).path if isinstance(value, dict) else ""
    if "/results/" in request.url.path and place.endswith("Server"):
        links["Service"] = place
    return show(given, values, title=str(values.get("paramName", "")), links=links)
