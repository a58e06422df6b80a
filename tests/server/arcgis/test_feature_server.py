"""The feature service against geopandas, shapely and pandas on the same objects."""

import json
import re
import types

import geopandas
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import pytest
import shapely
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings

from geodl_lab.errors import AccessError
from geodl_lab.jobs.catalog import Service
from geodl_lab.jobs.job import Caller
from geodl_lab.server.arcgis import downloads, feature_server
from geodl_lab.server.arcgis.web import NO_STORE, ArcgisError
from geodl_lab.server.paths import Paths
from geodl_lab.vector_files import save_objects

CLASSES = [
    {"value": 1, "name": "tree", "color": "#00aa00"},
    {"value": 2, "name": "it's <b>", "color": "#aa0000"},
]
COUNT = 250


@pytest.fixture(scope="module")
def objects():
    """Random boxes with holes and a few of two parts, in UTM."""
    random = np.random.default_rng(1)
    corners = random.uniform((500_000, 3_800_000), (500_300, 3_800_200), (COUNT, 2))
    sizes = random.uniform(4, 20, (COUNT, 2))
    shapes = shapely.box(*corners.T, *(corners + sizes).T)
    shapes[0] = shapely.difference(shapes[0], shapely.buffer(shapes[0].centroid, 1))
    shapes[1] = shapely.union(shapes[1], shapely.affinity.translate(shapes[1], 40, 0))
    label_ids = random.integers(1, 3, COUNT).astype(np.int32)
    frame = geopandas.GeoDataFrame(
        {
            "label": [CLASSES[value - 1]["name"] for value in label_ids],
            "label_id": label_ids,
            "score": random.uniform(0.3, 1, COUNT).astype(np.float32),
            "note": [None if n % 3 else f"n{n}_%" for n in range(COUNT)],
            "built": pd.date_range("2020-01-01", periods=COUNT, freq="D"),
        },
        geometry=shapes,
        crs=26911,
    )
    return frame


@pytest.fixture(scope="module")
def frame(objects):
    """The same, with the names that clients see."""
    frame = objects.rename(columns={"label": "Class", "label_id": "Classvalue"})
    frame["Confidence"] = (objects["score"].astype(float) * 100).round(4)
    frame["OBJECTID"] = np.arange(1, COUNT + 1)
    return frame


@pytest.fixture(scope="module")
def client(objects, tmp_path_factory):
    """A server of one filled and one empty service."""
    folder = tmp_path_factory.mktemp("published")
    files = {"features": str(save_objects(objects, folder / "a.gpkg"))}
    services = {
        "found": Service("found", "features", "", "0" * 32, files, {"classes": CLASSES}, 1),
        "empty": Service("empty", "features", "", "1" * 32),
        "mine": Service("mine", "features", "somebody", "2" * 32, files),
        "raster": Service("raster", "raster", "", "3" * 32),
        "gone": Service("gone", "features", "", "4" * 32, {"features": str(folder / "b.gpkg")}),
    }
    return make_client(services)


def make_client(services):
    """A server that publishes services, without keys."""

    def service(name, caller):
        found = services.get(name)
        if found is None or not caller.may_see(found.owner):
            raise AccessError(f"there is no service {name}")
        return found

    app = FastAPI()
    app.state.core = types.SimpleNamespace(catalog=types.SimpleNamespace(service=service))

    @app.middleware("http")
    async def caller(request, call_next):
        request.state.caller = Caller("me")
        return await call_next(request)

    @app.exception_handler(ArcgisError)
    async def refused(request, error):
        return JSONResponse(error.body, headers=NO_STORE)

    @app.exception_handler(AccessError)
    async def not_there(request, error):
        return JSONResponse(ArcgisError(str(error), code=404).body, headers=NO_STORE)

    for router in (downloads.router, feature_server.router):
        app.include_router(router, prefix="/arcgis/rest/services")
    app.add_middleware(Paths)
    return TestClient(app)


ROOT = "/arcgis/rest/services/Hosted/found/FeatureServer"


