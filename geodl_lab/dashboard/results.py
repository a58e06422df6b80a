"""The result of the app: on the map, as a chart, as files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import xarray as xr

from geodl_lab.dashboard import words
from geodl_lab.dashboard.desk import Desk
from geodl_lab.dashboard.page import EMPTY
from geodl_lab.dashboard.rasters import Rasters
from geodl_lab.dashboard.transfers import FileDownload
from geodl_lab.errors import OptionError
from geodl_lab.outputs import classes_of
from geodl_lab.remote_jobs import KINDS, RemoteJob
from geodl_lab.styles import label_colors
from geodl_lab.totals import class_areas, label_counts

TABLE = ".csv"
FORMATS = {
    "raster": {
        ".tif": ("COG", "The result as a cloud-optimised GeoTIFF"),
        TABLE: ("CSV", "The area of each class as a table"),
        ".png": ("PNG", "A picture with its legend"),
    },
    "features": {
        ".parquet": ("GeoParquet", "The objects, with all columns"),
        ".geojson": ("GeoJSON", "The objects in longitude and latitude"),
        ".gpkg": ("GeoPackage", "The objects, for a GIS"),
        TABLE: ("CSV", "The objects as a table with coordinates"),
        ".png": ("PNG", "A picture of the objects"),
    },
}


class Results:
    """What is shown of a job that has succeeded.

    Parameters
    ----------
    desk
        Page and map.
    rasters
        Says what a picture of objects is drawn on.
    """

    def __init__(self, desk: Desk, rasters: Rasters) -> None:
        self._desk, self._rasters = desk, rasters
        self._folder = tempfile.TemporaryDirectory(prefix="geodl-app-")
        self._job: RemoteJob | None = None
        self._download = FileDownload(self._file, failed=desk.say_bad, workers=desk.transfers)
        desk.page.downloads.children = [self._download]

    def clear(self) -> None:
        """Take away what is shown."""
        self._job = None
        self._desk.map.clear_result()
        self._desk.page.result.value, self._download.formats = EMPTY, []

    def show(self, job: RemoteJob) -> None:
        """Show a job's result; on the map it is painted after this returned."""
        result = job.open()
        chart = _chart(result)
        self._job = job
        self._desk.map.show_result(result, job.model)
        self._desk.page.result.value = f"<h2>Result</h2>{chart}"
        self._download.formats = [
            {"ending": ending, "label": label, "title": title}
            for ending, (label, title) in FORMATS[KINDS[job.kind]].items()
            if chart or ending != TABLE
        ]

    def _file(self, ending: str) -> Path:
        """Return a file of the result, made once."""
        if self._job is None:
            raise OptionError("there is no result; press Run")
        target = Path(self._folder.name) / f"{self._job.name}{ending}"
        if not target.exists():
            self._job.download(target, image=self._rasters.image)
        return target


def _chart(result: object) -> str:
    """Return how much there is of what, "" where there is nothing to count."""
    if not isinstance(result, xr.DataArray):
        counts = label_counts(result)
        return words.counts_html(counts, label_colors(counts["label"]))
    return words.areas_html(class_areas(result)) if classes_of(result.attrs) else ""
