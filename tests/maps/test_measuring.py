"""Lengths and areas, against arcs of the ellipsoid that are known."""

import pytest

from geodl_lab.maps.measuring import measured


def test_a_degree_of_the_equator_is_an_arc_of_its_circle():
    # 6378137 m * pi / 180
    assert measured([(0, 0), (1, 0)], plane=False) == "Distance: 111.319 km"


def test_a_degree_of_latitude_is_longer_at_the_pole():
    assert measured([(0, 0), (0, 1)], plane=False) == "Distance: 110.574 km"
    assert measured([(0, 89), (0, 90)], plane=False) == "Distance: 111.694 km"


def test_an_area_counts_from_three_points_on():
    # NGA: a cell of one degree at the equator has 12308.778 km2 on WGS 84
    words = measured([(0, 0), (1, 0), (1, 1), (0, 1)], plane=False)
    assert "Area: 12,308" in words or "Area: 12,309" in words


def test_a_photo_is_measured_in_pixels():
    words = measured([(0, 0), (30, 0), (30, -40)], plane=True)
    assert words == "Distance: 70.0 px · Area: 600 px²"


@pytest.mark.parametrize("points", [[], [(3, 4)]])
def test_one_place_has_no_length(points):
    assert measured(points, plane=False) == "Distance: 0.0 m"
