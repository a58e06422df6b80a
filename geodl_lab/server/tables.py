"""The tables of docs/server.md and docs/arcgis.md, made from the code.

``python -m geodl_lab.server.tables`` writes them there anew.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from geodl_lab import addresses, fetch
from geodl_lab.jobs import database, inputs, rasters, retention, run, runner, stores, vectors
from geodl_lab.jobs.meters import Meters
from geodl_lab.packages.tables import filled, markdown_table
from geodl_lab.server import own, serve, tokens
from geodl_lab.server.arcgis import feature_store, image_points, image_reads, image_requests, where
from geodl_lab.server.arcgis.routes import router
from geodl_lab.server.arcgis.tasks import TASKS, Parameter, Task
from geodl_lab.server.health import JOBS_METRICS, Metrics

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (DOCS / "server.md", DOCS / "arcgis.md")
PREFIX = "/arcgis"

LIMITS: tuple[tuple[str, str], ...] = (
    ("connections at one time", f"{serve.MOST_CONNECTIONS}, then 503"),
    ("seconds that a stop waits for answers", f"{serve.GRACE}"),
    ("longest life of a token", f"{tokens.MOST_MINUTES // 1440} days"),
    ("pixels on a side of a picture", f"{image_requests.LARGEST}"),
    ("bytes of a picture's pixels", f"{image_requests.MOST_BYTES:,}"),
    ("pixels that are read for one view", f"{image_reads.MOST:,}"),
    ("places of one getSamples", f"{image_points.MOST:,}"),
    ("characters and depth of a where clause", f"{where.MOST_CHARACTERS:,} and {where.MOST_DEPTH}"),
    ("seconds of one feature query", f"{feature_store.SECONDS:g}"),
    ("rasters that stores list", f"{stores.MOST_RASTERS:,}, {stores.DEPTH} folders deep"),
    ("values (pixels times bands) of a raster", f"{rasters.MOST_VALUES:,}"),
    ("of a PNG or JPEG", f"{rasters.MOST_IN_A_ROW:,}"),
    ("bytes of one block or strip of a raster", f"{rasters.MOST_BLOCK:,}"),
    ("bytes of a GeoJSON of features", f"{vectors.MOST_JSON:,}"),
    ("bytes of a file that is fetched", f"{inputs.MOST_BYTES:,}"),
    ("redirects that are followed", f"{fetch.REDIRECTS}"),
    ("seconds to connect, and to wait for bytes", f"{fetch.CONNECT:g} and {fetch.READ:g}"),
    ("characters of an address", f"{addresses.LONGEST:,}"),
    ("crashes of one part of a job", f"{run.CRASHES}, then the job fails"),
    ("starts of a job without progress", f"{runner.RESTARTS}, then the job fails"),
    ("jobs under way for each device", f"{runner.PLACES['device']}"),
    ("seconds that files of a replaced result stay", f"{retention.GRACE_SECONDS:g}"),
    ("seconds to wait for a lock of SQLite", f"{database.BUSY_MS / 1000:g}"),
)  # fmt: skip
"""What is limited that no option changes, and to what."""


def options_table() -> str:
    """Return the options of ``geodl serve`` as its command line tells them."""
    group: Any = typer.main.get_command(importlib.import_module("geodl_lab.cli").app)
    lines = [
        (f"`{one.opts[0]}`", _default(one), f"`{one.envvar}`" if one.envvar else "", one.help)
        for one in group.commands["serve"].params
        if not one.hidden and one.name != "help"
    ]
    return markdown_table(("option", "default", "variable", "what"), lines)


def limits_table() -> str:
    """Return the limits that no option changes."""
    return markdown_table(("what", "limit"), LIMITS)


def metrics_table() -> str:
    """Return the names of ``/metrics``."""
    found = [*JOBS_METRICS, *_counted(Meters().registry), *_counted(Metrics().registry)]
    return markdown_table(("name", "what"), [(f"`{name}`", what) for name, what in found])


def endpoints_table() -> str:
    """Return the routes of the ArcGIS face, each with what it does."""
    return _paths_table(router, PREFIX)


def own_table() -> str:
    """Return the paths of our own, with what each does."""
    return _paths_table(own.router)


def tasks_table() -> str:
    """Return each task with its parameters and what it answers, a table each."""
    return "\n".join(_task(one) for one in TASKS)


TABLES: dict[str, Callable[[], str]] = {
    "options": options_table,
    "limits": limits_table,
    "metrics": metrics_table,
    "endpoints": endpoints_table,
    "own": own_table,
    "tasks": tasks_table,
}


def _paths_table(routes: APIRouter, prefix: str = "") -> str:
    app = FastAPI()
    app.include_router(routes, prefix=prefix)
    with warnings.catch_warnings():  # one function for GET and POST
        warnings.filterwarnings("ignore", message="Duplicate Operation ID")
        paths = get_openapi(title="", version="", routes=app.routes)["paths"]
    lines = [(f"`{path}`", *_methods(operations)) for path, operations in paths.items()]
    return markdown_table(("path", "methods", "what"), lines)


def _default(option: Any) -> str:
    if option.is_flag:
        return "off"
    return "" if option.default in (None, "") else f"`{option.default}`"


def _counted(registry: Any) -> Iterator[tuple[str, str]]:
    endings = {"counter": "_total"}
    for one in registry.collect():
        yield one.name + endings.get(one.type, ""), one.documentation


def _methods(operations: Mapping[str, Any]) -> tuple[str, str]:
    """Return the methods of a path, and the first line of what is said of it."""
    said = next(iter(operations.values())).get("description", "")
    return " ".join(sorted(operations)).upper(), said.partition("\n")[0]


def _task(task: Task) -> str:
    lines = [(f"`{one.name}`", one.about, _needed(one), _others(one)) for one in task.inputs]
    lines.append((f"`{task.output.name}`", task.output.about, "answer", ""))
    aliases = f" Also `{'`, `'.join(task.aliases)}`." if task.aliases else ""
    table = markdown_table(("parameter", "what", "default", "also"), lines)
    return f"### {task.name}\n\n{task.about}{aliases}\n\n{table}"


def _needed(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    return "" if parameter.default is None else f"`{parameter.default}`"


def _others(parameter: Parameter) -> str:
    aliases = [f"alias `{name}`" for name in parameter.aliases]
    choices = [f"`{'`, `'.join(parameter.choices)}`"] if parameter.choices else []
    return "; ".join([*aliases, *choices])


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8"), TABLES), encoding="utf-8")
        print(f"{page} has its tables anew")
