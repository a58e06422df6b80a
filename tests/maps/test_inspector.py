"""The true pixel of a layer at a place."""

import numpy as np
import pyproj
import pytest
import torch

import geodl_lab
from geodl_lab.maps.inspector import coordinates, describe
from geodl_lab.testing import make_raster, wrap

TO_DEGREES = pyproj.Transformer.from_crs(26911, 4326, always_xy=True)


def place_of(row, column, cell_size):
    return TO_DEGREES.transform(
        400_000 + cell_size * (column + 0.5), 3_700_000 - cell_size * (row + 0.5)
    )


def said(explorer, name, row, column, cell_size):
    layer = explorer.stack.by_name(name)
    return describe(layer, place_of(row, column, cell_size), explorer.feed.painter)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (59, 79), (31, 7)])
def test_a_class_has_its_name_and_value(explorer, land, row, column):
    explorer.add(land, name="Land")
    value = int(land.values[row, column])
    assert said(explorer, "Land", row, column, 2.0) == [
        ("class", ["water", "tree cover"][value]),
        ("value", str(value)),
        ("pixel", f"row {row}, column {column}"),
    ]


def test_bands_have_their_names_and_all_digits(explorer):
    values = np.zeros((2, 10, 10), dtype="float32")
    values[:, 4, 5] = 0.1, 1234.5678
    explorer.add(wrap(values, names=("red", "nir")), name="Image")
    rows = dict(said(explorer, "Image", 4, 5, 0.6))
    assert rows["red"] == "0.1" and np.float32(rows["nir"]) == np.float32(1234.5678)


def test_no_data_is_said(explorer):
    values = np.full((2, 10, 10), 7, dtype="uint8")
    explorer.add(wrap(values, nodata=7), name="Image")
    assert said(explorer, "Image", 4, 5, 0.6)[0] == ("value", "no data")


def test_outside_is_said(explorer, land):
    explorer.add(land, name="Land")
    assert said(explorer, "Land", -3, 5, 2.0) == [("value", "outside of this raster")]


def test_a_live_layer_tells_what_the_whole_result_holds(explorer):
    torch.manual_seed(0)
    net = torch.nn.Conv2d(3, 4, 3, padding=1)
    model = geodl_lab.from_torch(net, bands=3, classes=list("abcd"), window=64)
    data = make_raster((3, 200, 150))
    explorer.add(data, model=model, name="Live")
    whole = data.dl.classify(model).values
    for row, column in [(10, 20), (100, 149)]:
        value = int(whole[row, column])
        assert said(explorer, "Live", row, column, 0.6)[:2] == [
            ("class", "abcd"[value]), ("value", str(value)),
        ]  # fmt: skip


def test_a_place_is_told_in_each_crs_once_and_in_degrees(explorer, land):
    explorer.add(land).add(land)
    crss = [layer.view.crs for layer in explorer.stack.all()]
    names, values = zip(*coordinates(place_of(3, 4, 2.0), crss), strict=True)
    assert names == ("x, y (EPSG:26911)", "longitude, latitude")
    assert values[0] == "400009.00, 3699993.00"


def test_a_photo_has_pixels():
    assert coordinates((12.5, -3.25), [None]) == [("x, y (pixels)", "12.50, 3.25")]
