"""What lies in an area, by boxes and cells, against shapely on every geometry."""

import geopandas
import numpy as np
import pytest
import shapely

from geodl_lab.server.arcgis import feature_places
from geodl_lab.server.arcgis.feature_layer import connect, read_layer
from geodl_lab.server.arcgis.feature_places import compare, decode, find, total_bounds
from geodl_lab.server.arcgis.feature_query import RELATIONS, Area

RNG = np.random.default_rng(3)
STAR = shapely.Polygon(
    [
        ((60 if turn % 2 else 20) * np.cos(turn / 8 * np.pi) + 500_100,
         (60 if turn % 2 else 20) * np.sin(turn / 8 * np.pi) + 3_800_100)
        for turn in range(16)
    ]
)  # fmt: skip
AREAS = {
    "star": STAR,
    "hole": STAR.buffer(20).difference(STAR.buffer(-5)),
    "box": shapely.box(500_040.5, 3_800_030, 500_120, 3_800_150),
    "line": STAR.exterior,
    "level line": shapely.LineString([(500_000, 3_800_100), (500_200, 3_800_100)]),
    "point": shapely.Point(500_100, 3_800_100),
}


def blob(shape, kind):
    """A geometry as a GeoPackage keeps it, with an envelope of some kind."""
    left, bottom, right, top = shape.bounds
    sides = [left, right, bottom, top, *[0.0] * 4]
    envelope = np.array(sides[: (0, 4, 6, 6, 8)[kind]]).tobytes()
    return b"GP\0" + bytes([kind << 1 | 1]) + b"\0\0\0\0" + envelope + shapely.to_wkb(shape)


@pytest.mark.parametrize("kind", range(5))
def test_geometries_are_decoded(kind):
    shape = shapely.box(0, 0, 1, 2)
    found = decode([blob(shape, kind), None])
    assert found[0].equals(shape)
    assert found[1] is None


def test_compare_knows_no_geometry():
    area = Area(shapely.box(0, 0, 2, 2), "contains")
    shapes = np.array([shapely.Point(1, 1), None, shapely.Point(3, 3)])
    assert compare(area, shapes).tolist() == [True, False, False]


def test_bounds_are_read_with_and_without_an_envelope():
    shapes = [shapely.box(0, -1, 1, 2), shapely.Point(-5, 3), shapely.Polygon()]
    for kinds in ((1, 0, 0), (0, 0, 0), (4, 0, 0)):
        blobs = [blob(shape, kind) for shape, kind in zip(shapes, kinds, strict=True)]
        np.testing.assert_array_equal(total_bounds(blobs), [-5, -1, 1, 3])
    assert np.isnan(total_bounds([blob(shapely.Polygon(), 0)])).all()


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A layer of 3000 polygons, and the same as geometries by object id, from 1."""
    middles = RNG.uniform(0, 200, (3000, 2)) + np.array([500_000, 3_800_000])
    size = RNG.choice([0.5, 3, 60], 3000, p=[0.5, 0.49, 0.01])
    shapes = shapely.buffer(shapely.points(middles), size, quad_segs=2)
    shapes[:40] = [shapely.affinity.translate(STAR, at / 4, 0) for at in range(40)]
    shapes[40:43] = [
        AREAS["box"],
        STAR.buffer(300),
        shapely.box(500_120, 3_800_030, 500_130, 3_800_040),
    ]
    path = tmp_path_factory.mktemp("many") / "many.gpkg"
    geopandas.GeoDataFrame({"a": 1}, geometry=shapes, crs=26911, index=range(3000)).to_file(path)
    return read_layer(path), shapes


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("relation", sorted(set(RELATIONS.values())))
def test_what_lies_in_an_area_is_what_shapely_finds(many, area, relation):
    layer, shapes = many
    asked = Area(AREAS[area], relation)
    with connect(layer.path) as connection:
        found = find(connection, layer, asked)
    np.testing.assert_array_equal(found, np.flatnonzero(compare(asked, shapes)) + 1)


def test_only_the_rim_is_read(many, monkeypatch):
    layer, shapes = many
    read = []
    monkeypatch.setattr(feature_places, "decode", lambda blobs: read.extend(blobs) or decode(blobs))
    with connect(layer.path) as connection:
        found = find(connection, layer, Area(AREAS["star"], "intersects"))
    assert len(read) < len(found) < len(shapes)
