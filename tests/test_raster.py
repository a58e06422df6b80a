import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine

from geodl_lab import open_raster
from geodl_lab.errors import OptionError, RasterError
from geodl_lab.grid import Window
from geodl_lab.inputs import InputSpec
from geodl_lab.raster import area_window, as_raster, say_if_other_cell_size
from geodl_lab.sources import make_source
from geodl_lab.testing import make_raster, wrap

RGBN = InputSpec(("red", "green", "blue", "nir"))
RGB = InputSpec(("red", "green", "blue"))


def test_naip_alpha_is_near_infrared(tmp_path):
    """GDAL calls the 4th band of an RGBN file alpha; it is a band like the others."""
    path = tmp_path / "naip.tif"
    values = make_raster((4, 64, 64)).values
    values[3, :10] = 0
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=64,
        width=64,
        count=4,
        dtype="uint8",
        photometric="rgb",
        alpha="yes",
    ) as file:
        assert file.colorinterp[3].name == "alpha"
        file.write(values)
    raster = as_raster(open_raster(path))
    assert raster.band_names == ("red", "green", "blue", "")
    source = make_source(raster, RGBN)
    assert (source.read(Window(0, 0, 64, 64)) == values).all()


def test_a_rgb_model_takes_rgb_of_a_file_by_colour(tmp_path):
    path = tmp_path / "photo.png"
    values = make_raster((4, 32, 32)).values
    with rasterio.open(
        path, "w", driver="PNG", height=32, width=32, count=4, dtype="uint8"
    ) as file:
        file.write(values)
    source = make_source(as_raster(open_raster(path)), RGB)
    assert (source.read(Window(0, 0, 32, 32)) == values[:3]).all()


def test_dimensions_are_brought_into_order():
    raster = make_raster((3, 10, 20))
    assert as_raster(raster.transpose("x", "band", "y")).shape_yx == (10, 20)
    assert as_raster(raster[0]).array.shape == (1, 10, 20)
    assert as_raster(raster.rename(y="lat", x="lon")).shape_yx == (10, 20)
    assert as_raster(raster.rename(band="channel")).array.dims == ("channel", "y", "x")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (xr.DataArray(np.zeros((2, 3, 4, 5)), dims=("time", "band", "y", "x")), r"isel\(time=0\)"),
        (xr.DataArray(np.zeros((3, 4)), dims=("a", "b")), "possible are band, y, x"),
        (xr.DataArray(np.zeros((1, 0, 4)), dims=("band", "y", "x")), "is empty"),
        (xr.DataArray(np.full((4, 4), "a"), dims=("y", "x")), "no numbers"),
        (xr.DataArray(np.zeros((3, 4, 5)), dims=("time", "y", "x")), "steps in time are no bands"),
    ],
)
def test_arrays_that_are_no_rasters_are_refused(array, message):
    with pytest.raises(RasterError, match=message):
        as_raster(array)


def test_nodata_that_the_type_cannot_hold_is_none():
    raster = make_raster((1, 8, 8)).astype("int16").rio.write_nodata(-9999)
    assert as_raster(raster).nodata == -9999
    assert as_raster(raster.astype("uint8", keep_attrs=True)).nodata is None


def test_transform_follows_coordinates_not_a_stale_attribute():
    raster = make_raster((1, 50, 60))
    base = raster.rio.transform()
    assert as_raster(raster).transform == base
    part = as_raster(raster.isel(y=slice(10, 20), x=slice(5, 9)))
    assert part.transform.almost_equals(base * Affine.translation(5, 10))
    thin = as_raster(raster[:, ::2, ::2])
    assert thin.transform.a == pytest.approx(1.2)
    bare = as_raster(raster.drop_vars(["x", "y", "spatial_ref"]))
    assert bare.transform == Affine.identity()
    assert as_raster(raster[:, ::-1]).transform.e == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("cell_size", "said"), [(0.1, True), (0.6, False), (1.0, False), (5.0, True)]
)
def test_a_cell_size_far_from_the_models_is_told(cell_size, said, caplog):
    raster = as_raster(make_raster(cell_size=cell_size))
    say_if_other_cell_size(raster, InputSpec(("red",), cell_size=0.6))
    say_if_other_cell_size(raster, InputSpec(("red",)))
    assert ("was trained at 0.6 m" in caplog.text) == said


def test_area_takes_the_pixels_it_touches():
    raster = as_raster(make_raster((1, 50, 60), cell_size=2))
    left, _, _, top = raster.bounds
    assert area_window(raster, None) == Window(0, 0, 50, 60)
    assert area_window(raster, (left + 4, top - 20, left + 11, top - 6)) == Window(3, 2, 7, 4)
    assert area_window(raster, (left - 99, top - 4, left + 4, top + 99)) == Window(0, 0, 2, 2)
    flipped = as_raster(make_raster((1, 50, 60), cell_size=2)[:, ::-1])
    assert area_window(flipped, (left, top - 4, left + 4, top)) == Window(48, 0, 2, 2)


@pytest.mark.parametrize("area", ["all", (1, 2, 3), (5, 0, 1, 9), (0, 0, float("nan"), 1)])
def test_impossible_areas_are_refused(area):
    with pytest.raises(OptionError, match="give"):
        area_window(as_raster(make_raster()), area)


def test_files_that_are_no_rasters_are_named(tmp_path):
    text = tmp_path / "text.tif"
    text.write_text("no raster")
    with pytest.raises(RasterError, match="does not open as a raster"):
        open_raster(text)
    with pytest.raises(RasterError, match="there is no file"):
        open_raster(tmp_path / "none.tif")


def test_an_area_on_the_edge_of_a_pixel_is_that_pixel():
    raster = as_raster(wrap(np.zeros((1, 10, 10), np.uint8), cell_size=1))
    window = area_window(raster, (400_003, 3_699_994, 400_003 + 1e-9, 3_699_996))
    assert (window.x, window.width, window.y, window.height) == (3, 1, 4, 2)


def test_flags_in_words_of_others_are_left_as_they_are(tmp_path):
    path = tmp_path / "a.tif"
    make_raster((1, 20, 20)).assign_attrs(flag_values="0b, 1b").rio.to_raster(path)
    assert open_raster(path).attrs["flag_values"] == "0b, 1b"
