"""File to file gives the pixels of the lazy way; bad input is named and leaves nothing."""

import dataclasses
import os
import signal
import subprocess
import sys

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import scipy.stats
import torch

from geodl_lab import (
    classify_file,
    detect_file,
    entropy_file,
    from_torch,
    open_raster,
    outputs,
    probabilities_file,
    regress_file,
    save,
    settings,
)
from geodl_lab.errors import (
    BandError,
    CancelledError,
    GeodlError,
    ModelError,
    OptionError,
    OutputError,
    RasterError,
    RunError,
)
from geodl_lab.planning import plan
from geodl_lab.resample import to_cell_size
from geodl_lab.sources import FileSource, RasterSource
from geodl_lab.testing import RandomNet, RegionDetector, make_raster, paint, pixel_boxes, wrap
from geodl_lab.vector_files import read_count


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
        about = {k: v for k, v in one.tags().items() if k.startswith(("geodl", "flag"))}
        assert about.pop("geodl_run")  # tells a resumed run that the file is complete
        assert about.items() <= other.tags().items()
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
    read = FileSource.read

    def watched(source, window):
        sizes.append(window.shape_yx)
        return read(source, window)

    monkeypatch.setattr(FileSource, "read", watched)
    monkeypatch.setattr(RasterSource, "read", None)
    classify_file(path, out / "a.tif", finite_model)
    assert len(sizes) > 10
    assert max(map(max, sizes)) <= largest < 300


def test_detections_are_written(tmp_path, out, detector):
    boxes = [(5, 5, 12, 15), (60, 58, 70, 66), (100, 20, 160, 30)]
    raster = paint((120, 200), boxes)
    path = put(raster, tmp_path / "lamps.tif")
    frame = geopandas.read_file(detect_file(path, out / "a.gpkg", detector))
    assert pixel_boxes(frame, raster) == boxes
    assert frame["label"].tolist() == ["lamp"] * 3 and names(out) == ["a.gpkg"]
    area = (400_000, 3_699_940, 400_060, 3.7e6)
    near = geopandas.read_parquet(detect_file(path, out / "b.parquet", detector, area=area))
    assert pixel_boxes(near, raster) == boxes[:2]


def test_all_nodata_is_a_result(tmp_path, out, finite_model, detector):
    empty = put(wrap(np.zeros((3, 200, 200), np.uint8), nodata=0), tmp_path / "a.tif")
    assert (open_raster(classify_file(empty, out / "a.tif", finite_model)) == 255).all()
    dark = put(paint((100, 100), []), tmp_path / "b.tif")
    for ending in ("parquet", "gpkg", "geojson"):
        assert read_count(detect_file(dark, out / f"b.{ending}", detector)) == 0


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
    write = outputs.PixelBlocks.write

    def count(writer, window, block):
        written.append((window, writer.raster.shape_yx))
        write(writer, window, block)

    monkeypatch.setattr(settings, "CHUNK", 60)
    monkeypatch.setattr(outputs.PixelBlocks, "write", count)
    classify_file(scene, tmp_path / "out.tif", finite_model, area=area)
    times = np.zeros(written[0][1], dtype=int)
    for window, _ in written:
        times[window.slices_yx] += 1
    assert (times == 1).all() and len(written) > 1


KILLED = """
import os, signal, sys
from geodl_lab import classify_file, from_torch, settings
from geodl_lab.testing import RandomNet
settings.CHUNK, settings.MEMORY_BUDGET = 60, 2**23
model = from_torch(RandomNet(), bands=3, classes=list("abcd"), window=64)

def die(done, total, *_):
    if done > total // 2:
        os.kill(os.getpid(), signal.SIGKILL)

classify_file(sys.argv[1], sys.argv[2], model, progress=die)
"""


@pytest.fixture
def killed(tmp_path, out, monkeypatch):
    """Input and output of a run that was killed in its middle."""
    monkeypatch.setattr(settings, "CHUNK", 60)
    source, target = put(make_raster((3, 900, 700)), tmp_path / "scene.tif"), out / "a.tif"
    dead = subprocess.run([sys.executable, "-c", KILLED, source, target], check=False)
    assert dead.returncode == -signal.SIGKILL
    assert names(out) == [".a.tif.lock", ".a.tif.part"]
    return source, target


def test_a_killed_run_goes_on_with_the_same_bits(killed, out):
    source, target = killed
    net = RandomNet()
    model = from_torch(net, bands=3, classes=list("abcd"), window=64)
    (out / ".a.tif.part" / "blocks" / "rough-0-0-9-9.tif").write_bytes(b"half")
    done = [file for file in (out / ".a.tif.part" / "blocks").glob("[0-9]*.tif")]
    assert len(done) > 2
    done[0].write_bytes(done[0].read_bytes()[:100])  # damaged: made again
    net.calls, reports = 0, []
    classify_file(source, target, model, resume=True, progress=lambda *r: reports.append(r[:2]))
    resumed = target.read_bytes()
    assert names(out) == ["a.tif", "a.tif.aux.xml"]
    total = reports[-1][1]
    assert 0 < net.calls < total and reports[-1] == (total, total)
    assert reports[0][0] == total - net.calls + 1
    net.calls = 0
    classify_file(source, target, model)
    assert net.calls == total and target.read_bytes() == resumed
    net.calls = 0
    classify_file(source, target, model, resume=True, overwrite=False)
    assert net.calls == 0 and target.read_bytes() == resumed


