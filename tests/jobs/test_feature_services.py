"""What is fetched of a feature service is what it serves, all of it and as it is."""

import json
from urllib.parse import parse_qs

import geopandas
import pandas
import pytest
import shapely

from geodl_lab.errors import AccessError
from geodl_lab.fetch import Fetcher
from geodl_lab.jobs import feature_services
from geodl_lab.jobs.feature_services import download_features

PLACE = "/arcgis/rest/services/trees/FeatureServer"
HOLED = shapely.Polygon([(0, 0), (0, 10), (10, 10), (10, 0)], [[(2, 2), (4, 2), (4, 4), (2, 4)]])
ISLAND = shapely.MultiPolygon([HOLED, shapely.box(20, 20, 21, 21)])


@pytest.fixture
def service(web):
    """A layer of seven polygons on loopback, two a page."""
    shapes = [HOLED, ISLAND, *(shapely.box(x, 0, x + 1, 1) for x in range(5))]
    web.features = [
        {
            "attributes": {"OBJECTID": 7 - n, "Class": f"tree ü {n}", "Score": n / 3 if n else None,
                           "Seen": 1_600_000_000_123 + n},
            "geometry": {"rings": rings(shape)},
        }
        for n, shape in enumerate(shapes)
    ]  # fmt: skip
    web.shapes = shapes
    fields = {"OBJECTID": "OID", "Class": "String", "Score": "Double", "Seen": "Date"}
    web.said = {
        "id": 3, "geometryType": "esriGeometryPolygon", "maxRecordCount": 2,
        "extent": {"spatialReference": {"wkid": 102100, "latestWkid": 3857}},
        "fields": [{"name": n, "type": f"esriFieldType{t}"} for n, t in fields.items()],
    }  # fmt: skip
    web.pages[PLACE] = json.dumps({"layers": [{"id": 3}]}).encode()
    web.pages[f"{PLACE}/3"] = lambda request: request.answer(json.dumps(web.said).encode())
    web.pages[f"{PLACE}/3/query"] = query
    web.service = f"{web.url}{PLACE}"
    return web


def rings(shape):
    """Esri's rings: outer ones clockwise, holes the other way."""
    parts = shapely.get_parts(shapely.orient_polygons(shape, exterior_cw=True))
    return [
        list(map(list, ring.coords)) for part in parts for ring in (part.exterior, *part.interiors)
    ]


def query(request):
    asked = {name: values[0] for name, values in parse_qs(request.form).items()}
    assert asked["f"] == "json"
    rows = request.server.features
    if asked.get("returnIdsOnly"):
        answer = {"objectIds": [row["attributes"]["OBJECTID"] for row in rows]}
    else:
        ids = set(map(int, asked["objectIds"].split(",")))
        assert len(ids) <= 2
        answer = {"features": [row for row in rows if row["attributes"]["OBJECTID"] in ids]}
    request.answer(json.dumps(answer).encode())


@pytest.fixture
def fetcher(web):
    return Fetcher((web.host,))


@pytest.mark.parametrize("layer", ["", "/3", "/3/"])
def test_all_features_come_as_they_are(service, fetcher, tmp_path, layer):
    path = download_features(f"{service.service}{layer}", tmp_path / "got.gpkg", fetcher)
    got = geopandas.read_file(path).set_index("OBJECTID").sort_index(ascending=False)
    assert got.crs == "EPSG:3857"
    assert list(got.index) == [7, 6, 5, 4, 3, 2, 1]
    assert shapely.equals(got.geometry.to_numpy(), service.shapes).all()
    assert list(got["Class"]) == [f"tree ü {n}" for n in range(7)]
    assert got["Score"].isna().tolist() == [True] + [False] * 6
    assert got["Score"].iloc[2] == 2 / 3
    assert got["Seen"].iloc[0] == pandas.Timestamp(1_600_000_000_123, unit="ms", tz="UTC")
    assert [file.name for file in tmp_path.iterdir()] == ["got.gpkg"]


