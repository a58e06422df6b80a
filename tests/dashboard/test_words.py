"""What the app says."""

import dask.array
import geopandas
import numpy as np
import pandas
import pytest
import xarray as xr

from geodl_lab.dashboard import words
from geodl_lab.errors import OptionError
from geodl_lab.raster import as_raster
from geodl_lab.remote_jobs import RemoteJob
from geodl_lab.remote_rasters import RemoteModel
from geodl_lab.totals import label_counts


def raster(bands=2, crs=32611):
    array = xr.DataArray(
        np.ones((bands, 20, 30), "uint8"), dims=("band", "y", "x"),
        coords={"y": 1000 - np.arange(20) * 10.0, "x": np.arange(30) * 10.0},
    )  # fmt: skip
    return as_raster(array.rio.write_crs(crs) if crs else array)


def model(name, bands, **card):
    return RemoteModel({"name": name, "task": "classify", "bands": bands, **card})


def test_a_raster_on_one_line():
    said = words.raster_line(raster())
    assert said == "30 x 20 px · 2 bands (unnamed, unnamed) · EPSG:32611"
    assert "1 band (unnamed) · no place on Earth" in words.raster_line(raster(1, None))


def test_how_large_an_area_is():
    assert words.area_line(raster(), None) == "30 x 20 px, 6.0 ha"
    assert words.area_line(raster(), (-5, 905, 105, 1005)) == "11 x 10 px, 1.1 ha"
    assert words.area_line(raster(crs=None), None) == "30 x 20 px"


def test_models_that_fit_come_first_and_the_best_of_them_before():
    models = [model("a", ["red"]), model("b", ["red", "nir"]), model("c", ["red", "nir"])]
    judged = words.ordered(models, raster(), "c")
    assert [one.reference for one, _ in judged] == ["c", "b", "a"]
    assert [bool(misfit) for _, misfit in judged] == [False, False, True]
    assert words.model_label(*judged[2]) == "a: a class for every pixel (does not fit)"


def test_a_card_escapes_what_a_package_says():
    html = words.card_html(model("<i>", ["red"], description="<script>", classes=[]).card)
    assert "<script>" not in html and "&lt;i&gt;" in html


def test_bars_are_as_long_as_what_they_stand_for():
    areas = pandas.DataFrame(
        {"value": [1, 2], "name": ["a", "b"], "color": ["#111111", "#222222"],
         "pixels": [1, 3], "hectares": [0.5, 1.5], "share": [0.25, 0.75]}
    )  # fmt: skip
    html = words.areas_html(areas)
    assert html.index("1.50 ha · 75.0 %") < html.index("0.50 ha · 25.0 %")
    assert "width:100.0%" in html and "width:33.3%" in html
    areas["hectares"] = np.nan
    assert "3 px · 75.0 %" in words.areas_html(areas)


def test_objects_are_counted_in_the_colours_of_the_map():
    frame = geopandas.GeoDataFrame({"label": ["x", "x", "y"]}, geometry=[None] * 3)
    html = words.counts_html(label_counts(frame), {"x": "#123456"})
    assert "#123456" in html and "#808080" in html
    none = words.counts_html(label_counts(frame.iloc[:0]), {})
    assert "No objects were found" in none


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"state": "pending"}, "Waiting for its turn."),
        ({"state": "running", "percent": 50.0}, "Running: 50 %, about 10 s left."),
        ({"state": "succeeded"}, "Done in 10 s."),
        ({"state": "cancelled"}, "Cancelled."),
        ({"state": "failed", "messages": [{"text": "no such raster."}]},
         "It failed: No such raster."),
    ],
)  # fmt: skip
def test_where_a_job_stands(values, said):
    job = RemoteJob(None, {"percent": 0.0, "seconds": 10.0, "messages": [], **values})
    assert words.run_line(job) == said


def test_what_went_wrong_is_an_alert():
    assert "role='alert'" in words.note_html("It <failed>.", "bad")
    assert "&lt;failed&gt;" in words.note_html("It <failed>.")
    assert words.note_html("") == ""


def test_a_large_area_says_that_it_is_much():
    image = xr.DataArray(dask.array.zeros((1, 20000, 20000), chunks=5000), dims=("band", "y", "x"))
    assert words.area_line(as_raster(image), None).endswith("draw a part of it to try first.")


def test_labels_of_an_image_are_bars_of_their_scores():
    found = pandas.DataFrame({"label": ["land"], "score": [0.7]})
    html = words.labels_html(found, {"land": "#112233"})
    assert "width:70.0%" in html and "0.70" in html and "#112233" in html


@pytest.mark.parametrize(("text", "value"), [("", None), (" 0,25 ", 0.25), ("1", 1.0)])
def test_a_least_score_is_read(text, value):
    assert words.number(text) == value


@pytest.mark.parametrize("text", ["two", "1.5", "-1", "nan"])
def test_a_least_score_that_is_none_is_refused(text):
    with pytest.raises(OptionError, match=r"is not possible; give a number of 0 to 1"):
        words.number(text)
