"""The bundled models: what their cards and descriptions claim, and the engine's promises."""

import functools
import hashlib
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import geodl_lab
from geodl_lab.heads import LogitHead
from geodl_lab.inference import DenseWork, run_chunk
from geodl_lab.packages.registry import ZOO
from geodl_lab.planning import plan
from geodl_lab.raster import as_raster
from geodl_lab.receptive import measure_field
from geodl_lab.sources import make_source
from geodl_lab.testing import make_raster

NAMES = geodl_lab.list_models()
TRAINED = [name for name in NAMES if (ZOO / name / "model.json").exists()]
TASKS = {name: geodl_lab.open_model(name).package.task for name in NAMES}
WHOLE = [name for name in NAMES if TASKS[name] == "recognize"]
WINDOWED = [name for name in NAMES if name not in WHOLE]
BANDS = ("Red", "Green", "Blue", "NIR")


def raster_for(model, shape_yx=(331, 421)):
    """Part of the bundled scene, cut so that it holds nodata, in the bands the model wants."""
    scene = geodl_lab.open_raster(geodl_lab.demo_scene())
    height, width = shape_yx
    return scene[: model.package.inputs.count, 2000 : 2000 + height, 1500 : 1500 + width].load()


@pytest.mark.parametrize("name", NAMES)
def test_every_model_has_a_card_that_says_what_people_ask(name):
    card = (ZOO / name / "README.md").read_text().lower()
    for word in ("licence", "split", "accuracy", "limits", "make it again"):
        assert word in card, word


@pytest.mark.parametrize("name", sorted({*TRAINED} - {*WHOLE}))
def test_fields_are_finite_small_and_as_stored(name):
    package = geodl_lab.open_model(name).package
    assert package.field.finite and package.field.halo <= 96
    stored = json.loads((ZOO / name / "model.json").read_text())["field"]
    measured = measure_field(
        geodl_lab.open_model(name).network, package.inputs.count, window=package.window
    )
    for key in ("finite", "stride", "halo", "crop"):
        assert stored[key] == getattr(measured, key)
    assert stored["seams"] == pytest.approx(measured.seams, rel=0.05, abs=1e-5)


@pytest.mark.parametrize("name", TRAINED)
def test_accuracy_is_of_a_place_never_trained_or_chosen_on(name):
    accuracy = geodl_lab.open_model(name).package.about["accuracy"]
    assert accuracy["test"]["place"] and "choose" in accuracy
    weights = (ZOO / name / "weights.safetensors").read_bytes()
    assert geodl_lab.open_model(name).package.sha256 == hashlib.sha256(weights).hexdigest()
    assert len(weights) < 6e6


@pytest.mark.parametrize("name", sorted({*TRAINED} - {*WHOLE}))
def test_windows_equal_one_forward(name):
    """Dense scores of merged windows against one forward of the raster, rim included."""
    model = geodl_lab.open_model(name)
    package = model.package
    raster = make_raster((package.inputs.count, 1100, 700), names=BANDS[: package.inputs.count])
    stride = package.field.stride
    rim = [(0, 0), *((0, -size % stride) for size in raster.shape[1:])]
    x = torch.from_numpy(np.pad(raster.values, rim, mode="reflect"))[None].float()
    x = x * package.inputs.scale
    if package.inputs.mean is not None:
        x = (x - torch.tensor(package.inputs.mean)[:, None, None]) / torch.tensor(
            package.inputs.std
        )[:, None, None]
    with torch.inference_mode():
        whole = model.network(x)[0, :, :1100, :700].numpy()
    merged = scores(raster, model)
    assert np.abs(merged - whole).max() < 1e-5 * max(1, np.abs(whole).max())


