"""Places along lines and in areas, and what lies there."""

import json

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer

from geodl_lab.package import LabelClass
from geodl_lab.server.arcgis.image_area import compute_statistics
from geodl_lab.server.arcgis.image_files import FileId
from geodl_lab.server.arcgis.image_points import identify, samples
from geodl_lab.server.arcgis.image_sources import ImageSource, grid_of
from geodl_lab.server.arcgis.web import ArcgisError, Parameters

VALUES = np.arange(2 * 30 * 40, dtype="int16").reshape(2, 30, 40)


@pytest.fixture
def source(tmp_path):
    """Two bands of 30 x 40 pixels of 10 m; the last value is no data."""
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=2, height=30, width=40, dtype="int16",
        crs="EPSG:32611", transform=Affine(10, 0, 500_000, 0, -10, 3_800_000), nodata=0,
    ) as file:  # fmt: skip
        file.write(VALUES)
    file = FileId.of(tmp_path / "a.tif", ours=True)
    return ImageSource("a", "a", file, grid_of(file), (LabelClass(5, "a", "#000000"),))


def told(source, geometry, **given):
    text = geometry if isinstance(geometry, str) else json.dumps(geometry)
    return samples(source, Parameters({"geometry": text, **given}))["samples"]


def value_at(x, y):
    column, row = int((x - 500_000) // 10), int((3_800_000 - y) // 10)
    return " ".join("NoData" if v == 0 else str(v) for v in VALUES[:, row, column])


def check(answers):
    for index, one in enumerate(answers):
        assert one["locationId"] == index
        assert one["value"] == value_at(one["location"]["x"], one["location"]["y"])


def test_points_in_another_spatial_reference(source):
    lon, lat = Transformer.from_crs(32611, 4326, always_xy=True).transform(500_123, 3_799_877)
    geometry = {"x": lon, "y": lat, "spatialReference": {"wkid": 4326}}
    (one,) = told(source, geometry, geometryType="esriGeometryPoint")
    assert one["value"] == value_at(500_123, 3_799_877)
    assert one["location"]["spatialReference"]["wkid"] == 4326
    assert told(source, f"{lon},{lat}", sr="4326")[0]["value"] == one["value"]


def test_a_line_is_sampled_evenly(source):
    line = {"paths": [[[500_005, 3_799_995], [500_105, 3_799_995], [500_105, 3_799_795]]]}
    answers = told(source, line, geometryType="esriGeometryPolyline", sampleCount="31")
    check(answers)
    shape = shapely.LineString(line["paths"][0])
    expected = shapely.line_interpolate_point(shape, np.arange(31) * 10)
    given = [[one["location"]["x"], one["location"]["y"]] for one in answers]
    assert given == pytest.approx(shapely.get_coordinates(expected))
    assert len(told(source, line, sampleDistance="50")) == 7
    assert len(told(source, line)) == 100


def test_an_area_is_sampled_inside(source):
    ring = [[500_000, 3_800_000], [500_400, 3_800_000], [500_000, 3_799_700], [500_000, 3_800_000]]
    for geometry in ({"rings": [ring]}, "500010,3799710,500390,3799990"):
        answers = told(source, geometry, sampleCount="60")
        check(answers)
        assert 35 <= len(answers) <= 90
    area = shapely.Polygon(ring)
    inside = told(source, {"rings": [ring]}, sampleDistance="20")
    assert all(area.covers(shapely.Point(o["location"]["x"], o["location"]["y"])) for o in inside)
    assert len(inside) == pytest.approx(area.area / 400, rel=0.1)


def test_too_many_are_refused(source):
    box = "500000,3799700,500400,3800000"
    with pytest.raises(ArcgisError, match="more than 10000 samples"):
        told(source, box, sampleDistance="0.1")
    for wrong in ({"sampleCount": "0"}, {"sampleCount": "x"}, {"sampleDistance": "-1"}):
        with pytest.raises(ArcgisError, match=next(iter(wrong))):
            told(source, box, **wrong)
    with pytest.raises(ArcgisError, match="geometry is missing"):
        told(source, "")


def test_identify_takes_the_middle_and_names_the_class(source):
    at = identify(source, Parameters({"geometry": "500040,3799990,500070,3800000"}))
    assert at["value"] == "5, 1205" and at["location"]["x"] == 500_055
    corner = identify(source, Parameters({"geometry": "500005,3799995"}))
    assert corner["value"] == "NoData, 1200"
    outside = identify(source, Parameters({"geometry": "0,0"}))
    assert outside["value"] == "NoData, NoData"


def test_statistics_of_a_polygon(source):
    ring = [[500_100, 3_799_900], [500_300, 3_799_900], [500_300, 3_799_800], [500_100, 3_799_900]]
    answer = compute_statistics(source, Parameters({"geometry": json.dumps({"rings": [ring]})}))
    rows, columns = np.mgrid[0:30, 0:40]
    x, y = 500_005 + 10 * columns, 3_799_995 - 10 * rows
    inside = shapely.contains_xy(shapely.Polygon(ring), x, y)
    for band, seen in zip(VALUES, answer["statistics"], strict=True):
        assert seen["mean"] == pytest.approx(band[inside].mean(), rel=0.01)
        assert seen["count"] == pytest.approx(inside.sum(), abs=12)
    with pytest.raises(ArcgisError, match="no area"):
        compute_statistics(source, Parameters({"geometry": "1,2"}))


@pytest.mark.parametrize("resource", [identify, samples, compute_statistics])
@pytest.mark.parametrize("geometry", ["1e308,1e308,-1e308,-1e308", "1e300,1", '{"x":0,"y":1e16}'])
def test_places_that_are_nowhere_are_refused(source, resource, geometry):
    with pytest.raises(ArcgisError, match="coordinates"):
        resource(source, Parameters({"geometry": geometry}))


@pytest.mark.parametrize("distance", ["1e-300", "5e-324"])
def test_a_distance_too_small_to_count_is_refused(source, distance):
    with pytest.raises(ArcgisError, match="samples"):
        told(source, "500000,3799700,500400,3800000", sampleDistance=distance)
