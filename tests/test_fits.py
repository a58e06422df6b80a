"""Images at a net's size: against PIL, and against arithmetic by hand."""

import dataclasses

import geopandas
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import geodl_lab
from geodl_lab.errors import ModelError, OptionError, RasterError
from geodl_lab.fits import Excerpt, Fitted, place, white
from geodl_lab.grid import Window
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.raster import as_raster
from geodl_lab.sources import make_source
from geodl_lab.testing import RegionDetector, ScoreNet, make_raster, paint, pixel_boxes

RNG = np.random.default_rng(0)
RGB = InputSpec(("red", "green", "blue"), dtype="uint8", scale=1 / 255)


def photo(height, width, nodata=None):
    """A smooth picture with noise, (band, y, x) uint8, without georeference."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)]) * 80 + 128
    values = np.clip(waves + RNG.normal(0, 20, waves.shape), 1, 254).astype(np.uint8)
    array = xr.DataArray(values, dims=("band", "y", "x"), attrs={"long_name": RGB.bands})
    return array if nodata is None else array.rio.write_nodata(nodata)


def fitted(data, fit, window=None):
    raster = as_raster(data)
    window = window or Window(0, 0, *raster.shape_yx)
    return Fitted(make_source(raster, RGB), window, place(window.shape_yx, fit), RGB)


def by_pil(values, height, width):
    """Values (band, y, x) resized by PIL's antialiased bilinear filter."""
    image = Image.fromarray(np.moveaxis(values, 0, -1))
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.moveaxis(np.asarray(resized), -1, 0).astype(int)


@pytest.mark.parametrize("shape", [(300, 200), (40, 90), (128, 128), (501, 77)])
def test_squash_is_pils_bilinear_within_a_grey_level(shape):
    data = photo(*shape)
    seen = fitted(data, Fit("squash", 64, 96)).image
    assert seen.dtype == np.uint8
    assert np.abs(seen - by_pil(data.values, 64, 96)).max() <= 1


def test_crop_scales_the_shorter_side_and_cuts_evenly():
    data = photo(120, 301)
    seen = fitted(data, Fit("crop", 60, 60)).image
    scaled = by_pil(data.values, 60, 151)  # 301 / 2 rounds to 151
    assert np.abs(seen - scaled[:, :, 46:106]).max() <= 1


def test_fill_scales_the_longer_side_and_adds_white_evenly():
    data = photo(120, 300)
    seen = fitted(data, Fit("fill", 60, 75)).image
    assert (seen[:, :15] == 255).all() and (seen[:, 45:] == 255).all()
    assert np.abs(seen[:, 15:45] - by_pil(data.values, 30, 75)).max() <= 1


def test_network_gives_the_net_the_images_shape():
    data = photo(120, 300)
    seen = fitted(data, Fit("network", 50, 50)).image
    assert seen.shape == (3, 20, 50)
    assert np.abs(seen - by_pil(data.values, 20, 50)).max() <= 1


def test_no_fit_is_the_image_itself():
    data = photo(30, 20)
    assert np.array_equal(fitted(data, None).image, data.values)
    part = fitted(data, None, Window(3, 4, 10, 11)).image
    assert np.array_equal(part, data.values[:, 3:13, 4:15])


def test_gaps_are_filled_from_the_image_and_white_is_no_gap():
    data = photo(60, 60, nodata=255)
    data.values[:, :20] = 255
    seen = fitted(data, Fit("fill", 60, 80)).image
    assert (seen[:, :, :10] == 255).all() and (seen[:, :, 70:] == 255).all()
    assert np.array_equal(seen[:, 10:20, 10:70], data.values[:, 21:31][:, ::-1])


def test_without_any_data_it_is_nan():
    data = photo(20, 20, nodata=0) * 0
    data = data.rio.write_nodata(0).assign_attrs(long_name=RGB.bands)
    assert np.isnan(fitted(data, Fit("squash", 8, 8)).image).all()


@given(
    st.integers(1, 4000), st.integers(1, 4000), st.integers(8, 40), st.integers(8, 40),
    st.sampled_from(["squash", "crop", "fill", "network"]),
)  # fmt: skip
def test_places_hold_together(height, width, rows, columns, kind):
    fit = Fit(kind, rows, columns)
    placed = place((height, width), fit)
    if kind != "network":
        assert placed.shape_yx == (rows, columns)
    else:
        assert max(placed.shape_yx) == max(rows, columns)
    content, (top, left) = placed.content, placed.corner_yx
    assert content
    if kind in ("squash", "crop", "network"):
        assert content == Window(0, 0, *placed.shape_yx)
    assert placed.cells.shape_yx == placed.scaled_yx
    start = placed.transform @ (left, top)
    end = placed.transform @ (left + placed.scaled_yx[1], top + placed.scaled_yx[0])
    assert start == pytest.approx((0, 0), abs=1e-6) and end == pytest.approx((width, height))


def test_tiny_images_are_refused():
    with pytest.raises(RasterError, match=r"1 x 1 pixels is too small .* at least 3 x 3"):
        place((1, 1), Fit("squash", 224, 300))
    with pytest.raises(RasterError, match=r"1 x 1 pixels is too small .* at least 2 x 2"):
        place((1, 1), Fit("squash", 128, 128))
    assert place((2, 2), Fit("squash", 128, 128)).scaled_yx == (128, 128)


def test_white_is_of_the_models_pixel_type():
    assert white(np.dtype("float32"), RGB) == 255
    assert white(np.dtype("uint16"), InputSpec(count=1)) == 65535
    assert white(np.dtype("float32"), InputSpec(count=1)) == 1


