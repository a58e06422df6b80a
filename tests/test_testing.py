"""The helpers that other tests trust."""

import numpy as np
import pytest
import torch

from geodl_lab import open_model, testing


def test_rasters_are_repeatable_and_never_nodata_by_chance():
    one = testing.make_raster((2, 50, 40), nodata=0, names=("red", "nir"))
    assert one.equals(testing.make_raster((2, 50, 40), nodata=0, names=("red", "nir")))
    assert not one.equals(testing.make_raster((2, 50, 40), seed=1, nodata=0))
    assert one.shape == (2, 50, 40) and one.dtype == np.uint8 and one.min() > 0
    assert one.rio.nodata == 0 and one.attrs["long_name"] == ("red", "nir")
    assert one.rio.crs == testing.CRS and one.std() > 10
    assert testing.make_raster((1, 5, 5), crs=None).rio.crs is None


def test_coordinates_are_pixel_centres():
    raster = testing.wrap(np.zeros((1, 4, 6)), cell_size=2)
    assert raster.rio.bounds() == (400_000, 3_699_992, 400_012, 3_700_000)
    assert raster.rio.transform() * (0.5, 0.5) == (float(raster.x[0]), float(raster.y[0]))


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_random_nets_are_repeatable_count_calls_and_use_all_classes(norm):
    state = torch.get_rng_state()
    one, other = (testing.RandomNet(norm=norm) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    image = torch.from_numpy(testing.make_raster().values[None, :, :64, :64] / np.float32(255))
    with torch.inference_mode():
        assert torch.equal(one(image), other(image))
        assert one(image).argmax(1).unique().numel() > 1
    assert (one.calls, other.calls) == (2, 1)


def test_region_detector_answers_each_bright_region():
    boxes = [(3, 4, 9, 8), (20, 1, 22, 30)]
    raster = testing.paint((40, 50), boxes)
    (answer,) = testing.RegionDetector()(torch.from_numpy(raster.values[None] / np.float32(255)))
    assert sorted(map(tuple, answer["boxes"].int().tolist())) == boxes
    assert answer["labels"].tolist() == [1, 1]


def test_pixel_boxes_undo_the_georeference():
    geopandas, shapely = pytest.importorskip("geopandas"), pytest.importorskip("shapely")
    raster = testing.paint((40, 50), [])
    west, north = raster.rio.transform() * (3, 4)
    east, south = raster.rio.transform() * (9, 8)
    frame = geopandas.GeoDataFrame(geometry=[shapely.box(west, south, east, north)])
    assert testing.pixel_boxes(frame, raster) == [(3, 4, 9, 8)]


def test_score_net_is_likely_where_bright():
    answer = testing.ScoreNet()(torch.tensor([0.0, 0.5, 1.0])).sigmoid()
    assert answer[0] < 0.01 and answer[1] == 0.5 and answer[2] > 0.99


def test_a_saved_net_is_repeatable_and_answers_all_classes(tmp_path):
    raster = testing.make_raster((2, 90, 70), names=("red", "nir"))
    folders = [tmp_path / "one" / "net", tmp_path / "other" / "net"]
    models = [
        open_model(testing.save_unet(folder, bands=["red", "nir"], classes=list("abc")))
        for folder in folders
    ]
    assert models[0].package.sha256 == models[1].package.sha256
    assert set(np.unique(raster.dl.classify(models[0]))) == {0, 1, 2}
