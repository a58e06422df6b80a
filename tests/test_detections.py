import numpy as np
import pytest

from geodl_lab.detections import Detections, concatenate, empty
from geodl_lab.grid import Window
from geodl_lab.masks import from_crops


def detections(*boxes, label=1, score=0.9):
    return Detections(
        np.array(boxes, dtype=float).reshape(-1, 4),
        np.full(len(boxes), label),
        np.full(len(boxes), score),
    )


def kinds():
    """Three objects of each kind, the same boxes."""
    plain = detections((0, 0, 4, 2), (3, 9, 8, 12), (5, 1, 6, 2))
    x0, y0, x1, y1 = plain.boxes.T
    corners = np.stack([[x0, x1, x1, x0], [y0, y0, y1, y1]], axis=-1).transpose(1, 0, 2)
    crops = [(int(b[1]), int(b[0]), np.ones((int(b[3] - b[1]), int(b[2] - b[0])), dtype=bool))
             for b in plain.boxes]  # fmt: skip
    yield plain
    yield Detections(plain.boxes, plain.label_ids, plain.scores, corners)
    yield Detections(plain.boxes, plain.label_ids, plain.scores, None, from_crops(crops))


def test_inside_takes_left_and_top_edges():
    found = detections((0, 0, 2, 2), (9, 9, 11, 11))
    assert found.inside(Window(1, 1, 9, 9)).boxes.tolist() == [[0, 0, 2, 2]]


def test_parts_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="do not belong together"):
        Detections(np.zeros((2, 4)), np.zeros(2), np.zeros(3))


@pytest.mark.parametrize("found", list(kinds()), ids=["boxes", "rotated", "masks"])
def test_every_kind_survives_arrays_joining_moving_and_sorting(found):
    again = Detections.from_arrays(found.to_arrays())
    joined = concatenate([empty(), again.select(np.array([2, 1])), again.select([0]), empty()])
    ordered = joined.moved(10, 20).sorted()
    assert ordered.boxes.tolist() == [[10, 20, 14, 22], [15, 21, 16, 22], [13, 29, 18, 32]]
    if found.corners is not None:
        low, high = ordered.corners.min(axis=1), ordered.corners.max(axis=1)
        assert np.array_equal(np.hstack([low, high]), ordered.boxes)
    if found.masks is not None:
        assert np.array_equal(ordered.masks.boxes, ordered.boxes)
        assert ordered.masks.areas.tolist() == [8, 1, 15]
    assert all(array.dtype != object for array in found.to_arrays().values())


@pytest.mark.parametrize("found", list(kinds()), ids=["boxes", "rotated", "masks"])
def test_clipping_cuts_and_drops(found):
    cut = found.clipped(Window(1, 1, 9, 4))  # rows 1 to 10, columns 1 to 5
    assert cut.boxes.tolist() == [[1, 1, 4, 2], [3, 9, 5, 10]]
    if found.masks is not None:
        assert cut.masks.areas.tolist() == [3, 2]


def test_a_mask_may_leave_an_area_that_its_box_still_meets():
    corner = np.eye(5, dtype=bool)
    found = Detections(np.array([[0.0, 0, 5, 5]]), np.ones(1, int), np.ones(1), None,
                       from_crops([(0, 0, corner)]))  # fmt: skip
    assert len(found.clipped(Window(3, 0, 2, 2))) == 0
    assert found.clipped(Window(2, 0, 3, 4)).boxes.tolist() == [[2, 2, 4, 4]]


def test_the_order_does_not_depend_on_the_order_before():
    """Also of objects that share box, label and score and differ only in shape."""
    masks = from_crops([(0, 0, np.eye(4, dtype=bool)), (0, 0, np.eye(4, dtype=bool)[::-1])])
    twins = Detections(np.array([[0.0, 0, 4, 4]] * 2), np.ones(2, int), np.ones(2), None, masks)
    one, other = twins.sorted(), twins.select(np.array([1, 0])).sorted()
    assert np.array_equal(one.masks.runs, other.masks.runs)


def test_kinds_are_not_mixed():
    plain, rotated, _ = kinds()
    with pytest.raises(ValueError, match="with and without corners"):
        concatenate([plain, rotated])


def test_boxes_without_area_stay_where_they_are_inside():
    rows = [
        [5, 5, 5, 5],
        [0, 2, 0, 9],
        [-3, 4, -1, 8],
        [20, 4, 30, 4],
        [4, 4, 10, 4],
        [-9, 2, 0, 5],
    ]
    found = Detections(np.array(rows, dtype=float), np.ones(6, dtype=int), np.ones(6))
    kept = found.clipped(Window(0, 0, 10, 10)).boxes.tolist()
    assert kept == [[5, 5, 5, 5], [0, 2, 0, 9], [4, 4, 10, 4]]
