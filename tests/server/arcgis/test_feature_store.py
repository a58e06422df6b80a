"""Reading from SQLite against numpy and shapely; the rest is in test_feature_server."""

import sqlite3

import numpy as np
import pytest

from geodl_lab.server.arcgis import feature_store
from geodl_lab.server.arcgis.feature_layer import connect, read_layer
from geodl_lab.server.arcgis.feature_query import parse_query
from geodl_lab.server.arcgis.web import ArcgisError, Parameters


def test_variance_does_not_cancel():
    values = np.random.default_rng(0).normal(1e9, 1, 1000)
    with sqlite3.connect(":memory:") as connection:
        feature_store._add_functions(connection, None)
        connection.execute("CREATE TABLE t (x REAL)")
        connection.executemany("INSERT INTO t VALUES (?)", [(x,) for x in values])
        found = connection.execute("SELECT variance(x), deviation(x) FROM t").fetchone()
    assert found == pytest.approx((values.var(ddof=1), values.std(ddof=1)), rel=1e-6)


def test_a_query_that_takes_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr(feature_store, "SECONDS", 0.0)
    layer = read_layer(None)
    endless = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    )
    query = parse_query(Parameters({}), layer, format="json")
    with (
        pytest.raises(ArcgisError, match="took more than"),
        feature_store.open_store(layer, query) as store,
    ):
        store.connection.execute(endless)


def test_files_cannot_be_written(tmp_path):
    path = tmp_path / "a b?#%.gpkg"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    with connect(path) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("INSERT INTO t VALUES (1)")
