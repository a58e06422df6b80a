"""`detect`: painted objects come out once, wherever seams fall and whatever is asked."""

import geopandas
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import geodl_lab
from geodl_lab import from_torch, settings
from geodl_lab.errors import ModelError, OptionError
from geodl_lab.testing import (
    RandomNet,
    RegionDetector,
    ScoreNet,
    make_raster,
    paint,
    pixel_boxes,
)

BOXES = [
    (10, 10, 20, 22),
    (250, 250, 262, 262),
    (100, 300, 850, 310),
    (60, 5, 70, 690),
    (600, 500, 640, 540),
    (255, 120, 256, 121),
    (880, 0, 900, 15),
]
RASTER = paint((700, 900), BOXES)


@pytest.fixture(scope="module", params=["boxes", "score map"])
def model(request):
    net = RegionDetector() if request.param == "boxes" else ScoreNet()
    return geodl_lab.from_torch(net, "detect", bands=1, classes=["thing"], window=128)


def test_every_painted_object_once(model):
    found = RASTER.dl.detect(model)
    assert pixel_boxes(found, RASTER) == sorted(BOXES)
    assert isinstance(found, geopandas.GeoDataFrame) and found.crs == "EPSG:26911"
    assert set(found.label) == {"thing"} and set(found.label_id) == {1}
    assert found.score.between(0.5, 1).all()


@pytest.mark.parametrize("window", [64, 100, 256, 1024])
def test_window_size_does_not_matter(window):
    net = RegionDetector()
    model = geodl_lab.from_torch(net, "detect", bands=1, classes=["thing"], window=window)
    assert pixel_boxes(RASTER.dl.detect(model), RASTER) == sorted(BOXES)


@pytest.mark.parametrize("chunks", [(1, 100, 900), (1, 333, 77), (1, 2000, 2000)])
def test_dask_input_gives_the_same_objects(model, chunks):
    lazy = RASTER.chunk(dict(zip(RASTER.dims, chunks, strict=True)))
    assert lazy.dl.detect(model).equals(RASTER.dl.detect(model))


def test_dask_input_is_read_part_by_part(model, monkeypatch):
    """Parts of more than one window, in an order that crosses window rows."""
    monkeypatch.setattr(settings, "CHUNK", 200)
    seen = []
    found = RASTER.chunk(x=150, y=90).dl.detect(model, progress=lambda *r: seen.append(r[:2]))
    assert pixel_boxes(found, RASTER) == sorted(BOXES)
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(set(done)) and {done[-1]} == set(totals)


def test_area_reports_objects_whose_middle_lies_there(model):
    transform = RASTER.rio.transform()
    (left, top), (right, bottom) = transform * (0, 0), transform * (300, 280)
    found = RASTER.dl.detect(model, area=(left, bottom, right, top))
    expected = [(10, 10, 20, 22), (250, 250, 262, 262), (255, 120, 256, 121)]
    assert pixel_boxes(found, RASTER) == expected


def test_unaligned_areas_filter_by_the_middle_too(model):
    every = RASTER.dl.detect(model)
    for x0, y0, x1, y1 in [(14.9, 0, 300.2, 500.5), (15.1, 15.9, 257.3, 257.1)]:
        transform = RASTER.rio.transform()
        (left, top), (right, bottom) = transform @ (x0, y0), transform @ (x1, y1)
        middle = every.geometry.centroid
        inside = middle.x.between(left, right) & middle.y.between(bottom, top)
        found = RASTER.dl.detect(model, area=(left, bottom, right, top))
        assert found.geometry.tolist() == every.geometry[inside].tolist()


class Bumps(torch.nn.Module):
    """A centre heat map: the input itself as logits."""

    def forward(self, x):
        return (x - 0.4) * 8


@given(st.integers(0, 5), st.integers(40, 200))
def test_peaks_do_not_depend_on_the_area(seed, side):
    model = geodl_lab.from_torch(
        Bumps(), "detect", bands=1, classes=["thing"], window=64, decoder="heatmap",
        radius=4, box_size=10, fixed_window=True,
    )  # fmt: skip
    raster = make_raster((1, 230, 250), seed=seed)
    every = raster.dl.detect(model)
    transform = raster.rio.transform()
    (left, top), (right, bottom) = transform * (7, 9), transform * (7 + side, 9 + side)
    part = raster.dl.detect(model, area=(left, bottom, right, top))
    chosen = every.cx[left:right, bottom:top]
    assert len(part) == len(chosen) > 0
    assert np.array_equal(part.geometry.x, chosen.geometry.x)
    assert np.array_equal(part.score, chosen.score)


