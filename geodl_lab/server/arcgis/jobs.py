"""Jobs and their results as ArcGIS clients read them.

A client that has a job's id asks again and again until it reads a final ``jobStatus``; an error
body instead is an endless loop to it. So every id that looks like one is answered with a status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from geodl_lab.jobs.core import Core
from geodl_lab.jobs.job import Caller, Job, Level, Message, State
from geodl_lab.server.arcgis import words
from geodl_lab.server.arcgis.definitions import definition
from geodl_lab.server.arcgis.references import ITEM, OUTPUTS
from geodl_lab.server.arcgis.tasks import Task, find_task
from geodl_lab.server.arcgis.web import ArcgisError

PROTOCOL = "arcgis"
JOB = re.compile(r"j[0-9a-f]{32}")
_TOKEN = re.compile(r"(?i)([?&;](?:token|api_?key)=)[^&\"'\s;]*")


def request_of(task: Task, texts: Mapping[str, str]) -> dict[str, Any]:
    """Return what is kept of a request, for ``inputs``; tokens inside of URLs are taken out."""
    kept = {name: _TOKEN.sub(r"\1", text) for name, text in texts.items()}
    return {"protocol": PROTOCOL, "task": task.name, "parameters": kept}


def task_of(job: Job) -> Task:
    """Return the task that a job is of; raises ArcgisError for one of another protocol."""
    task = find_task(str(job.request.get("task", "")))
    if job.request.get("protocol") != PROTOCOL or task is None:
        raise ArcgisError(f"the job {job.id} is none of these tasks", code=404)
    return task


def job_answer(job: Job, messages: Sequence[Message]) -> dict[str, Any]:
    """Return a job: where it stands, all that it said, and where its values are."""
    task = task_of(job)
    answer = {
        "jobId": job.id,
        "jobStatus": words.status(job),
        "messages": [_message(one.level, one.text) for one in messages],
        "results": {},
        "inputs": {
            name: {"paramUrl": f"inputs/{quote(name, safe='')}"} for name in inputs_of(job)
        },
        "progress": {
            "type": "default",
            "message": f"{job.state.value}: {job.percent:.0f} %",
            "percent": round(job.percent),
        },
    }  # fmt: skip
    if job.state is State.SUCCEEDED:
        answer["results"] = {task.output.name: {"paramUrl": f"results/{task.output.name}"}}
    return answer


def lost_answer(id: str) -> dict[str, Any]:
    """Return what is told of a job that is not there, or not for this caller."""
    text = (
        f"There is no job {id} for this key: it is another key's, it was removed after its time, "
        "or it never was; submit it again."
    )
    return {
        "jobId": id,
        "jobStatus": words.FAILED,
        "messages": [_message(Level.ERROR, text)],
        "results": {},
        "inputs": {},
        "progress": {"type": "default", "message": "failed", "percent": 0},
    }


def inputs_of(job: Job) -> dict[str, str]:
    """Return the parameters that a client sent, by name."""
    return dict(job.request.get("parameters") or {})


def input_answer(job: Job, name: str) -> dict[str, Any]:
    """Return one parameter of a job; raises ArcgisError if it has none of that name."""
    task, given = task_of(job), inputs_of(job)
    found = next((one for one in given if one.lower() == name.lower()), None)
    if found is None:
        raise _no_value(job, "input", name, list(given))
    parameter = task.input(found)
    return {
        "paramName": found,
        "dataType": parameter.kind if parameter else words.TEXT,
        "value": given[found],
    }


def result_answer(job: Job, name: str, core: Core, caller: Caller, base: str) -> dict[str, Any]:
    """Return the result of a job; raises ArcgisError if it has none (yet), or none of that name."""
    output = task_of(job).output
    if output.name.lower() != name.lower():
        raise _no_value(job, "result", name, [output.name])
    if job.state is not State.SUCCEEDED:
        raise ArcgisError(f"the job {job.id} is {job.state.value}; it has results when succeeded")
    value = _RESULTS[output.name](job, core, caller, base)
    return {"paramName": output.name, "dataType": output.kind, "value": value}


def model_item(reference: str, core: Core, caller: Caller) -> str:
    """Return the id of a model's item, "" if there is none (any more)."""
    return next((one.id for one in core.items(caller) if one.model == reference), "")


def service_url(name: str, kind: str, base: str) -> str:
    """Return where a service is: ``kind`` is raster, features or folder (its download)."""
    below = {"raster": "ImageServer", "features": "FeatureServer", "folder": f"download/{name}.zip"}
    return f"{base}/arcgis/rest/services/Hosted/{name}/{below[kind]}"


def _message(level: Level, text: str) -> dict[str, str]:
    return {"type": words.MESSAGE[level], "description": text}


def _no_value(job: Job, kind: str, name: str, known: list[str]) -> ArcgisError:
    possible = ", ".join(known) or "none"
    return ArcgisError(
        f"the job {job.id} has no {kind} {name[:100]!r}; it has {possible}", code=404
    )


def _raster(job: Job, core: Core, caller: Caller, base: str) -> dict[str, Any]:
    url = service_url(job.results["service"], "raster", base)
    return {"itemId": job.results.get("item", ""), "url": url}


def _features(job: Job, core: Core, caller: Caller, base: str) -> dict[str, Any]:
    url = service_url(job.results["service"], "features", base)
    return {"itemId": job.results.get("item", ""), "url": url}


def _folder(job: Job, core: Core, caller: Caller, base: str) -> dict[str, Any]:
    name = job.results["service"]
    return {"uri": f"/fileShares/{OUTPUTS}/{name}", "url": service_url(name, "folder", base)}


def _models(job: Job, core: Core, caller: Caller, base: str) -> list[dict[str, Any]]:
    """Return the models that were there, but for those that are gone since: they have no item."""
    items = {one.model: one for one in core.items(caller) if one.model}
    known = (one for one in job.results["values"]["models"] if one["reference"] in items)
    return [
        {
            "id": items[one["reference"]].id,
            "title": items[one["reference"]].title,
            "name": one["name"],
            "version": one["version"],
            "modelType": one["task"],
        }
        for one in known
    ]


def _model(job: Job, core: Core, caller: Caller, base: str) -> dict[str, str]:
    return {"modelInfo": json.dumps(definition(job.results["values"]["card"]))}


def _installed(job: Job, core: Core, caller: Caller, base: str) -> str:
    return str(job.results["values"]["model"])


def _uninstalled(job: Job, core: Core, caller: Caller, base: str) -> str:
    """Return the item as the client named it, else the model that was removed."""
    given = inputs_of(job).get("modelItemId", "")
    found = re.search(rf"(?<![0-9a-fA-F]){ITEM.pattern}(?![0-9a-fA-F])", given)
    return found[0].lower() if found else str(job.results["values"]["model"])


_RESULTS: dict[str, Callable[[Job, Core, Caller, str], Any]] = {
    "outRaster": _raster,
    "outObjects": _features,
    "outLocation": _folder,
    "deepLearningModels": _models,
    "outModelInfo": _model,
    "installSucceed": _installed,
    "uninstallSucceed": _uninstalled,
}
