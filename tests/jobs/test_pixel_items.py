"""Jobs on pixels give the command line's bits, whoever computes which part; places and masks."""

import pickle
import signal
import subprocess
import sys

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.warp
import shapely

from geodl_lab import change, classify, classify_file, open_raster, regress_file, settings
from geodl_lab.errors import (
    BandError,
    CancelledError,
    ModelError,
    OptionError,
    OutputError,
    RasterError,
)
from geodl_lab.jobs.make import make_work
from geodl_lab.jobs.recipes import Change, Classify, Context, Extent, Ref
from geodl_lab.jobs.resolved import Resolved
from geodl_lab.jobs.works import CANCEL
from geodl_lab.testing import make_raster, save_unet

A, B, MODEL, MASK = (Ref("store", name) for name in ("s/a", "s/b", "m", "s/mask"))
RGB = ["red", "green", "blue"]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(settings, "PART", 60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("inputs")


@pytest.fixture(scope="module")
def scene(folder):
    make_raster((3, 220, 200)).rio.to_raster(folder / "scene.tif")
    return folder / "scene.tif"


@pytest.fixture(scope="module")
def model(folder):
    return save_unet(folder / "classes", bands=RGB, classes=["background", "b", "c"])


def part_of(scene, path, rows, columns):
    open_raster(scene)[:, rows, columns].rio.to_raster(path)
    return path


def run(work):
    """Take all steps, each with a work that came from elsewhere."""
    work.folder.mkdir(exist_ok=True)
    while (missing := work.missing()).parts:
        assert sum(part.windows for part in missing.parts) <= missing.windows
        for part in missing.parts[::-1]:
            assert pickle.loads(pickle.dumps(work)).compute((part,)).pixels > 0
    return work.finish()


def classified(tmp_path, model, *rasters, mask=None, features=None, **recipe):
    resolved = Resolved({A: rasters}, {}, str(model))
    if mask or features:
        recipe["context"] = Context(mask=MASK)
    if mask:
        resolved.rasters[MASK] = (mask,)
    if features:
        resolved.features[MASK] = features
    return make_work(Classify((A,), MODEL, **recipe), resolved, tmp_path / "job")


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


ELSEWHERE = """
import os, pickle, signal, sys
from geodl_lab import settings
settings.MEMORY_BUDGET, settings.PART = 2**23, 60
work = pickle.load(sys.stdin.buffer)
parts = work.missing().parts
work.compute(parts[:3])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_job_gives_the_bits_of_the_command_line(scene, model, tmp_path):
    work = classified(tmp_path, model, scene)
    work.folder.mkdir()
    count = len(work.missing().parts)
    command = [sys.executable, "-W", "ignore", "-c", ELSEWHERE]
    dead = subprocess.run(command, input=pickle.dumps(work), check=False)
    assert dead.returncode == -signal.SIGKILL
    from_there = classified(tmp_path, model, scene)
    object.__setattr__(from_there, "arguments", "{ }")  # another work: nothing is kept of it
    assert len(from_there.missing().parts) == count - 3
    result = run(work)
    truth = classify_file(scene, tmp_path / "cli.tif", model)
    with rasterio.open(result.files["raster"]) as one, rasterio.open(truth) as other:
        assert np.array_equal(one.read(), other.read()) and one.tags() == other.tags()
        assert one.colormap(1) == other.colormap(1) and one.crs == other.crs
    names = {"raster.tif", "raster.tif.aux.xml", "result.json"}
    assert {file.name for file in (tmp_path / "job" / "result").iterdir()} == names
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["result"]
    assert result.values["classes"][1] == {"value": 1, "name": "b", "color": "#37aa00"}
    assert result.values["bands"] == ["class"] and not work.missing().parts
    assert work.finish() == result  # also after a crash


def test_several_rasters_are_one_mosaic(scene, model, tmp_path):
    left = part_of(scene, tmp_path / "l.tif", slice(0, 220), slice(0, 120))
    right = part_of(scene, tmp_path / "r.tif", slice(0, 220), slice(90, 200))
    result = run(classified(tmp_path, model, left, right))
    assert np.array_equal(
        read(result.files["raster"]), read(classify_file(scene, tmp_path / "a.tif", model))
    )


def test_each_raster_apart_and_the_first_on_top(scene, model, tmp_path):
    left = part_of(scene, tmp_path / "l.tif", slice(0, 150), slice(0, 120))
    right = part_of(scene, tmp_path / "r.tif", slice(40, 220), slice(90, 200))
    result = run(classified(tmp_path, model, left, right, each=True))
    one, other = (
        read(classify_file(path, tmp_path / f"{path.stem}c.tif", model)) for path in (left, right)
    )
    expected = np.full((220, 200), 255, np.uint8)
    expected[40:, 90:] = other
    expected[:150, :120] = one
    assert np.array_equal(read(result.files["raster"]), expected)
    with rasterio.open(result.files["raster"]) as file:
        assert file.colormap(1)[1] == (55, 170, 0, 255) and file.nodata == 255
        assert file.tags()["geodl_model"] == "classes"


def test_an_extent_in_another_crs(scene, model, tmp_path):
    bounds = (400_030, 3_699_900, 400_080, 3_699_960)
    brought = rasterio.warp.transform_bounds("EPSG:26911", 4326, *bounds)
    context = Context(extent=Extent(*brought, crs="EPSG:4326"))
    result = run(classified(tmp_path, model, scene, context=context))
    with rasterio.open(result.files["raster"]) as file:
        seen, place = file.read(1), file.bounds
    assert place.left <= 400_030 < place.right and place.right >= 400_080
    assert place.right - place.left < 53  # a turned rectangle is a little larger
    whole = open_raster(classify_file(scene, tmp_path / "a.tif", model))
    inside = place.left + 0.1, place.bottom + 0.1, place.right - 0.1, place.top - 0.1
    assert np.array_equal(seen, whole.rio.clip_box(*inside)[0])


def test_an_extent_elsewhere_is_named(scene, model, tmp_path):
    far = Context(extent=Extent(0, 0, 1, 1, crs="EPSG:4326"))
    with pytest.raises(OptionError, match=r"\(0, 0, 1, 1\) does not meet the raster 'scene.tif'"):
        classified(tmp_path, model, scene, context=far).missing()
    with pytest.raises(OptionError, match="does not meet"):
        classified(tmp_path, model, scene, scene, each=True, context=far).missing()


def test_of_several_rasters_the_one_that_does_not_fit_is_named(scene, model, tmp_path):
    with rasterio.open(scene) as file:
        profile = file.profile | {"count": 1, "photometric": "MINISBLACK"}
        with rasterio.open(tmp_path / "gray.tif", "w", **profile) as gray:
            gray.write(file.read(1), 1)
    work = classified(tmp_path, model, scene, tmp_path / "gray.tif", each=True)
    with pytest.raises(BandError, match=r"'gray.tif': the model wants .* and the raster has 1"):
        work.missing()


def test_rasters_outside_the_extent_are_left_out(scene, model, tmp_path):
    left = part_of(scene, tmp_path / "l.tif", slice(0, 100), slice(0, 100))
    right = part_of(scene, tmp_path / "r.tif", slice(100, 200), slice(100, 200))
    extent = Extent(400_070, 3_699_800, 400_100, 3_699_930)
    result = run(classified(tmp_path, model, left, right, each=True, context=Context(extent)))
    assert result.warnings == ("1 rasters do not meet the extent and were left out",)
    with rasterio.open(result.files["raster"]) as file:
        assert file.bounds.left == pytest.approx(400_069.6, abs=0.7)


def test_another_grid(scene, model, tmp_path):
    result = run(classified(tmp_path, model, scene, context=Context(cell_size=1.2)))
    truth = classify_file(scene, tmp_path / "a.tif", model, cell_size=1.2)
    assert np.array_equal(read(result.files["raster"]), read(truth))


def test_computing_in_another_crs(scene, model, tmp_path):
    context = Context(process_crs="EPSG:3857", resampling="nearest")
    result = run(classified(tmp_path, model, scene, context=context))
    warped = open_raster(scene).rio.write_nodata(0).rio.reproject("EPSG:3857")
    with rasterio.open(result.files["raster"]) as file:
        assert file.crs.to_epsg() == 3857
        assert file.transform.almost_equals(warped.rio.transform(), 1e-3)
        assert np.array_equal(file.read(1), classify(warped, model))


def test_the_result_in_another_crs(scene, model, tmp_path):
    result = run(classified(tmp_path, model, scene, context=Context(out_crs="EPSG:4326")))
    truth = open_raster(classify_file(scene, tmp_path / "a.tif", model))
    with rasterio.open(result.files["raster"]) as file:
        assert file.crs.to_epsg() == 4326 and file.colormap(1)[1] == (55, 170, 0, 255)
        expected = truth.rio.reproject("EPSG:4326")
        assert np.array_equal(file.read(1), expected[0])


def test_cells_snap_to_another_raster(scene, model, tmp_path):
    other = make_raster((1, 10, 10)).assign_coords(
        x=400_000.2 + np.arange(10) * 0.6, y=3_700_000.1 - np.arange(10) * 0.6
    )
    other.rio.write_transform(other.rio.transform(recalc=True)).rio.to_raster(tmp_path / "o.tif")
    snap = Ref("store", "o")
    work = make_work(
        Classify((A,), MODEL, context=Context(snap_to=snap)),
        Resolved({A: (scene,), snap: (tmp_path / "o.tif",)}, {}, str(model)),
        tmp_path / "job",
    )
    with rasterio.open(run(work).files["raster"]) as file:
        steps = ~file.transform @ (400_000.2 - 0.3, 3_700_000.1 + 0.3)
        assert np.abs(np.array(steps) - np.round(steps)).max() < 1e-2


def test_masks_leave_nodata(scene, model, tmp_path):
    truth = read(classify_file(scene, tmp_path / "a.tif", model))
    values = np.zeros((1, 220, 200), np.uint8)
    values[:, 30:90, 20:70] = 1
    mask = make_raster((1, 220, 200)).copy(data=values)
    mask.rio.to_raster(tmp_path / "mask.tif")
    result = run(classified(tmp_path, model, scene, mask=tmp_path / "mask.tif"))
    expected = np.where(values[0], truth, 255)
    assert np.array_equal(read(result.files["raster"]), expected)
    x, y = 400_000 + 0.6 * np.array([20, 70]), 3_700_000 - 0.6 * np.array([30, 90])
    frame = geopandas.GeoDataFrame(geometry=[shapely.box(x[0], y[1], x[1], y[0])], crs=26911)
    frame.to_crs(4326).to_file(tmp_path / "mask.gpkg")
    job = tmp_path / "features"
    job.mkdir()
    result = run(classified(job, model, scene, features=tmp_path / "mask.gpkg"))
    assert (read(result.files["raster"]) != expected).sum() < 5  # turned there and back


@pytest.mark.parametrize("nodata", [None, 0])
def test_two_dates(tmp_path, nodata):
    bands = [f"{date}_{band}" for date in ("before", "after") for band in RGB]
    model = save_unet(tmp_path / "change", bands=bands, classes=["same", "other"])
    dates = [make_raster((3, 90, 70), seed=s, nodata=nodata, names=RGB) for s in (0, 1)]
    if nodata is not None:
        dates[0][:, 5:20, 5:20], dates[1][:, 40:50, 30:60] = 0, 0
    paths = [tmp_path / "before.tif", tmp_path / "after.tif"]
    for date, path in zip(dates, paths, strict=True):
        date.rio.to_raster(path)
    resolved = Resolved({A: (paths[0],), B: (paths[1],)}, {}, str(model))
    result = run(make_work(Change((A,), (B,), MODEL), resolved, tmp_path / "job"))
    assert np.array_equal(read(result.files["raster"]), change(*dates, model))
    assert result.warnings == ()


def test_dates_on_other_cells_are_resampled_and_said(tmp_path):
    bands = [f"{date}_{band}" for date in ("before", "after") for band in RGB]
    model = save_unet(tmp_path / "change", bands=bands, classes=["same", "other"])
    make_raster((3, 90, 70), names=RGB).rio.to_raster(tmp_path / "before.tif")
    make_raster((3, 80, 60), names=RGB, cell_size=0.9).rio.to_raster(tmp_path / "after.tif")
    paths = {A: (tmp_path / "before.tif",), B: (tmp_path / "after.tif",)}
    work = make_work(Change((A,), (B,), MODEL), Resolved(paths, {}, str(model)), tmp_path / "job")
    result = run(work)
    assert read(result.files["raster"]).shape == (90, 70)
    assert "resampled to the cells of the first" in result.warnings[0]


def test_values_of_a_regression(scene, tmp_path):
    model = save_unet(tmp_path / "heights", bands=RGB, classes=["height", "slope"], task="regress")
    result = run(classified(tmp_path, model, scene))
    truth = regress_file(scene, tmp_path / "a.tif", model)
    with rasterio.open(result.files["raster"]) as one, rasterio.open(truth) as other:
        assert np.array_equal(one.read(), other.read(), equal_nan=True)
    assert result.values["classes"] == [] and result.values["bands"] == ["height", "slope"]


def test_the_background_can_be_left_out(scene, model, tmp_path):
    result = run(classified(tmp_path, model, scene, arguments={"predict_background": "False"}))
    truth = read(classify_file(scene, tmp_path / "a.tif", model))
    seen = read(result.files["raster"])
    assert not (seen == 0).any() and np.array_equal(seen[truth > 0], truth[truth > 0])


def test_a_job_is_cancelled_by_a_file(scene, model, tmp_path):
    work = classified(tmp_path, model, scene)
    work.folder.mkdir()
    parts = work.missing().parts
    work.compute(parts[:2])
    (work.folder / CANCEL).touch()
    with pytest.raises(CancelledError, match="cancelled"):
        work.compute(parts)
    (work.folder / CANCEL).unlink()
    assert len(work.missing().parts) == len(parts) - 2


def test_an_input_that_was_replaced_fails_the_job(scene, model, tmp_path):
    copy = tmp_path / "copy.tif"
    copy.write_bytes(scene.read_bytes())
    work = classified(tmp_path, model, copy)
    work.folder.mkdir()
    parts = work.missing().parts
    work.compute(parts[:1])
    make_raster((3, 220, 200), seed=3).rio.to_raster(copy)
    with pytest.raises(RasterError, match="was changed while it was read"):
        work.compute(parts[1:2])
    object.__setattr__(work, "arguments", "{ }")  # as in a process that was just started
    with pytest.raises(RasterError, match="was changed while it was read"):
        work.missing()


def test_a_full_disk_says_what_is_needed(scene, model, tmp_path, monkeypatch):
    work = classified(tmp_path, model, scene)
    work.folder.mkdir()
    parts = work.missing().parts

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("geodl_lab.raster_files._write_block", full)
    words = r"No space left on device; up to 0.1 MB are needed and .+ MB are free there"
    with pytest.raises(OutputError, match=words):
        work.compute(parts[:1])


def test_a_model_for_something_else_is_named(scene, tmp_path):
    decoder = {"name": "regions"}
    model = save_unet(tmp_path / "spots", bands=RGB, classes=["s"], task="detect", decoder=decoder)
    with pytest.raises(ModelError, match="is made to detect and answers no pixels"):
        classified(tmp_path, model, scene).missing()
    with pytest.raises(OptionError, match="there is no raster to work on"):
        classified(tmp_path, model)
