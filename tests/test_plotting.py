"""Pictures without a display: right place, right colours, right legend."""

import functools

import geopandas
import matplotlib as mpl
import numpy as np
import pytest
import shapely
import xarray as xr
from affine import Affine

from geodl_lab import from_torch, open_raster, plot, plotting, save
from geodl_lab.errors import OptionError, RasterError
from geodl_lab.plotting import plot_side_by_side
from geodl_lab.styles import style_of
from geodl_lab.testing import RandomNet, make_raster, wrap

mpl.use("Agg")

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


def test_coordinates_without_a_crs_go_up_and_keep_their_names():
    values = np.arange(12.0).reshape(3, 4)
    grid = {"lat": [-1.0, 0.0, 1.0], "lon": [10.0, 11.0, 12.0, 13.0]}
    ax = xr.DataArray(values, dims=("lat", "lon"), coords=grid).dl.plot()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("lon", "lat") and ax.get_ylim() == (-1.5, 1.5)
    assert shown_at(ax, 10, -1)[0] < shown_at(ax, 13, 1)[0]


def test_colours_are_those_of_the_map():
    raster = make_raster((4, 50, 60), nodata=0)
    raster[:, :5] = 0
    for given in ({}, {"bands": (4, 1, 2)}, {"bands": [2]}, {"stretch": (10, 90)}):
        shown = raster.dl.plot(**given).images[0].get_array()
        assert np.array_equal(shown, style_of(raster, **given).rgba(raster.values))
    assert (shown[:5, :, 3] == 0).all() and (shown[5:, :, 3] == 255).all()


def test_bands_are_called_by_number_or_name():
    raster = make_raster((4, 20, 20), names=("Red", "Green", "Blue", "NIR"))
    by_number = raster.dl.plot(bands=(4, 1, 2)).images[0].get_array()
    by_name = raster.dl.plot(bands=("nir", "RED", "green")).images[0].get_array()
    assert np.array_equal(by_number, by_name)
    with pytest.raises(OptionError, match=r"bands \[5\] are not all in the raster, .*1 to 4"):
        raster.dl.plot(bands=[5])
    with pytest.raises(OptionError, match="no band 'swir'; the raster has red, green, blue, nir"):
        raster.dl.plot(bands="swir")


def test_a_part_has_the_stretch_of_the_whole():
    raster = make_raster((3, 60, 60))
    raster[:, :30] //= 4
    ax = raster.dl.plot(area=(400_000, 3_699_990, 400_012, 3_700_000))
    whole = style_of(raster).rgba(raster.values)
    assert np.array_equal(ax.images[0].get_array(), whole[:17, :20])
    assert ax.get_xlim() == pytest.approx((400_000, 400_012))


def test_nothing_but_nodata_says_so():
    ax = wrap(np.zeros((3, 8, 8), np.uint8), nodata=0)[0].dl.plot()
    assert [text.get_text() for text in ax.texts] == ["no data"]


def test_steps_in_time_are_refused_in_a_sentence():
    series = make_raster((3, 20, 20)).rename(band="time")
    with pytest.raises(RasterError, match=r"steps in time are no bands; take one, as"):
        series.dl.plot()


@functools.cache
def net():
    return from_torch(
        RandomNet(2, 3), name="net", bands=["red", "nir"], window=64,
        classes=["water", "tall $tree$", "road"],
    )  # fmt: skip


def scene():
    return make_raster((2, 70, 80), names=("red", "nir"))


def test_probabilities_have_a_panel_each_with_one_colour_bar():
    result = scene().dl.probabilities(net())
    axes = result.dl.plot()
    assert [ax.get_title() for ax in axes] == ["water", r"tall \$tree\$", "road"]
    assert axes[0].figure.get_suptitle() == "probability · net"
    bars = [ax for ax in axes[0].figure.axes if ax.get_label() == "<colorbar>"]
    assert [bar.get_ylabel() for bar in bars] == ["probability"]
    assert bars[0].get_ylim() == (0, 1)
    expected = style_of(result, bands=[3]).rgba(result.values)
    assert np.array_equal(axes[2].images[0].get_array(), expected)


def test_one_class_of_probabilities_is_picked_by_name():
    result = scene().dl.probabilities(net())
    one = result.dl.plot(bands="road")
    other = result.sel({"class": "road"}).dl.plot()
    assert np.array_equal(one.images[0].get_array(), other.images[0].get_array())
    for ax in (one, other):
        assert ax.figure.axes[-1].get_ylabel() == "probability of road"
    axes = mpl.pyplot.subplots()[1]
    with pytest.raises(OptionError, match=r"hold one picture, and the result has 3: water"):
        result.dl.plot(ax=axes)


