"""Where clauses as SQL; what they find is tested against geopandas in test_feature_server."""

import sqlite3

import hypothesis.strategies as st
import pytest
from hypothesis import given

from geodl_lab.server.arcgis.web import ArcgisError
from geodl_lab.server.arcgis.where import Column, compile_where

COLUMNS = {"name": Column("Name", '"n"', "text"), "size": Column("Size", '"s"', "number")}
NAMES = ["a", "A", "a%b", "a_b", "axb", "*", "[a]", "it's", "", None, "ab"]


def found(where):
    """Rows that SQLite finds."""
    sql = compile_where(where, COLUMNS)
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE t (n TEXT, s REAL)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", zip(NAMES, range(99), strict=False))
        return [
            row[0] for row in connection.execute(f"SELECT n FROM t WHERE {sql.text}", sql.values)
        ]


@pytest.mark.parametrize(
    ("where", "names"),
    [("Name LIKE 'a_b'", ["a%b", "a_b", "axb"]), ("name LIKE 'a\\_b' ESCAPE '\\'", ["a_b"]),
     ("NAME LIKE 'a!%b' ESCAPE '!'", ["a%b"]), ("name LIKE '*'", ["*"]),
     ("name LIKE '[a]'", ["[a]"]),
     ("name = 'it''s'", ["it's"]), ("name = ''", [""]), ("name IS NULL", [None]),
     ("size = '0'", ["a"]), ("size IN (0, '1')", ["a", "A"]),
     ("NOT size > 0 OR size=1", ["a", "A"]),
     ("NOT (size < 1 OR size > 1)", ["A"]), ("size < 3 AND NOT name = 'a' OR size = 5",
                                             ["A", "a%b", "*"])],
)  # fmt: skip
def test_clauses_find(where, names):
    assert found(where) == names


def test_values_are_bound_and_names_looked_up():
    sql = compile_where("Name = 'x'' OR 1=1' AND Size >= 1e2", COLUMNS)
    assert sql.values == ("x' OR 1=1", 100.0)
    assert sql.text == '(("n" = ?) AND ("s" >= ?))'


@given(st.text(alphabet="nasize =<>'\"()%_?*;-,.10\\ANDORNTLIKEBW\n", max_size=60))
def test_only_our_own_words_reach_the_database(text):
    try:
        sql = compile_where(text, COLUMNS)
    except ArcgisError:
        return
    words = set(sql.text.replace("(", " ").replace(")", " ").replace(",", " ").split())
    assert words <= {'"n"', '"s"', "?", "=", "<", ">", "<>", "<=", ">=", "!=", "AND", "OR", "NOT",
                     "GLOB", "IN", "BETWEEN", "IS", "NULL", "UPPER", "LOWER"}  # fmt: skip


def test_what_is_wrong_is_said_with_its_place():
    with pytest.raises(ArcgisError, match="character 12, near 'GLOB 1'"):
        compile_where("name = 'x' GLOB 1", COLUMNS)
    with pytest.raises(ArcgisError, match="where it ends"):
        compile_where("name = ", COLUMNS)
    with pytest.raises(ArcgisError, match="'nam'; there are Name, Size"):
        compile_where("nam = 1", COLUMNS)
