"""Jobs that detect give the command line's objects; overlapping ones go by score and class."""

from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely

from geodl_lab import detect, detect_file, from_torch, open_raster, settings
from geodl_lab.detections import Detections
from geodl_lab.errors import ModelError, OptionError
from geodl_lab.jobs import object_items
from geodl_lab.jobs.make import make_work
from geodl_lab.jobs.recipes import Context, Detect, Extent, Nms, Ref
from geodl_lab.jobs.resolved import Resolved
from geodl_lab.objects import with_threshold
from geodl_lab.testing import MaskDetector, RegionDetector, paint, save_unet

A, MODEL, MASK = (Ref("store", name) for name in ("s/a", "m", "s/mask"))
BOXES = [(5, 5, 12, 15), (20, 100, 28, 280), (60, 58, 70, 66), (100, 20, 160, 30)]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(settings, "PART", 60)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "lamps.tif"
    paint((300, 200), BOXES).rio.to_raster(path)
    return path


@pytest.fixture
def lamps(monkeypatch):
    """A detector of bright rectangles, under any name."""
    model = from_torch(RegionDetector(), task="detect", bands=["gray"], classes=["lamp"], window=64)
    monkeypatch.setattr(object_items, "open_model", lambda _: model)
    return model


def run(work):
    work.folder.mkdir(exist_ok=True)
    while (missing := work.missing()).parts:
        for part in missing.parts[::-1]:
            work.compute((part,))
    return work.finish()


def detected(tmp_path, *rasters, model="lamps", mask=None, **recipe):
    resolved = Resolved({A: rasters}, {MASK: mask} if mask else {}, str(model))
    return make_work(Detect((A,), MODEL, **recipe), resolved, tmp_path / "job")


def frames(result):
    """Return the objects of both files; they are the same."""
    one = geopandas.read_parquet(result.files["parquet"])
    other = geopandas.read_file(result.files["features"])
    assert len(one) == len(other) == result.values["count"]
    assert list(one.columns) == list(other.columns)
    assert shapely.equals(shapely.normalize(one.geometry), shapely.normalize(other.geometry)).all()
    return one


@pytest.mark.parametrize("name", ["boxes", "regions"])
def test_a_job_gives_the_bits_of_the_command_line(scene, lamps, tmp_path, name, monkeypatch):
    model = lamps
    if name == "regions":
        monkeypatch.undo()
        monkeypatch.setattr(settings, "MEMORY_BUDGET", 2**23)
        monkeypatch.setattr(settings, "PART", 60)
        model = save_unet(
            tmp_path / "spots", bands=["gray"], classes=["spot"], task="detect",
            decoder={"name": "regions"},
        )  # fmt: skip
    result = run(detected(tmp_path, scene, model=model))
    truth = detect_file(scene, tmp_path / "cli.parquet", model)
    assert truth.read_bytes() == Path(result.files["parquet"]).read_bytes()
    frames(result)
    assert pyogrio.list_layers(result.files["features"]).tolist() == [["objects", "Polygon"]]
    assert result.values["geometry"] == "Polygon" and result.values["count"] >= len(BOXES)


def test_an_area_looks_further_where_it_must(scene, lamps, tmp_path):
    extent = Extent(400_000, 3_699_870, 400_040, 3_699_900)
    result = run(detected(tmp_path, scene, context=Context(extent)))
    area = (400_000, 3_699_870, 400_040, 3_699_900)
    truth = detect(open_raster(scene), lamps, area=area)
    assert frames(result).geometry.geom_equals(truth.geometry).all() and len(truth) == 1


def test_each_raster_keeps_its_objects(scene, lamps, tmp_path):
    other = tmp_path / "other.tif"
    paint((300, 200), BOXES[:2]).rio.reproject("EPSG:3857").rio.to_raster(other)
    result = run(detected(tmp_path, scene, other, each=True, nms=Nms()))
    found = frames(result)
    assert found.item.tolist()[:4] == ["lamps"] * 4 and set(found.item) == {"lamps", "other"}
    assert found.crs.to_epsg() == 26911
    low = found[found.item == "other"].geometry.iloc[0].bounds
    high = found[found.item == "lamps"].geometry.iloc[0].bounds
    assert np.allclose(low, high, atol=2)  # it is there twice


def test_objects_in_another_crs(scene, lamps, tmp_path):
    result = run(detected(tmp_path, scene, context=Context(out_crs="EPSG:4326")))
    truth = detect(open_raster(scene), lamps).to_crs(4326)
    assert frames(result).geometry.geom_equals_exact(truth.geometry, 1e-12).all()


