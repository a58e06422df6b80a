from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio

from geodl_lab import open_raster, settings
from geodl_lab.errors import BandError, RasterError
from geodl_lab.grid import Window
from geodl_lab.inputs import InputSpec
from geodl_lab.raster import as_raster
from geodl_lab.sources import FileSource, Part, make_source
from geodl_lab.testing import make_raster, wrap

RGBN = InputSpec(("red", "green", "blue", "nir"))
RGB = InputSpec(("red", "green", "blue"))


def test_pixel_types_that_do_not_fit_are_named():
    inputs = InputSpec(("red",), dtype="uint8")
    with pytest.raises(BandError, match="wants uint8 pixels and the raster has int16"):
        make_source(as_raster(make_raster((1, 8, 8)).astype("int16")), inputs)
    source = make_source(as_raster(make_raster((1, 8, 8)).astype("float32") * 2), inputs)
    with pytest.raises(RasterError, match=r"holds the value .* from 0 to 255"):
        source.read(Window(0, 0, 8, 8))


def test_bytes_that_were_brought_to_fractions_are_refused():
    inputs, whole = InputSpec(("red",), dtype="uint8"), Window(0, 0, 8, 8)
    pixels = make_raster((1, 8, 8)).astype("float32")
    source = make_source(as_raster(pixels / 255), inputs)
    with pytest.raises(RasterError, match=r"fractions of 0 to 1, but .* as in da \* 255"):
        source.read(whole)
    for fine in (pixels, pixels * 0, pixels * 0 + 1, pixels * 0 - 9999):
        filled = fine.rio.write_nodata(-9999)
        assert (make_source(as_raster(filled), inputs).read(whole) == fine.values).all()


def test_a_fill_value_beyond_the_limits_is_no_error():
    values = make_raster((1, 8, 8)).values.astype("float32")
    values[:, 0] = -9999
    source = make_source(as_raster(wrap(values, nodata=-9999)), InputSpec(("red",), dtype="uint8"))
    assert source.read(Window(0, 0, 8, 8)).shape == (1, 8, 8)


def test_float_models_take_any_raster():
    inputs = InputSpec(("red",), dtype="float32")
    assert make_source(as_raster(make_raster((1, 8, 8)).astype("float64")), inputs).limits is None


def test_a_part_reads_windows_by_their_place_in_the_raster():
    stored = np.arange(12).reshape(1, 3, 4)
    part = Part(stored, Window(10, 20, 3, 4), (100, 100), None)
    assert part.read(Window(11, 21, 2, 2)).tolist() == [[[5, 6], [9, 10]]]


def test_a_file_is_read_as_the_array_is_by_several_threads(tmp_path, monkeypatch):
    raster = make_raster((3, 300, 200), names=("red", "green", "blue"))
    path = tmp_path / "a.tif"
    raster.rio.to_raster(path, tiled=True, blockxsize=64, blockysize=64)
    array = make_source(as_raster(open_raster(path)), RGB)
    monkeypatch.setattr(settings, "READ_CACHE", 50_000)  # bytes: new handles all the time
    file = FileSource(path, array)
    assert file.shape_yx == (300, 200) and file.nodata is None and file.readers >= 1
    windows = [Window(y, x, 70, 60) for y in range(0, 230, 30) for x in range(0, 140, 20)]
    with ThreadPoolExecutor(4) as threads:
        for window, stored in zip(windows, threads.map(file.read, windows), strict=True):
            assert np.array_equal(stored, array.read(window))


def test_a_handle_is_let_go_before_gdals_cache_grows(tmp_path, monkeypatch):
    make_raster((3, 300, 200)).rio.to_raster(tmp_path / "a.tif")
    array = make_source(as_raster(open_raster(tmp_path / "a.tif")), InputSpec(count=3))
    opened, real = [], rasterio.open
    monkeypatch.setattr(rasterio, "open", lambda path: opened.append(path) or real(path))
    monkeypatch.setattr(settings, "READ_CACHE", 20_000)
    file = FileSource(tmp_path / "a.tif", array)
    for _ in range(10):
        file.read(Window(0, 0, 50, 50))  # 7500 bytes
    assert len(opened) == 4


def test_a_damaged_file_names_the_window(tmp_path):
    path = tmp_path / "a.tif"
    make_raster((3, 300, 200)).rio.to_raster(path, tiled=True, compress="deflate")
    array = make_source(as_raster(open_raster(path)), InputSpec(count=3))
    path.write_bytes(path.read_bytes()[:30_000])
    with pytest.raises(RasterError, match=r"rows 200-300 and columns 0-200 cannot be read"):
        FileSource(path, array).read(Window(200, 0, 100, 200))
