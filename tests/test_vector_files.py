"""Batches make the file that one write makes; GDAL's own writer is the second way."""

import itertools
import json
import warnings

import geopandas
import geopandas.testing
import numpy as np
import pyarrow.parquet
import pyogrio
import pytest
import shapely

from geodl_lab import vector_files
from geodl_lab.errors import OutputError
from geodl_lab.vector_files import (
    GEOMETRY,
    VECTOR_DRIVERS,
    object_writer,
    save_objects,
    write_objects,
)

PROVENANCE = {"geodl_model": "m", "geodl_recipe": json.dumps({"halo": 3}), "geodl_version": "0"}
ENDINGS = [ending.removeprefix(".") for ending in VECTOR_DRIVERS]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def objects(count=40, crs="EPSG:26911", *, points=False):
    """Boxes or points in a row, as `detect` gives them."""
    boxes = [(400_000 + 9 * i, 3_700_000, 400_005 + 9 * i, 3_700_004) for i in range(count)]
    columns = {
        "label": ["tree"] * count,
        "label_id": np.ones(count, dtype=np.int64),
        "score": np.linspace(0.5, 1, count),
    }
    geometry = [shapely.box(*box) for box in boxes]
    if points:
        corners = np.array(boxes, dtype=float).reshape(-1, 4).T
        columns |= dict(zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
        geometry = [shape.centroid for shape in geometry]
    frame = geopandas.GeoDataFrame(columns, geometry=geometry, crs=crs)
    frame.attrs = dict(PROVENANCE)
    return frame


def read(path):
    parquet = path.suffix == ".parquet"
    return geopandas.read_parquet(path) if parquet else geopandas.read_file(path)


@pytest.mark.parametrize("points", [False, True])
@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("ending", ["parquet", "gpkg", "geojson"])
def test_objects_are_read_back(tmp_path, ending, count, points):
    frame = objects(count, points=points)
    path = save_objects(frame, tmp_path / f"a.{ending}")
    assert names(tmp_path) == [path.name]
    back = read(path)
    assert back.crs.to_epsg() == (4326 if ending == "geojson" else 26911)
    assert len(back) == count
    if count:
        assert set(back.columns) == set(frame.columns)
        assert back["label"].tolist() == ["tree"] * count
        assert back["label_id"].tolist() == [1] * count
        assert np.allclose(back["score"], frame["score"])
        same = back.to_crs(26911).geometry.geom_equals_exact(frame.geometry, 0.01)
        assert same.all() or ending == "geojson"
        assert np.allclose(back.to_crs(26911).total_bounds, frame.total_bounds, atol=0.02)


@pytest.mark.parametrize("ending", ["parquet", "gpkg", "geojson"])
def test_objects_without_a_crs(tmp_path, ending):
    path = save_objects(objects(crs=None), tmp_path / f"a.{ending}")
    assert np.allclose(read(path).total_bounds, objects().total_bounds)


def test_objects_keep_their_provenance(tmp_path):
    frame = objects()
    parquet = save_objects(frame, tmp_path / "a.parquet")
    assert geopandas.read_parquet(parquet).attrs == PROVENANCE
    gpkg = save_objects(frame, tmp_path / "a.gpkg")
    assert pyogrio.read_info(gpkg)["layer_metadata"] == PROVENANCE
    geojson = save_objects(frame, tmp_path / "a.geojson")
    assert json.loads(json.loads(geojson.read_text())["description"]) == PROVENANCE


@pytest.mark.parametrize("size", ["8k", "64k", "300k", "1M"])
@pytest.mark.parametrize("ending", ["parquet", "gpkg", "geojson"])
def test_a_full_disk_leaves_no_objects(disk, size, ending):
    folder = disk(size)
    count = 15_000 if ending == "parquet" else 6_000
    frame = objects(count * (4 if size == "1M" else 1))
    frame["score"] = np.random.default_rng(0).random(len(frame))
    with pytest.raises(OutputError, match=r"could not be written \(.+MB are free there\)"):
        save_objects(frame, folder / f"a.{ending}")
    assert names(folder) == []


def test_endings_are_checked(tmp_path):
    with pytest.raises(OutputError, match=r"end it on .parquet, .gpkg, .geojson"):
        save_objects(objects(), tmp_path / "a.shp")


def cut(frame, sizes):
    edges = np.cumsum([0, *sizes])
    assert edges[-1] == len(frame)
    return [frame.iloc[start:stop] for start, stop in itertools.pairwise(edges)]


@pytest.mark.parametrize("crs", ["EPSG:26911", None])
@pytest.mark.parametrize("points", [False, True])
@pytest.mark.parametrize("sizes", [[40], [1, 0, 38, 1], [0, 10, 10, 10, 10, 0], [16, 24]])
@pytest.mark.parametrize("ending", ENDINGS)
def test_batches_make_the_file_that_one_write_makes(
    tmp_path, monkeypatch, ending, sizes, points, crs
):
    frame = objects(crs=crs, points=points)
    one, many = tmp_path / f"one/a.{ending}", tmp_path / f"many/a.{ending}"
    one.parent.mkdir()
    many.parent.mkdir()
    write_objects(frame, one)
    monkeypatch.setattr(vector_files, "GROUP", 16)
    with object_writer(many, frame, attrs=frame.attrs) as writer:
        for batch in cut(frame, sizes):
            writer.write(batch)
        assert writer.count == 40
    geopandas.testing.assert_geodataframe_equal(read(many), read(one))
    if ending == "geojson":
        assert many.read_bytes() == one.read_bytes()
    if ending == "parquet":
        file = pyarrow.parquet.ParquetFile(many)
        assert [file.metadata.row_group(i).num_rows for i in range(3)] == [16, 16, 8]
        assert read(many).attrs == PROVENANCE


@pytest.mark.parametrize("crs", ["EPSG:26911", "EPSG:4326", None])
@pytest.mark.parametrize("points", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_geopandas_own_files_read_the_same(tmp_path, ending, points, crs):
    frame = objects(crs=crs, points=points)
    frame.loc[3, "score"] = np.nan
    path, other = save_objects(frame, tmp_path / f"a.{ending}"), tmp_path / f"b.{ending}"
    if ending == "parquet":
        frame.to_parquet(other, index=False)
        mine, right = (pyarrow.parquet.read_schema(file) for file in (path, other))
        assert mine.names == right.names
        assert mine.metadata.keys() == right.metadata.keys()
        assert json.loads(mine.metadata[b"geo"]) == json.loads(right.metadata[b"geo"])
    else:
        whole = frame.to_crs(4326) if ending == "geojson" and crs else frame
        whole.to_file(other, driver=VECTOR_DRIVERS[f".{ending}"], engine="pyogrio")
    geopandas.testing.assert_geodataframe_equal(
        read(path), read(other), check_less_precise=ending == "geojson"
    )


@pytest.mark.parametrize("points", [False, True])
@pytest.mark.parametrize("crs", ["EPSG:26911", None])
@pytest.mark.parametrize("ending", ENDINGS)
def test_no_batch_is_an_empty_file(tmp_path, ending, crs, points):
    frame, path = objects(crs=crs, points=points), tmp_path / f"a.{ending}"
    with object_writer(path, frame, attrs=PROVENANCE) as writer:
        assert writer.count == 0
    back = read(path)
    assert len(back) == 0
    if ending == "geojson":
        assert json.loads(path.read_text())["features"] == []
        return
    assert set(back.columns) == set(frame.columns)
    assert back.crs == frame.crs
    if ending == "gpkg":
        about = pyogrio.read_info(path)
        assert about["geometry_type"] == ("Point" if points else "Polygon")
        assert about["layer_metadata"] == PROVENANCE
    else:
        assert back.attrs == PROVENANCE
        kinds = dict(zip(back.columns, back.dtypes, strict=True))
        assert kinds["score"] == "float64" and kinds["label_id"] == "int64"


def test_text_columns_need_no_rows(tmp_path):
    frame = objects(0)
    frame["label"] = frame["label"].astype(object)
    path = tmp_path / "a.parquet"
    with object_writer(path, frame, attrs={}) as writer:
        writer.write(objects(5))
    assert read(path)["label"].tolist() == ["tree"] * 5


def test_the_bounds_of_a_parquet_file_are_those_of_all_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_files, "GROUP", 16)
    frame, path = objects(points=False), tmp_path / "a.parquet"
    mixed = objects(8)
    mixed.geometry = [shapely.union_all([box, shapely.box(0, 0, 1, 1)]) for box in mixed.geometry]
    with object_writer(path, frame, attrs={}) as writer:
        writer.write(mixed)
        writer.write(frame.iloc[20:])
    (column,) = json.loads(pyarrow.parquet.read_schema(path).metadata[b"geo"])["columns"].values()
    assert column["bbox"] == [0, 0, *frame.total_bounds[2:]]
    assert column["geometry_types"] == ["MultiPolygon", "Polygon"]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 26911}


