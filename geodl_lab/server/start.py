"""The page at the root: what this server is, the last jobs, and where to go on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from starlette.concurrency import run_in_threadpool

from geodl_lab._version import __version__
from geodl_lab.jobs.job import Job, State
from geodl_lab.server.arcgis import html
from geodl_lab.server.arcgis.gp import ROOT
from geodl_lab.server.arcgis.web import parameters
from geodl_lab.server.context import core_of, page_path, visitor_of

router = APIRouter(tags=["Our own"])

LAST = 20
"""Jobs that the page shows."""

TASKS = f"/arcgis{ROOT}"
LINKS = {
    "New job": TASKS,
    "Results": "/arcgis/rest/services/Hosted",
    "Rasters": "/arcgis/rest/services/Stores",
    "Models": "/model-cards",
}


@router.get("/", response_class=HTMLResponse)
@router.post("/", response_class=HTMLResponse)
async def start(request: Request) -> Response:
    """Show a person the state of the server and, with a key, its jobs."""
    here, jobs = page_path(request), await _last_jobs(request)
    parts = [f"<p>{escape(_state_line(request))}</p>", html.buttons(_below(here, LINKS))]
    if jobs is None:
        parts.append("<p>Give the key below to go on, and to see your jobs here.</p>")
    else:
        parts += ["<h2>Jobs</h2>", _jobs_table(jobs, here)]
    return await _page(request, "geodl-lab job server", parts)


@router.get("/model-cards", response_class=HTMLResponse)
@router.post("/model-cards", response_class=HTMLResponse)
async def model_cards(request: Request) -> Response:
    """Show a person the models that jobs can name."""
    cards = await run_in_threadpool(core_of(request).model_cards)
    rows = ((card["name"], card["task"], card.get("description", "")) for card in cards)
    up = page_path(request).removesuffix("/model-cards")
    parts = [html.buttons({"Start page": f"{up}/"}), _rows(("model", "task", "about"), rows)]
    return await _page(request, "Models", parts)


async def _page(request: Request, title: str, parts: list[str]) -> Response:
    given = await parameters(request)
    return html.page(title, *parts, token=given.key_field)


async def _last_jobs(request: Request) -> list[Job] | None:
    caller = visitor_of(request)
    if caller is None:
        return None
    return await run_in_threadpool(core_of(request).jobs, caller, limit=LAST)


def _state_line(request: Request) -> str:
    state = request.app.state
    counts = state.core.counts()
    workers = "ready" if state.core.workers_ready else "starting"
    running, waiting = counts.get(State.RUNNING, 0), counts.get(State.PENDING, 0)
    return f"Version {__version__}; workers {workers}; {running} jobs run, {waiting} wait."


def _jobs_table(jobs: Iterable[Job], here: str) -> str:
    rows = [
        (
            _Html(html.buttons({one.id[:9]: f"{here}{TASKS}/{task}/jobs/{one.id}"}))
            if (task := str(one.request.get("task", "")))
            else one.id[:9],
            one.recipe.get("kind", ""),
            one.state.value,
            f"{one.percent:.0f} %",
            time.strftime("%Y-%m-%d %H:%M", time.localtime(one.created)),
        )
        for one in jobs
    ]
    if not rows:
        return "<p>No job yet. Press New job, choose a task and fill in its form.</p>"
    return _rows(("job", "what", "state", "done", "begun"), rows)


class _Html(str):
    """Text that is HTML already."""


def _rows(names: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    return f"<td>{value if isinstance(value, _Html) else escape(str(value))}</td>"


def _below(here: str, links: Mapping[str, str]) -> dict[str, str]:
    return {word: here + path for word, path in links.items()}
