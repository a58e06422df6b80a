import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geodl_lab.boxes import corners_of
from geodl_lab.quads import convex_overlap, is_convex


def turned(seed, count=200):
    generator = np.random.default_rng(seed)
    rows = generator.uniform([0, 0, 1, 1, -4], [30, 30, 20, 20, 4], (count, 5))
    return corners_of(np.round(rows, 1)) + 50_000


@given(st.integers(0, 1000))
def test_overlaps_are_those_of_shapely(seed):
    one, other = turned(seed), turned(seed + 1)[:, ::-1]
    expected = shapely.area(shapely.intersection(shapely.polygons(one), shapely.polygons(other)))
    assert np.allclose(convex_overlap(one, other), expected, atol=1e-6)


def test_equal_touching_and_nested_ones():
    box = np.array([[0.0, 0], [4, 0], [4, 2], [0, 2]])
    others = box, box + np.array([4, 0]), box * 0.5 + np.array([1, 0.5]), box + np.array([2, 1])
    found = convex_overlap(np.stack([box] * 4), np.stack(others))
    assert np.allclose(found, [8, 0, 2, 2])


def test_crossed_and_flat_rings_are_not_convex():
    box = np.array([[0.0, 0], [4, 0], [4, 2], [0, 2]])
    assert is_convex(np.stack([box, box[::-1], box[[0, 2, 1, 3]], box * [1, 0]])).tolist() == [
        True, True, False, False,
    ]  # fmt: skip
