import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodl_lab.detections import Detections, concatenate, empty
from geodl_lab.grid import Axis, Grid
from geodl_lab.stitching import merge_windows

SHAPE = (300, 400)
GRID = Grid(
    *(Axis(size, 128, 32, clamped=False, fixed=True) for size in SHAPE),
)


def detections(*boxes, label=1, score=0.9):
    return Detections(
        np.array(boxes, dtype=float).reshape(-1, 4),
        np.full(len(boxes), label),
        np.full(len(boxes), score),
    )


def seen(boxes, *, shift=0.0):
    """What a perfect detector sees in every window: boxes cut off at the window's edge."""
    found = []
    for number, tile in enumerate(GRID.tiles()):
        window = tile.window
        cut = []
        for x0, y0, x1, y1 in boxes:
            inner = (
                max(x0, window.x), max(y0, window.y), min(x1, window.right), min(y1, window.bottom)
            )  # fmt: skip
            if inner[0] < inner[2] and inner[1] < inner[3]:
                cut.append(tuple(side + shift * (number % 3 - 1) for side in inner))
        found.append((tile, detections(*cut)))
    return found


def merged(found):
    return merge_windows(found, GRID.whole).boxes.astype(int).tolist()


def with_corners(found):
    """The same objects as rotated boxes that do not lean."""
    x0, y0, x1, y1 = found.boxes.T
    corners = np.stack([x0, y0, x1, y0, x1, y1, x0, y1], axis=1).reshape(-1, 4, 2)
    return Detections(found.boxes, found.label_ids, found.scores, corners)


box = st.tuples(st.integers(0, 330), st.integers(0, 230), st.integers(4, 60), st.integers(4, 60))


@given(st.lists(box, min_size=1, max_size=12), st.floats(0, 3))
def test_rotated_boxes_that_do_not_lean_are_merged_as_boxes(sizes, shift):
    found = seen([(x, y, x + w, y + h) for x, y, w, h in sizes], shift=shift)
    turned = [(tile, with_corners(objects)) for tile, objects in found]
    expected, result = (merge_windows(each, GRID.whole) for each in (found, turned))
    assert np.array_equal(result.boxes, expected.boxes)
    assert np.array_equal(result.corners, with_corners(expected).corners)


@st.composite
def apart(draw):
    """Boxes in a 4 x 3 checkerboard of cells, so that none touches another."""
    boxes = []
    for row in range(3):
        for column in range(4):
            if draw(st.booleans()):
                x0 = column * 100 + draw(st.integers(0, 40))
                y0 = row * 100 + draw(st.integers(0, 40))
                size = st.integers(1, 50)
                boxes.append((x0, y0, x0 + draw(size), y0 + draw(size)))
    return boxes


@given(apart())
def test_objects_smaller_than_the_halo_come_once(boxes):
    assert sorted(merged(seen(boxes))) == sorted(map(list, boxes))


@pytest.mark.parametrize(
    "box",
    [
        (10, 50, 390, 60),  # longer than a window, across
        (50, 5, 60, 295),  # down
        (5, 5, 395, 295),  # larger than a window in both
        (60, 60, 70, 70),  # on the corner of four cores
        (0, 0, 400, 20),  # along the rim
        (63, 63, 65, 65),
    ],
)
def test_long_objects_and_corners_come_once(box):
    assert merged(seen([box])) == [list(box)]


def test_two_long_objects_stay_two():
    boxes = [(10, 50, 390, 60), (10, 64, 390, 74)]
    assert merged(seen(boxes)) == [list(box) for box in boxes]


def test_windows_that_disagree_by_a_pixel_report_one_object():
    for x0 in range(50, 80):
        found = seen([(x0, 60, x0 + 20, 80)], shift=1.0)
        assert len(merged(found)) == 1


def test_order_of_windows_does_not_matter():
    found = seen([(10, 50, 390, 60), (60, 100, 70, 110), (200, 90, 230, 290)], shift=0.7)
    expected = merge_windows(found, GRID.whole)
    for seed in range(5):
        shuffled = random.Random(seed).sample(found, len(found))
        result = merge_windows(shuffled, GRID.whole)
        assert np.array_equal(result.boxes, expected.boxes)
        assert np.array_equal(result.scores, expected.scores)


