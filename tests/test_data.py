"""The bundled scene is what geodl_lab/data/README.md says, and its labels lie on it."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

DATA = Path(__file__).parents[1] / "geodl_lab" / "data"


@pytest.fixture(scope="module")
def scene():
    with rasterio.open(DATA / "santa_monica_naip.tif") as source:
        yield source


@pytest.fixture(scope="module")
def trees() -> list[dict]:
    return json.loads((DATA / "santa_monica_trees.geojson").read_text())["features"]


def test_scene_is_a_cloud_optimised_naip_image(scene):
    assert scene.shape == (4352, 3584)
    assert scene.dtypes == ("uint8",) * 4
    assert scene.descriptions == ("Red", "Green", "Blue", "NIR")
    assert scene.crs.to_epsg() == 26911
    assert scene.res == (0.6, 0.6)
    assert scene.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_near_infrared_is_not_read_as_alpha(scene):
    assert ColorInterp.alpha not in scene.colorinterp


def test_valid_pixels_are_31_whole_crops(scene):
    # 31 of 14 x 17 squares of 256 px; a crop is whole, or the square is empty
    valid = scene.dataset_mask() > 0
    squares = valid.reshape(17, 256, 14, 256).mean(axis=(1, 3))  # (17, 14)
    assert np.count_nonzero(squares == 1) == 31
    assert np.count_nonzero(squares == 0) == 17 * 14 - 31


def test_every_labelled_tree_stands_on_imagery(scene, trees):
    points = [feature["geometry"]["coordinates"] for feature in trees]
    values = np.array(list(scene.sample(points)))  # (tree, band)
    assert len(values) == 1823
    assert values.any(axis=1).all()
