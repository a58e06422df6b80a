"""Pictures without a display: right place, right colours, right legend."""

import geopandas
import matplotlib as mpl
import numpy as np
import pytest
import shapely

from geodl_lab import open_raster, plot, plotting, save
from geodl_lab.errors import OptionError
from geodl_lab.package import LabelClass
from geodl_lab.plotting import class_colors, true_color
from geodl_lab.raster import as_raster
from geodl_lab.testing import make_raster, wrap

mpl.use("Agg")

CLASSES = (LabelClass(0, "open water", "#0000ff"), LabelClass(3, "tree", "#00ff00"))
FLAGS = {
    "flag_values": np.array([0, 3], dtype=np.uint8),
    "flag_meanings": "open_water tree",
    "flag_colors": "#0000ff #00ff00",
}


@pytest.fixture(autouse=True)
def closed():
    yield
    mpl.pyplot.close("all")


def class_raster():
    values = np.full((1, 40, 60), 255, np.uint8)
    values[0, :10] = 3
    return wrap(values, nodata=255)[0].assign_attrs(FLAGS)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def shown_at(ax, x, y):
    """RGBA that the picture shows at a place in CRS units."""
    image = ax.images[0]
    left, right, bottom, top = image.get_extent()
    height, width = image.get_array().shape[:2]
    row, column = (top - y) / (top - bottom) * height, (x - left) / (right - left) * width
    return tuple(image.get_array()[int(row), int(column)])


def test_classes_have_their_colours_and_those_that_occur_a_legend():
    ax = class_raster().dl.plot()
    assert shown_at(ax, 400_005, 3_699_999) == (0, 255, 0, 255)
    assert shown_at(ax, 400_005, 3_699_980) == (0, 0, 0, 0)
    assert legend(ax) == ["tree"]
    assert plot(class_raster(), legend=False).get_legend() is None


def test_a_saved_class_raster_is_drawn_alike(tmp_path):
    ax = open_raster(save(class_raster(), tmp_path / "a.tif")).dl.plot()
    assert shown_at(ax, 400_005, 3_699_999) == (0, 255, 0, 255) and legend(ax) == ["tree"]


def test_the_picture_lies_in_crs_units_with_north_up():
    for raster in (class_raster(), class_raster()[::-1]):
        ax = raster.dl.plot()
        assert shown_at(ax, 400_005, 3_699_999) == (0, 255, 0, 255)
        assert ax.get_xlim() == pytest.approx((400_000, 400_036))
        assert ax.get_ylim() == pytest.approx((3_699_976, 3_700_000))


def test_a_photo_begins_at_the_top():
    photo = class_raster().drop_vars(["x", "y", "spatial_ref"])
    ax = photo.dl.plot()
    assert ax.get_xlim() == (0, 60) and ax.get_ylim() == (40, 0)
    assert shown_at(ax, 5, 5) == (0, 255, 0, 255)


def test_rasters_are_stretched_over_pixels_with_data():
    raster = make_raster((4, 50, 60), nodata=0)
    raster[:, :5] = 0
    rgba = true_color(as_raster(raster))
    assert rgba.shape == (50, 60, 4) and rgba.min() >= 0 and rgba.max() <= 1
    assert (rgba[:5, :, 3] == 0).all() and (rgba[5:, :, 3] == 1).all()
    low, high = np.percentile(raster.values[:3, 5:], plotting.STRETCH)
    expected = np.clip((raster.values[1, 20, 30] - low) / (high - low), 0, 1)
    assert rgba[20, 30, 1] == pytest.approx(expected, abs=1e-5)


def test_one_band_is_gray_and_bands_can_be_chosen():
    raster = make_raster((4, 20, 20))
    gray = true_color(as_raster(raster[:1]))
    assert np.array_equal(gray[..., 0], gray[..., 2])
    chosen = true_color(as_raster(raster), (4, 1, 1))
    assert np.array_equal(chosen[..., 1], chosen[..., 2])
    with pytest.raises(OptionError, match=r"bands \[5\] are not all in the raster, .*1 to 4"):
        raster.dl.plot(bands=[5])


def test_nothing_but_nodata_is_drawn_too():
    rgba = true_color(as_raster(wrap(np.zeros((3, 8, 8), np.uint8), nodata=0)))
    assert (rgba[..., 3] == 0).all()


def test_large_rasters_are_thinned(monkeypatch):
    monkeypatch.setattr(plotting, "LARGEST", 20)
    ax = make_raster((3, 50, 70)).dl.plot()
    assert max(ax.images[0].get_array().shape) <= 20
    assert ax.get_xlim() == pytest.approx((400_000, 400_042))


@pytest.mark.parametrize("points", [False, True])
@pytest.mark.parametrize("count", [0, 2])
def test_objects_are_drawn_on_top_and_keep_the_view(count, points):
    boxes = [shapely.box(399_990, 3_699_980, 400_010, 3_699_990)] * count
    frame = geopandas.GeoDataFrame(
        geometry=[box.centroid if points else box for box in boxes], crs="EPSG:26911"
    )
    ax = class_raster().dl.plot(objects=frame)
    assert ax.get_xlim() == pytest.approx((400_000, 400_036))
    assert bool(len(ax.collections)) == bool(count)


def test_a_given_axes_is_used():
    ax = mpl.pyplot.subplots()[1]
    assert class_raster().dl.plot(ax=ax) is ax


def test_class_colors_leave_other_values_transparent():
    table = class_colors(np.array([[0, 3, 7, 255]], dtype=np.uint8), CLASSES)
    assert table[0].tolist() == [[0, 0, 255, 255], [0, 255, 0, 255], [0] * 4, [0] * 4]
