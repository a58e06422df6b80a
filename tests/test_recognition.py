"""Labels of whole images and of features, against numpy by hand."""

import json

import geopandas
import numpy as np
import pandas
import pytest
import shapely
import torch
import xarray as xr
from PIL import Image
from torch import nn

import geodl_lab
from geodl_lab.errors import CancelledError, ModelError, OptionError, RasterError
from geodl_lab.testing import make_raster

NAMES = ("red", "green", "blue")


class Mean(nn.Module):
    """Scores are the means of the bands."""

    def __init__(self, gain=1.0):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x):
        return x.mean(dim=(2, 3)) * self.gain


class Corner(nn.Module):
    """Scores are the first pixel, the middle one and the last one of the first band."""

    def forward(self, x):
        h, w = x.shape[2:]
        pixels = [(0, 0), (h // 2, w // 2), (h - 1, w - 1)]
        return torch.stack([x[:, 0, y, z] for y, z in pixels], dim=1)


def model_of(net=None, **options):
    usual = {"bands": list(NAMES), "classes": list("abc"), "window": 16}
    return geodl_lab.from_torch(net or Mean(), "recognize", **{**usual, **options})


def raster(shape=(40, 50), **options):
    return make_raster((3, *shape), names=NAMES, **options)


def test_a_table_with_the_best_label_first():
    data = raster()
    table = data.dl.recognize(model_of(Mean(3.0)))
    scores = 3 * data.values.mean(axis=(1, 2)) / 255
    share = np.exp(scores) / np.exp(scores).sum()
    assert isinstance(table, pandas.DataFrame)
    assert list(table) == ["label", "label_id", "score", "threshold", "predicted"]
    assert table.label.tolist() == [list("abc")[i] for i in np.argsort(-share)]
    assert table.score.to_numpy() == pytest.approx(np.sort(share)[::-1], abs=1e-6)
    assert table.label_id.tolist() == np.argsort(-share).tolist()
    assert (table.threshold == 0.025).all() and table.predicted.all()
    assert table.equals(geodl_lab.recognize(data, model_of(Mean(3.0))))


def test_tags_are_each_by_itself_and_strictly_above():
    data = raster() * 0 + 255
    data.attrs["long_name"] = NAMES
    model = model_of(Mean(), exclusive=False, activation="none", thresholds=[1.0, 0.9, 0.0])
    table = data.dl.recognize(model)
    assert table.label.tolist() == ["a", "b", "c"]  # equal scores keep the order of the classes
    assert table.predicted.tolist() == [False, True, True]
    assert data.dl.recognize(model, threshold=0.2).threshold.tolist() == [0.2] * 3
    tags = data.dl.recognize(model_of(Mean(), exclusive=False))
    assert tags.score.to_numpy() == pytest.approx(1 / (1 + np.exp(-1)))
    assert (tags.threshold == 0.5).all()


def test_dask_dataset_and_shuffled_bands_give_the_same():
    data, model = raster((90, 70)), model_of(fit="squash")
    expected = data.dl.recognize(model)
    assert data.chunk(x=33, y=20).dl.recognize(model).equals(expected)
    assert data.to_dataset("band").dl.recognize(model).equals(expected)
    turned = data[::-1].assign_attrs(long_name=NAMES[::-1])
    assert turned.dl.recognize(model).equals(expected)


def test_a_photo_is_recognized_by_its_bands_names(tmp_path):
    values = np.zeros((31, 44, 3), np.uint8)
    values[..., 2] = 200
    Image.fromarray(values).save(tmp_path / "a.png")
    photo = geodl_lab.open_raster(tmp_path / "a.png")
    assert photo.dl.recognize(model_of(Mean(9.0), fit="crop")).label[0] == "c"


def test_the_recipe_makes_it_again():
    data, model = raster(), model_of(fit="fill")
    table = data.dl.recognize(model, threshold=0.1)
    recipe = json.loads(table.attrs["geodl_recipe"])
    assert table.attrs["geodl_model_sha256"] == model.package.sha256
    assert recipe["fit"] == "fill" and recipe["image"] == [0, 0, 40, 50]
    assert recipe["window_yx"] == [16, 16] and recipe["threads"] >= 1 and recipe["exact"]


def test_area_is_the_image():
    data = raster()
    t = data.rio.transform()
    (left, top), (right, bottom) = t @ (10, 5), t @ (30, 25)
    part = data.dl.recognize(model_of(), area=(left, bottom, right, top))
    assert part.equals(data[:, 5:25, 10:30].dl.recognize(model_of()))


def test_gaps_are_filled_and_nothing_is_refused():
    data = raster().rio.write_nodata(0)
    data.values[:, :10] = 0
    filled = data.copy()
    filled.values[:, :10] = data.values[:, 11:21][:, ::-1]
    assert data.dl.recognize(model_of()).equals(filled.dl.recognize(model_of()))
    data.values[:] = 0
    with pytest.raises(RasterError, match="the image holds no data"):
        data.dl.recognize(model_of())


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (Mean(5.0), {"activation": "none"}, "scores from .* need activation='softmax'"),
        (Mean(float("nan")), {}, "answers scores from nan"),
        (nn.AdaptiveAvgPool2d(2), {}, "recognize needs scores"),
    ],
)
def test_answers_that_are_no_labels_are_refused(net, options, message):
    with pytest.raises(ModelError, match=message):
        (raster() * 0 + 255).assign_attrs(long_name=NAMES).dl.recognize(model_of(net, **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 2}, "threshold 2 is not possible"),
        ({"padding": 3}, "padding would be ignored"),
        ({"snap": True, "cell_size": 2}, "snap would be ignored"),
        ({"colour": 1}, "no option 'colour'"),
        ({"features": [1]}, "features are a list; give a GeoDataFrame"),
        ({"features": geopandas.GeoSeries([None])}, "1 of 1 features have no geometry"),
        ({"features": geopandas.GeoSeries([]), "threshold": 0.5}, "for whole images, not for"),
    ],
)
def test_options_that_are_not_possible(options, message):
    with pytest.raises((OptionError, ModelError), match=message):
        raster().dl.recognize(model_of(), **options)


