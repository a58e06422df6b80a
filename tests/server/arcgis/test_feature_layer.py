"""Layers of GeoPackages: fields, names that collide, CRS."""

import geopandas
import numpy as np
import pytest
import shapely

from geodl_lab.server.arcgis.feature_layer import read_layer


def write(path, *, crs=26911, **columns):
    """A GeoPackage of two points."""
    frame = geopandas.GeoDataFrame(columns, geometry=shapely.points([[1, 2], [3, 4]]), crs=crs)
    frame.to_file(path, driver="GPKG", engine="pyogrio")
    return path


def names(layer):
    """Names and types of fields."""
    return {one.name: one.type.removeprefix("esriFieldType") for one in layer.fields}


OURS = {"label": ["a", "b"], "label_id": np.array([1, 2], np.int32), "score": [0.5, 1.0]}


def test_our_columns_have_the_names_that_users_know(tmp_path):
    layer = read_layer(write(tmp_path / "a.gpkg", **OURS, size=[1, 2], ok=[True, False]))
    assert names(layer) == {
        "OBJECTID": "OID", "Class": "String", "Classvalue": "Integer", "Confidence": "Double",
        "size": "Double", "ok": "SmallInteger",
    }  # fmt: skip
    assert (layer.geometry_type, layer.count, layer.bounds) == (
        "esriGeometryPoint",
        2,
        (1, 2, 3, 4),
    )
    assert layer.crs.to_epsg() == 26911
    assert layer.class_field == "Class"


def test_what_others_brought_keeps_its_name(tmp_path):
    own = {"CLASS": ["x", "y"], "objectid": [7, 8], 'we"ird': [1, 2]}
    layer = read_layer(write(tmp_path / "b.gpkg", **own, **OURS))
    assert list(names(layer)) == [
        "OBJECTID", "CLASS", "objectid_1", 'we"ird', "Class_1", "Classvalue", "Confidence",
    ]  # fmt: skip
    assert layer.class_field == "Class_1"


def test_a_label_in_a_field_of_its_own_leaves_the_others_their_names(tmp_path):
    columns = {name: values for name, values in OURS.items() if name != "label"}
    layer = read_layer(write(tmp_path / "b.gpkg", kind=["a", "b"], **columns))
    assert list(names(layer)) == ["OBJECTID", "kind", "Classvalue", "Confidence"]


def test_other_tables_are_served_as_they_are(tmp_path):
    layer = read_layer(write(tmp_path / "c.gpkg", label=["a", "b"], n=[1, 2]))
    assert list(names(layer)) == ["OBJECTID", "label", "n"]
    assert layer.class_field == "label"


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_no_crs_is_none(tmp_path):
    assert read_layer(write(tmp_path / "d.gpkg", crs=None, n=[1, 2])).crs is None


def test_no_file_is_an_empty_layer():
    layer = read_layer(None)
    assert (layer.count, layer.bounds, layer.geometry_type) == (0, None, "esriGeometryPolygon")
    assert list(names(layer)) == ["OBJECTID", "Class", "Classvalue", "Confidence"]