def test_classes_are_kept_apart():
    one, other = detections((10, 10, 20, 20), label=1), detections((10, 10, 20, 20), label=2)
    tile = GRID.tile(0, 0)
    assert len(merge_windows([(tile, concatenate([one, other]))], GRID.whole)) == 2


def test_boxes_of_one_window_are_the_models_business():
    tile = GRID.tile(0, 0)
    found = [(tile, detections((10, 10, 20, 20), (11, 10, 21, 20)))]
    assert len(merge_windows(found, GRID.whole)) == 2


def test_nothing_found_is_no_error():
    assert len(merge_windows([], GRID.whole)) == 0
    assert len(merge_windows([(GRID.tile(0, 0), empty())], GRID.whole)) == 0


WIDE = Grid(*(Axis(1024, 256, 64, clamped=True) for _ in range(2)))


def looked_at(boxes, *, labels=None, short=0):
    """What a detector sees in every window; it may stop ``short`` pixels of the edge that cuts."""
    boxes = np.array(boxes, dtype=float)
    labels = np.ones(len(boxes), dtype=int) if labels is None else np.array(labels)
    for tile in WIDE.tiles():
        low = [tile.window.x, tile.window.y]
        inner = np.clip(boxes, low * 2, [tile.window.right, tile.window.bottom] * 2)
        inner += (inner != boxes) * np.array([1, 1, -1, -1]) * short
        kept = (inner[:, :2] < inner[:, 2:]).all(axis=1)
        yield tile, Detections(inner[kept], labels[kept], np.full(kept.sum(), 0.9))


def remade(boxes, **how):
    return merge_windows(list(looked_at(boxes, **how)), WIDE.whole).boxes.tolist()


@pytest.mark.parametrize(
    "boxes",
    [
        [[20, 300, 385, 340], [384, 300, 900, 340]],  # long, and the ends overlap by a pixel
        [[20, 300, 388, 340], [370, 300, 900, 340]],
        [[300, 100, 320, 900], [318, 100, 340, 900]],  # side by side
        [[100, 100, 900, 900], [120, 400, 880, 440]],  # one in the other, both long
        [[100, 300, 250, 340], [150, 300, 300, 340]],  # an IoU of a half, across a seam
        [[100, 300, 250, 340], [135, 300, 290, 340]],
        [[100, 100, 900, 900], [120, 120, 140, 140]],  # a small one in a long one
    ],
)
def test_objects_that_overlap_stay_two(boxes):
    assert remade(boxes) == boxes


@pytest.mark.parametrize("short", [2, 3, 4, 6])
def test_a_detector_that_stops_short_of_the_edge_makes_no_duplicate(short):
    assert remade([[100, 300, 160, 340]], short=short) == [[100, 300, 160, 340]]


def test_a_small_object_in_a_large_one_keeps_its_owners_view():
    boxes = [[300, 300, 420, 420], [370, 370, 390, 390]]
    assert remade(boxes) == boxes


def test_a_neighbour_that_sees_another_class_adds_nothing():
    seen = [
        (tile, Detections(found.boxes, found.label_ids + number % 2, found.scores))
        for number, (tile, found) in enumerate(looked_at([[100, 300, 180, 340]]))
    ]
    assert len(merge_windows(seen, WIDE.whole)) == 1


def test_two_classes_at_one_place_are_two_objects():
    assert len(remade([[100, 300, 180, 340]] * 2, labels=[1, 2])) == 2


@pytest.mark.parametrize("flat", [[140, 60, 140, 60], [140, 60, 170, 60], [600, 500, 600, 540]])
def test_a_box_without_area_comes_once(flat):
    for shift in (0.0, 0.4):
        seen = []
        for number, tile in enumerate(WIDE.tiles()):
            window, box = tile.window, np.array([flat]) + shift * (number % 3)
            inside = (window.x <= box[0, 0]) and (box[0, 2] <= window.right)
            inside = inside and window.y <= box[0, 1] and box[0, 3] <= window.bottom
            seen.append((tile, detections(*box[: int(inside)])))
        found = merge_windows(seen, WIDE.whole)
        assert np.abs(found.boxes - [flat]).max() < 1 and len(found) == 1