def ask(client, path="/0/query", root=ROOT, **given):
    """An answer as JSON, by POST, since where clauses may be long."""
    answer = client.post(root + path, data={"f": "json", **given})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def ids(client, **given):
    """Object ids of a query; the count says the same."""
    found = ask(client, returnIdsOnly="true", **given)
    assert found["objectIdFieldName"] == "OBJECTID"
    assert ask(client, returnCountOnly="true", **given) == {"count": len(found["objectIds"])}
    return found["objectIds"]


WHERES = {
    "1=1": lambda f: f.OBJECTID > 0,
    "1 = 1": lambda f: f.OBJECTID > 0,
    "0=1": lambda f: f.OBJECTID < 0,
    "Class = 'tree'": lambda f: f.Class == "tree",
    "class <> 'tree'": lambda f: f.Class != "tree",
    "\"CLASS\" != 'it''s <b>'": lambda f: f.Class == "tree",
    "Class LIKE '%ee'": lambda f: f.Class.str.endswith("ee"),
    "Class LIKE 'TREE'": lambda f: f.OBJECTID < 0,
    "UPPER(Class) LIKE 'TR_E'": lambda f: f.Class == "tree",
    "lower(Class) = 'tree'": lambda f: f.Class == "tree",
    "note LIKE 'n1%!_!%' ESCAPE '!'": lambda f: f.note.str.startswith("n1", na=False),
    "note LIKE 'n1%*%'": lambda f: f.OBJECTID < 0,
    "note IS NULL": lambda f: f.note.isna(),
    "note IS NOT NULL AND NOT OBJECTID < 100": lambda f: f.note.notna() & (f.OBJECTID >= 100),
    "Confidence > 50 and Confidence<=80.5": lambda f: (f.Confidence > 50) & (f.Confidence <= 80.5),
    "Confidence BETWEEN 50 AND 60 OR OBJECTID IN (1, 2,3)":
        lambda f: f.Confidence.between(50, 60) | f.OBJECTID.isin([1, 2, 3]),
    "OBJECTID NOT IN (1,2) AND OBJECTID NOT BETWEEN 5 AND 240":
        lambda f: ~f.OBJECTID.isin([1, 2]) & ~f.OBJECTID.between(5, 240),
    "Class NOT LIKE 't%'": lambda f: ~f.Class.str.startswith("t"),
    "(Class='tree' AND (OBJECTID > 5 OR OBJECTID=2)) AND NOT (Classvalue = 2)":
        lambda f: (f.Class == "tree") & ((f.OBJECTID > 5) | (f.OBJECTID == 2)),
    "OBJECTID = '7'": lambda f: f.OBJECTID == 7,
    "OBJECTID >= -1.5e0": lambda f: f.OBJECTID > 0,
    "note <> 'n3_%'": lambda f: f.note.notna() & (f.note != "n3_%"),
    "built < 1580515200000": lambda f: f.built < pd.Timestamp("2020-02-01"),
}  # fmt: skip


@pytest.mark.parametrize("where", WHERES)
def test_where_is_what_geopandas_filters(client, frame, where):
    assert ids(client, where=where) == frame.OBJECTID[WHERES[where](frame)].tolist()


BAD = [
    "Class = 'tree", "Class = tree", "foo = 1", "1=1; DROP TABLE a", "1=1 --", "1=1 /* */",
    "OBJECTID IN (SELECT fid FROM a)", "Class", "'a'", "1", "Class = 1", "OBJECTID LIKE 'a'",
    "OBJECTID > 'a'", "UPPER(OBJECTID) = 'A'", "load_extension('x') = 1", "()", "NOT", "((1=1)",
    "OBJECTID = 1 UNION SELECT 1", "sqlite_version() = 'a'", "a.fid = 1", "fid = 1", "geom IS NULL",
    "Class LIKE 'a' ESCAPE 'ab'", "Class IN ()", "1=1 OR", "\x00", "Class = \"tree\"", "rowid=1",
]  # fmt: skip


@pytest.mark.parametrize("where", BAD)
def test_all_else_is_refused(client, where):
    error = ask(client, where=where)["error"]
    assert error["code"] == 400
    assert error["message"].startswith("where")
    assert "sqlite" not in error["message"].replace(where, "").lower()


def test_an_error_says_where(client):
    error = ask(client, where="Class = 'tree' AND DROP TABLE")["error"]
    assert "character 25, near 'TABLE'" in error["message"]
    assert "Confidence" in ask(client, where="confidance > 1")["error"]["message"]


