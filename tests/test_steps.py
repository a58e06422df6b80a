"""Steps: cut in any way and taken by any process they give the bits of one run."""

import subprocess
import sys

import numpy as np
import pytest
import rasterio

from geodl_lab import classify_file, detect_file, open_model, settings
from geodl_lab.errors import CancelledError, OutputError, RasterError
from geodl_lab.objects import Todo
from geodl_lab.options import make_options
from geodl_lab.pixels import class_product
from geodl_lab.steps import ObjectSteps, PixelSteps, object_run, pixel_run
from geodl_lab.testing import make_raster, save_unet


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    make_raster((3, 301, 211)).rio.to_raster(path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return save_unet(folder / "classes", bands=["red", "green", "blue"], classes=list("abcd"))


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "spots"
    decoder = {"name": "regions", "threshold": 0.5}
    bands = ["red", "green", "blue"]
    return save_unet(folder, bands=bands, classes=["spot"], task="detect", decoder=decoder)


def begin(scene, model, folder, *, side=None, **options):
    opened = open_model(model)
    run = pixel_run(scene, opened, class_product(opened.package, None), make_options(options))
    return PixelSteps.begin(run, folder, resume=True, side=side)


def read(path):
    with rasterio.open(path) as file:
        return file.read(), file.tags()


@pytest.mark.parametrize("side", [1, 50, 2048])
def test_pixels_do_not_depend_on_the_side(scene, model, tmp_path, side):
    whole = classify_file(scene, tmp_path / "a.tif", model)
    steps = begin(scene, model, tmp_path, side=side)
    while (todo := steps.missing()).chunks:
        for chunk in todo.chunks[::-1]:
            steps.compute(Todo(todo.area, (chunk,), 1))
    steps.finish(tmp_path / "b.tif")
    (one, tags), (other, also) = read(whole), read(tmp_path / "b.tif")
    assert np.array_equal(one, other) and tags == also
    assert len(np.unique(one)) == 4


ELSEWHERE = """
import sys
from geodl_lab import open_model, settings
settings.MEMORY_BUDGET = 2**23
from geodl_lab.objects import Todo
from geodl_lab.options import make_options
from geodl_lab.pixels import class_product
from geodl_lab.steps import PixelSteps, pixel_run
from pathlib import Path
scene, model, folder = sys.argv[1:]
opened = open_model(model)
run = pixel_run(scene, opened, class_product(opened.package, None), make_options({}))
steps = PixelSteps.begin(run, Path(folder), resume=True, side=60)
todo = steps.missing()
steps.compute(Todo(todo.area, todo.chunks[:3], 3))
"""


def test_another_process_goes_on(scene, model, tmp_path):
    whole = classify_file(scene, tmp_path / "a.tif", model)
    steps = begin(scene, model, tmp_path, side=60)
    count = len(steps.missing().chunks)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ELSEWHERE, scene, model, tmp_path], check=True
    )
    todo = begin(scene, model, tmp_path, side=60).missing()
    assert len(todo.chunks) == count - 3
    steps.compute(todo)
    steps.finish(tmp_path / "b.tif")
    assert np.array_equal(read(whole)[0], read(tmp_path / "b.tif")[0])


@pytest.mark.parametrize("area", [None, (400_010, 3_699_900, 400_060, 3_699_960)])
def test_objects_do_not_depend_on_the_side(scene, detector, tmp_path, area):
    whole = detect_file(scene, tmp_path / "a.parquet", detector, area=area)
    run = object_run(scene, open_model(detector), make_options({"area": area}))
    steps, rounds = ObjectSteps.begin(run, tmp_path, resume=True, side=40), 0
    while (todo := steps.missing()).chunks:
        rounds += 1
        for chunk in todo.chunks[::-1]:
            steps.compute(Todo(todo.area, (chunk,), 1))
    assert steps.finish(tmp_path / "b.parquet") > 3
    assert whole.read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert rounds == 1 if area is None else rounds >= 1


def test_an_input_that_is_replaced_fails_the_step(scene, model, tmp_path):
    copy = tmp_path / "copy.tif"
    copy.write_bytes(scene.read_bytes())
    steps = begin(copy, model, tmp_path, side=60)
    todo = steps.missing()
    make_raster((3, 301, 211), seed=1).rio.to_raster(copy)
    with pytest.raises(RasterError, match="was changed while it was read"):
        steps.compute(Todo(todo.area, todo.chunks[:1], 1))
    copy.unlink()
    with pytest.raises(RasterError, match="was changed while it was read"):
        steps.of.check_unchanged()


def test_a_step_stops_when_told(scene, model, tmp_path):
    steps, asked = begin(scene, model, tmp_path, side=60), []
    with pytest.raises(CancelledError, match="cancelled"):
        steps.compute(steps.missing(), cancelled=lambda: len(asked) > 5 or asked.append(1))
    left = len(begin(scene, model, tmp_path, side=60).missing().chunks)
    assert left > len(asked) / 2


def test_blocks_of_another_run_are_not_taken(scene, model, tmp_path):
    steps = begin(scene, model, tmp_path, side=60)
    todo = steps.missing()
    steps.compute(Todo(todo.area, todo.chunks[:1], 1))
    with pytest.raises(OutputError, match="recipe tta was false and is true"):
        begin(scene, model, tmp_path, side=60, tta=True)


def test_two_processes_may_begin_before_the_first_block(scene, model, tmp_path):
    one = begin(scene, model, tmp_path, side=60)
    other = begin(scene, model, tmp_path, side=60)
    todo = other.missing()
    one.compute(Todo(todo.area, todo.chunks[:1], 1))
    assert len(begin(scene, model, tmp_path, side=60).missing().chunks) == len(todo.chunks) - 1


def test_a_mask_leaves_nodata(scene, model, tmp_path):
    class Left:
        def covers(self, window):
            x = np.arange(window.x, window.right)
            return np.broadcast_to(x < 100, window.shape_yx)

    whole = classify_file(scene, tmp_path / "a.tif", model)
    opened = open_model(model)
    run = pixel_run(scene, opened, class_product(opened.package, None), make_options({}))
    steps = PixelSteps.begin(run, tmp_path, resume=False, mask=Left())
    steps.compute(steps.missing())
    steps.finish(tmp_path / "b.tif")
    (one, _), (other, _) = read(whole), read(tmp_path / "b.tif")
    assert np.array_equal(other[..., :100], one[..., :100]) and (other[..., 100:] == 255).all()


def test_room_is_for_blocks_and_file(scene, model, tmp_path):
    run = begin(scene, model, tmp_path).of
    assert run.room == pytest.approx(301 * 211 * 7 / 3, rel=0.01)
    assert settings.PART < settings.CHUNK