def test_another_input_model_or_recipe_is_not_resumed(killed, finite_model):
    source, target = killed
    with pytest.raises(OutputError, match=r"output threshold was .None. and is .0\.3."):
        classify_file(source, target, finite_model, threshold=0.3, resume=True)
    other = from_torch(RandomNet(seed=5), bands=3, classes=list("abcd"), window=64)
    with pytest.raises(OutputError, match="model sha256 was"):
        classify_file(source, target, other, resume=True)
    with pytest.raises(OutputError, match=r"recipe precision was .*fp32.* and is .*bf16"):
        classify_file(source, target, finite_model, precision="bf16", resume=True)
    os.utime(source, ns=(1, 1))
    with pytest.raises(OutputError, match="input modified was"):
        classify_file(source, target, finite_model, resume=True)
    assert not target.exists()
    classify_file(source, target, finite_model)  # begins again
    with pytest.raises(OutputError, match="was made from another input, model or recipe"):
        classify_file(source, target, other, resume=True, overwrite=False)


def test_an_input_replaced_in_the_middle_fails_the_run(tmp_path, out, finite_model):
    path = put(make_raster((3, 300, 300)), tmp_path / "scene.tif")
    with pytest.raises(RasterError, match="was changed while it was read"):
        classify_file(path, out / "a.tif", finite_model, progress=lambda *_: os.utime(path, (1, 1)))
    assert not (out / "a.tif").exists()


def test_cancel_keeps_what_is_finished(tmp_path, out, finite_model, monkeypatch):
    monkeypatch.setattr(settings, "CHUNK", 60)
    path = put(make_raster((3, 900, 700)), tmp_path / "scene.tif")
    seen = []
    with pytest.raises(CancelledError, match="cancelled") as caught:
        classify_file(
            path, out / "a.tif", finite_model,
            progress=lambda *r: seen.append(r), cancelled=lambda: len(seen) > 12,
        )  # fmt: skip
    assert "goes on from them" in caught.value.__notes__[0]
    assert names(out) == [".a.tif.part"]
    classify_file(path, out / "a.tif", finite_model, resume=True)
    fresh = classify_file(path, out / "b.tif", finite_model)
    assert fresh.read_bytes() == (out / "a.tif").read_bytes()


def test_probabilities_and_entropy_as_files(scene, out, finite_model):
    share = open_raster(scene).dl.probabilities(finite_model)
    with rasterio.open(probabilities_file(scene, out / "p.tif", finite_model)) as file:
        assert np.array_equal(file.read(), share.values) and file.descriptions == tuple("abcd")
    unsure = open_raster(scene).dl.entropy(finite_model)
    with rasterio.open(entropy_file(scene, out / "e.tif", finite_model)) as file:
        assert np.array_equal(file.read(1), unsure.values)
    assert np.allclose(unsure, scipy.stats.entropy(share.values, axis=0), atol=1e-5)


def test_a_regression_as_a_file(scene, out):
    model = from_torch(RandomNet(classes=1), task="regress", bands=3, classes=["height"], window=64)
    height = open_raster(scene).dl.regress(model)
    assert height.name == "height" and height.dtype == np.float32
    with rasterio.open(regress_file(scene, out / "h.tif", model)) as file:
        assert np.array_equal(file.read(1), height.values) and np.isnan(file.nodata)


@pytest.mark.parametrize("area", [None, (400_010.3, 3_699_910, 400_100, 3_699_990)])
@pytest.mark.parametrize("snap", [False, True])
def test_another_cell_size_in_files_and_arrays(scene, out, finite_model, snap, area, monkeypatch):
    monkeypatch.setattr(settings, "CHUNK", 40)
    options = {"cell_size": 1.0731, "snap": snap, "area": area}
    path = classify_file(scene, out / "a.tif", finite_model, **options)
    raster = open_raster(scene)
    expected = raster.dl.classify(finite_model, **options)
    lazy = open_raster(scene, chunks={"y": 50, "x": 70}).dl.classify(finite_model, **options)
    assert lazy.chunks is not None and np.array_equal(lazy, expected)
    written = open_raster(path)
    assert np.array_equal(written[0], expected)
    assert written.rio.transform().almost_equals(expected.rio.transform())
    assert written.rio.resolution()[0] == pytest.approx(0.6 if snap else 1.0731)
    assert f'"grid": "{"input" if snap else "model"}"' in written.attrs["geodl_recipe"]
    by_hand = to_cell_size(raster, 1.0731).dl.classify(finite_model)
    where = {"method": "nearest", "tolerance": 1.1}
    assert np.array_equal(expected, by_hand.sel(x=expected.x, y=expected.y, **where))


