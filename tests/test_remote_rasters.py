"""Rasters, models and areas as a job server is told of them."""

import json

import geopandas
import numpy as np
import pytest
import shapely
import xarray as xr

from geodl_lab.errors import OptionError
from geodl_lab.raster import as_raster
from geodl_lab.remote_rasters import (
    RemoteModel,
    RemoteRaster,
    arguments_of,
    context_of,
    raster_reference,
)


def raster(bands, dtype="uint8", names=None):
    array = xr.DataArray(np.ones((bands, 4, 4), dtype), dims=("band", "y", "x"))
    if names:
        array.attrs["long_name"] = names
    return as_raster(array)


def model(**card):
    return RemoteModel({"name": "m", "task": "classify", "bands": ["red", "nir"], **card})


def test_what_names_a_raster():
    own = RemoteRaster("a.tif", {"itemId": "0" * 32})
    assert raster_reference(own) == {"itemId": "0" * 32}
    assert raster_reference("/fileShares/s/a.tif") == {"uri": "/fileShares/s/a.tif"}
    assert raster_reference("https://a.b/c.tif") == {"url": "https://a.b/c.tif"}
    with pytest.raises(OptionError, match=r"cannot see the raster 'a\.tif'.*\.upload\(path\)"):
        raster_reference("a.tif")


def test_a_model_fits_by_bands_and_pixel_type():
    assert model().misfit(raster(2)) == ""
    assert model().misfit(raster(3, names=("nir", "green", "red"))) == ""
    assert model().misfit(raster(1)) == (
        "The model wants 2 bands (red, nir) and the raster has 1 (band 1 (unnamed))."
    )
    said = model(dtype="uint8").misfit(raster(2, "uint16"))
    assert said == "The model wants uint8 pixels and the raster has uint16."


def test_a_model_that_does_not_run_says_so():
    one = model(runnable=False, reason="it is of Keras; convert it")
    assert one.misfit(raster(2)) == "It does not run: it is of Keras."


@pytest.mark.parametrize(
    ("area", "crs", "reference"),
    [
        ((1, 2, 3, 4), None, None),
        ((1, 2, 3, 4), 4326, {"wkid": 4326}),
        (shapely.box(1, 2, 3, 4), "EPSG:32611", {"wkid": 32611}),
        (geopandas.GeoSeries([shapely.box(1, 2, 3, 4)], crs=26911), None, {"wkid": 26911}),
    ],
)
def test_an_area_has_sides_and_its_crs(area, crs, reference):
    extent = json.loads(context_of(area, crs))["extent"]
    assert [extent[side] for side in ("xmin", "ymin", "xmax", "ymax")] == [1, 2, 3, 4]
    assert extent.get("spatialReference") == reference


def test_a_crs_without_a_code_is_told_as_text():
    crs = "+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84"
    extent = json.loads(context_of((0, 0, 1, 1), crs))["extent"]
    assert extent["spatialReference"]["wkt"].startswith("PROJCS")


def test_devices():
    assert json.loads(context_of(None, None)) == {}
    assert json.loads(context_of(None, None, device="cpu")) == {"processorType": "CPU"}
    both = {"processorType": "GPU", "gpuId": 1}
    assert json.loads(context_of(None, None, device="cuda:1")) == both
    with pytest.raises(OptionError, match=r"device 'tpu' is not possible; use auto"):
        context_of(None, None, device="tpu")


def test_what_is_no_area_or_crs_is_said():
    with pytest.raises(OptionError, match=r"area 'here' is not possible"):
        context_of("here", None)
    with pytest.raises(OptionError, match=r"CRS 'moon' is not known"):
        context_of((0, 0, 1, 1), "moon")


def test_options_have_the_names_of_the_protocol():
    given = json.loads(arguments_of({"tta": True, "threshold": 0.3, "padding": None}))
    assert given == {"test_time_augmentation": True, "threshold": 0.3}
    with pytest.raises(OptionError, match="no option speed of a job; there are threshold"):
        arguments_of({"speed": 3})
