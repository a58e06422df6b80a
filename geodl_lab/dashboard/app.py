"""``app()``: choose a raster and a model, draw an area, press Run.

Jobs run on the job server, so this process computes nothing: it asks, in threads of its own, and
what the page shows follows. The page's address holds the job's id.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

from geodl_lab.dashboard.areas import Areas
from geodl_lab.dashboard.desk import Desk
from geodl_lab.dashboard.examples import BEST
from geodl_lab.dashboard.history import History
from geodl_lab.dashboard.models import Models
from geodl_lab.dashboard.rasters import Rasters
from geodl_lab.dashboard.results import Results
from geodl_lab.dashboard.runs import Runs
from geodl_lab.dashboard.servers import Shared, find_server
from geodl_lab.dashboard.words import number
from geodl_lab.errors import GeodlError, OptionError
from geodl_lab.remote_jobs import RemoteJob

READY = "Ready. Press Run."
NO_FIT = "This model does not fit the raster: choose another model, or another raster."

TASKS = {
    "classify": "ClassifyPixelsUsingDeepLearning",
    "regress": "ClassifyPixelsUsingDeepLearning",
    "detect": "DetectObjectsUsingDeepLearning",
    "recognize": "ClassifyObjectsUsingDeepLearning",
}


def app(
    url: str | None = None,
    *,
    key: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    store: Mapping[str, str | os.PathLike[str]] | None = None,
) -> Any:
    """Return the app as a widget; a cell that ends with it shows the page.

    Parameters
    ----------
    url, key
        Of a job server; None takes that of ``geodl app``, else one that all pages of this user
        share, started when it is not there.
    data_dir
        Folder of the shared server.
    store
        Folders by name whose rasters are offered, beside the bundled scene.
    """
    find = functools.partial(find_server, url=url, key=key, data_dir=data_dir, store=store)
    return App(find).desk.page.box


class App:
    """The parts of the app, and what follows in one from another.

    Parameters
    ----------
    find
        Finds the job server; called in a thread, as it may have to be started.
    """

    def __init__(self, find: Callable[[], Shared]) -> None:
        self.desk = Desk(find)
        self.rasters = Rasters(self.desk, self._change_raster)
        self.models = Models(self.desk, self._ready)
        self.areas = Areas(self.desk, self.rasters, self._enable)
        self.results = Results(self.desk, self.rasters)
        self.runs = Runs(self.desk, self.results, self._job_changed)
        self.history = History(self.desk, self.rasters, self._reopen)
        self.models.list_all(None, BEST)
        self.runs.address.observe(lambda _: self.desk.do(self._begin), "seen")
        self.desk.page.run.on_click(lambda _: self._on_run())

    def _begin(self) -> None:
        """Find the server, its rasters and models, and the job that the page's address names."""
        self.desk.connect()
        self.rasters.list_all()
        job = self._asked(self.runs.address.asked)
        self.models.ask()
        self.history.list_all()
        if job:
            self._show(job)
        else:
            self._change_raster(self.rasters.first)

    def _asked(self, id: str) -> RemoteJob | None:
        try:
            return self.desk.client.job(id) if id else None
        except GeodlError:
            self.runs.address.job = ""
            return None

    def _change_raster(self, key: str) -> None:
        self.runs.leave()
        self._choose_raster(key)
        self.models.list_all(self.rasters.raster, str(self.desk.page.model.value or BEST))
        self._ready()

    def _choose_raster(self, key: str) -> None:
        self.desk.page.run.disabled = True
        self.rasters.choose(key)
        self.areas.offer()

    def _reopen(self, id: str) -> None:
        self._show(self.desk.client.job(id))

    def _show(self, job: RemoteJob) -> None:
        """Have the whole page be about a job."""
        if job.place != self.desk.page.raster.value or self.rasters.raster is None:
            with contextlib.suppress(GeodlError):  # a raster may be gone: its note says so
                self._choose_raster(job.place)
        self.models.list_all(self.rasters.raster, job.model)
        self.areas.show(job.extent)
        self.runs.follow(job)

    def _on_run(self) -> None:
        self.desk.page.run.disabled = True
        self.desk.do(self._run)

    def _run(self) -> None:
        try:
            job = self._submit()
        except GeodlError:
            self._enable()
            raise
        self.runs.follow(job)

    def _submit(self) -> RemoteJob:
        page, model, raster = self.desk.page, self.models.chosen, self.rasters.chosen
        if model is None or raster is None or self.rasters.raster is None:
            raise OptionError("choose a raster and a model first")
        area = self.areas.chosen
        self.desk.say("Sending the job.")
        return self.desk.client.submit(
            TASKS[model.task], raster, model,
            area=area, crs=None if area is None else self.rasters.raster.crs,
            device=str(page.device.value),
            threshold=number(page.threshold.value) if model.task == "detect" else None,
            tta=True if page.tta.value and model.task == "classify" else None,
        )  # fmt: skip

    def _job_changed(self) -> None:
        self.history.list_all()
        self._enable()

    def _ready(self) -> None:
        """Say whether everything is there to run."""
        if self.rasters.raster is not None and self.models.chosen is not None and self.runs.idle:
            self.desk.say(NO_FIT if self.models.misfit else READY)
        self._enable()

    def _enable(self) -> None:
        there = self.rasters.raster is not None and self.models.chosen is not None
        fits = there and not self.models.misfit
        self.desk.page.run.disabled = not (fits and self.areas.ready and self.runs.idle)
