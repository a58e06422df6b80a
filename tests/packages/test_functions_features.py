import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from geodl_lab.package import make_classes
from geodl_lab.packages.functions_features import FeatureError, Reader, corners, fill

CLASSES = make_classes(["tree", "house"], first=5)
SQUARE = [[2, 3], [2, 8], [6, 8], [6, 3]]


def feature(ring=SQUARE, **attributes):
    return {"attributes": {"Class": "tree", **attributes}, "geometry": {"rings": [ring]}}


def read(*features, form="boxes", classes=CLASSES, **given):
    return Reader(form, classes, (20, 20), **given).read({"features": list(features)})


@pytest.mark.parametrize(
    ("attributes", "label"),
    [
        ({"Class": "house"}, 2),
        ({"Class": 6}, 2),
        ({"Class": "6"}, 2),
        ({"Class": None, "OID": 1}, None),
        ({"Classname": "tree"}, 1),
        ({"ClassValue": 5.0}, 1),
        ({"label": "house"}, 2),
    ],
)
def test_labels_are_names_or_values(attributes, label):
    given = {"attributes": attributes, "geometry": {"rings": [SQUARE]}}
    if label is None:
        with pytest.raises(FeatureError, match="of the class None, possible are tree, house"):
            read(given)
    else:
        assert read(given)["labels"].tolist() == [label]


def test_an_unknown_label_is_named_and_one_class_takes_all():
    with pytest.raises(FeatureError, match="of the class 'car', possible are tree, house"):
        read(feature(Class="car"))
    assert read(feature(Class="car"), classes=CLASSES[:1])["labels"].tolist() == [1]


@pytest.mark.parametrize(
    ("given", "score"), [(0.3, 0.3), ("0.3", 0.3), (1, 1), (30, 0.3), ("97.5", 0.975), (100, 1)]
)
def test_confidence_is_a_share_or_percent(given, score):
    assert read(feature(Confidence=given))["scores"].tolist() == [pytest.approx(score)]


def test_lines_are_refused():
    line = {"attributes": {"Class": "tree"}, "geometry": {"paths": [SQUARE]}}
    with pytest.raises(FeatureError, match="is a line; possible are polygons and points"):
        read(line)


@pytest.mark.parametrize("given", ["sure", None, -0.1, 101, float("nan"), [1]])
def test_other_confidence_is_refused(given):
    with pytest.raises(FeatureError, match=r"possible is 0\.\.1 or 0\.\.100"):
        read(feature(Confidence=given))


def test_corners_are_kept():
    assert read(feature())["boxes"].tolist() == [[2, 3, 2, 8, 6, 8, 6, 3]]
    diamond = [[5, 0], [10, 5], [5, 10], [0, 5], [5, 0]]
    assert corners(np.array(diamond, float)).tolist() == diamond[:4]
    other = np.array([[0, 0], [9, 1], [4, 7]], float)
    assert corners(other).tolist() == [[0, 0], [9, 0], [9, 7], [0, 7]]


def test_nothing_is_found_in_the_right_shapes():
    assert read()["boxes"].shape == (0, 8)
    assert read(form="points")["boxes"].shape == (0, 4)
    assert read(form="masks")["masks"].shape == (0, 20, 20)
    empty = {"attributes": {"Class": "x"}, "geometry": None}
    assert len(read(empty)["labels"]) == 0


def test_points_and_multipoints_are_squares():
    point = {"attributes": {"Class": 5}, "geometry": {"x": 4, "y": 6}}
    several = {"attributes": {"Class": 6}, "geometry": {"points": [[1, 2], [3, 4, 9]]}}
    found = read(point, several, form="points", point_size=2)
    assert found["boxes"].tolist() == [[3, 5, 5, 7], [0, 1, 2, 3], [2, 3, 4, 5]]
    assert found["labels"].tolist() == [1, 2, 2]


def test_masks_have_holes_and_end_at_the_block():
    hole = [[3, 4], [5, 4], [5, 6], [3, 6]]
    given = {"attributes": {"Class": 5}, "geometry": {"rings": [SQUARE, hole]}}
    found = read(given, feature([[-5, -5], [4, -5], [4, 1], [-5, 1]]), form="masks")
    expected = np.zeros((20, 20), bool)
    expected[3:8, 2:6] = True
    expected[4:6, 3:5] = False
    assert np.array_equal(found["masks"][0], expected)
    assert found["masks"][1].sum() == 4 and found["boxes"][0].tolist() == [2, 3, 6, 8]


@given(st.lists(st.tuples(st.integers(-3, 22), st.integers(-3, 22)), min_size=3, max_size=5))
def test_filling_agrees_with_polygons(ring):
    mask = np.zeros((20, 20), bool)
    points = np.add(ring, (0.013, 0.0271))  # no middle of a pixel is on an edge
    shape = shapely.Polygon(points)
    assume(shape.is_valid)
    fill(mask, [points])
    y, x = np.mgrid[:20, :20] + 0.5
    assert np.array_equal(mask, shapely.contains_xy(shape, x, y))


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["features", "attributes", "geometry", "rings", "points", "x", "y"])
            | st.sampled_from(["Class", "Confidence"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


ring_of = st.lists(st.lists(anything | st.integers(-9, 30), min_size=2, max_size=3), max_size=5)
geometries = st.one_of(
    st.fixed_dictionaries({"rings": anything | st.lists(anything | ring_of, max_size=2)}),
    st.fixed_dictionaries({"points": anything | ring_of}),
    st.fixed_dictionaries({"x": anything, "y": anything}),
)


@settings(max_examples=200)
@given(anything | geometries, st.sampled_from(["boxes", "points", "masks"]))
def test_whatever_comes_is_read_or_refused(junk, form):
    shaped = {"features": [{"attributes": {}, "geometry": junk}]}
    for features in (junk, {"features": [junk]}, shaped):
        reader = Reader(form, CLASSES[:1], (20, 20))
        for reading in (reader.read, reader.labels):
            try:
                reading(features)
            except FeatureError as error:
                assert str(error)
