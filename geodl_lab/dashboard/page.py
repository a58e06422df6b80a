"""The widgets of the app, and how they lie on the page; what they do is said in `app`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as widgets

from geodl_lab.dashboard.words import note_html

CSS = Path(__file__).parent / "style.css"

EXAMPLE, ALL, DRAWN = "example", "all", "drawn"
AREAS = {EXAMPLE: "Example", ALL: "All of it", DRAWN: "Drawn"}

LEAD = (
    "<h1>Map a raster</h1><div class='geoapp-lead'>Choose a raster and a model, draw an area, "
    "press Run.</div>"
)
EMPTY = (
    "<h2>Result</h2><div class='geoapp-hint'>Nothing yet. Press Run: the classes or objects appear "
    "on the map, and their areas or counts here.</div>"
)
NO_HISTORY = "<h2>Earlier runs</h2><div class='geoapp-hint'>None yet.</div>"


class Page:
    """All widgets by name; ``box`` holds them.

    ``map``, ``upload``, ``downloads`` and ``address`` are empty boxes, which others fill.
    """

    def __init__(self) -> None:
        self.map, self.upload = widgets.Box([]), widgets.Box([])
        self.downloads, self.address = widgets.Box([]), widgets.Box([])
        self.raster = widgets.Dropdown(description="Raster", options=[])
        self.raster_note = _html()
        self.path = widgets.Text(description="Store and place", placeholder="STORE/place.tif")
        self.use_path = widgets.Button(description="Use this path")
        self.model = widgets.Dropdown(description="Model", options=[])
        self.card = _html()
        self.area = widgets.ToggleButtons(
            description="Area", options=[(AREAS[ALL], ALL), (AREAS[DRAWN], DRAWN)], value=ALL
        )
        self.area_note = _html()
        self.device = widgets.Dropdown(
            description="Device",
            options=[("Whatever is free", "auto"), ("Processor", "cpu"), ("GPU", "cuda")],
        )
        self.threshold = widgets.Text(
            description="Least score (0 to 1)", placeholder="the model's own"
        )
        self.tta = widgets.Checkbox(
            description="Average over eight turns (8 times the work)", indent=False
        )
        self.run = widgets.Button(description="Run", disabled=True)
        self.cancel = widgets.Button(description="Cancel", disabled=True)
        self.progress = widgets.FloatProgress(min=0, max=100)
        self.status = _html(note_html("Starting."))
        self.result = _html(EMPTY)
        self.history = widgets.Select(description="Earlier runs", options=[])
        self.open_run = widgets.Button(description="Open this run", disabled=True)
        self.no_history = _html(NO_HISTORY)
        self.show_history(False)
        self.run.add_class("geoapp-run")
        self.map.add_class("geoapp-map")
        self.box = self._laid_out()

    def show_history(self, there: bool) -> None:
        """Show the list of earlier runs, or that there is none."""
        for one in (self.history, self.open_run):
            one.layout.display = None if there else "none"
        self.no_history.layout.display = "none" if there else None

    def _laid_out(self) -> widgets.Box:
        path = _folded("A path on the server", self.path, self.use_path)
        options = _folded("Options", self.device, self.threshold, self.tta)
        controls = _group(
            "geoapp-controls",
            _group("geoapp-top", _html(LEAD)),
            _group("geoapp-group geoapp-first", self.raster, self.raster_note, self.upload, path),
            _group("geoapp-group", self.model, self.card),
            _group("geoapp-group", self.area, self.area_note),
            _group("geoapp-group", options),
            _group(
                "geoapp-group geoapp-go",
                _group("geoapp-row", self.run, self.cancel),
                self.progress,
                self.status,
            ),
        )
        stage = _group(
            "geoapp-stage",
            self.map,
            _group("geoapp-result", self.result, self.downloads),
            _group("geoapp-group geoapp-last", self.no_history, self.history, self.open_run),
        )
        style = widgets.HTML(f"<style>{CSS.read_text(encoding='utf-8')}</style>")
        box = widgets.VBox([style, self.address, _group("geoapp-app", controls, stage)])
        return box.add_class("geoapp-page")


def _html(value: str = "") -> widgets.HTML:
    return widgets.HTML(value)


def _group(name: str, *children: Any) -> widgets.Box:
    box = widgets.Box(list(children))
    for one in name.split():
        box.add_class(one)
    return box


def _folded(title: str, *children: Any) -> widgets.Accordion:
    fold = widgets.Accordion([_group("geoapp-fold", *children)], selected_index=None)
    fold.set_title(0, title)
    return fold