def test_a_mask_drops_objects_whose_middle_is_outside(scene, lamps, tmp_path):
    whole = detect(open_raster(scene), lamps)
    wanted = shapely.box(400_000, 3_699_840, 400_045, 3_700_000)
    frame = geopandas.GeoDataFrame(geometry=[wanted], crs=26911)
    frame.to_file(tmp_path / "mask.gpkg")
    context = Context(mask=MASK)
    result = run(detected(tmp_path, scene, mask=tmp_path / "mask.gpkg", context=context))
    inside = whole[whole.geometry.centroid.within(wanted)]
    assert 0 < len(inside) < len(whole)
    assert frames(result).geometry.tolist() == inside.geometry.tolist()


def overlapping(*, points):
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [2, 0, 12, 10], [9, 9, 19, 19]], float)
    boxes = np.concatenate([boxes, boxes[:1]])
    ids = np.array([1, 1, 1, 1, 2])
    return Detections(boxes, ids, np.array([0.5, 0.9, 0.8, 0.7, 0.4]))


def greedy(found, limit):
    """Return the objects that are kept, one by one from the best on."""
    kept = []
    for index in np.argsort(-found.scores):
        box = shapely.box(*found.boxes[index])
        for other in kept:
            rival = shapely.box(*found.boxes[other])
            iou = box.intersection(rival).area / box.union(rival).area
            if found.label_ids[other] == found.label_ids[index] and iou > limit:
                break
        else:
            kept.append(int(index))
    return sorted(found.scores[kept])


@pytest.mark.parametrize("limit", [0.0, 0.1, 0.7, 0.81, 0.9, 1.0])
def test_overlapping_objects_go_by_score_and_class(scene, lamps, tmp_path, limit, monkeypatch):
    found = overlapping(points=False)
    work = detected(tmp_path, scene, nms=Nms("Confidence", "Class", limit))
    work.folder.mkdir()
    opened = work.opened(0)
    monkeypatch.setattr(type(opened.steps), "found", lambda _: iter([found]))
    monkeypatch.setattr(type(opened), "frame", lambda _, kept: kept)
    (kept,) = opened.frames(limit)
    assert sorted(kept.scores) == greedy(found, limit)


@pytest.mark.parametrize(
    ("nms", "words"),
    [
        (Nms(score_field="Prob"), r"no field 'Prob' of scores; possible are score, confidence"),
        (Nms(class_field="Kind"), r"no field 'Kind' of classes; possible are label, label_id"),
        (Nms(max_overlap=1.5), "overlap 1.5 is not possible; give a number from 0 to 1"),
    ],
)
def test_what_decides_must_be_there(scene, tmp_path, nms, words):
    with pytest.raises(OptionError, match=words):
        detected(tmp_path, scene, nms=nms)


def test_points_have_their_boxes(scene, tmp_path):
    model = save_unet(
        tmp_path / "points", bands=["gray"], classes=["p"], task="detect",
        decoder={"name": "heatmap", "box_size": 6, "radius": 3},
    )  # fmt: skip
    context = Context(out_crs="EPSG:3857")
    result = run(detected(tmp_path, scene, model=model, nms=Nms(max_overlap=0.2), context=context))
    found = frames(result)
    assert result.values["geometry"] == "Point" and len(found) > 3
    assert ((found.geometry.x > found.xmin) & (found.geometry.x < found.xmax)).all()
    truth = detect(open_raster(scene), model)
    assert len(found) < len(truth) or len(truth) == len(found)


def test_boxes_instead_of_outlines(scene, tmp_path, monkeypatch):
    model = from_torch(
        MaskDetector(), task="detect", bands=["gray"], classes=["lamp"], window=64, decoder="masks"
    )
    monkeypatch.setattr(object_items, "open_model", lambda _: model)
    result = run(detected(tmp_path, scene, arguments={"return_bboxes": "True"}))
    found = frames(result)
    whole = detect(open_raster(scene), model)
    assert found.geometry.tolist() == shapely.envelope(whole.geometry.to_numpy()).tolist()
    assert pyogrio.list_layers(result.files["features"]).tolist() == [["objects", "Polygon"]]


def test_a_threshold_is_the_run_s(scene, lamps, tmp_path):
    result = run(detected(tmp_path, scene, arguments={"threshold": "1"}))
    assert result.values["count"] == len(detect(open_raster(scene), with_threshold(lamps, 1)))


def test_a_model_for_something_else_is_named(scene, tmp_path):
    model = save_unet(tmp_path / "classes", bands=["gray"], classes=["a", "b"])
    with pytest.raises(ModelError, match="is made to classify, not to detect"):
        detected(tmp_path, scene, model=model).missing()
