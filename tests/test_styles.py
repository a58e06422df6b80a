"""Colours and legends: stretches over the whole raster, classes, colour maps, hard rasters."""

import numpy as np
import pytest
import xarray as xr

from geodl_lab import open_raster, styles
from geodl_lab.errors import OptionError
from geodl_lab.package import LabelClass
from geodl_lab.raster import as_raster
from geodl_lab.styles import (
    Classes,
    Ramp,
    Swatch,
    TrueColor,
    label_colors,
    percentiles,
    style_of,
)
from geodl_lab.testing import make_raster, wrap

FLAGS = {
    "flag_values": np.array([0, 3], dtype=np.uint8),
    "flag_meanings": "open_water tree",
    "flag_colors": "#0000ff #00ff00",
}


def test_an_image_is_stretched_band_by_band_over_pixels_with_data():
    raster = make_raster((4, 50, 60), nodata=0)
    raster[:, :5] = 0
    style = style_of(raster)
    assert isinstance(style, TrueColor) and style.legend is None
    for band in range(3):
        expected = np.percentile(raster.values[band, 5:], (2, 98))
        assert (style.low[band], style.high[band]) == pytest.approx(tuple(expected))
    rgba = style.rgba(raster.values)
    assert rgba.shape == (50, 60, 4) and rgba.dtype == np.uint8
    assert (rgba[:5, :, 3] == 0).all() and (rgba[5:, :, 3] == 255).all()
    value, low, high = raster.values[1, 20, 30], style.low[1], style.high[1]
    assert rgba[20, 30, 1] == round(255 * np.clip((value - low) / (high - low), 0, 1))


def test_bands_are_chosen_and_one_is_gray():
    raster = make_raster((4, 20, 20), names=("red", "green", "blue", "nir"))
    false = style_of(raster, bands=(4, 1, 2))
    assert false.bands == (3, 0, 1)
    gray = style_of(raster, bands=[4])
    assert isinstance(gray, Ramp) and gray.band == 3 and gray.legend.label == "nir"
    rgba = gray.rgba(raster.values)
    assert np.array_equal(rgba[..., 0], rgba[..., 2])
    for wrong in ([5], [0, 1, 2], [1, 2]):
        with pytest.raises(OptionError, match="not all in the raster, which has 1 to 4"):
            style_of(raster, bands=wrong)


def test_a_stretch_can_be_given():
    raster = make_raster((3, 20, 20))
    assert style_of(raster, stretch=(10, 20)).high == (20, 20, 20)
    for wrong in ((3, 3), (0, float("nan")), "ab", 7):
        with pytest.raises(OptionError, match="give two stored values"):
            style_of(raster, stretch=wrong)


