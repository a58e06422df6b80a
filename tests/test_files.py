"""File to file gives the pixels of the lazy way; bad input is named and leaves nothing."""

import dataclasses

import numpy as np
import pytest
import rasterio
import torch

from geodl_lab import classify_file, detect_file, from_torch, open_raster, outputs, save
from geodl_lab.errors import (
    BandError,
    GeodlError,
    ModelError,
    OptionError,
    OutputError,
    RasterError,
    RunError,
)
from geodl_lab.planning import plan
from geodl_lab.testing import RegionDetector, make_raster, paint, pixel_boxes, wrap


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def put(raster, path):
    """Write a raster in small compressed tiles."""
    raster.rio.to_raster(path, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    return path


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A raster file; cut in the middle, it still opens."""
    return put(make_raster((3, 301, 211)), tmp_path_factory.mktemp("scene") / "scene.tif")


@pytest.fixture(scope="module")
def detector():
    return from_torch(RegionDetector(), task="detect", bands=["gray"], classes=["lamp"], window=64)


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_a_file_equals_the_lazy_and_the_eager_way(scene, out, random_model):
    path = classify_file(scene, out / "a.tif", random_model)
    eager = open_raster(scene).dl.classify(random_model)
    lazy = open_raster(scene, chunks={"y": 50, "x": 70}).dl.classify(random_model)
    saved = save(lazy, out / "b.tif")
    with rasterio.open(path) as one, rasterio.open(saved) as other:
        assert np.array_equal(one.read(1), eager.values)
        assert np.array_equal(other.read(1), eager.values)
        assert one.transform == other.transform and one.crs == other.crs
        assert one.tags().items() >= {"geodl_model_sha256": random_model.package.sha256}.items()
        assert {k: v for k, v in other.tags().items() if k.startswith(("geodl", "flag"))} == {
            k: v for k, v in one.tags().items() if k.startswith(("geodl", "flag"))
        }
        assert one.colormap(1) == other.colormap(1)


def test_an_area_is_cut_out_in_place(scene, out, finite_model):
    whole = open_raster(scene).dl.classify(finite_model)
    area = (400_010, 3_699_900, 400_070, 3_699_970)
    part = open_raster(classify_file(scene, out / "a.tif", finite_model, area=area))[0]
    assert part.shape < whole.shape
    assert np.array_equal(part, whole.sel(x=part.x, y=part.y, method="nearest"))


def test_the_whole_raster_is_never_in_memory(tmp_path, out, finite_model, monkeypatch):
    """No read is larger than a window, though the raster is many times that."""
    path = put(make_raster((3, 900, 700)), tmp_path / "scene.tif")
    largest = max(plan(finite_model, (900, 700)).recipe.window_yx)
    sizes = []
    read = type(open_raster(path)).values.fget

    def watched(array):
        sizes.append(array.shape)
        return read(array)

    monkeypatch.setattr("xarray.DataArray.values", property(watched))
    classify_file(path, out / "a.tif", finite_model)
    shapes = [shape for shape in sizes if len(shape) == 3]
    assert len(shapes) > 10
    assert max(max(shape[1:]) for shape in shapes) <= largest < 300


def test_detections_are_written_and_returned(tmp_path, out, detector):
    boxes = [(5, 5, 12, 15), (60, 58, 70, 66), (100, 20, 160, 30)]
    raster = paint((120, 200), boxes)
    path = put(raster, tmp_path / "lamps.tif")
    frame = detect_file(path, out / "a.gpkg", detector)
    assert pixel_boxes(frame, raster) == boxes
    assert frame["label"].tolist() == ["lamp"] * 3 and names(out) == ["a.gpkg"]
    near = detect_file(path, out / "b.parquet", detector, area=(400_000, 3_699_940, 400_060, 3.7e6))
    assert pixel_boxes(near, raster) == boxes[:2]


def test_all_nodata_is_a_result(tmp_path, out, finite_model, detector):
    empty = put(wrap(np.zeros((3, 200, 200), np.uint8), nodata=0), tmp_path / "a.tif")
    assert (open_raster(classify_file(empty, out / "a.tif", finite_model)) == 255).all()
    dark = put(paint((100, 100), []), tmp_path / "b.tif")
    for ending in ("parquet", "gpkg", "geojson"):
        assert len(detect_file(dark, out / f"b.{ending}", detector)) == 0


def test_nan_in_a_float_raster_is_nodata(tmp_path, out, finite_model):
    raster = make_raster((3, 120, 100)).astype(np.float32)
    raster[1, 40:50, 60:70] = np.nan
    result = open_raster(
        classify_file(put(raster, tmp_path / "a.tif"), out / "a.tif", finite_model)
    )
    expected = np.zeros((120, 100), dtype=bool)
    expected[40:50, 60:70] = True
    assert ((result[0] == 255) == expected).all()


def test_no_crs_works_and_says_so(tmp_path, out, finite_model, caplog):
    photo = save(make_raster((3, 100, 90), crs=None).drop_vars(["x", "y"]), tmp_path / "a.tif")
    result = open_raster(classify_file(photo, out / "a.tif", finite_model))
    assert "the raster has no CRS" in caplog.text
    assert result.rio.crs is None
    assert np.array_equal(result[0], open_raster(photo).dl.classify(finite_model))


def for_bytes(model):
    """Make a model insist on uint8 pixels."""
    inputs = dataclasses.replace(model.package.inputs, dtype="uint8")
    return dataclasses.replace(model, package=dataclasses.replace(model.package, inputs=inputs))


def bad_input(folder, scene):
    """Give each bad file and what is said of it."""
    bytes_ = scene.read_bytes()
    (folder / "text.tif").write_text("I am no raster")
    (folder / "empty.tif").write_bytes(b"")
    (folder / "cut.tif").write_bytes(bytes_[: len(bytes_) // 2])
    put(make_raster((2, 90, 80)), folder / "two.tif")
    put(make_raster((3, 90, 80)).astype(np.int16), folder / "int16.tif")
    put(make_raster((3, 90, 80), names=("swir", "green", "blue")), folder / "swir.tif")
    wide = make_raster((3, 90, 80)).astype(np.float32)
    wide[0, 3, 3] = 3000
    put(wide, folder / "wide.tif")
    (folder / "folder").mkdir()
    return {
        "missing.tif": (RasterError, "there is no file .*missing.tif'; check the path"),
        "text.tif": (RasterError, "does not open as a raster; give a GeoTIFF"),
        "empty.tif": (RasterError, "does not open as a raster; give a GeoTIFF"),
        "folder": (RasterError, "does not open as a raster; give a GeoTIFF"),
        "cut.tif": (RasterError, "cannot be read; the file seems truncated or damaged"),
        "two.tif": (BandError, "wants 3 bands .*has 2 .*bands="),
        "swir.tif": (BandError, r"wants 3 bands \(red, green, blue\).*has 3 \(swir, green, blue\)"),
        "int16.tif": (BandError, "wants uint8 pixels and the raster has int16.*astype"),
        "wide.tif": (RasterError, "holds the value 3000.*from 0 to 255; rescale"),
    }


def test_bad_input_is_named_and_the_older_output_stays(tmp_path, scene, out, finite_model):
    bands = ["red", "green", "blue"]
    model = for_bytes(
        from_torch(finite_model.network, bands=bands, classes=list("abcd"), window=64)
    )
    box_model = for_bytes(
        from_torch(RegionDetector(), task="detect", bands=bands, classes=["a"], window=64)
    )
    classify_file(scene, out / "a.tif", model)
    (out / "a.gpkg").write_text("older")
    before = {file: (out / file).read_bytes() for file in names(out)}
    for name, (error, words) in bad_input(tmp_path, scene).items():
        with pytest.raises(error, match=words) as caught:
            classify_file(tmp_path / name, out / "a.tif", model)
        assert "\n" not in str(caught.value)
        with pytest.raises(error, match=words):
            detect_file(tmp_path / name, out / "a.gpkg", box_model)
        assert {file: (out / file).read_bytes() for file in names(out)} == before, name


def test_a_net_that_fails_leaves_nothing(tmp_path, scene, out, finite_model):
    class Fails(torch.nn.Module):
        def forward(self, x):
            raise RuntimeError("boom")

    broken = type(finite_model)(finite_model.package, Fails())
    with pytest.raises(RunError, match=r"failed on the window at row 0.*boom"):
        classify_file(scene, out / "a.tif", broken)
    assert names(out) == []


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"area": (0, 0, 1, 1)}, OptionError, "does not meet the raster, whose bounds are"),
        ({"bands": [1, 2, 9]}, BandError, "no band 9"),
        ({"threshold": 2}, OptionError, "threshold 2"),
        ({"device": "tpu"}, OptionError, "'tpu' is not known"),
        ({"precision": "fp8"}, OptionError, "'fp8' is not one of"),
    ],
)
def test_bad_options_are_named_and_leave_nothing(scene, out, finite_model, options, error, words):
    with pytest.raises(error, match=words):
        classify_file(scene, out / "a.tif", finite_model, **options)
    assert names(out) == []


def test_bad_outputs_are_named_before_any_work(scene, out, finite_model, detector):
    file = out / "file"
    file.write_text("")
    for target, words in [
        (out / "a.png", "no format we write; end it on .tif"),
        (out / "no" / "a.tif", "there is no folder"),
        (file / "a.tif", "there is no folder"),
    ]:
        with pytest.raises(OutputError, match=words):
            classify_file(scene, target, finite_model)
    with pytest.raises(OutputError, match=r"end it on .parquet, .gpkg, .geojson"):
        detect_file(scene, out / "a.tif", detector)
    (out / "a.gpkg").write_text("older")
    with pytest.raises(OutputError, match="exists; choose another output"):
        detect_file("missing.tif", out / "a.gpkg", detector, overwrite=False)
    assert names(out) == ["a.gpkg", "file"]


def test_the_input_is_never_overwritten(scene, finite_model, detector):
    before = scene.read_bytes()
    with pytest.raises(OutputError, match="is the input itself"):
        classify_file(scene, scene, finite_model, overwrite=True)
    with pytest.raises(GeodlError, match="is the input itself"):
        detect_file(str(scene), scene, detector)
    assert scene.read_bytes() == before and names(scene.parent) == ["scene.tif"]


def test_tasks_are_not_mixed_up(scene, out, finite_model, detector):
    with pytest.raises(ModelError, match="made to detect, not to classify"):
        classify_file(scene, out / "a.tif", detector)
    with pytest.raises(ModelError, match="made to classify, not to detect"):
        detect_file(scene, out / "a.gpkg", finite_model)
    with pytest.raises(ModelError, match="no model 'nope': bundled are"):
        classify_file(scene, out / "a.tif", "nope")
    assert names(out) == []


@pytest.mark.parametrize("area", [None, (400_010.3, 3_699_910, 400_100, 3_699_990)])
def test_every_pixel_is_written_exactly_once(area, scene, finite_model, tmp_path, monkeypatch):
    written = []
    write = outputs.BlockWriter.write

    def count(writer, window, block):
        written.append((window, writer.file.shape))
        write(writer, window, block)

    monkeypatch.setattr(outputs.BlockWriter, "write", count)
    classify_file(scene, tmp_path / "out.tif", finite_model, area=area)
    times = np.zeros(written[0][1], dtype=int)
    for window, _ in written:
        times[window.slices_yx] += 1
    assert (times == 1).all()
