"""One real server for all clients, with a map and objects that real jobs made."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio

import geodl_lab

ROOT = Path(__file__).parents[2]
SCENES = ROOT / "geodl_lab" / "data"
PICTURES = Path(os.environ.get("GEODL_PICTURES", ROOT / "ci-artifacts" / "clients"))
TASKS = "/arcgis/rest/services/System/RasterAnalysisTools/GPServer"
JOB_S = 300  # for a job to end, on two busy cores


@dataclasses.dataclass(frozen=True)
class Published:
    """What the server shows, and the same by other means."""

    url: str
    key: str
    folder: Path

    @property
    def raster(self) -> str:
        """Address of the class raster."""
        return f"{self.url}/arcgis/rest/services/Hosted/landcover/ImageServer"

    @property
    def features(self) -> str:
        """Address of the objects."""
        return f"{self.url}/arcgis/rest/services/Hosted/trees/FeatureServer"

    @property
    def cog(self) -> Path:
        """The class raster as the command line makes it."""
        return self.folder / "landcover.tif"

    @property
    def objects(self) -> Path:
        """The objects as the command line makes them."""
        return self.folder / "trees.parquet"

    def places(self, count: int = 25) -> list[tuple[float, float]]:
        """Return middles of pixels (x, y) in the raster's CRS inside areas of one class."""
        return [place for place, _ in self._plain(count)]

    def colors(self, count: int = 25) -> list[str]:
        """Return the colours (#rrggbb) of the palette at `places`."""
        return [color for _, color in self._plain(count)]

    def _plain(self, count: int) -> list[tuple[tuple[float, float], str]]:
        with rasterio.open(self.cog) as file:
            values, palette, transform = file.read(1), file.colormap(1), file.transform
            nothing = file.nodata
        rng, found = np.random.default_rng(5), []
        by_class: dict[int, int] = {}
        while len(found) < count:
            row, column = (int(rng.integers(8, side - 8)) for side in values.shape)
            around = values[row - 6 : row + 7, column - 6 : column + 7]
            value = int(values[row, column])
            if (
                value != nothing
                and (around == value).all()
                and by_class.get(value, 0) <= count // 3
            ):
                by_class[value] = by_class.get(value, 0) + 1
                color = "#{:02x}{:02x}{:02x}".format(*palette[value][:3])
                found.append((transform * (column + 0.5, row + 0.5), color))
        return found


@pytest.fixture(scope="session", autouse=True)
def small_windows():
    """Not here: the server runs models as they are, and so do we."""


@pytest.fixture(scope="session")
def pictures() -> Path:
    """A folder for screenshots."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    return PICTURES


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory):
    """Start a server, run two jobs, and make the same files with the package itself."""
    folder = tmp_path_factory.mktemp("clients")
    scene = SCENES / "santa_monica_naip.tif"
    geodl_lab.classify_file(scene, folder / "landcover.tif", "naip-landcover")
    geodl_lab.detect_file(scene, folder / "trees.parquet", "naip-trees")
    stores = folder / "scenes"
    stores.mkdir()
    shutil.copy(scene, stores)
    with geodl_lab.serve(data_dir=folder / "data", stores={"scenes": stores}) as server:
        shown = Published(server.url, server.api_key, folder)
        source = json.dumps({"uri": "/fileShares/scenes/santa_monica_naip.tif"})
        run_job(
            shown, "ClassifyPixelsUsingDeepLearning", inputRaster=source,
            outputClassifiedRaster=json.dumps({"serviceProperties": {"name": "landcover"}}),
            model=json.dumps({"uri": "naip-landcover"}),
        )  # fmt: skip
        run_job(
            shown, "DetectObjectsUsingDeepLearning", inputRaster=source,
            outputObjects=json.dumps({"serviceProperties": {"name": "trees"}}),
            model=json.dumps({"uri": "naip-trees"}),
        )  # fmt: skip
        yield shown


def run_job(shown: Published, task: str, **parameters: str) -> dict:
    """Submit a job, wait for its end, and return it; it must succeed."""
    task_url = f"{shown.url}{TASKS}/{task}"
    form = {**parameters, "f": "json", "token": shown.key}
    job = httpx.post(f"{task_url}/submitJob", data=form).json()
    deadline = time.monotonic() + JOB_S
    while time.monotonic() < deadline:
        query = {"f": "json", "token": shown.key}
        job = httpx.get(f"{task_url}/jobs/{job['jobId']}", params=query).json()
        if job["jobStatus"] in ("esriJobSucceeded", "esriJobFailed", "esriJobCancelled"):
            break
        time.sleep(0.2)
    assert job["jobStatus"] == "esriJobSucceeded", job
    return job