def test_batches_that_do_not_fit_are_refused(tmp_path):
    frame = objects()
    with object_writer(tmp_path / "a.parquet", frame, attrs={}) as writer:
        with pytest.raises(OutputError, match=r"a batch has the columns \['label', 'score'"):
            writer.write(frame.drop(columns="label_id"))
        with pytest.raises(OutputError, match=r"in EPSG:32611, but the file has .* EPSG:26911"):
            writer.write(frame.to_crs(32611))


def test_geojson_is_what_rfc_7946_asks_for(tmp_path):
    frame = objects(6)
    frame.geometry = [*frame.geometry[:3], *(shape.reverse() for shape in frame.geometry[3:])]
    frame["label"] = ['a "b"\n', "höher", None, "x", "y", "z"]
    document = json.loads(save_objects(frame, tmp_path / "a.geojson").read_text("utf-8"))
    assert document["type"] == "FeatureCollection" and "crs" not in document
    rings = [np.array(item["geometry"]["coordinates"][0]) for item in document["features"]]
    assert all(shapely.LinearRing(ring).is_ccw for ring in rings)
    assert np.array_equal(np.round(rings, 9), rings) and (np.abs(rings) < 180).all()
    found = [item["properties"]["label"] for item in document["features"]]
    assert found == ['a "b"\n', "höher", None, "x", "y", "z"]
    assert document["features"][0]["properties"] == {
        "label": 'a "b"\n', "label_id": 1, "score": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_run_that_fails_passes_its_error_on(tmp_path, ending):
    frame = objects()
    with (
        pytest.raises(ZeroDivisionError, match="here"),
        object_writer(tmp_path / f"a.{ending}", frame, attrs={}) as writer,
    ):
        writer.write(frame)
        raise ZeroDivisionError("here")


def blobs(*, empty=False):
    """Outlines as masks have them: of one part, of two parts, of two with a hole."""
    hole = shapely.box(0, 0, 9, 9, ccw=False) - shapely.box(3, 3, 6, 6)
    shapes = [
        shapely.box(0, 0, 4, 4, ccw=False),
        shapely.MultiPolygon([shapely.box(20, 0, 24, 4, ccw=False), shapely.box(26, 0, 29, 4)]),
        shapely.MultiPolygon([hole, shapely.box(30, 30, 34, 34, ccw=False)]),
    ]
    frame = objects(3)
    frame = frame.set_geometry(shapely.transform(shapes, lambda xy: xy + np.array([4e5, 3.7e6])))
    frame = frame.set_crs(26911, allow_override=True)
    frame.attrs = {**PROVENANCE, GEOMETRY: "MultiPolygon"}
    return frame.iloc[:0] if empty else frame


def test_a_geopackage_of_masks_is_of_multipolygons(tmp_path):
    frame, path = blobs(), tmp_path / "a.gpkg"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # GDAL warns of a shape of another type than the layer's
        with object_writer(path, blobs(empty=True), attrs=frame.attrs) as writer:
            writer.write(frame)
    assert pyogrio.read_info(path)["geometry_type"] == "MultiPolygon"
    back = read(path)
    assert set(back.geom_type) == {"MultiPolygon"}
    assert back.geometry.geom_equals(frame.geometry).all()


def test_parts_are_seen_in_a_frame_that_does_not_name_its_type(tmp_path):
    frame = blobs()
    frame.attrs = {}
    path = save_objects(frame, tmp_path / "a.gpkg")
    assert pyogrio.read_info(path)["geometry_type"] == "MultiPolygon"


def test_all_rings_of_geojson_run_as_its_standard_says(tmp_path):
    path = save_objects(blobs(), tmp_path / "a.geojson")
    features = json.loads(path.read_text())["features"]
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in features]
    assert [shape.geom_type for shape in shapes] == ["Polygon", "MultiPolygon", "MultiPolygon"]
    parts = shapely.get_parts(shapes)
    assert all(part.exterior.is_ccw for part in parts)
    assert [ring.is_ccw for part in parts for ring in part.interiors] == [False]