@pytest.mark.parametrize("where", ["(" * 40_000, "NOT " * 9000 + "1=1", "1=1" + " OR 1=1" * 9000,
                                   "(NOT " * 60 + "1=1" + ")" * 60])  # fmt: skip
def test_deep_and_long_is_refused(client, where):
    assert ask(client, where=where)["error"]["code"] == 400


def test_many_conditions_are_fine(client):
    where = " OR ".join(f"OBJECTID = {n}" for n in range(1, 2500))
    assert len(ids(client, where=where)) == COUNT


WORDS = st.sampled_from(
    ["Class", "OBJECTID", "'a'", "1", "=", "<", "LIKE", "IN", "(", ")", ",", "AND", "OR", "NOT",
     "BETWEEN", "IS", "NULL", "'", '"', ";", "--", "SELECT", "a", "fid", "t", "*", "?", "UPPER(",
     "ESCAPE", "%", "\\", "é", "\x00"]
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=30))
def test_no_where_breaks_anything(client, where):
    found = ask(client, where=where, returnCountOnly="true")
    assert found.get("count", 0) in range(COUNT + 1)
    assert "error" not in found or found["error"]["code"] == 400


TRIANGLE = shapely.Polygon([(500_050, 3_800_020), (500_250, 3_800_030), (500_120, 3_800_180)])
RELATIONS = {
    "esriSpatialRelIntersects": lambda s, q: s.intersects(q),
    "esriSpatialRelContains": lambda s, q: s.within(q),
    "esriSpatialRelWithin": lambda s, q: s.contains(q),
    "esriSpatialRelTouches": lambda s, q: s.touches(q),
    "esriSpatialRelCrosses": lambda s, q: s.crosses(q),
    "esriSpatialRelOverlaps": lambda s, q: s.overlaps(q),
    "esriSpatialRelEnvelopeIntersects": lambda s, q: s.envelope.intersects(q.envelope),
    "esriSpatialRelIndexIntersects": lambda s, q: s.envelope.intersects(q.envelope),
    "": lambda s, q: s.intersects(q),
}


def esri_json(shape):
    """A shape as Esri's JSON, by hand."""
    points = [list(point) for point in shapely.get_coordinates(shape)]
    key = {"Polygon": "rings", "LineString": "paths"}.get(shape.geom_type)
    if key:
        return json.dumps({key: [points]})
    if shape.geom_type == "MultiPoint":
        return json.dumps({"points": points})
    return json.dumps({"x": points[0][0], "y": points[0][1]})


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize(
    "shape",
    [TRIANGLE, shapely.box(500_040, 3_800_030, 500_200, 3_800_150), TRIANGLE.exterior,
     shapely.MultiPoint([(500_100, 3_800_100), (500_200, 3_800_120)])],
    ids=["polygon", "box", "line", "points"],
)  # fmt: skip
def test_areas_are_what_shapely_finds(client, frame, shape, relation):
    shape = shapely.LineString(shape) if shape.geom_type == "LinearRing" else shape
    wanted = frame.OBJECTID[RELATIONS[relation](frame.geometry, shape)].tolist()
    assert ids(client, geometry=esri_json(shape), spatialRel=relation) == wanted


@pytest.mark.parametrize("relation", RELATIONS)
def test_many_in_an_area_are_the_same(client, frame, relation, monkeypatch):
    monkeypatch.setattr("geodl_lab.server.arcgis.feature_store.FEW", 1)
    monkeypatch.setattr("geodl_lab.server.arcgis.feature_store.CHUNK", 7)
    monkeypatch.setattr("geodl_lab.server.arcgis.feature_places.CHUNK", 7)
    given = {"geometry": esri_json(TRIANGLE), "spatialRel": relation, "where": "Class='tree'"}
    chosen = frame[RELATIONS[relation](frame.geometry, TRIANGLE) & (frame.Class == "tree")]
    assert ids(client, **given) == chosen.OBJECTID.tolist()
    page = ask(client, **given)["features"]
    assert [one["attributes"]["OBJECTID"] for one in page] == chosen.OBJECTID.tolist()
    sorted = ask(client, orderByFields="Confidence DESC", **given)["features"]
    assert {one["attributes"]["OBJECTID"] for one in sorted} == set(chosen.OBJECTID)
    assert ask(client, returnCountOnly="true", **given) == {"count": len(chosen)}
    extent = ask(client, returnExtentOnly="true", **given)["extent"]
    if len(chosen):
        assert extent["xmin"] == pytest.approx(chosen.total_bounds[0], abs=1e-9)


