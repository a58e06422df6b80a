"""Where tiles lie in rasters: every CRS, photos, wraps, far-away places, against pyproj alone."""

import math

import numpy as np
import pyproj
import pytest
from affine import Affine
from rasterio.crs import CRS

from geodl_lab.maps.frames import WORLD, Frame, mercator

SHAPE = (300, 200)


def tile_of(longitude, latitude, z):
    x, y = mercator(longitude, latitude)
    return int((x / WORLD + 0.5) * 2**z), int((0.5 - y / WORLD) * 2**z)


def degrees_of(z, x, y):
    """Longitude and latitude of a tile's points, by the textbook."""
    place = (np.arange(256) + 0.5) / 256
    longitude = (x + place) / 2**z * 360 - 180
    latitude = np.degrees(np.arctan(np.sinh(math.pi * (1 - 2 * (y + place) / 2**z))))
    return np.meshgrid(longitude, latitude)


def truth(frame, z, x, y):
    """Row and column of each point, each brought over by pyproj from degrees."""
    crs = pyproj.CRS.from_user_input(frame.crs)
    there = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
    xs, ys = there.transform(*degrees_of(z, x, y))
    a, b, c, d, e, f = (~frame.transform)[:6]
    return d * xs + e * ys + f, a * xs + b * ys + c