def scores(raster, model):
    """Assembled scores (K, y, x) of any dense model."""
    planned = plan(model, raster.shape[1:])
    assert planned.grid.count > 1
    with torch.inference_mode():
        channels = model.network(torch.zeros(1, raster.shape[0], 64, 64)).shape[1]
    source = make_source(as_raster(raster), model.package.inputs)
    work = DenseWork(LogitHead(channels, channels), model.package.field.crop)
    return run_chunk(planned, source, planned.grid.whole, work)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threads", [1, 2])
def test_same_answer_for_any_chunks_and_threads(name, threads):
    model = geodl_lab.open_model(name)
    raster = raster_for(model)
    call = model.package.task
    expected = getattr(raster.dl, call)(model)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        lazy = raster.chunk(band=1, y=[307, 24], x=211)
        result = getattr(lazy.dl, call)(model)
        if call == "classify":
            values = result.compute(num_workers=3 - threads).values
            assert np.array_equal(values, expected.values)
            assert len(np.unique(values)) > 2
        else:
            assert result.equals(expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", WINDOWED)
@settings(max_examples=4)
@given(st.data())
def test_same_answer_for_random_chunks_and_areas(name, data):
    model = geodl_lab.open_model(name)
    raster = raster_for(model)
    chunks = {"band": 1, "y": data.draw(st.integers(20, 400)), "x": data.draw(st.integers(20, 500))}
    y0, x0 = data.draw(st.integers(0, 330)), data.draw(st.integers(0, 420))
    y1, x1 = data.draw(st.integers(y0 + 1, 331)), data.draw(st.integers(x0 + 1, 421))
    transform = raster.rio.transform()
    (left, top), (right, bottom) = transform @ (x0, y0), transform @ (x1, y1)
    area = (left, bottom, right, top)
    whole = answer(name)
    part = getattr(raster.chunk(chunks).dl, model.package.task)(model, area=area)
    if model.package.task == "classify":
        assert np.array_equal(part.values, whole.values[y0:y1, x0:x1])
    else:
        inside = middles_inside(whole, area)
        assert part.geometry.tolist() == whole.geometry[inside].tolist()
        assert part.score.tolist() == whole.score[inside].tolist()


@functools.cache
def answer(name):
    """The answer for numpy input, computed once a model."""
    model = geodl_lab.open_model(name)
    return getattr(raster_for(model).dl, model.package.task)(model)


def middles_inside(found, area):
    """Objects whose middle lies in an area; left and top edge belong to it."""
    left, bottom, right, top = area
    x, y = found.geometry.centroid.x, found.geometry.centroid.y
    return (x >= left) & (x < right) & (y <= top) & (y > bottom)


def test_naip_models_skip_what_has_no_data():
    model = geodl_lab.open_model("naip-landcover")
    raster = raster_for(model)
    nodata = (raster.values == 0).all(axis=0)
    result = raster.dl.classify(model).values
    assert nodata.any() and ((result == 255) == nodata).all()


@pytest.mark.parametrize("name", WHOLE)
def test_whole_pictures_are_squashed_and_labelled(name):
    model = geodl_lab.open_model(name)
    raster = make_raster((3, 331, 421), names=BANDS[:3])
    table = raster.dl.recognize(model)
    assert sorted(table.label) == sorted(label.name for label in model.package.classes)
    exclusive = model.package.recognizer.exclusive
    assert (table.threshold == (0.025 if exclusive else 0.5)).all()
    assert not exclusive or table.score.sum() == pytest.approx(1)
    with torch.inference_mode():  # another way to the scores, with PIL's resampler
        image = Image.fromarray(np.moveaxis(raster.values, 0, -1))
        pixels = np.array(image.resize((128, 128), Image.Resampling.BILINEAR))
        x = torch.from_numpy(pixels).permute(2, 0, 1).float()[None] / 255
        x = (x - torch.tensor(model.package.inputs.mean)[:, None, None]) / 0.25  # its std
        scores = model.network(x)[0]
        scores = scores.softmax(0) if exclusive else scores.sigmoid()
    ours = table.sort_values("label_id").score.to_numpy()
    assert ours == pytest.approx(scores.numpy(), abs=0.02)