def test_a_point_finds_what_lies_on_it(client, frame):
    point = frame.geometry[5].centroid
    wanted = frame.OBJECTID[frame.intersects(point)].tolist()
    for text in (esri_json(point), f"{point.x},{point.y}", f"{{x: {point.x}, y: {point.y}}}"):
        assert ids(client, geometry=text, geometryType="esriGeometryPoint") == wanted


def test_a_box_may_be_upside_down_and_in_another_crs(client, frame):
    degrees = frame.to_crs(4326)
    left, bottom, right, top = shapely.box(*degrees.total_bounds).centroid.buffer(5e-4).bounds
    wanted = frame.OBJECTID[degrees.intersects(shapely.box(left, bottom, right, top))].tolist()
    assert 10 < len(wanted) < COUNT
    assert ids(client, geometry=f"{right},{top},{left},{bottom}", inSR="4326") == wanted


def test_the_whole_world_in_mercator_finds_all(client):
    world = json.dumps({"xmin": -20037508.34, "ymin": -20037508.34, "xmax": 20037508.34,
                        "ymax": 20037508.34, "spatialReference": {"wkid": 102100}})  # fmt: skip
    assert len(ids(client, geometry=world, geometryType="esriGeometryEnvelope")) == COUNT
    assert ids(client, geometry="10,10,11,11", inSR="4326") == []


def test_a_distance_is_a_buffer(client, frame):
    point = shapely.Point(500_150, 3_800_100)
    wanted = frame.OBJECTID[frame.distance(point) <= 30].tolist()
    assert ids(client, geometry=esri_json(point), distance="30") == wanted
    assert ids(client, geometry=esri_json(point), distance="0.03",
               units="esriSRUnit_Kilometer") == wanted  # fmt: skip


def test_areas_and_where_and_ids_go_together(client, frame):
    wanted = frame.OBJECTID[frame.intersects(TRIANGLE) & (frame.Class == "tree")].tolist()[:7]
    given = ",".join(map(str, wanted))
    assert (
        ids(client, geometry=esri_json(TRIANGLE), where="Class='tree'", objectIds=given) == wanted
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [({"geometry": "x"}, "geometry"), ({"geometry": "1,2", "spatialRel": "near"}, "spatialRel"),
     ({"geometry": "1,2", "inSR": "x"}, "inSR"), ({"outSR": "999999"}, "outSR"),
     ({"outFields": "nope"}, "outFields"), ({"orderByFields": "nope ASC"}, "orderByFields"),
     ({"orderByFields": "Class; DROP"}, "orderByFields"), ({"objectIds": "1,a"}, "objectIds"),
     ({"resultOffset": "-1"}, "resultOffset"), ({"resultRecordCount": "a"}, "resultRecordCount"),
     ({"geometryPrecision": "1.5"}, "geometryPrecision"), ({"maxAllowableOffset": "nan"}, "Offset"),
     ({"quantizationParameters": "{}x"}, "quantization"), ({"f": "pbf"}, "json, pjson, geojson"),
     ({"quantizationParameters": '{"tolerance": -1}'}, "quantization"),
     ({"quantizationParameters": "[1]"}, "quantization"),
     ({"outStatistics": "{}"}, "outStatistics"), ({"outStatistics": "[1]"}, "outStatistics"),
     ({"outStatistics": '[{"statisticType": "sum", "onStatisticField": "Class"}]'}, "sum is for"),
     ({"outStatistics": '[{"statisticType": "mode", "onStatisticField": "Class"}]'}, "statisticTy"),
     ({"outStatistics": '[{"statisticType": "sum", "onStatisticField": "OBJECTID",'
       ' "outStatisticFieldName": "a\\" FROM t; --"}]'}, "outStatisticFieldName"),
     ({"groupByFieldsForStatistics": "nope"}, "groupBy"), ({"having": "count(*) > 1"}, "having"),
     ({"geometry": "1,2", "distance": "5", "units": "feet"}, "units")],
)  # fmt: skip
def test_a_bad_parameter_is_named(client, given, message):
    error = ask(client, **given)["error"]
    assert error["code"] == 400
    assert re.search(message, error["message"])


