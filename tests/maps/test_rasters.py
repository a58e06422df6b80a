"""Rasters as layers: what is shown, what is named, what is lazy."""

import numpy as np
import pytest
import torch
from affine import Affine

import geodl_lab
from geodl_lab.errors import ModelError
from geodl_lab.maps.rasters import (
    BEYOND,
    answer,
    choices_of,
    named,
    present_in,
    raster_layer,
    restyled,
)
from geodl_lab.raster import as_raster
from geodl_lab.testing import ScoreNet, make_raster


def net(**facts):
    return geodl_lab.from_torch(ScoreNet(), bands=2, classes=["low", "high"], window=64, **facts)


def test_an_answer_is_lazy_and_the_same_pixels():
    data = make_raster((2, 100, 90))
    lazy = answer(data, net())
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy.values, data.dl.classify(net()).values)


def test_a_model_of_labels_has_nothing_to_show():
    class Labels(torch.nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    model = geodl_lab.from_torch(Labels(), "recognize", bands=2, classes=["a", "b"], window=64)
    with pytest.raises(ModelError, match="made to recognize, which gives no pixels or objects"):
        answer(make_raster((2, 64, 64)), model)


def test_choices_are_the_classes_of_probabilities_only(land):
    chances = make_raster((2, 64, 64)).dl.probabilities(net())
    assert choices_of(chances) == ("low", "high")
    assert choices_of(land) == choices_of(make_raster()) == ()


def test_classes_that_occur_are_known_of_a_raster_in_memory(land):
    assert present_in(as_raster(land)) == {0, 1}
    assert present_in(as_raster(land.chunk())) is None


def test_another_band_is_shown_with_the_same_blocks(explorer):
    explorer.add(make_raster((2, 64, 64)).dl.probabilities(net()), name="p")
    layer = explorer.stack.by_name("p")
    view = restyled(layer, [2])
    assert view.blocks is layer.view.blocks and view.style.band == 1


def test_a_raster_is_named_by_itself_or_its_file(tmp_path):
    data = make_raster()
    assert named(data, "raster") == "raster"
    assert named(data.rename("depth"), "raster") == "depth"
    data.rio.to_raster(tmp_path / "scene.tif")
    assert named(geodl_lab.open_raster(tmp_path / "scene.tif"), "raster") == "scene"


def test_a_raster_at_an_address_is_named_without_its_query():
    data = make_raster((2, 8, 8)).copy()
    data.encoding["source"] = "/vsicurl/http://127.0.0.1:1/download/landcover.tif?token=secret"
    assert named(data, "raster") == "landcover"


@pytest.mark.parametrize(("north", "hint"), [(88, BEYOND), (84, "")])
def test_what_lies_beyond_the_map_says_so(north, hint):
    data = make_raster((3, 20, 20)).drop_vars(["x", "y", "spatial_ref"])
    place = Affine(0.1, 0, 20, 0, -0.1, north)
    assert raster_layer(data.rio.write_transform(place).rio.write_crs(4326), "a", "a").hint == hint
