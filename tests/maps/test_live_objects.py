"""A live detector finds in view what the whole run finds there, and keeps what it has seen."""

import queue

import pytest
import shapely

import geodl_lab
from geodl_lab.maps import live_objects
from geodl_lab.maps.live_objects import LiveObjects
from geodl_lab.maps.places import to_map
from geodl_lab.testing import RegionDetector, paint

BOXES = [(10, 10, 20, 20), (60, 58, 70, 68), (150, 20, 160, 30), (200, 200, 215, 215)]
WAIT_S = 20


class Net(RegionDetector):
    """Counts its forwards."""

    forwards = 0

    def forward(self, *images):
        Net.forwards += 1
        return super().forward(*images)


@pytest.fixture
def raster():
    return paint((256, 256), BOXES)


@pytest.fixture
def model():
    return geodl_lab.from_torch(
        Net(), "detect", bands=1, classes=["thing"], window=64, max_object=16
    )


@pytest.fixture
def answers():
    return queue.Queue()


@pytest.fixture
def live(raster, model, answers):
    live = LiveObjects(
        raster, model,
        found=lambda frame, hint: answers.put((frame, hint)),
        progress=lambda done, total: None,
        failed=lambda sentence: answers.put((None, sentence)),
    )  # fmt: skip
    yield live
    live.close()


def bounds_on_map(raster, rows, columns):
    left, top = raster.rio.transform() * (columns[0], rows[0])
    right, bottom = raster.rio.transform() * (columns[1], rows[1])
    box = shapely.box(left, bottom, right, top)
    return shapely.transform(box, lambda points: to_map(points, raster.rio.crs)).bounds


def test_objects_in_view_are_those_of_the_whole_run(raster, model, live, answers):
    live.look_at(bounds_on_map(raster, (0, 100), (0, 180)))
    frame, hint = answers.get(timeout=WAIT_S)
    whole = raster.dl.detect(model)
    inside = whole[whole.geometry.centroid.y > raster.rio.transform().f - 100 * 0.6]
    assert hint == "" and len(frame) == len(inside) == 3
    assert frame.geometry.geom_equals(inside.geometry.reset_index(drop=True)).all()


def test_what_was_looked_at_is_not_looked_at_again(raster, live, answers):
    live.look_at(bounds_on_map(raster, (0, 100), (0, 180)))
    answers.get(timeout=WAIT_S)
    before = Net.forwards
    live.look_at(bounds_on_map(raster, (2, 98), (3, 177)))
    frame, _ = answers.get(timeout=WAIT_S)
    assert Net.forwards == before and len(frame) == 3


def test_too_many_windows_in_view_are_a_hint(raster, live, answers, monkeypatch):
    monkeypatch.setattr(live_objects, "MOST_WINDOWS", 2)
    before = Net.forwards
    live.look_at(bounds_on_map(raster, (0, 256), (0, 256)))
    frame, hint = answers.get(timeout=WAIT_S)
    assert len(frame) == 0 and "zoom in to run the model" in hint
    assert Net.forwards == before


def test_a_view_beside_the_raster_finds_nothing(live, answers):
    live.look_at((0.0, 0.0, 1.0, 1.0))
    frame, hint = answers.get(timeout=WAIT_S)
    assert (len(frame), hint) == (0, "not in view")


def test_a_detector_that_fails_says_so_and_lives_on(raster, live, answers, monkeypatch):
    def fail(*_, **__):
        raise ValueError("the net broke")

    with monkeypatch.context() as broken:
        broken.setattr(live_objects, "look", fail)
        live.look_at(bounds_on_map(raster, (0, 100), (0, 180)))
        assert answers.get(timeout=WAIT_S) == (
            None, "the detector failed (ValueError: the net broke)",
        )  # fmt: skip
    live.look_at(bounds_on_map(raster, (0, 100), (0, 180)))
    assert len(answers.get(timeout=WAIT_S)[0]) == 3


def test_a_map_with_a_live_detector_finds_what_is_in_view(explorer, raster, model):
    explorer.add(raster, model=model, name="Things")
    assert explorer.names == ["Things"]
    assert explorer.tiles.layers[0]["kind"] == "objects"