def test_excerpts_are_sources():
    source = make_source(as_raster(photo(30, 40)), RGB)
    part = Excerpt(source, Window(5, 6, 20, 10))
    assert part.shape_yx == (20, 10) and part.bands == source.bands and part.readers == 1
    assert np.array_equal(part.read(Window(1, 2, 3, 4)), source.read(Window(6, 8, 3, 4)))


class Untiled:
    """Refuses to read more of a raster at once than a strip."""

    def __init__(self, source):
        self.source, self.most = source, 0
        self.shape_yx, self.nodata = source.shape_yx, source.nodata
        self.bands, self.readers = source.bands, source.readers

    def read(self, window):
        self.most = max(self.most, window.height * window.width)
        return np.zeros((3, *window.shape_yx), np.uint8)


def test_a_large_raster_is_read_in_parts():
    source = Untiled(make_source(as_raster(photo(8, 8)), RGB))
    size = (9000, 10000)
    image = Fitted(source, Window(0, 0, *size), place(size, Fit("squash", 8, 8)), RGB).image
    assert image.shape == (3, 8, 8) and 0 < source.most < 0.5 * size[0] * size[1]


# Whole-image detection


BOXES = [(40, 20, 80, 60), (200, 100, 240, 140)]
PAINTED = paint((200, 400), BOXES)


@pytest.mark.parametrize(
    ("kind", "window", "factors"),
    [
        ("squash", 100, (2, 4)),
        ("fill", 100, (4, 4)),
        ("network", 100, (4, 4)),
        ("crop", 50, (4, 4)),
    ],
)
@pytest.mark.parametrize("net", [RegionDetector, ScoreNet])
def test_boxes_come_back_in_the_images_pixels(kind, window, factors, net):
    model = geodl_lab.from_torch(
        net(), "detect", bands=1, classes=["thing"], window=window, fit=kind
    )
    found = PAINTED.dl.detect(model)
    low, high = (0, 400) if kind != "crop" else (100, 300)
    expected = sorted(box for box in BOXES if low <= box[0] and box[2] <= high)
    assert len(found) == len(expected) and found.crs == PAINTED.rio.crs
    near = np.array(pixel_boxes(found, PAINTED)) - np.array(expected)
    assert np.abs(near).max() <= max(factors)


def test_one_forward_sees_the_image_at_its_size():
    seen = []

    class Spy(RegionDetector):
        def forward(self, x):
            seen.append(tuple(x.shape))
            return super().forward(x)

    model = geodl_lab.from_torch(
        Spy(), "detect", bands=1, classes=["thing"], window=64, fit="squash"
    )
    seen.clear()
    PAINTED.dl.detect(model)
    assert seen == [(1, 1, 64, 64)]


def test_area_is_the_image_then():
    model = geodl_lab.from_torch(
        RegionDetector(), "detect", bands=1, classes=["thing"], window=50, fit="squash"
    )
    t = PAINTED.rio.transform()
    (left, top), (right, bottom) = t @ (20, 0), t @ (120, 100)
    found = PAINTED.dl.detect(model, area=(left, bottom, right, top))
    assert pixel_boxes(found, PAINTED) == [BOXES[0]]
    assert '"fit": "squash", "image": [0, 20, 100, 100]' in found.attrs["geodl_recipe"]


def test_dask_and_files_give_the_same(tmp_path):
    model = geodl_lab.from_torch(
        RegionDetector(), "detect", bands=1, classes=["thing"], window=100, fit="fill"
    )
    expected = PAINTED.dl.detect(model)
    assert PAINTED.chunk(x=90).dl.detect(model).equals(expected)
    PAINTED.rio.to_raster(tmp_path / "in.tif")
    path = geodl_lab.detect_file(tmp_path / "in.tif", tmp_path / "out.gpkg", model)
    written = geopandas.read_file(path).bounds.to_numpy()
    assert len(written) == 2 and written == pytest.approx(expected.bounds.to_numpy())


@pytest.mark.parametrize(
    "options", [{"padding": 8}, {"seam_tolerance": 0.1}, {"tta": True}, {"seam_error": True}]
)
def test_options_of_windows_are_refused(options):
    model = geodl_lab.from_torch(
        RegionDetector(), "detect", bands=1, classes=["thing"], window=64, fit="squash"
    )
    with pytest.raises(OptionError):
        PAINTED.dl.detect(model, **options)


def test_photos_without_a_crs_are_told_once_and_only_where_it_matters(caplog):
    rgb = xr.DataArray(np.zeros((3, 20, 20), "u1"), dims=("band", "y", "x"))
    rgb.dl.recognize("aerial-tags")
    assert not caplog.records


def test_pixels_have_no_fit():
    with pytest.raises(ModelError, match="searched for objects, not to classify; leave it out"):
        geodl_lab.from_torch(ScoreNet(), bands=1, classes=["a"], window=64, fit="squash")
    model = geodl_lab.from_torch(ScoreNet(), bands=1, classes=["a"], window=64)
    spec = dataclasses.replace(model.package.inputs, fit=Fit("squash", 64, 64))
    model = dataclasses.replace(model, package=dataclasses.replace(model.package, inputs=spec))
    with pytest.raises(ModelError, match="would not lie on the raster's pixels"):
        make_raster((1, 70, 80)).dl.classify(model)


def test_the_grid_of_what_is_seen_is_georeferenced():
    placed = place((200, 400), Fit("fill", 100, 100))
    assert placed.transform == Affine(4, 0, 0, 0, 4, -100)
    assert placed.content == Window(25, 0, 50, 100)
