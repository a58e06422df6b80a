"""``app()``: choose a raster and a model, draw an area, press Run.

Jobs run on the job server, so this process computes nothing: it asks, in threads of its own, and
what the page shows follows. The page's address holds the job's id.
"""

from __future__ import annotations

import functools
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import xarray as xr

from geodl_lab.dashboard import words
from geodl_lab.dashboard.address import Address
from geodl_lab.dashboard.map_view import Bounds, MapView
from geodl_lab.dashboard.page import ALL, AREAS, DRAWN, EMPTY, EXAMPLE, Page
from geodl_lab.dashboard.servers import Shared, find_server
from geodl_lab.dashboard.transfers import FileDownload, FileUpload, Sink
from geodl_lab.demo import demo_scene
from geodl_lab.errors import GeodlError, OptionError
from geodl_lab.job_client import Client, stored
from geodl_lab.raster import Raster, area_window, as_raster
from geodl_lab.remote_jobs import KINDS, RemoteJob
from geodl_lab.remote_rasters import SHARES, RemoteModel, RemoteRaster

LOGGER = logging.getLogger("geodl_lab")

LOOK = 0.5
"""Seconds between two looks at a job that runs."""

BEST = "naip-landcover"
"""The model that is chosen where it fits."""

EXAMPLES: Mapping[str, Bounds] = {
    demo_scene().name: (361704.6, 3765131.4, 362011.8, 3765285.0),
}
"""A part of a raster that takes some seconds, in its CRS, by the file's name."""