@pytest.mark.parametrize(
    ("kind", "given", "shape"),
    [
        ("Point", {"x": 1.5, "y": 2}, shapely.Point(1.5, 2)),
        ("Multipoint", {"points": [[1, 2], [3, 4]]}, shapely.MultiPoint([(1, 2), (3, 4)])),
        ("Polyline", {"paths": [[[0, 0, 5], [1, 1, 5]]]},
         shapely.MultiLineString([[(0, 0), (1, 1)]])),
        ("Polygon", {"rings": []}, None),
        ("Polygon", None, None),
        ("Point", {"x": "NaN", "y": "NaN"}, None),
    ],
)  # fmt: skip
def test_other_geometries(service, fetcher, tmp_path, kind, given, shape):
    service.said["geometryType"] = f"esriGeometry{kind}"
    service.features = [{**service.features[0], "geometry": given}]
    path = download_features(f"{service.service}/3", tmp_path / "got.gpkg", fetcher)
    (got,) = geopandas.read_file(path).geometry
    assert (got is None) == (shape is None)
    assert got is None or got.equals(shape)


def test_an_empty_layer_is_an_empty_file(service, fetcher, tmp_path):
    service.features = []
    path = download_features(service.service, tmp_path / "got.gpkg", fetcher)
    assert len(geopandas.read_file(path)) == 0


def test_tokens_go_along_and_ids_are_posted(service, fetcher, tmp_path):
    forms = []

    def noted(request):
        forms.append(request.form)
        query(request)

    service.pages[f"{PLACE}/3/query"] = noted
    download_features(f"{service.service}?token=T", tmp_path / "got.gpkg", fetcher)
    assert len(forms) == 5
    assert all("token=T" in form for form in forms)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"geometryType": None}, "geometry type 'None'; possible are esriGeometryPoint"),
        ({"fields": None}, "features that cannot be read"),
        ({"error": {"message": "no"}}, "answered an error: 'no'"),
        ({"extent": {"spatialReference": {"wkid": 1}}}, "which PROJ does not know"),
    ],
)
def test_layers_that_cannot_be_read(service, fetcher, tmp_path, said, match):
    service.said |= said
    with pytest.raises(AccessError, match=match):
        download_features(service.service, tmp_path / "got.gpkg", fetcher)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "feature",
    [{}, {"attributes": {}, "geometry": {"rings": [[1]]}}, {"attributes": 1},
     {"attributes": {}, "geometry": {"rings": [[[0, 0], [1, 1], "a", [0, 0]]]}}, 3,
     {"attributes": {"OBJECTID": "x"}, "geometry": None}],
)  # fmt: skip
def test_features_that_are_damaged(service, fetcher, tmp_path, feature):
    service.pages[f"{PLACE}/3/query"] = json.dumps(
        {"objectIds": [1], "features": [feature]}
    ).encode()
    with pytest.raises(AccessError, match="features that cannot be read"):
        download_features(service.service, tmp_path / "got.gpkg", fetcher)
    assert not list(tmp_path.iterdir())


def test_too_many_and_cut_off(service, fetcher, tmp_path, monkeypatch):
    service.pages[f"{PLACE}/3/query"] = b'{"objectIds": [1], "exceededTransferLimit": true}'
    with pytest.raises(AccessError, match="fewer features than its maxRecordCount"):
        download_features(service.service, tmp_path / "got.gpkg", fetcher)
    monkeypatch.setattr(feature_services, "MOST", 0)
    with pytest.raises(AccessError, match="has 1 features; at most 0"):
        download_features(service.service, tmp_path / "got.gpkg", fetcher)
    service.pages[PLACE] = b'{"layers": []}'
    with pytest.raises(AccessError, match="has no layers"):
        download_features(service.service, tmp_path / "got.gpkg", fetcher)
