"""Where things lie on the map and on the screen, against PROJ."""

import math

import numpy as np
import pyproj
import pytest
import shapely

from geodl_lab.errors import OptionError
from geodl_lab.maps.places import (
    Place,
    bounds_of,
    crs_text,
    fitting,
    from_map,
    from_pixels,
    geometry_to,
    to_map,
    to_pixels,
)

POINTS = np.array([[-118.5, 34.0], [0.0, 0.0], [151.2, -33.9]])


def test_pixels_are_those_of_web_mercator():
    x, y = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(*POINTS.T)
    half = math.pi * 6378137
    expected = np.stack([x + half, half - y], axis=1) / (2 * half) * 256 * 2**7
    np.testing.assert_allclose(to_pixels(POINTS, 7, plane=False), expected, atol=1e-6)


@pytest.mark.parametrize("plane", [True, False])
def test_pixels_and_back_are_the_same_place(plane):
    there = to_pixels(POINTS, 11.5, plane=plane)
    np.testing.assert_allclose(from_pixels(there, 11.5, plane=plane), POINTS, atol=1e-9)


def test_on_the_plane_of_a_photo_rows_go_down():
    np.testing.assert_array_equal(to_pixels([[10, -20]], 1, plane=True), [[20, 40]])
    np.testing.assert_array_equal(to_map(np.array([[10, 20]]), None), [[10, -20]])


def test_a_place_has_its_middle_in_the_middle():
    place = Place((-118.5, 34.0), 14, (800, 400))
    np.testing.assert_allclose(place.on_screen(np.array([[-118.5, 34.0]])), [[400, 200]])
    west, south, east, north = place.bounds
    corners = place.on_screen(np.array([[west, north], [east, south]]))
    np.testing.assert_allclose(corners, [[0, 0], [800, 400]], atol=1e-6)


def test_fitting_shows_all_and_no_more_than_it_must():
    bounds = (-118.6, 33.9, -118.4, 34.1)
    place = fitting(bounds, (1000, 500), plane=False)
    west, south, east, north = place.bounds
    assert west < -118.6 and south < 33.9 and east > -118.4 and north > 34.1
    nearer = Place(place.middle, place.zoom + 1, place.size)
    assert nearer.bounds[1] > 33.9 or nearer.bounds[0] > -118.6


def test_a_geometry_goes_to_a_crs_and_back():
    box = shapely.box(-118.5, 34.0, -118.4, 34.1)
    there = geometry_to(box, "EPSG:26911")
    back = shapely.transform(there, lambda points: to_map(points, "EPSG:26911"))
    assert back.equals_exact(box, 1e-9)
    np.testing.assert_allclose(from_map(POINTS[:1], 4326), POINTS[:1])


def test_what_is_no_crs_is_refused():
    with pytest.raises(OptionError, match="'EPSG:1' is no coordinate reference system"):
        crs_text("EPSG:1")


def test_bounds_leave_out_what_is_nowhere():
    assert bounds_of(np.array([[1, 2], [np.nan, 9], [3, -4]])) == (1, -4, 3, 2)
    assert bounds_of(np.zeros((0, 2))) == (0, 0, 0, 0)
