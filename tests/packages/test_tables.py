"""docs/models.md: its tables are those of the code, and its Python runs as it stands."""

import re
import sys
import types

import matplotlib as mpl
import pytest

from geodl_lab.packages import tables

TEXT = tables.PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", re.sub(r"<!--.*?-->", "", TEXT, flags=re.S), re.S)


def test_the_page_has_the_tables_of_the_code():
    assert tables.filled(TEXT) == TEXT, "run: python -m geodl_lab.packages.tables"
    assert set(tables.MARKED.findall(TEXT)) == set(tables.TABLES)


def test_a_table_that_is_out_of_date_is_found():
    older = TEXT.replace("| Esri model |", "| Esri |")
    assert older != TEXT and tables.filled(older) == TEXT


def test_keys_are_a_table(monkeypatch):
    fake = types.SimpleNamespace(KEYS={"Bands": "used | kept"})
    monkeypatch.setitem(sys.modules, "geodl_lab.packages.mlm", fake)
    page = tables.filled("<!-- table mlm -->\n<!-- end -->\n")
    assert "| `Bands` | used / kept |\n" in page and tables.filled(page) == page


@pytest.mark.slow
# The page writes ONNX by torch's older exporter, which needs no package more.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_python_runs_as_it_stands(tmp_path, monkeypatch, models_folder, capsys):
    mpl.use("agg")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCKS:  # one after the other, as a reader does
        exec(compile(block, "docs/models.md", "exec"), names)
    said = capsys.readouterr().out
    assert len(names["trees"]) > 0 and "heatmap, least score" in said
    assert models_folder in names["one"].folder.parents and "crowns@1.0.0#" in said
    for kind in ("live", "crowns", "again", "script", "onnx", "tensors", "exported", "item"):
        assert names[kind].package.classes
    assert "runs its own Python code" in said and "convert the weights to ONNX" in said
    assert names["labelled"].label.notna().all() and "vegetation" in said and "green" in said
    assert f"the sha256 '{'0' * 64}', but the content has" in said