TASKS = {
    "classify": "ClassifyPixelsUsingDeepLearning",
    "regress": "ClassifyPixelsUsingDeepLearning",
    "detect": "DetectObjectsUsingDeepLearning",
    "recognize": "ClassifyObjectsUsingDeepLearning",
}
FORMATS = {
    "raster": {
        ".tif": ("COG", "The result as a cloud-optimised GeoTIFF"),
        ".csv": ("CSV", "The area of each class as a table"),
        ".png": ("PNG", "A picture with its legend"),
    },
    "features": {
        ".parquet": ("GeoParquet", "The objects, with all columns"),
        ".geojson": ("GeoJSON", "The objects in longitude and latitude"),
        ".gpkg": ("GeoPackage", "The objects, for a GIS"),
        ".csv": ("CSV", "The objects as a table with coordinates"),
        ".png": ("PNG", "A picture of the objects"),
    },
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
    return App(find).page.box


class App:
    """What the page does.

    Parameters
    ----------
    find
        Finds the job server; called in a thread, as it may have to be started.
    """

    def __init__(self, find: Callable[[], Shared]) -> None:
        self._find, self._shared = find, None
        self._chores = ThreadPoolExecutor(1, "geodl-app")
        self._transfers = ThreadPoolExecutor(1, "geodl-files")
        self._quiet = threading.RLock()
        self._muted = False
        self._folder = tempfile.TemporaryDirectory(prefix="geodl-app-")
        self._rasters: dict[str, RemoteRaster] = {}
        self._models: list[RemoteModel] = []
        self._image: xr.DataArray | None = None
        self._raster: Raster | None = None
        self._area: Bounds | None = None
        self._misfits: dict[str, str] = {}
        self.job: RemoteJob | None = None
        self.map, self.address = MapView(self._on_draw), Address()
        upload = FileUpload(
            self._begin_upload, done=self._uploaded, failed=self._say_bad, workers=self._transfers
        )
        download = FileDownload(self._file, failed=self._say_bad, workers=self._transfers)
        self.page = Page(
            map=self.map.widget, upload=upload, download=download, address=self.address
        )
        self._listen()

    @property
    def client(self) -> Client:
        """A client of the server; raises OptionError as long as there is none."""
        if self._shared is None:
            raise OptionError("the job server is not there yet; wait a moment")
        return self._shared.client

    def _listen(self) -> None:
        page = self.page
        self.address.observe(self._on_seen, "seen")
        page.raster.observe(self._on_raster, "value")
        page.model.observe(self._on_model, "value")
        page.area.observe(self._on_area, "value")
        page.use_path.on_click(lambda _: self._do(self._use_path))
        page.path.on_submit(lambda _: self._do(self._use_path))
        page.run.on_click(lambda _: self._on_run())
        page.cancel.on_click(lambda _: self._do(self._cancel))
        page.open_run.on_click(lambda _: self._on_open())
        page.history.observe(lambda _: self._enable_history(), "value")

    def _do(self, chore: Callable[..., None], *args: Any) -> None:
        """Have something done in the thread of chores; what goes wrong is said in a sentence."""
        self._chores.submit(self._tried, chore, *args)

    def _tried(self, chore: Callable[..., None], *args: Any) -> None:
        try:
            chore(*args)
        except GeodlError as error:
            self._say_bad(str(error))
        except Exception as error:
            LOGGER.exception("the app could not %s", getattr(chore, "__name__", chore))
            self._say_bad(f"something went wrong in the app itself ({error}); reload the page")

    # Beginning: the server, its rasters, its models, and the job that the address names.

    def _on_seen(self, _: Any) -> None:
        self._do(self._begin, self.address.asked)

    def _begin(self, asked: str) -> None:
        if self._shared is None:
            self._say("Starting the job server; the first time takes some seconds.")
            self._shared = self._find()
        self._list_rasters()
        self._list_history()
        job = self._asked(asked)
        self._choose_raster(self._key_of(job) if job else next(iter(self._rasters), ""))
        self._say("Loading the models.")
        self._models = self.client.models()
        self._list_models(job.model if job else BEST)
        if job:
            self._show_area_of(job)
            self._attach(job)
        elif self._models:
            self._ready()

    def _asked(self, id: str) -> RemoteJob | None:
        if not id:
            return None
        try:
            return self.client.job(id)
        except GeodlError:
            self.address.job = ""
            return None

    def _ready(self) -> None:
        if self._raster is not None and self.page.model.value in self._misfits:
            misfit = self._misfits[self.page.model.value]
            self._say(misfit, "bad") if misfit else self._say("Ready. Press Run.")
        self._enable()

    # Rasters.

    def _list_rasters(self) -> None:
        found = [*self.client.uploads(), *self.client.rasters()]
        if not any(one.name in EXAMPLES for one in found):  # who started it did not name the demo
            found.append(self.client.upload(demo_scene()))
        first = sorted(found, key=lambda one: one.name not in EXAMPLES)
        self._rasters = {one.key: one for one in first}
        self._show_rasters()

    def _show_rasters(self) -> None:
        options = [(_raster_label(one), key) for key, one in self._rasters.items()]
        with self._silence():
            chosen = self.page.raster.value
            self.page.raster.options = options
            if chosen in self._rasters:
                self.page.raster.value = chosen

    def _on_raster(self, change: Any) -> None:
        if not self._muted and change["new"]:
            self._do(self._change_raster, change["new"])

    def _change_raster(self, key: str) -> None:
        self._leave_job()
        self._choose_raster(key)
        self._list_models(str(self.page.model.value or BEST))
        self._ready()

    def _choose_raster(self, key: str) -> None:
        """Open a raster and show it; what cannot be opened is said, and then there is none."""
        self._image = self._raster = None
        self._enable()
        if not key:
            self.page.raster_note.value = _hint("There is no raster yet: upload one.")
            return
        raster = self._rasters.get(key) or stored(key)
        self._rasters[key] = raster
        self._show_rasters()
        with self._silence():
            self.page.raster.value = key
        self.map.clear()
        self.page.raster_note.value = _hint("Opening it.")
        try:
            image = self.client.open(raster)
        except GeodlError as error:
            self.page.raster_note.value = _hint(words.sentence(str(error)))
            raise
        self._image, self._raster = image, as_raster(image)
        self.page.raster_note.value = _hint(words.raster_line(self._raster))
        self.map.show_raster(image, raster.name)
        self._offer_areas()

    def _use_path(self) -> None:
        given = self.page.path.value.strip()
        if not given:
            raise OptionError("type the path of a raster in a store of the server")
        key = given if given.startswith(SHARES) else f"{SHARES}{given.lstrip('/')}"
        self._change_raster(key)

    def _begin_upload(self, name: str) -> Sink:
        return self.client.begin_upload(name)

    def _uploaded(self, raster: RemoteRaster) -> None:
        self._rasters = {raster.key: raster, **self._rasters}
        self._do(self._change_raster, raster.key)

    # Models.

    def _list_models(self, best: str) -> None:
        judged = words.ordered(self._models, self._raster, best)
        self._misfits = {one.reference: misfit for one, misfit in judged}
        options = [(words.model_label(one, misfit), one.reference) for one, misfit in judged]
        with self._silence():
            self.page.model.options = options
            self.page.model.value = options[0][1] if options else None
        self._show_model()

    def _on_model(self, _: Any) -> None:
        if not self._muted:
            self._show_model()
            self._ready()

    def _model(self) -> RemoteModel | None:
        wanted = self.page.model.value
        return next((one for one in self._models if one.reference == wanted), None)

    def _show_model(self) -> None:
        model = self._model()
        misfit = self._misfits.get(model.reference, "") if model else ""
        note = words.note_html(misfit, "bad")
        self.page.card.value = f"{note}{words.card_html(model.card)}" if model else ""
        detects = model is not None and model.task in ("detect", "recognize")
        self.page.threshold.layout.display = None if detects else "none"
        self.page.tta.layout.display = "none" if detects else None

    # The area.

    def _example(self) -> Bounds | None:
        """Return the part of the raster that is an example, None where it has none."""
        chosen = self._rasters.get(str(self.page.raster.value))
        area = EXAMPLES.get(chosen.name) if chosen else None
        return area if area and self._raster and self._meets(area) else None

    def _meets(self, area: Bounds) -> bool:
        try:
            return self._raster is not None and bool(area_window(self._raster, area))
        except OptionError:
            return False

    def _offer_areas(self) -> None:
        """Offer what can be computed of a new raster, and choose the first of it."""
        example = self._example()
        offered = [EXAMPLE, ALL, DRAWN] if example else [ALL, DRAWN]
        with self._silence():
            self.page.area.options = [(AREAS[one], one) for one in offered]
            self.page.area.value = offered[0]
        self._outline(example)

    def _on_area(self, change: Any) -> None:
        if self._muted or self._raster is None:
            return
        if change["new"] != DRAWN:
            self.map.clear_drawn()
        self._outline(self._example() if change["new"] == EXAMPLE else None)

    def _outline(self, area: Bounds | None) -> None:
        self.map.show_area(area)
        self._set_area(area)

    def _on_draw(self, area: Bounds | None) -> None:
        if area is not None:
            self.map.show_area(None, stay=True)
            with self._silence():
                self.page.area.value = DRAWN
        if self.page.area.value == DRAWN:
            self._set_area(area)

    def _set_area(self, area: Bounds | None) -> None:
        outside = area is not None and not self._meets(area)
        self._area = None if outside else area
        self.page.area_note.value = self._area_words(outside)
        self._enable()

    def _area_words(self, outside: bool) -> str:
        if outside:
            words_ = "That area lies outside the raster: draw one that meets it."
            return words.note_html(words_, "bad")
        drawn = self.page.area.value == DRAWN
        if self._raster is None:
            return ""
        if drawn and self._area is None:
            return _hint("Choose the square at the left of the map, then drag over the map.")
        size = words.area_line(self._raster, self._area)
        return _hint(f"{size}: the box around what you drew" if drawn else size)

    # Running.

    def _on_run(self) -> None:
        self.page.run.disabled = True
        self._do(self._run)

    def _run(self) -> None:
        try:
            job = self._submit()
        except GeodlError:
            self._enable()
            raise
        self._attach(job)

    def _submit(self) -> RemoteJob:
        model = self._model()
        if model is None or self._raster is None:
            raise OptionError("choose a raster and a model first")
        crs = None if self._area is None else self._raster.crs
        self._say("Sending the job.")
        return self.client.submit(
            TASKS[model.task], self._rasters[str(self.page.raster.value)], model,
            area=self._area, crs=crs, device=str(self.page.device.value),
            threshold=_number(self.page.threshold.value) if model.task == "detect" else None,
            tta=True if self.page.tta.value and model.task == "classify" else None,
        )  # fmt: skip

    def _attach(self, job: RemoteJob) -> None:
        """Follow a job, which the page's address then names."""
        self.job, self.address.job = job, job.id
        self.map.clear_result()
        self.page.result.value, self.page.downloads.formats = EMPTY, []
        self._list_history()
        self._show_job(job)
        threading.Thread(target=self._tried, args=(self._watch, job), daemon=True).start()

    def _watch(self, job: RemoteJob) -> None:
        while self.job is job and not job.ended:
            time.sleep(LOOK)
            job.refresh()
            if self.job is job:
                self._show_job(job)
        if self.job is job:
            self._list_history()
            if job.state == "succeeded":
                self._do(self._show_result, job)

    def _show_job(self, job: RemoteJob) -> None:
        kind = {"succeeded": "good", "failed": "bad"}.get(job.state, "info")
        self.page.progress.value = 100 if job.state == "succeeded" else job.percent
        self._say(words.run_line(job), kind)
        self.page.cancel.disabled = job.ended
        self._enable()

    def _cancel(self) -> None:
        if self.job is not None:
            self.page.cancel.disabled = True
            self.job.cancel()
            self._show_job(self.job)

    def _leave_job(self) -> None:
        self.job, self.address.job = None, ""
        self.page.progress.value, self.page.cancel.disabled = 0, True
        self.page.result.value, self.page.downloads.formats = EMPTY, []
        self.map.clear_result()

    # The result.

    def _show_result(self, job: RemoteJob) -> None:
        from geodl_lab.outputs import classes_of  # noqa: PLC0415  loads torch
        from geodl_lab.totals import class_areas, label_counts  # noqa: PLC0415

        result = job.open()
        if self.job is not job:
            return
        if not isinstance(result, xr.DataArray):
            table = words.counts_html(label_counts(result))
        elif classes_of(result.attrs):
            table = words.areas_html(class_areas(result))
        else:
            table = ""
        self.map.show_result(result, job.model)
        self.page.result.value = f"<h2>Result</h2>{table}"
        self.page.downloads.formats = [
            {"ending": ending, "label": label, "title": title}
            for ending, (label, title) in FORMATS[KINDS[job.kind]].items()
            if table or ending != ".csv"
        ]

    def _file(self, ending: str) -> Path:
        """Return a file of the result, made once."""
        if self.job is None:
            raise OptionError("there is no result; press Run")
        target = Path(self._folder.name) / f"{self.job.name}{ending}"
        if not target.exists():
            self.job.download(target, image=self._image_of_area())
        return target

    def _image_of_area(self) -> xr.DataArray | None:
        if self._image is None or self.job is None or self.job.extent is None:
            return None
        left, bottom, right, top = self.job.extent
        y = slice(top, bottom) if self._image.y[0] > self._image.y[-1] else slice(bottom, top)
        return self._image.sel(x=slice(left, right), y=y)

    # Earlier runs.

    def _list_history(self) -> None:
        names = {key: one.name for key, one in self._rasters.items()}
        jobs = self.client.jobs(limit=30)
        with self._silence():
            chosen = self.page.history.value
            options = [(words.history_label(one, names), one.id) for one in jobs]
            self.page.history.options = options
            self.page.history.value = chosen if chosen in {one.id for one in jobs} else None
        self._enable_history()

    def _enable_history(self) -> None:
        self.page.open_run.disabled = self.page.history.value is None

    def _on_open(self) -> None:
        if chosen := self.page.history.value:
            self._do(self._reopen, chosen)

    def _reopen(self, id: str) -> None:
        job = self.client.job(id)
        if self._key_of(job) != self.page.raster.value or self._raster is None:
            self._choose_raster(self._key_of(job))
        self._list_models(job.model)
        self._show_area_of(job)
        self._attach(job)

    def _show_area_of(self, job: RemoteJob) -> None:
        """Have the choice of the area say what a job computed."""
        area = job.extent
        kind = ALL if area is None else EXAMPLE if area == self._example() else DRAWN
        self.map.clear_drawn()
        with self._silence():
            self.page.area.value = kind
        self._outline(area)

    def _key_of(self, job: RemoteJob) -> str:
        return next(iter(job.raster.values()), "")

    # Words and switches.

    def _enable(self) -> None:
        model = self._model()
        fits = model is not None and not self._misfits.get(model.reference)
        placed = self.page.area.value != DRAWN or self._area is not None
        idle = self.job is None or self.job.ended
        self.page.run.disabled = not (fits and placed and idle and self._raster is not None)

    def _say(self, text: str, kind: str = "info") -> None:
        self.page.status.value = words.note_html(text, kind)

    def _say_bad(self, text: str) -> None:
        self._say(words.sentence(text), "bad")

    def _silence(self) -> _Muted:
        return _Muted(self)


class _Muted:
    """While it holds, what changes was not the visitor's doing."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __enter__(self) -> None:
        self._app._quiet.acquire()
        self._app._muted = True

    def __exit__(self, *_: object) -> None:
        self._app._muted = False
        self._app._quiet.release()


def _raster_label(raster: RemoteRaster) -> str:
    place = raster.key.removeprefix(SHARES)
    return place if raster.key.startswith(SHARES) else f"{raster.name} (uploaded)"


def _number(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise OptionError(f"the least score {text!r} is not possible; give a number of 0 to 1")
    return value


def _hint(text: str) -> str:
    from html import escape  # noqa: PLC0415

    return f"<div class='geoapp-hint'>{escape(text)}</div>"