def test_classes_have_their_colours_and_the_rest_none():
    values = np.array([[[0, 3, 255, 7]]], np.uint8)
    style = style_of(wrap(values, nodata=255)[0].assign_attrs(FLAGS))
    assert style.legend == (Swatch("open water", "#0000ff", 0), Swatch("tree", "#00ff00", 3))
    expected = [[0, 0, 255, 255], [0, 255, 0, 255], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert style.rgba(values)[0].tolist() == expected
    wide = np.array([[[0, 3, -1, 1000]]], np.int32)
    assert style.rgba(wide)[0].tolist() == expected
    odd = np.array([[[0, 3, np.nan, 0.5]]])
    assert style.rgba(odd)[0].tolist() == expected


def test_classes_without_colours_get_some_and_foreign_flags_are_no_classes():
    raster = wrap(np.zeros((1, 4, 4), np.int16))[0]
    plain = style_of(raster.assign_attrs(flag_values=[0, 3], flag_meanings="a b"))
    assert len({swatch.color for swatch in plain.legend}) == 2
    for other in ({"flag_values": [-1, 3]}, {"flag_values": [1, 2], "flag_masks": [1, 2]}):
        assert isinstance(style_of(raster.assign_attrs(flag_meanings="a b", **other)), Ramp)


def test_a_result_has_a_colour_bar_over_its_range():
    values = np.linspace(0.2, 0.6, 12, dtype=np.float32).reshape(2, 2, 3)
    result = xr.DataArray(
        values, dims=("class", "y", "x"), coords={"class": ["soil", "tree"]}, name="probability",
        attrs={"geodl_model": "m", "valid_min": 0.0, "valid_max": 1.0},
    )  # fmt: skip
    bar = style_of(result, bands=[2]).legend
    assert (bar.low, bar.high, bar.label) == (0, 1, "probability of tree")
    assert bar.colors[0] == "#440154" and bar.colors[-1] == "#fde724"
    entropy = result[0].drop_vars("class").rename("entropy").assign_attrs(units="nat")
    assert style_of(entropy).legend.label == "entropy (nat)"


def test_a_photo_in_bytes_keeps_its_colours():
    photo = make_raster((3, 9, 9), crs=None).drop_vars(["x", "y"])
    assert style_of(photo).low == (0, 0, 0) and style_of(photo).high == (255, 255, 255)


@pytest.mark.parametrize(
    "values",
    [
        np.full((3, 8, 8), 7, np.uint8),
        np.zeros((1, 8, 8), np.uint8),
        np.full((3, 8, 8), np.nan, np.float32),
        np.full((3, 8, 8), np.inf),
        np.arange(64, dtype=np.uint16).reshape(1, 8, 8) * 1000,
        np.arange(192, dtype=np.int64).reshape(3, 8, 8) - 90,
        np.eye(8, dtype=bool)[None],
        np.where(np.eye(8) > 0, np.inf, 1e300)[None],
        np.arange(64, dtype=np.float16).reshape(1, 8, 8),
    ],
)
@pytest.mark.parametrize("nodata", [None, 0])
def test_hard_rasters_have_colours(values, nodata):
    raster = wrap(values, nodata=nodata)
    style = style_of(raster)
    rgba = style.rgba(raster.values)
    gone = ~np.isfinite(values.astype(float)).all(axis=0)
    if nodata is not None:
        gone |= (values == nodata).all(axis=0)
    assert np.array_equal(rgba[..., 3] == 0, gone)
    assert rgba.shape == (8, 8, 4)


def test_a_band_without_data_that_is_not_shown_hides_nothing():
    values = np.ones((4, 5, 5), np.float32)
    values[3] = np.nan
    assert (style_of(wrap(values)).rgba(values)[..., 3] == 255).all()


@pytest.mark.parametrize("kind", ["memory", "file", "dask"])
def test_a_large_raster_is_sampled_all_over(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(styles, "SAMPLE", 3600)
    ramp = np.broadcast_to(np.arange(400, dtype=np.float32)[:, None], (400, 300))
    raster = wrap(ramp[None].copy())
    if kind != "memory":
        raster.rio.to_raster(tmp_path / "a.tif")
        chunks = {"x": 100, "y": 100} if kind == "dask" else None
        raster = open_raster(tmp_path / "a.tif", chunks=chunks)
    ((low, high),) = percentiles(as_raster(raster), [0])
    assert abs(low - 8) < 8 and abs(high - 391) < 8


def test_labels_of_classes_are_those_of_the_package():
    style = Classes((LabelClass(1, "tree", "#00ff00"),))
    assert style.rgba(np.ones((1, 1, 1), np.uint8)).tolist() == [[[0, 255, 0, 255]]]


def test_class_values_may_be_large():
    style = Classes((LabelClass(1000, "tree", "#00ff00"), LabelClass(3, "soil", "#ff0000")))
    values = np.array([[[1000, 3, 4]]], np.uint16)
    assert style.rgba(values)[0].tolist() == [[0, 255, 0, 255], [255, 0, 0, 255], [0, 0, 0, 0]]


def test_colours_of_labels_are_not_those_that_are_taken():
    first, second = label_colors(["tree", "car"]).values()
    assert label_colors(["tree"], taken=[first])["tree"] not in {first}
    assert set(label_colors(["a", "b"], taken=[first, second]).values()).isdisjoint({first, second})
    every = set(label_colors(map(str, range(8))).values())
    assert label_colors(["tree"], taken=every) == label_colors(["tree"])
