"""Jobs that recognize give the labels of `recognize`, on features or on whole rasters."""

import geopandas
import numpy as np
import pytest
import shapely
from torch import nn

from geodl_lab import from_torch, open_raster, recognize
from geodl_lab.errors import ModelError, OptionError, RasterError
from geodl_lab.jobs import label_items
from geodl_lab.jobs.make import make_work
from geodl_lab.jobs.recipes import Context, Extent, Recognize, Ref
from geodl_lab.jobs.resolved import Resolved
from geodl_lab.testing import make_raster, save_unet

A, MODEL, FEATURES = (Ref("store", name) for name in ("s/a", "m", "s/f"))


class Means(nn.Module):
    """Answers the mean of each band as its class's score."""

    def forward(self, x):
        """Map (N, C, H, W) to (N, C)."""
        return x.mean(dim=(2, 3)) * 20


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    make_raster((3, 200, 180)).rio.to_raster(path)
    return path


@pytest.fixture
def model(monkeypatch):
    model = from_torch(
        Means(), task="recognize", bands=["red", "green", "blue"], classes=["r", "g", "b"],
        window=32,
    )  # fmt: skip
    monkeypatch.setattr(label_items, "open_model", lambda _: model)
    monkeypatch.setattr(label_items, "GROUP", 8)
    return model


@pytest.fixture
def trees(tmp_path):
    """Boxes, one of them beside the raster."""
    rng = np.random.default_rng(0)
    x, y = 400_000 + rng.uniform(0, 90, 20), 3_699_880 + rng.uniform(0, 100, 20)
    x[4] += 1000
    shapes = shapely.box(x, y, x + rng.uniform(3, 20, 20), y + 9)
    frame = geopandas.GeoDataFrame(
        {"name": [f"t{n}" for n in range(20)]}, geometry=shapes, crs=26911
    )
    frame.to_crs(4326).to_file(tmp_path / "trees.gpkg")
    return tmp_path / "trees.gpkg"


def run(work):
    work.folder.mkdir(exist_ok=True)
    while (missing := work.missing()).parts:
        for part in missing.parts[::-1]:
            work.compute((part,))
    return work.finish()


def labelled(tmp_path, *rasters, features=None, **recipe):
    resolved = Resolved({A: rasters}, {FEATURES: features} if features else {}, "means")
    of = FEATURES if features else None
    return make_work(Recognize((A,), MODEL, of, **recipe), resolved, tmp_path / "job")


def read(result):
    one = geopandas.read_parquet(result.files["parquet"])
    other = geopandas.read_file(result.files["features"])
    assert len(one) == len(other) == result.values["count"]
    assert list(one.columns) == list(other.columns)
    return one


def test_features_get_the_labels_of_recognize(scene, model, trees, tmp_path):
    work = labelled(tmp_path, scene, features=trees)
    work.folder.mkdir()
    assert [part.windows for part in work.missing().parts] == [8, 8, 4]
    result, truth = run(work), geopandas.read_file(trees)
    found, truth = read(result), truth.drop(index=4)
    assert result.warnings == ("1 features lie outside the raster and got no label",)
    truth = recognize(open_raster(scene), model, features=truth)
    assert found.label.isna().sum() == 1 and np.isnan(found.score[4])
    found = found.drop(index=4)
    for name in ("name", "label", "label_id", "score", "geometry"):
        assert found[name].tolist() == truth[name].tolist()
    assert found.crs == truth.crs


def test_the_label_s_column_has_any_name(scene, model, trees, tmp_path):
    result = run(labelled(tmp_path, scene, features=trees, label_field="name"))
    found = read(result)
    assert set(found.name.dropna()) <= {"r", "g", "b"} and "label" not in found


def test_a_raster_is_no_features(scene, tmp_path):
    resolved = Resolved({A: (scene,), FEATURES: (scene,)}, {}, "means")
    with pytest.raises(OptionError, match="are a raster; give a layer of features"):
        make_work(Recognize((A,), MODEL, FEATURES), resolved, tmp_path / "job")


def test_the_label_replaces_a_column_of_its_name_in_any_case(scene, model, trees, tmp_path):
    found = read(run(labelled(tmp_path, scene, features=trees, label_field="NAME")))
    assert "name" not in found and set(found.NAME.dropna()) <= {"r", "g", "b"}
    with pytest.raises(OptionError, match="'Score', which is a column of its own; choose another"):
        labelled(tmp_path, scene, features=trees, label_field="Score")


def test_an_extent_chooses_features(scene, model, trees, tmp_path):
    extent = Extent(400_000, 3_699_880, 400_030, 3_700_000)
    result = run(labelled(tmp_path, scene, features=trees, context=Context(extent)))
    frame = geopandas.read_file(trees).to_crs(26911)
    met = frame[frame.intersects(shapely.box(400_000, 3_699_880, 400_030, 3_700_000))]
    assert 0 < len(met) < 20 and read(result).name.tolist() == met.name.tolist()


def test_a_whole_raster_is_one_polygon(scene, model, tmp_path):
    result = run(labelled(tmp_path, scene))
    found = read(result)
    best = recognize(open_raster(scene), model).iloc[0]
    assert found.label.tolist() == [best.label] and found.score.tolist() == [best.score]
    assert found.geometry[0].bounds == pytest.approx(open_raster(scene).rio.bounds())
    assert result.values["geometry"] == "Polygon" and found.crs.to_epsg() == 26911


def test_each_raster_is_a_polygon(scene, model, tmp_path):
    other = tmp_path / "other.tif"
    make_raster((3, 90, 70), seed=1).rio.to_raster(other)
    found = read(run(labelled(tmp_path, scene, other, each=True)))
    assert found.item.tolist() == ["scene", "other"]
    assert found.score[1] == recognize(open_raster(other), model).score[0]


def test_what_cannot_be_labelled_is_named(scene, model, trees, tmp_path):
    (tmp_path / "bad.gpkg").write_bytes(b"nothing")
    with pytest.raises(OptionError, match=r"'bad.gpkg' cannot be read"):
        labelled(tmp_path, scene, features=tmp_path / "bad.gpkg").missing()
    empty = geopandas.read_file(trees).iloc[:0]
    empty.to_file(tmp_path / "empty.gpkg")
    with pytest.raises(OptionError, match=r"'empty.gpkg' holds no features"):
        labelled(tmp_path, scene, features=tmp_path / "empty.gpkg").missing()


def test_features_that_were_replaced_fail_the_job(scene, model, trees, tmp_path):
    work = labelled(tmp_path, scene, features=trees)
    work.folder.mkdir()
    parts = work.missing().parts
    frame = geopandas.read_file(trees).iloc[:5]
    trees.unlink()
    frame.to_file(trees)
    with pytest.raises(RasterError, match="was changed while it was read"):
        work.compute(parts[:1])


def test_a_model_for_something_else_is_named(scene, tmp_path):
    path = save_unet(tmp_path / "classes", bands=["red", "green", "blue"], classes=["a", "b"])
    work = make_work(
        Recognize((A,), MODEL), Resolved({A: (scene,)}, {}, str(path)), tmp_path / "job"
    )
    with pytest.raises(ModelError, match="is made to classify, not to recognize"):
        work.missing()
