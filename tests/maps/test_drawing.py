"""What people drew, as one geometry."""

import shapely

from geodl_lab.maps.drawing import draw_control, shape_of


def feature(shape):
    return {"type": "Feature", "geometry": shapely.geometry.mapping(shape), "properties": {}}


def test_nothing_drawn_is_no_geometry():
    assert shape_of([]) is None


def test_areas_that_overlap_are_one():
    shape = shape_of([feature(shapely.box(0, 0, 2, 2)), feature(shapely.box(1, 0, 3, 2))])
    assert shape.equals(shapely.box(0, 0, 3, 2))


def test_a_polygon_that_crosses_itself_is_mended():
    bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    assert shape_of([feature(bow)]).area == 2


def test_only_areas_can_be_drawn():
    control = draw_control()
    assert control.rectangle and control.polygon
    assert not (control.polyline or control.circlemarker or control.cut)