KILLED_DETECTOR = """
import os, signal, sys
from geodl_lab import detect_file, from_torch, settings
from geodl_lab.testing import RegionDetector
settings.CHUNK, settings.MEMORY_BUDGET = 60, 2**23
model = from_torch(RegionDetector(), task="detect", bands=["gray"], classes=["lamp"], window=64)

def die(done, total, *_):
    if done > total // 2:
        os.kill(os.getpid(), signal.SIGKILL)

detect_file(sys.argv[1], sys.argv[2], model, progress=die)
"""


@pytest.mark.parametrize("ending", ["parquet", "gpkg", "geojson"])
def test_a_killed_detection_goes_on_with_the_same_objects(
    tmp_path, out, detector, monkeypatch, ending
):
    monkeypatch.setattr(settings, "CHUNK", 60)
    boxes = [(5, 5, 12, 15), (20, 100, 28, 380), (60, 58, 70, 66), (100, 20, 160, 30)]
    raster = paint((400, 300), boxes)
    source, target = put(raster, tmp_path / "lamps.tif"), out / f"a.{ending}"
    dead = subprocess.run([sys.executable, "-c", KILLED_DETECTOR, source, target], check=False)
    assert dead.returncode == -signal.SIGKILL and not target.exists()
    next((out / f".a.{ending}.part" / "blocks").glob("*.npz")).write_bytes(b"")  # made again
    reports = []
    detect_file(source, target, detector, resume=True, progress=lambda *r: reports.append(r[:2]))
    assert names(out) == [target.name]
    done, total = reports[0][0], reports[-1][1]
    assert total // 4 < done and reports[-1] == (total, total)
    fresh = detect_file(source, out / f"b.{ending}", detector)
    one, other = (
        geopandas.read_parquet(path) if ending == "parquet" else geopandas.read_file(path)
        for path in (target, fresh)
    )
    assert one.equals(other) and len(one) == len(boxes)
    again = detect_file(source, target, detector, resume=True, overwrite=False)
    assert again == target
    with pytest.raises(OutputError, match="was made from another input, model or recipe"):
        detect_file(source, target, detector, threshold=0.1, resume=True, overwrite=False)


def test_detections_of_a_part_are_resumed_too(tmp_path, out, detector, monkeypatch):
    """More is looked at where an object of the area goes on beyond it."""
    monkeypatch.setattr(settings, "CHUNK", 60)
    raster = paint((500, 300), [(20, 10, 28, 480), (100, 100, 110, 110)])
    source = put(raster, tmp_path / "lamps.tif")
    area = (400_000, 3_699_820, 400_040, 3_699_880)
    seen = []
    with pytest.raises(CancelledError):
        detect_file(
            source, out / "a.gpkg", detector, area=area,
            progress=lambda *r: seen.append(r), cancelled=lambda: len(seen) > 20,
        )  # fmt: skip
    resumed = geopandas.read_file(
        detect_file(source, out / "a.gpkg", detector, area=area, resume=True)
    )
    expected = raster.dl.detect(detector, area=area)
    assert pixel_boxes(resumed, raster) == pixel_boxes(expected, raster) == [(20, 10, 28, 480)]


def test_other_bands_of_the_raster_are_another_run(killed, finite_model):
    source, target = killed
    with pytest.raises(
        OutputError, match=r"recipe raster_bands was \[1, 2, 3\] and is \[3, 2, 1\]"
    ):
        classify_file(source, target, finite_model, bands=[3, 2, 1], resume=True)


def test_the_files_of_a_mosaic_belong_to_the_input(tmp_path, out, finite_model):
    tile = put(make_raster((3, 200, 150)), tmp_path / "tile.tif")
    mosaic = tmp_path / "mosaic.vrt"
    rasterio.shutil.copy(tile, mosaic, driver="VRT")
    classify_file(mosaic, out / "a.tif", finite_model)
    before = (out / "a.tif").read_bytes()
    classify_file(mosaic, out / "a.tif", finite_model, resume=True, overwrite=False)
    put(make_raster((3, 200, 150), seed=3), tile)
    with pytest.raises(OutputError, match="was made from another input"):
        classify_file(mosaic, out / "a.tif", finite_model, resume=True, overwrite=False)
    with pytest.raises(OutputError, match="is the input itself"):
        classify_file(mosaic, tile, finite_model)
    assert (out / "a.tif").read_bytes() == before


def test_a_callbacks_own_error_without_words_is_told(tmp_path, out, scene, finite_model):
    def broken(*_):
        raise TimeoutError

    with pytest.raises(OutputError, match="TimeoutError"):
        classify_file(scene, out / "a.tif", finite_model, progress=broken)
