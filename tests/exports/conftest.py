"""A small scene with features: 70 x 100 pixels of 2 m, four bands, nodata in a corner."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

TRANSFORM = Affine(2, 0, 500_000, 0, -2, 4_000_000)


def write_raster(path, values, *, crs="EPSG:32631", transform=TRANSFORM, **profile):
    """Write values (band, y, x)."""
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype,
        crs=crs, transform=transform, **profile,
    ) as file:  # fmt: skip
        file.write(values)
    return path


def on_map(x0, y0, x1, y1):
    """A box in pixels of the scene as a polygon in its CRS."""
    return shapely.box(500_000 + 2 * x0, 4_000_000 - 2 * y1, 500_000 + 2 * x1, 4_000_000 - 2 * y0)


@pytest.fixture
def scene(tmp_path):
    values = np.random.default_rng(5).integers(1, 250, (4, 70, 100)).astype(np.uint8)
    values[:, 40:, 80:] = 0
    return write_raster(tmp_path / "scene.tif", values, nodata=0)


@pytest.fixture
def rgb(tmp_path):
    y, x = np.mgrid[:70, :100]
    values = np.stack([y + x, 2 * y + 9, 250 - 2 * x]).astype(np.uint8)
    return write_raster(tmp_path / "rgb.tif", values)


@pytest.fixture
def features(tmp_path):
    """Boxes in pixels: a house across two chips, a house, a barn that overlaps it, one outside."""
    boxes = [(20, 4, 40, 14), (3, 3, 10, 9), (8, 5, 14, 12), (200, 200, 210, 210)]
    frame = geopandas.GeoDataFrame(
        {"Classvalue": [2, 2, 7, 7], "Classname": ["house", "house", "barn", "barn"]},
        geometry=[on_map(*box) for box in boxes],
        crs="EPSG:32631",
    )
    frame.to_file(tmp_path / "features.gpkg")
    return tmp_path / "features.gpkg"


BOXES = [(20, 4, 40, 14), (3, 3, 10, 9), (8, 5, 14, 12)]