def test_other_tasks_are_sent_on():
    with pytest.raises(ModelError, match="made to classify, not to recognize"):
        raster().dl.recognize("aerial-landcover")
    with pytest.raises(ModelError, match=r"made to recognize.*da\.dl\.recognize"):
        raster().dl.classify(model_of())
    with pytest.raises(ModelError, match="2 thresholds for 3 labels"):
        model_of(thresholds=[0.1, 0.2])


def test_what_does_not_fit_memory_or_window_is_refused():
    big = xr.DataArray(np.zeros((), np.uint8)).broadcast_like(
        xr.DataArray(np.empty((3, 20000, 20000), "u1"), dims=("band", "y", "x"))
    )
    big.attrs["long_name"] = NAMES
    with pytest.raises(OptionError, match=r"needs \d+ GiB at once; give an area="):
        big.dl.recognize(model_of())
    with pytest.raises(OptionError, match=r"is 40 x 50 pixels .* takes only 16 x 16; .* features="):
        raster().dl.recognize(model_of(fixed_window=True))


def test_progress_and_cancelling():
    told = []
    raster().dl.recognize(model_of(), progress=lambda *one: told.append(one[:2]))
    assert told == [(1, 1)]
    with pytest.raises(CancelledError):
        raster().dl.recognize(model_of(), cancelled=lambda: True)


# Features


def boxes(data, *pixels):
    """Features of x0, y0, x1, y1 in pixels."""
    t = data.rio.transform()
    shapes = [shapely.box(*(t @ (a, b)), *(t @ (c, d))) for a, b, c, d in pixels]
    return geopandas.GeoDataFrame({"id": range(len(shapes))}, geometry=shapes, crs=data.rio.crs)


def best_of(values):
    """Best label and softmax score of pixels (band, ...), by hand."""
    scores = values.reshape(3, -1).mean(axis=1) / 255
    share = np.exp(scores) / np.exp(scores).sum()
    return "abc"[share.argmax()], share.max()


def check(found, chips):
    labels, scores = zip(*map(best_of, chips), strict=True)
    assert found.label.tolist() == list(labels)
    assert found.score.to_numpy() == pytest.approx(scores, abs=1e-5)


def test_chips_round_the_middle():
    data = raster((60, 80))
    features = boxes(data, (10, 10, 20, 30), (40, 20, 43, 23), (70, 50, 80, 60))
    features.index = [7, 3, 5]
    found = data.dl.recognize(model_of(fixed_chip=True), features=features)
    v = data.values
    mirrored = np.pad(v, ((0, 0), (0, 8), (0, 8)), mode="reflect")
    check(found, [v[:, 12:28, 7:23], v[:, 14:30, 34:50], mirrored[:, 47:63, 67:83]])
    assert found.index.tolist() == [7, 3, 5] and found.id.tolist() == [0, 1, 2]
    assert "label" not in features and found.geometry.equals(features.geometry)
    assert json.loads(found.attrs["geodl_recipe"])["fixed_chip"] is True


