"""QGIS draws the classes in their colours, shows the legend, lists and filters the objects."""

import json
import os
import subprocess
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

pytestmark = [pytest.mark.clients, pytest.mark.xdist_group("clients")]
SCRIPT = Path(__file__).with_name("qgis_client.py")


@pytest.fixture(scope="module")
def answer(published, pictures):
    """What QGIS says of both services."""
    python = os.environ.get("GEODL_QGIS_PYTHON")
    if python is None:
        pytest.skip("no QGIS: make test-clients finds or installs one")
    with rasterio.open(published.cog) as file:
        crs, bounds = f"EPSG:{file.crs.to_epsg()}", file.bounds
    left, bottom, right, top = bounds
    task = {
        "raster": published.raster,
        "features": published.features,
        "token": published.key,
        "crs": crs,
        "extent": list(bounds),
        "box": [left, bottom, (left + right) / 2, (bottom + top) / 2],
        "expression": '"Confidence" > 60',
        "points": published.places(),
        "pictures": str(pictures),
    }
    run = subprocess.run(
        [python, str(SCRIPT)],
        check=False,
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1]), task


def test_the_class_raster_is_drawn_in_its_colours(answer, published):
    (said, task) = answer
    assert said["raster"]["valid"]
    assert said["raster"]["crs"] == task["crs"]
    np.testing.assert_allclose(said["raster"]["extent"], task["extent"])
    assert said["raster"]["colors"] == published.colors()
    assert len(set(published.colors())) > 2


def test_the_legend_shows_every_class(answer, published):
    with rasterio.open(published.cog) as file:
        palette, values = file.colormap(1), np.unique(file.read(1))
    shown = {
        "#{:02x}{:02x}{:02x}".format(*palette[value][:3]) for value in values if palette[value][3]
    }
    assert shown <= set(answer[0]["raster"]["legend"])


def test_identify_names_the_class(answer, published):
    with rasterio.open(published.cog) as file:
        values = [int(v[0]) for v in file.sample(answer[1]["points"][:3])]
    for value, found in zip(values, answer[0]["raster"]["identified"], strict=True):
        assert any(str(value) in text for text in found), found


def test_objects_are_listed_and_filtered(answer, published):
    said, task = answer
    frame = geopandas.read_parquet(published.objects)
    assert said["features"]["valid"]
    assert said["features"]["crs"] == task["crs"]
    assert {"Class", "Confidence"} <= set(said["features"]["fields"])
    assert said["features"]["count"] == said["features"]["listed"] == len(frame)
    assert said["features"]["chosen"] == (frame["score"] * 100 > 60).sum()
    near = frame.geometry.envelope.intersects(shapely.box(*task["box"]))
    assert said["features"]["in_box"] == near.sum()