def test_entropy_has_a_bar_with_its_unit_and_its_range():
    ax = scene().dl.entropy(net()).dl.plot()
    bar = ax.figure.axes[-1]
    assert bar.get_ylabel() == "entropy (nat)" and bar.get_ylim() == pytest.approx((0, np.log(3)))
    assert ax.get_title() == "entropy · net"


def test_a_lazy_result_is_run_only_where_each_pixel_is_shown(monkeypatch):
    monkeypatch.setattr(plotting, "LARGEST", 60)
    model = net()
    lazy = scene().chunk(x=32, y=32).dl.classify(model)
    before = model.network.calls
    with pytest.raises(OptionError, match=r"70 x 80 pixels .*\.compute\(\).*\.dl\.map\(\).*area="):
        lazy.dl.plot()
    with pytest.raises(OptionError, match="not computed yet"):
        scene().chunk(x=32).dl.probabilities(model).dl.plot()
    assert model.network.calls == before
    ax = lazy.dl.plot(area=(400_000, 3_699_990, 400_012, 3_700_000))
    assert model.network.calls > before
    expected = style_of(lazy).rgba(lazy.values[None, :17, :20])
    assert np.array_equal(ax.images[0].get_array(), expected)
    assert lazy.compute().dl.plot().images  # thinned, as nothing has to be run
    assert lazy.compute().chunk().dl.plot().images


def test_rotated_rasters_lie_where_they_are():
    raster = class_raster().drop_vars(["x", "y"]).rio.write_crs("EPSG:32633")
    turned = Affine.translation(5e5, 5e6) @ Affine.rotation(30) @ Affine.scale(10, -10)
    ax = raster.rio.write_transform(turned).dl.plot()
    image = ax.images[0]
    to_screen, to_axes = image.get_transform(), ax.transData
    for column, row in ((0, 0), (60, 0), (60, 40)):
        expected = to_axes.transform(turned @ (column, row))
        assert to_screen.transform((column, row)) == pytest.approx(expected)
    assert ax.get_xlim()[0] == pytest.approx(5e5) and ax.get_ylim()[1] > 5e6


def test_many_classes_have_columns_and_an_end():
    values = np.arange(200, dtype=np.uint8).reshape(10, 20)
    attrs = {
        "flag_values": np.arange(200, dtype=np.uint8),
        "flag_meanings": " ".join(f"kind_{i}{'_of_a_long_name' * 5}" for i in range(200)),
        "flag_colors": " ".join(["#123456"] * 200),
    }
    names = legend(wrap(values[None])[0].assign_attrs(attrs).dl.plot())
    assert len(names) == plotting.MOST and names[-1] == "... and 117 more"
    assert max(map(len, names)) <= plotting.LONG


def test_side_by_side_shares_a_legend_that_is_the_same():
    one, other = class_raster(), class_raster()
    other[20:] = 0
    axes = plot_side_by_side({"before": one, "after": other})
    assert [ax.get_title() for ax in axes] == ["before", "after"]
    assert axes[0].get_legend() is None and legend(axes[1]) == ["open water", "tree"]
    axes = plot_side_by_side({"image": make_raster(), "classes": other}, columns=1)
    assert legend(axes[1]) == ["open water", "tree"]
    with pytest.raises(OptionError, match="no raster to draw; give some"):
        plot_side_by_side({})


def test_objects_are_drawn_alone_too():
    boxes = [shapely.box(400_000, 3_699_980, 400_010, 3_699_990), shapely.Point(400_020, 3_699_970)]
    frame = geopandas.GeoDataFrame({"label": ["car", "tree"]}, geometry=boxes, crs="EPSG:26911")
    ax = plot(frame)
    assert ax.get_title() == "2 objects" and legend(ax) == ["car (1)", "tree (1)"]
    assert ax.get_xlim()[0] < 400_000 and ax.get_xlim()[1] > 400_020
    assert plot(frame[:1]).get_title() == "car (1)" and plot(frame[:0]).get_title() == "0 objects"
    photo = geopandas.GeoDataFrame(geometry=[shapely.box(2, 3, 20, 30)])
    low, high = plot(photo).get_ylim()
    assert low > high  # from the top down


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