def test_bounds_resized():
    data = raster((60, 80))
    features = boxes(data, (10, 10, 42, 42), (3, 5, 19, 21), (-50, 30, 16, 46))
    found = data.dl.recognize(model_of(), features=features)
    v = data.values
    halves = v[:, 10:42, 10:42]
    # The raster ends in the third: 16 x 16 pixels of it are left.
    check(found.iloc[1:], [v[:, 5:21, 3:19], v[:, 30:46, 0:16]])
    whole = geodl_lab.recognize(data[:, 10:42, 10:42], model_of(fit="squash"))
    assert found.score.iloc[0] == pytest.approx(whole.score[0], abs=1e-6)
    assert best_of(halves)[0] == found.label.iloc[0]


def test_points_are_cut_out_in_any_crs():
    data = raster((60, 80))
    t = data.rio.transform()
    points = geopandas.GeoSeries([shapely.Point(*(t @ (30.5, 20.5)))], crs=data.rio.crs)
    found = data.dl.recognize(model_of(), features=points)
    check(found, [data.values[:, 13:29, 23:39]])
    far = data.dl.recognize(model_of(), features=points.to_crs(4326))
    assert far.crs == "EPSG:4326" and far.score[0] == pytest.approx(found.score[0])


@pytest.mark.parametrize("fixed", [True, False])
def test_outside_the_outline_is_black(fixed):
    data = (raster((40, 40)) * 0 + 255).assign_attrs(long_name=NAMES)
    t = data.rio.transform()
    triangle = shapely.Polygon([t @ (8, 8), t @ (24, 24), t @ (8, 24)])
    model = model_of(Corner(), blacken=True, fixed_chip=fixed, activation="none")
    found = data.dl.recognize(
        model, features=geopandas.GeoDataFrame(geometry=[triangle], crs=data.rio.crs)
    )
    assert found.score[0] == 1  # the diagonal's pixels have their middle on the outline or inside
    right = shapely.Polygon([t @ (24, 8), t @ (24, 24), t @ (16, 8)])
    found = data.dl.recognize(
        model_of(Mean(), blacken=True, fixed_chip=fixed, activation="none"),
        features=geopandas.GeoDataFrame(geometry=[right], crs=data.rio.crs),
    )
    # 64 pixels of a chip of 16 x 16; or a half of its bounds, whose diagonal is on pixels' middles.
    share = 0.25 if fixed else 0.5
    assert found.score[0] == pytest.approx(share, abs=1e-6 if fixed else 0.04)
    plain = data.dl.recognize(
        model_of(Mean(), fixed_chip=fixed, activation="none"),
        features=geopandas.GeoDataFrame(geometry=[right], crs=data.rio.crs),
    )
    assert plain.score[0] == 1


def test_features_outside_are_counted():
    data = raster()
    features = boxes(data, (1, 1, 5, 5), (60, 1, 70, 5), (-9, -9, -1, -1))
    with pytest.raises(OptionError, match="2 of 3 features lie outside the raster"):
        data.dl.recognize(model_of(), features=features)
    photo = data.drop_vars("spatial_ref")
    with pytest.raises(OptionError, match="the raster has no CRS"):
        xr.DataArray(photo.values, dims=photo.dims, attrs={"long_name": NAMES}).dl.recognize(
            model_of(), features=features
        )


def test_no_features_and_no_data():
    data = raster().rio.write_nodata(0)
    data.values[:, :, 30:] = 0
    features = boxes(data, (1, 1, 9, 9), (40, 1, 48, 9))
    found = data.dl.recognize(model_of(), features=features)
    assert found.label.isna().tolist() == [False, True]
    assert found.score.isna().tolist() == [False, True] and found.label_id.isna()[1]
    none = data.dl.recognize(model_of(), features=features[:0])
    assert len(none) == 0 and {"label", "label_id", "score"} <= set(none)


def test_batches_progress_and_dask():
    data = raster((90, 90))
    features = boxes(data, *[(i, i, i + 12, i + 9) for i in range(0, 70, 3)])
    told = []
    found = data.dl.recognize(
        model_of(), features=features, progress=lambda *one: told.append(one[:2])
    )
    assert told[-1] == (24, 24) and len(told) == 24
    lazy = data.chunk(x=40).dl.recognize(model_of(), features=features)
    assert lazy.equals(found)
    with pytest.raises(CancelledError):
        data.dl.recognize(model_of(), features=features, cancelled=lambda: True)


def test_tiny_features_are_widened():
    data = raster((60, 60))
    found = data.dl.recognize(model_of(window=512), features=boxes(data, (59.2, 59.2, 59.4, 59.4)))
    assert len(found) == 1 and found.score.notna().all()