UTM = Affine(0.6, 0, 400_000, 0, -0.6, 3_700_000)
FRAMES = {
    "utm": ("EPSG:26911", UTM),
    "rows from the south": ("EPSG:32611", Affine(0.6, 0, 400_000, 0, 0.6, 3_699_820)),
    "rotated": ("EPSG:32611", Affine.translation(4e5, 3.7e6) * Affine.rotation(33)
                * Affine.scale(0.6, -0.9)),
    "degrees": ("EPSG:4326", Affine(1e-5, 0, 8.5, 0, -1e-5, 47.4)),
    "web": ("EPSG:3857", Affine(2, 0, 900_000, 0, -2, 6_000_000)),
    "polar": ("EPSG:3031", Affine(500, 0, -50_000, 0, -500, 1_400_000)),
    "feet": ("EPSG:2229", Affine(2, 0, 6_450_000, 0, -2, 1_850_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("zoom", [-3, 0, 2])
def test_points_are_the_nearest_pixels(name, zoom):
    crs, transform = FRAMES[name]
    frame = Frame(CRS.from_string(crs), transform, SHAPE)
    z = frame.native_zoom + zoom
    west, south, east, north = frame.bounds
    x, y = tile_of((west + east) / 2, (south + north) / 2, z)
    found = 0
    for column, row in ((x, y), (x - 1, y), (x, y + 1)):
        spots = frame.spots(z, column, row)
        rows, columns = truth(frame, z, column, row)
        inside = (rows >= 0) & (rows < SHAPE[0]) & (columns >= 0) & (columns < SHAPE[1])
        near = np.minimum.reduce([np.abs(v - np.round(v)) for v in (rows, columns)]) < 0.03
        assert np.array_equal(inside[~near], spots.inside[~near])
        sure = inside & ~near
        assert np.array_equal(np.floor(rows)[sure], spots.rows[sure])
        assert np.array_equal(np.floor(columns)[sure], spots.columns[sure])
        found += sure.sum()
    assert found > 100


@pytest.mark.parametrize("name", FRAMES)
def test_places_and_pixels_turn_into_each_other(name):
    crs, transform = FRAMES[name]
    frame = Frame(CRS.from_string(crs), transform, SHAPE)
    longitude, latitude = frame.places(12.25, 33.5)
    assert frame.pixel_at(float(longitude), float(latitude)) == pytest.approx(
        (12.25, 33.5), abs=1e-3
    )
    west, south, east, north = frame.bounds
    assert west <= longitude <= east and south <= latitude <= north


def test_a_photo_lies_on_the_plane_column_right_row_down():
    frame = Frame(None, Affine.identity(), (100, 150))
    assert frame.plane and frame.native_zoom == 0
    assert frame.bounds == (0, -100, 150, 0)
    spots = frame.spots(1, 0, 0)
    assert spots.rows[5, 9] == 2 and spots.columns[5, 9] == 4 and spots.step == 0.5
    assert frame.spots(0, 0, 0).inside.sum() == 100 * 150
    assert frame.spots(-2, 0, 0).inside.sum() == 25 * 37
    assert not frame.spots(0, -1, 0).inside.any()
    assert frame.pixel_at(7.5, -3.5) == (3.5, 7.5)


def test_part_of_a_photo_lies_where_it_was_cut_out():
    frame = Frame(None, Affine.translation(40, 10) * Affine.scale(2), (20, 20))
    assert frame.bounds == (40, -50, 80, -10)
    assert frame.pixel_at(41, -11) == (0.5, 0.5)


def test_a_raster_without_crs_has_north_up():
    frame = Frame(None, Affine(0.5, 0, 100, 0, -0.5, 200), (20, 40))
    assert frame.bounds == (100, 190, 120, 200) and frame.native_zoom == 1
    assert frame.pixel_at(100.25, 199.75) == (0.5, 0.5)


@pytest.mark.parametrize("left", [170, -190, 175, 0, -180])
def test_degrees_wrap_around_the_antimeridian(left):
    frame = Frame(CRS.from_epsg(4326), Affine(0.1, 0, left, 0, -0.1, 10), (200, 200))
    for longitude in (left + 1, left + 19, left + 9.95):
        wrapped = (longitude + 180) % 360 - 180
        assert frame.pixel_at(wrapped, 0) == pytest.approx((100, (longitude - left) * 10))
        x, y = tile_of(wrapped, 0, 6)
        spots = frame.spots(6, x, y)
        assert spots.inside.any()
        degrees, _ = degrees_of(6, x, y)
        expected = np.floor(((degrees[0] - left) % 360) * 10)
        row = spots.rows.max(axis=1).argmax()
        seen = spots.columns[row] >= 0
        assert np.array_equal(spots.columns[row][seen], expected[seen])


def test_the_whole_world_is_covered_once():
    frame = Frame(CRS.from_epsg(4326), Affine(1, 0, 0, 0, -1, 90), (180, 360))  # 0 to 360 degrees
    spots = frame.spots(0, 0, 0)
    assert spots.inside.all() and len(np.unique(spots.columns)) == 256
    assert spots.columns[0, 0] == 180 and spots.columns[0, 128] == 0


@pytest.mark.parametrize("name", FRAMES)
def test_tiles_anywhere_are_empty_and_never_an_error(name):
    crs, transform = FRAMES[name]
    frame = Frame(CRS.from_string(crs), transform, SHAPE)
    for z, x, y in ((0, 0, 0), (5, 0, 0), (5, 31, 31), (3, 9, -4), (22, 0, 0), (40, 5, 5)):
        spots = frame.spots(z, x, y)
        assert spots.rows.shape == (256, 256) and np.isfinite(spots.step)
    for longitude, latitude in ((0, 90), (180, -90), (-500, 100), (1e9, 0)):
        frame.pixel_at(longitude, latitude)
    far = frame.spots(12, 17, 17)
    assert not far.inside.any() and not far.area


def test_beyond_its_domain_a_projection_shows_nothing_twice():
    """Transverse Mercator far from its meridian answers places of other continents."""
    frame = Frame(CRS.from_epsg(32611), Affine(20_000, 0, -5e6, 0, -20_000, 9e6), (900, 700))
    spots = frame.spots(0, 0, 0)
    rows, columns = spots.rows[spots.inside], spots.columns[spots.inside]
    x, y = frame.places(rows + 0.5, columns + 0.5)
    longitude, latitude = degrees_of(0, 0, 0)
    away = (longitude[spots.inside] - x + 180) % 360 - 180
    assert np.nanmax(np.abs(away)) < 10 and np.nanmax(np.abs(latitude[spots.inside] - y)) < 10


def test_a_crs_without_a_place_on_earth_is_on_the_plane():
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    frame = Frame(local, Affine(1, 0, 0, 0, -1, 50), (50, 50))
    assert frame.plane and frame.spots(0, 0, -1).inside.sum() == 2500


def test_points_are_quick(monkeypatch):
    """A tile at native zoom needs some hundred points of pyproj, not 65536."""
    frame, asked = Frame(CRS.from_string("EPSG:26911"), UTM, SHAPE), []
    whole = Frame._projected

    def counted(self, points, tolerance):
        asked.append(points[0].size)
        return whole(self, points, tolerance)

    monkeypatch.setattr(Frame, "_projected", counted)
    x, y = tile_of(*(float(v) for v in frame.places(150, 100)), 18)
    assert frame.spots(18, x, y).inside.any() and sum(asked) < 600
