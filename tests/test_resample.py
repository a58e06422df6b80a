"""Resampled rasters against PIL and torch; any window is a crop of the whole, bit for bit."""

import tracemalloc

import numpy as np
import pytest
import torch
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from geodl_lab import classify
from geodl_lab.cells import model_grid, snap_indices
from geodl_lab.errors import OptionError, RasterError
from geodl_lab.grid import Window
from geodl_lab.heads import ClassHead
from geodl_lab.inference import DenseWork, run_chunk
from geodl_lab.nodata import valid_pixels
from geodl_lab.planning import plan
from geodl_lab.raster import as_raster
from geodl_lab.resample import Resampled, blank_raster, snap_back, to_cell_size
from geodl_lab.sources import RasterSource
from geodl_lab.testing import make_raster, wrap

SIZES = [0.2, 0.25, 0.3, 0.41, 0.6, 0.7, 0.9, 1.2, 1.5, 1.8, 2.0, 5.3]


def resampled(array, cell_size):
    raster = as_raster(array)
    source = RasterSource(raster, tuple(range(len(raster.array))))
    return Resampled(source, model_grid(raster, cell_size))


def whole(source):
    return source.read(Window(0, 0, *source.shape_yx))


def gappy(dtype="uint8", nodata=0, seed=0, shape=(2, 45, 38)):
    """Values with single gaps, a block and a rim without data, and zeros in one band alone."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 200, shape).astype(dtype)
    values[0][rng.random(shape[1:]) < 0.1] = 0
    gaps = rng.random(shape[1:]) < 0.1
    gaps[:, :5] = True
    gaps[20:30, 10:25] = True
    values[:, gaps] = np.nan if nodata is None else nodata
    return wrap(values, nodata=nodata)


RASTERS = {
    "bytes": make_raster((3, 45, 38)),
    "gaps": gappy(),
    "signed": gappy("int16", -9999),
    "floats": gappy("float32", None),
    "doubles": gappy("float64", -1.0),
}


@given(st.sampled_from(sorted(RASTERS)), st.sampled_from(SIZES), st.data())
def test_any_window_is_a_crop_of_the_whole(name, cell_size, data):
    source = resampled(RASTERS[name], cell_size)
    height, width = source.shape_yx
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    part = Window(y, x, data.draw(st.integers(1, height - y)), data.draw(st.integers(1, width - x)))
    answer = source.read(part)
    assert answer.dtype == RASTERS[name].dtype
    assert answer.tobytes() == whole(source)[:, *part.slices_yx].tobytes()


@pytest.mark.parametrize("cell_size", [0.25, 0.7, 1.3])
def test_parts_and_strips_change_no_bit(monkeypatch, cell_size):
    source = resampled(gappy("float32", None), cell_size)
    right = whole(source).tobytes()
    for side, strip in ((9, 32), (4096, 1), (16, 7), (1, 100)):
        monkeypatch.setattr("geodl_lab.resample.SIDE", side)
        monkeypatch.setattr("geodl_lab.resample._parts.__defaults__", (side,))
        monkeypatch.setattr("geodl_lab.resample.STRIP", strip)
        assert whole(source).tobytes() == right


class Watched:
    """A source that remembers which windows were read."""

    def __init__(self, source):
        self.source, self.seen = source, []
        self.shape_yx, self.nodata = source.shape_yx, source.nodata

    def read(self, window):
        self.seen.append(window)
        return self.source.read(window)


@pytest.mark.parametrize(("cell_size", "most"), [(0.3, 13), (1.2, 42), (6.0, 220)])
def test_only_the_pixels_that_count_are_read(cell_size, most):
    plain = resampled(make_raster((1, 400, 400)), cell_size)
    watched = Watched(plain.source)
    Resampled(watched, plain.cells).read(Window(10, 5, 20, 20))
    assert watched.seen == [plain.cells.source_window(Window(10, 5, 20, 20))]
    assert max(watched.seen[0].shape_yx) <= most


def test_memory_does_not_grow_with_the_cell(monkeypatch):
    monkeypatch.setattr("geodl_lab.resample._parts.__defaults__", (256,))
    values = np.broadcast_to(np.uint8(7), (1, 8000, 8000))  # 64 MB if it were ever copied
    raster = as_raster(xr.DataArray(values, dims=("band", "y", "x")))
    source = Resampled(RasterSource(raster, (0,)), model_grid(raster, 50.0))
    tracemalloc.start()
    answer = whole(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (answer == 7).all() and answer.shape == (1, 160, 160)
    assert peak < 8e6


@pytest.mark.parametrize("cell_size", [0.15, 0.3, 0.4, 0.6, 0.9, 1.2, 1.8, 3.0, 6.0])
def test_pil_and_torch_agree(cell_size):
    values = np.random.default_rng(0).random((2, 60, 90), dtype=np.float32) * 1000
    mine = whole(resampled(wrap(values), cell_size))
    shape = mine.shape[1:]
    assert shape == (round(36 / cell_size), round(54 / cell_size))
    pil = [Image.fromarray(band).resize(shape[::-1], Image.Resampling.BILINEAR) for band in values]
    assert np.allclose(mine, np.stack(pil), rtol=1e-4)
    other = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None], shape, mode="bilinear", antialias=True, align_corners=False
    )[0].numpy()
    assert np.allclose(mine, other, rtol=1e-4)


@pytest.mark.parametrize("cell_size", SIZES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "bool"])
def test_constants_stay_constant(cell_size, dtype):
    value = {"bool": True, "float32": 1 / 3, "int32": 2**31 - 1}.get(dtype, np.array(-1))
    values = np.full((2, 45, 38), np.asarray(value).astype(dtype))
    answer = whole(resampled(wrap(values), cell_size))
    assert answer.dtype == values.dtype and (answer == values[0, 0, 0]).all()


@pytest.mark.parametrize("cell_size", SIZES)
def test_a_ramp_stays_a_ramp_inside(cell_size):
    rows, columns = np.mgrid[:60, :80].astype(np.float64)
    raster = wrap((3 * rows - 2 * columns + 500)[None])
    answer = to_cell_size(raster, cell_size)[0]
    right = 3 * (3_700_000 - answer.y) / 0.6 - 2 * (answer.x - 400_000) / 0.6 + 500 - 0.5
    rim = int(np.ceil(max(1, 0.6 / cell_size))) + 1
    inside = {"y": slice(rim, -rim), "x": slice(rim, -rim)}
    assert answer[inside].size
    factor = cell_size / 0.6
    # A sampled triangle has its middle at the centre only where pixels lie alike on both sides.
    slack = 1e-6 if factor < 1 or abs(factor - round(factor)) < 1e-9 else 5 * 0.07
    assert np.abs(answer[inside] - right[inside]).max() < slack


@pytest.mark.parametrize("name", sorted(RASTERS))
def test_the_same_size_gives_the_same_bits(name):
    source = resampled(RASTERS[name], 0.6)
    assert whole(source).tobytes() == RASTERS[name].values.tobytes()
    window = Window(3, 4, 20, 10)
    part = RASTERS[name].values[:, *window.slices_yx]
    assert source.read(window).tobytes() == part.tobytes()
    assert to_cell_size(RASTERS[name], 0.6).values.tobytes() == RASTERS[name].values.tobytes()


def triangles(pixels, cells, factor):
    """Weights (cell, pixel), written down as the definition says."""
    centres = (np.arange(cells)[:, None] + 0.5) * factor
    weights = np.maximum(0, 1 - np.abs(np.arange(pixels) + 0.5 - centres) / max(factor, 1))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", ["gaps", "signed", "floats", "doubles"])
@pytest.mark.parametrize("cell_size", SIZES)
def test_gaps_count_nothing_and_stay_gaps(name, cell_size):
    stored, source = RASTERS[name].values, resampled(RASTERS[name], cell_size)
    valid, answer = valid_pixels(stored, source.nodata), whole(source)
    sizes = zip(stored.shape[1:], answer.shape[1:], source.cells.factor_yx, strict=True)
    down, across = (triangles(*size) for size in sizes)
    share = down @ valid @ across.T
    means = down @ np.where(valid, stored, 0).astype(float) @ across.T / np.maximum(share, 1e-9)
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * f + 1e-9).astype(int), last - 1)
        for n, f, last in zip(share.shape, source.cells.factor_yx, valid.shape, strict=True)
    )
    data = valid_pixels(answer, source.nodata)
    clear = np.abs(share - 0.5) > 1e-9
    assert np.array_equal(data[clear], (valid[np.ix_(rows, columns)] & (share > 0.5))[clear])
    assert data.any() and not data.all() and clear.mean() > 0.9
    off = np.abs(answer - means)[:, data & clear]
    if name == "gaps":  # a first band that would be nodata is kept one step beside it
        off = np.where(answer[:, data & clear] == 1, np.maximum(off - 1, 0), off)
    assert off.max() <= (1e-4 if stored.dtype.kind == "f" else 0.5 + 1e-9)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint8", 0), ("uint8", 255), ("int16", -9999), ("float32", 0.0), ("float32", -3.4028235e38)],
)
def test_a_cell_with_data_is_never_nodata(dtype, nodata):
    """Every pixel has data, yet both bands of every cell come to nodata."""
    pair = np.array([[nodata, nodata + 1], [nodata + 1, nodata]]).astype(dtype)
    if nodata == 255:
        pair = np.array([[255, 254], [254, 255]], dtype=dtype)
    values = np.stack([np.tile(pair, (8, 8))] * 2)
    values[1] = values[1][:, ::-1]
    source = resampled(wrap(values, nodata=nodata), 1.2)
    assert valid_pixels(values, nodata).all() or dtype == "float32"
    answer = whole(source)
    assert np.isfinite(answer).all()
    if valid_pixels(values, nodata).all():
        assert valid_pixels(answer, nodata).all()
        assert np.abs(answer - means_of(values)).max() <= 1.5


def means_of(values):
    return values.astype(float).mean(axis=(1, 2), keepdims=True)


def test_opposite_floats_do_not_cancel_to_nodata():
    values = np.tile(np.array([[-1, 1], [1, -1]], dtype=np.float32), (1, 8, 8))
    answer = whole(resampled(wrap(values, nodata=0.0), 1.2))
    assert (answer != 0).all() and np.abs(answer[:, 1:-1, 1:-1]).max() < 1e-30


def test_infinite_pixels_are_gaps():
    values = np.ones((1, 20, 20), np.float32)
    values[0, 5, 5] = np.inf
    answer = whole(resampled(wrap(values), 0.3))
    assert np.isnan(answer[0, 10:12, 10:12]).all()
    assert (answer[np.isfinite(answer)] == 1).all() and np.isnan(answer).sum() == 4


def test_errors_of_the_source_are_passed_on():
    raster = as_raster(wrap(np.full((1, 20, 20), 300, np.int16)))
    source = Resampled(RasterSource(raster, (0,), (0, 255)), model_grid(raster, 1.2))
    with pytest.raises(RasterError, match="holds the value 300"):
        whole(source)


@pytest.mark.parametrize("cell_size", [0.3, 0.6, 1.0, 7.0])
@pytest.mark.parametrize("chunks", [{}, {"y": 20, "x": 17}, {"band": 1, "y": 90}])
def test_lazy_in_lazy_out(monkeypatch, cell_size, chunks):
    monkeypatch.setattr("geodl_lab.settings.CHUNK", 32)
    array = make_raster((3, 90, 70), names=("red", "green", "blue"), nodata=0)
    eager, lazy = to_cell_size(array, cell_size), to_cell_size(array.chunk(chunks), cell_size)
    assert lazy.chunks is not None and len(lazy.chunks[1]) > 1
    assert lazy.dtype == eager.dtype
    assert lazy.compute(scheduler="synchronous").identical(eager)
    part = lazy[:, 3:5, 2:6]
    assert np.array_equal(part.compute(scheduler="synchronous"), eager[:, 3:5, 2:6])


def test_lazy_graphs_have_names_that_last():
    array = make_raster().chunk({"y": 30})
    assert to_cell_size(array, 1.2).data.name == to_cell_size(array, 1.2).data.name
    assert to_cell_size(array, 1.2).data.name != to_cell_size(array, 1.1).data.name


def test_georeference_bands_nodata_and_attributes_survive():
    array = make_raster(names=("red", "green", "blue"), nodata=0).assign_coords(
        band=["r", "g", "b"], time=3
    )
    array.attrs |= {"STATISTICS_MEAN": 3, "made_by": "us"}
    answer = to_cell_size(array, 1.5)
    assert answer.dims == ("band", "y", "x") and answer.shape == (3, 36, 28)
    assert answer.rio.crs == array.rio.crs and answer.rio.nodata == 0
    assert answer.rio.transform() == Affine(1.5, 0, 400_000, 0, -1.5, 3_700_000)
    assert as_raster(answer).transform == answer.rio.transform()
    assert answer.band.values.tolist() == ["r", "g", "b"] and answer.time == 3
    assert answer.attrs["made_by"] == "us" and "STATISTICS_MEAN" not in answer.attrs
    assert answer.attrs["long_name"] == ("red", "green", "blue")


def test_flat_turned_and_bundled_rasters():
    array = make_raster()
    right = to_cell_size(array, 1.2)
    assert to_cell_size(array[1], 1.2).identical(right[1])
    assert np.array_equal(to_cell_size(array.transpose("y", "x", "band"), 1.2), right)
    bundle = xr.Dataset({"a": array[0], "b": array[1]})
    assert np.array_equal(to_cell_size(bundle, 1.2), right[:2])


def test_photos_and_rotated_rasters_keep_their_kind():
    photo = make_raster(crs=None).drop_vars(["y", "x"])
    answer = to_cell_size(photo, 2)
    assert answer.shape == (3, 45, 35) and answer.rio.crs is None
    assert "x" not in answer.coords and as_raster(answer).transform == Affine.scale(2)
    turned = (
        make_raster()
        .drop_vars(["y", "x"])
        .rio.write_transform(
            Affine.translation(4e5, 3.7e6) * Affine.rotation(20) * Affine.scale(0.6, -0.6)
        )
    )
    cells = model_grid(as_raster(turned), 1.2)
    assert as_raster(to_cell_size(turned, 1.2)).transform.almost_equals(cells.transform, 1e-9)
    with pytest.raises(OptionError, match="cell_size 0 is not possible"):
        to_cell_size(turned, 0)


def test_a_blank_raster_is_a_grid_without_memory():
    array = make_raster((3, 900, 700), nodata=0)
    raster = as_raster(array)
    cells = model_grid(raster, 0.01)
    blank = blank_raster(raster, cells)
    assert blank.shape_yx == cells.shape_yx == (54_000, 42_000)
    assert blank.transform == cells.transform and blank.crs == raster.crs and blank.nodata == 0
    assert blank.bounds == pytest.approx(raster.bounds)


@pytest.mark.parametrize("cell_size", [0.4, 1.0])
def test_a_model_sees_the_same_bits_by_window_and_by_chunk(finite_model, cell_size):
    array = gappy(shape=(3, 200, 170))
    source, work = resampled(array, cell_size), DenseWork(ClassHead((0, 1, 2, 3)), 0)
    planned = plan(finite_model, source.shape_yx)
    area = Window(0, 0, *source.shape_yx)
    streamed = run_chunk(planned, source, area, work)[0]
    lazy = classify(to_cell_size(array.chunk({"y": 64, "x": 50}), cell_size), finite_model)
    assert np.array_equal(streamed, lazy.compute(scheduler="synchronous"))
    part = Window(7, 9, 50, 40)
    rows, columns = part.slices_yx
    assert np.array_equal(run_chunk(planned, source, part, work)[0], streamed[rows, columns])
    assert (streamed == 255).any() and len(np.unique(streamed)) > 2


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("cell_size", [0.3, 0.41, 0.6, 1.0, 2.3])
def test_answers_snap_back_to_the_nearest_cell(cell_size, lazy):
    array = make_raster()
    raster = as_raster(array)
    cells = model_grid(raster, cell_size)
    answer = to_cell_size(array, cell_size)
    near = answer.sel(x=array.x, y=array.y, method="nearest")
    back = snap_back(answer.chunk({"y": 7, "x": 9}) if lazy else answer, raster, cells)
    assert (back.chunks is not None) == lazy
    assert back.rio.transform() == array.rio.transform() and back.rio.crs == array.rio.crs
    assert np.array_equal(back.x, array.x) and np.array_equal(back.y, array.y)
    mine = back.compute(scheduler="synchronous").values
    rows, columns = snap_indices(cells)
    assert np.array_equal(mine, answer.values[:, rows[:, None], columns])
    tied = np.isclose((np.arange(90) + 0.5) / cells.rows.factor % 1, 0, atol=1e-6)[:, None]
    tied = tied | np.isclose((np.arange(70) + 0.5) / cells.columns.factor % 1, 0, atol=1e-6)
    assert np.array_equal(mine[:, ~tied], near.values[:, ~tied])


def test_parts_of_answers_snap_back_as_the_whole_does():
    array = make_raster()
    raster = as_raster(array)
    cells = model_grid(raster, 1.7)
    answer, area = to_cell_size(array, 1.7), Window(13, 22, 31, 8)
    part = answer[:, *cells.cell_window(area).slices_yx]
    right = snap_back(answer, raster, cells)[:, *area.slices_yx]
    back = snap_back(part, raster, cells, area)
    assert np.array_equal(back, right)
    assert np.array_equal(back.x, right.x) and np.array_equal(back.y, right.y)
    assert as_raster(back).transform.almost_equals(as_raster(right).transform, 1e-6)
