"""Vector files that are made of other files, or damaged, are refused."""

import json
import sqlite3
from contextlib import closing

import geopandas
import pytest
import shapely

from geodl_lab.errors import AccessError
from geodl_lab.jobs.vectors import check_vector, ending_of
from geodl_lab.vector_files import write_objects

FRAME = geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")


@pytest.mark.parametrize("ending", [".gpkg", ".parquet", ".geojson"])
def test_our_own_files_pass_and_cut_off_ones_do_not(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write_objects(FRAME, path)
    assert check_vector(path) == path
    assert ending_of(path) == ending
    path.write_bytes(path.read_bytes()[:-50] if ending != ".gpkg" else path.read_bytes()[:90])
    with pytest.raises(AccessError, match="is damaged"):
        check_vector(path)


def test_a_virtual_table_may_be_another_file(tmp_path):
    write_objects(FRAME, tmp_path / "a.gpkg")
    with closing(sqlite3.connect(tmp_path / "a.gpkg")) as database:
        database.execute("CREATE VIRTUAL TABLE fine USING rtree(id, a, b)")
        database.commit()
        check_vector(tmp_path / "a.gpkg")
        database.execute("PRAGMA writable_schema=1")
        database.execute(
            "INSERT INTO sqlite_master VALUES "
            "('table', 'evil', 'evil', 0, 'CREATE  VIRTUAL\nTABLE evil USING VirtualOGR(''/etc'')')"
        )
        database.commit()
    with pytest.raises(AccessError, match="the virtual table 'evil'"):
        check_vector(tmp_path / "a.gpkg")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.geojson", "<OGRVRTDataSource></OGRVRTDataSource>", "is no GeoPackage"),
        ("a.gpkg", "{}", "is no GeoPackage"),
        ("a.tif", '{"type": "FeatureCollection"}', "is no GeoPackage"),
        ("a.geojson", '{"type": "FeatureCollection", "x": "<OGRVRTDataSource>"}', "by which GDAL"),
        ("a.geojson", '{"type": "Topology"}', "no FeatureCollection"),
        ("a.geojson", '{"a": ' + "[" * 100_000, "is damaged"),
        ("a.geojson", "", "is no GeoPackage"),
    ],
)
def test_other_texts(tmp_path, name, content, match):
    (tmp_path / name).write_text(content)
    with pytest.raises(AccessError, match=match):
        check_vector(tmp_path / name)


def test_json_may_have_a_mark_and_blanks_first(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("\n " + json.dumps({"type": "FeatureCollection", "features": []}))
    assert check_vector(path) == path