def test_point_models_have_a_box_in_columns():
    model = geodl_lab.from_torch(
        Bumps(), "detect", bands=1, classes=["thing"], window=64, decoder="heatmap", box_size=10
    )
    found = make_raster((1, 100, 100)).dl.detect(model)
    assert set(found.geom_type) == {"Point"}
    assert np.allclose(found.xmax - found.xmin, 6) and np.allclose(found.ymax - found.ymin, 6)
    assert np.allclose((found.xmin + found.xmax) / 2, found.geometry.x)
    assert found.attrs["geodl_model"] == "Bumps"


def test_threshold_is_strict_and_checked(model):
    assert len(RASTER.dl.detect(model, threshold=1)) == 0
    with pytest.raises(OptionError, match="threshold -1"):
        RASTER.dl.detect(model, threshold=-1)


def test_a_photo_without_georeference_is_detected_in_pixels(model):
    photo = RASTER.drop_vars(["x", "y", "spatial_ref"])
    found = photo.dl.detect(model)
    assert found.crs is None
    bounds = found.bounds.to_numpy().round().astype(int).tolist()
    assert sorted(map(tuple, bounds)) == sorted(BOXES)


def test_nothing_found_keeps_columns_and_crs(model):
    found = paint((80, 90), []).dl.detect(model)
    assert len(found) == 0 and found.crs == "EPSG:26911"
    assert {"label", "label_id", "score", "geometry"} <= set(found.columns)
    assert found.label.dtype == RASTER.dl.detect(model).label.dtype


def test_classes_with_background_channel():
    class Soft(torch.nn.Module):
        def forward(self, x):
            bright = (x - 0.5) * 20
            return torch.cat([torch.zeros_like(bright), bright, bright - 40], dim=1)

    model = geodl_lab.from_torch(Soft(), "detect", bands=1, classes=["car", "ship"], window=128)
    found = RASTER.dl.detect(model)
    assert pixel_boxes(found, RASTER) == sorted(BOXES) and set(found.label) == {"car"}


def test_models_that_do_not_detect_are_refused(finite_model):
    with pytest.raises(ModelError, match="made to classify"):
        RASTER.dl.detect(finite_model)


def test_area_finds_a_region_that_bends_around_it():
    """Its middle lies in the area, none of its pixels does."""
    raster = paint((600, 600), [(200, 200, 400, 230), (200, 200, 230, 400), (200, 370, 400, 400)])
    model = from_torch(ScoreNet(), task="detect", bands=1, classes=["lamp"], window=64)
    assert pixel_boxes(raster.dl.detect(model), raster) == [(200, 200, 400, 400)]
    transform = raster.rio.transform()
    (left, top), (right, bottom) = transform * (280, 280), transform * (320, 320)
    seen = []
    found = raster.dl.detect(
        model, area=(left, bottom, right, top), progress=lambda *r: seen.append(r[:2])
    )
    assert pixel_boxes(found, raster) == [(200, 200, 400, 400)]
    done = [one for one, _ in seen]
    assert done == sorted(set(done)) and seen[-1][0] == seen[-1][1]
    assert sum(one == total for one, total in seen) == 1


def test_options_that_objects_cannot_have_are_refused(model):
    with pytest.raises(OptionError, match="snap=True is for pixels"):
        RASTER.dl.detect(model, cell_size=1.2, snap=True)
    sized = from_torch(
        RandomNet(classes=3), task="detect", bands=3, classes=["a"], window=64, decoder="heatmap"
    )
    with pytest.raises(OptionError, match="a quarter turn would swap"):
        make_raster((3, 100, 100)).dl.detect(sized, tta=True)


def test_objects_at_another_cell_size(model):
    """Each large object once, with its middle where it is on the raster's own pixels."""
    raster = paint((300, 320), [(10, 10, 30, 32), (100, 120, 160, 150), (20, 200, 260, 220)])
    found, fine = raster.dl.detect(model, cell_size=1.2), raster.dl.detect(model)
    assert '"resampled_to": [2.0, 2.0]' in found.attrs["geodl_recipe"]
    assert len(found) == len(fine) == 3 and found.crs == fine.crs
    assert (found.centroid.distance(fine.centroid) <= 1.2).all()