def test_features_are_the_frame(client, frame):
    answer = ask(client, outFields="*")
    assert answer["geometryType"] == "esriGeometryPolygon"
    assert answer["spatialReference"] == {"wkid": 26911, "latestWkid": 26911}
    assert answer["exceededTransferLimit"] is False
    assert [one["name"] for one in answer["fields"]] == [
        "OBJECTID", "Class", "Classvalue", "Confidence", "note", "built",
    ]  # fmt: skip
    rows = pd.DataFrame([one["attributes"] for one in answer["features"]])
    assert rows.Class.tolist() == frame.Class.tolist()
    assert rows.Confidence.tolist() == pytest.approx(frame.Confidence.tolist())
    assert pd.to_datetime(rows.built, unit="ms").tolist() == frame.built.tolist()
    assert rows.note.where(rows.note.notna(), None).tolist() == frame.note.tolist()
    text = json.dumps(answer)
    back = pyogrio.read_dataframe(text)
    assert back.geom_equals(frame.geometry).all()
    assert back.crs == 26911


def test_pages_cover_all_once(client, frame, monkeypatch):
    monkeypatch.setattr("geodl_lab.server.arcgis.feature_query.PAGE", 100)
    pages = [ask(client, outFields="*", resultOffset=str(at)) for at in (0, 100, 200, 300)]
    assert [len(page["features"]) for page in pages] == [100, 100, 50, 0]
    assert [page["exceededTransferLimit"] for page in pages] == [True, True, False, False]
    found = [one["attributes"]["OBJECTID"] for page in pages for one in page["features"]]
    assert found == frame.OBJECTID.tolist()


def test_pages_are_exact_at_their_end(client):
    for count, more in ((COUNT - 1, True), (COUNT, False), (COUNT + 1, False)):
        answer = ask(client, resultRecordCount=str(count))
        assert (len(answer["features"]), answer["exceededTransferLimit"]) == (
            min(count, COUNT), more,
        )  # fmt: skip


def test_order_is_as_asked_then_by_id(client, frame):
    answer = ask(client, outFields="*", orderByFields="Class DESC, confidence")
    found = [one["attributes"]["OBJECTID"] for one in answer["features"]]
    order = frame.sort_values(["Class", "Confidence", "OBJECTID"], ascending=[False, True, True])
    assert found == order.OBJECTID.tolist()


def test_only_fields_that_are_asked_for(client):
    answer = ask(client, outFields='"class", CONFIDENCE,Class', returnGeometry="False")
    assert list(answer["features"][0]) == ["attributes"]
    assert list(answer["features"][0]["attributes"]) == ["Class", "Confidence"]
    assert list(ask(client)["features"][0]["attributes"]) == ["OBJECTID"]


def test_distinct_values(client, frame):
    given = {"outFields": "Class,Classvalue", "returnDistinctValues": "true"}
    rows = [tuple(one["attributes"].values()) for one in ask(client, **given)["features"]]
    assert rows == sorted(set(zip(frame.Class, frame.Classvalue, strict=True)))
    assert ask(client, returnCountOnly="true", **given) == {"count": 2}


@pytest.mark.parametrize(
    "sr", ["4326", '{"wkid": 4326}', "http://www.opengis.net/def/crs/EPSG/0/4326"]
)
def test_another_crs(client, frame, sr):
    answer = ask(client, outSR=sr, objectIds="3,4")
    assert answer["spatialReference"]["wkid"] == 4326
    rings = [shapely.Polygon(one["geometry"]["rings"][0]) for one in answer["features"]]
    wanted = frame.geometry[2:4].to_crs(4326)
    assert shapely.hausdorff_distance(rings, wanted.to_numpy()).max() < 1e-9


