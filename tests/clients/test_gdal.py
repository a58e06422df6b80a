"""GDAL reads both services, and the files behind them by ranges."""

import urllib.parse

import geopandas
import httpx
import numpy as np
import pyogrio
import pytest
import rasterio
from rasterio.windows import Window

pytestmark = [pytest.mark.clients, pytest.mark.xdist_group("clients")]


@pytest.fixture
def header(published, tmp_path):
    """A file with the header that carries the key, as GDAL wants it."""
    file = tmp_path / "header.txt"
    file.write_text(f"X-Esri-Authorization: Bearer {published.key}\n")
    return str(file)


def test_an_exported_tiff_is_the_raster(published):
    window = Window(500, 700, 2000, 1500)
    with rasterio.open(published.cog) as file:
        bounds, crs = file.window_bounds(window), file.crs
        truth = file.read(1, window=window)
    query = {
        "bbox": ",".join(map(repr, bounds)), "size": "2000,1500",
        "format": "tiff", "f": "image", "token": published.key,
    }  # fmt: skip
    answer = httpx.get(f"{published.raster}/exportImage", params=query, timeout=60)
    with rasterio.MemoryFile(answer.content) as memory, memory.open() as file:
        assert file.crs == crs
        np.testing.assert_array_equal(file.read(1), truth)
        np.testing.assert_allclose(file.bounds, bounds)


def test_the_cog_is_read_by_ranges(published, header):
    with rasterio.open(published.cog) as file:
        truth = file.read(1, window=((100, 200), (50, 300)))
    with (
        rasterio.Env(GDAL_HTTP_HEADER_FILE=header, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
        rasterio.open(f"/vsicurl/{published.raster}/download/landcover.tif") as file,
    ):
        np.testing.assert_array_equal(file.read(1, window=((100, 200), (50, 300))), truth)


def test_all_pages_of_objects_are_read(published):
    query = urllib.parse.urlencode(
        {
            "where": "1=1", "outFields": "*", "f": "json", "token": published.key,
            "resultRecordCount": 100, "orderByFields": "OBJECTID ASC",
        }
    )  # fmt: skip
    frame = geopandas.read_file(f"ESRIJSON:{published.features}/0/query?{query}")
    truth = geopandas.read_parquet(published.objects)
    assert len(frame) == len(truth)
    assert frame.crs == truth.crs
    assert frame["OBJECTID"].is_unique
    np.testing.assert_allclose(sorted(frame["Confidence"]), sorted(truth["score"] * 100), rtol=1e-5)
    np.testing.assert_allclose(frame.total_bounds, truth.total_bounds, atol=1e-3)


def test_pyogrio_reads_the_geopackage(published, header):
    pyogrio.set_gdal_config_options({"GDAL_HTTP_HEADER_FILE": header})
    try:
        frame = geopandas.read_file(f"/vsicurl/{published.features}/download/trees.gpkg")
    finally:
        pyogrio.set_gdal_config_options({"GDAL_HTTP_HEADER_FILE": None})
    assert len(frame) == len(geopandas.read_parquet(published.objects))