def test_geojson_is_in_degrees(client, frame):
    answer = client.get(f"{ROOT}/0/query?f=geoJSON&outFields=*&where=OBJECTID<4&outSR=26911")
    assert answer.headers["content-type"] == "application/geo+json"
    found = geopandas.GeoDataFrame.from_features(answer.json())
    wanted = frame.geometry[:3].to_crs(4326)
    assert shapely.hausdorff_distance(found.geometry.to_numpy(), wanted.to_numpy()).max() < 1e-9
    assert found.Class.tolist() == frame.Class[:3].tolist()
    assert all(shapely.is_ccw(part.exterior) for part in found.geometry.explode())
    assert answer.json()["exceededTransferLimit"] is False


def test_an_answer_by_ranges_is_the_answer(client):
    url = f"{ROOT}/0/query?f=json&outFields=*"
    whole = client.get(url).content
    parts = [client.get(url, headers={"Range": f"bytes={at}-{at + 9999}"})
             for at in range(0, len(whole), 10_000)]  # fmt: skip
    assert b"".join(part.content for part in parts) == whole
    assert parts[0].status_code == 206
    assert parts[0].headers["content-range"] == f"bytes 0-9999/{len(whole)}"
    assert client.get(url, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416
    assert client.get(url, headers={"Range": "bytes=9-1"}).content == whole


def test_extents(client, frame):
    answer = ask(client, returnExtentOnly="true", returnCountOnly="true", where="Class='tree'")
    trees = frame[frame.Class == "tree"]
    assert answer["count"] == len(trees)
    bounds = [answer["extent"][key] for key in ("xmin", "ymin", "xmax", "ymax")]
    assert bounds == pytest.approx(trees.total_bounds.tolist(), abs=1e-9)
    whole = ask(client, returnExtentOnly="true", outSR="4326")["extent"]
    wanted = pyproj.Transformer.from_crs(26911, 4326, always_xy=True).transform_bounds(
        *frame.total_bounds
    )
    assert [whole[key] for key in ("xmin", "ymin", "xmax", "ymax")] == pytest.approx(wanted)
    assert ask(client, returnExtentOnly="true", where="0=1")["count"] == 0


def test_statistics_are_what_pandas_says(client, frame):
    kinds = {"count": "count", "sum": "sum", "min": "min", "max": "max", "avg": "mean",
             "stddev": "std", "var": "var"}  # fmt: skip
    asked = [
        {
            "statisticType": kind,
            "onStatisticField": "confidence",
            "outStatisticFieldName": f"s_{kind}",
        }
        for kind in kinds
    ]
    answer = ask(client, outStatistics=json.dumps(asked), orderByFields="s_sum DESC",
                 groupByFieldsForStatistics="Class", where="OBJECTID > 10")  # fmt: skip
    found = pd.DataFrame([one["attributes"] for one in answer["features"]]).set_index("Class")
    wanted = frame[frame.OBJECTID > 10].groupby("Class").Confidence.agg(list(kinds.values()))
    wanted = wanted.sort_values("sum", ascending=False)
    assert found.index.tolist() == wanted.index.tolist()
    np.testing.assert_allclose(found.to_numpy(float), wanted.to_numpy(float), rtol=1e-12)
    assert [one["name"] for one in answer["fields"]] == ["Class", *(f"s_{kind}" for kind in kinds)]


def test_quantized_rings_are_the_rings(client, frame):
    bounds = frame.total_bounds
    grid = {"mode": "view", "originPosition": "upperLeft", "tolerance": 0.5,
            "extent": dict(zip(("xmin", "ymin", "xmax", "ymax"), bounds, strict=True))}  # fmt: skip
    answer = ask(client, quantizationParameters=json.dumps(grid), returnCentroid="true")
    assert answer["transform"] == {"originPosition": "upperLeft", "scale": [0.5, 0.5],
                                   "translate": [bounds[0], bounds[3]]}  # fmt: skip
    for one, shape in zip(answer["features"], frame.geometry, strict=True):
        rings = [np.cumsum(ring, axis=0) * (0.5, -0.5) + (bounds[0], bounds[3])
                 for ring in one["geometry"]["rings"]]  # fmt: skip
        parts = shapely.get_parts(shape)
        outer = [ring for ring in rings if not shapely.is_ccw(shapely.LinearRing(ring))]
        assert len(outer) == len(parts)
        again = shapely.union_all([shapely.Polygon(ring) for ring in outer])
        assert shapely.hausdorff_distance(again, shapely.union_all(
            [shapely.Polygon(part.exterior) for part in parts])) <= 0.5  # fmt: skip
        middle = np.array([one["centroid"]["x"], one["centroid"]["y"]]) * (0.5, -0.5)
        apart = middle + np.array([bounds[0], bounds[3]]) - shape.centroid.coords[0]
        assert np.abs(apart).max() <= 0.25


def test_what_is_too_small_for_the_grid_has_no_rings(client):
    answer = ask(client, quantizationParameters='{"tolerance": 10000}', objectIds="3")
    assert answer["features"][0]["geometry"] == {"rings": []}


def test_precision_and_simplification(client, frame):
    answer = ask(client, geometryPrecision="1", objectIds="1", maxAllowableOffset="0.5")
    rings = answer["features"][0]["geometry"]["rings"]
    points = np.concatenate([np.array(ring) for ring in rings])
    assert (points == points.round(1)).all()
    assert len(points) < len(shapely.get_coordinates(frame.geometry[0]))


def test_one_feature(client, frame):
    answer = ask(client, "/0/7")
    assert answer["feature"]["attributes"]["OBJECTID"] == 7
    assert answer["feature"]["attributes"]["Class"] == frame.Class[6]
    assert ask(client, "/0/9999")["error"]["code"] == 404
    assert "query" in ask(client, "/0/delete")["error"]["message"]


def test_layer_and_service(client, frame):
    layer, service = ask(client, "/0/"), ask(client, "/")
    assert layer["type"] == "Feature Layer"
    assert layer["maxRecordCount"] >= 2000
    assert layer["supportedQueryFormats"] == service["supportedQueryFormats"] == "JSON, geoJSON"
    assert layer["extent"]["xmin"] == pytest.approx(frame.total_bounds[0])
    assert service["layers"][0]["geometryType"] == "esriGeometryPolygon"
    infos = layer["drawingInfo"]["renderer"]["uniqueValueInfos"]
    assert [one["value"] for one in infos] == ["tree", "it's <b>"]
    assert infos[0]["symbol"]["outline"]["color"] == [0, 170, 0, 255]
    assert layer["downloads"] == [
        {"name": "found.gpkg", "url": f"http://testserver{ROOT}/download/found.gpkg"}
    ]
    assert ask(client, "/layers")["layers"][0]["name"] == "found"


def test_an_empty_service_is_a_valid_layer(client):
    root = "/arcgis/rest/services/Hosted/empty/FeatureServer"
    layer = ask(client, "/0", root)
    assert layer["geometryType"] == "esriGeometryPolygon"
    assert layer["extent"]["spatialReference"]["wkid"] == 4326
    assert layer["downloads"] == []
    answer = ask(client, "/0/query", root, outFields="*", geometry="0,0,1,1", outSR="3857")
    assert answer["features"] == []
    assert len(answer["fields"]) == 4
    assert ask(client, "/0/query", root, returnCountOnly="true") == {"count": 0}
    assert ask(client, "/0/query", root, returnIdsOnly="true")["objectIds"] == []
    assert ask(client, "/0/query", root, returnExtentOnly="true")["count"] == 0


@pytest.mark.parametrize(
    ("name", "code"), [("mine", 404), ("nope", 404), ("raster", 404), ("gone", 500)]
)
def test_what_is_not_there_is_said(client, name, code):
    root = f"/arcgis/rest/services/Hosted/{name}/FeatureServer"
    for path in ("", "/0", "/0/query", "/0/1"):
        assert ask(client, path, root)["error"]["code"] == code


def test_a_page_for_people_escapes(client):
    answer = client.get(f"{ROOT}/0/query?where=1=1&outFields=*", headers={"Accept": "text/html"})
    assert answer.headers["content-type"].startswith("text/html")
    assert "it&#x27;s &lt;b&gt;" in answer.text
    assert "<b>" not in answer.text
    for path in ("", "/0", "/0/3"):
        assert "<h1>found" in client.get(f"{ROOT}{path}?f=html").text
