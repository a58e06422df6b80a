"""Grids of cells against odc-geo, brute force and arithmetic by hand."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from geodl_lab.cells import CellAxis, model_grid, snap_indices
from geodl_lab.errors import OptionError
from geodl_lab.grid import Window
from geodl_lab.raster import as_raster
from geodl_lab.testing import make_raster

FACTORS = st.one_of(
    st.sampled_from([0.01, 0.25, 0.5, 1.0, 1.5, 2.0, 4.0]), st.floats(min_value=0.01, max_value=12)
)


@st.composite
def axes(draw):
    factor = draw(FACTORS)
    return CellAxis(draw(st.integers(max(1, int(np.ceil(factor))), 60)), factor)


def raster(shape_yx=(90, 70), transform=None, crs="EPSG:26911", **options):
    array = make_raster((1, *shape_yx), crs=crs, **options)
    if transform is not None:
        array = array.drop_vars(["y", "x"]).rio.write_transform(transform)
    return as_raster(array)


@pytest.mark.parametrize("cell_size", [0.3, 0.45, 0.6, 1, 1.1, 7.3, 42])
def test_the_grid_is_the_one_of_odc_geo(cell_size):
    source = raster()
    cells = model_grid(source, cell_size)
    box = GeoBox(source.shape_yx, source.transform, source.crs).zoom_out(cell_size / 0.6)
    assert cells.shape_yx == box.shape.yx
    assert cells.transform.almost_equals(box.affine, 1e-9)
    assert cells.transform.a == cell_size and cells.transform.e == -cell_size
    assert cells.crs == source.crs and cells.source_yx == (90, 70)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0.6, 0, 400_000, 0, 0.6, 3_700_000),  # south up
        Affine(-0.6, 0, 400_000, 0, -0.6, 3_700_000),
        Affine(0.5, 0, 400_000, 0, -0.7, 3_700_000),
        Affine.translation(400_000, 3_700_000) * Affine.rotation(30) * Affine.scale(0.5, -0.7),
    ],
)
def test_axes_and_first_corner_stay(transform):
    source = raster(transform=transform)
    cells = model_grid(source, 2.0)
    assert cells.transform * (0, 0) == pytest.approx(transform * (0, 0))
    height, width = cells.factor_yx
    for corner in ((3, 5), (20, 11)):
        column, row = corner
        assert cells.transform * corner == pytest.approx(transform * (column * width, row * height))
    a, b, _, d, e, _ = cells.transform[:6]
    assert np.hypot(a, d) == pytest.approx(2) and np.hypot(b, e) == pytest.approx(2)
    assert cells.rows.size * height >= 90 > (cells.rows.size - 1) * height


def test_cells_of_a_photo_are_counted_in_pixels():
    source = as_raster(make_raster(crs=None).drop_vars(["y", "x"]))
    cells = model_grid(source, 2.5)
    assert cells.factor_yx == (2.5, 2.5) and cells.shape_yx == (36, 28)
    assert cells.transform == Affine.scale(2.5)


@pytest.mark.parametrize("cell_size", [0.6, 0.6 + 1e-9, 0.6 - 1e-9])
def test_all_but_the_same_size_is_the_same(cell_size):
    source = raster()
    cells = model_grid(source, cell_size)
    assert cells.same and cells.shape_yx == (90, 70) and cells.transform == source.transform


@pytest.mark.parametrize("cell_size", [0, -1, np.nan, np.inf, "1", None, 0.0059, 42.1, 1e9])
def test_sizes_that_are_not_possible(cell_size):
    with pytest.raises(OptionError, match=r"cells are 0.6 x 0.6 metre and it is 42 x 54 large; "):
        model_grid(raster(), cell_size)
    with pytest.raises(OptionError, match=r"give 0.006 to 42, in metre"):
        model_grid(raster(), cell_size)


def test_the_sizes_that_the_message_names_are_possible():
    assert model_grid(raster(), 0.006).shape_yx == (9000, 7000)
    assert model_grid(raster(), 42).shape_yx == (2, 1)


def test_units_of_rasters_in_degrees_and_of_photos():
    with pytest.raises(OptionError, match=r"cell_size 0.6 is not possible: .* in degree"):
        model_grid(raster(crs="EPSG:4326", cell_size=1e-5), 0.6)
    photo = as_raster(make_raster(crs=None).drop_vars(["y", "x"]))
    with pytest.raises(OptionError, match=r"give 0.01 to 70, in pixels"):
        model_grid(photo, 71)


def test_an_axis_checks_itself():
    with pytest.raises(OptionError, match=r"cells of 5 pixels .* the raster has 4"):
        CellAxis(4, 5)
    with pytest.raises(OptionError, match=r"cells of 0.009 pixels"):
        CellAxis(4, 0.009)


@given(axes())
def test_weights_are_a_triangle_around_the_centre(axis):
    index, weight = axis.taps(0, axis.size)
    reach = max(axis.factor, 1)
    for cell in {0, axis.size // 2, axis.size - 1}:
        centre = (cell + 0.5) * axis.factor
        right = np.maximum(0, 1 - np.abs(np.arange(axis.pixels) + 0.5 - centre) / reach)
        mine = np.zeros(axis.pixels)
        kept = weight[cell] > 0
        mine[index[cell][kept]] = weight[cell][kept]
        assert np.allclose(mine, right / right.sum(), atol=1e-8)


@given(axes(), st.data())
def test_weights_do_not_depend_on_the_cells_asked_for(axis, data):
    start = data.draw(st.integers(0, axis.size - 1))
    stop = data.draw(st.integers(start + 1, axis.size))
    for part, whole in zip(axis.taps(start, stop), axis.taps(0, axis.size), strict=True):
        assert np.array_equal(part, whole[start:stop])
    assert np.array_equal(axis.beneath(start, stop), axis.beneath(0, axis.size)[start:stop])


@given(axes(), st.data())
def test_a_span_holds_all_that_counts_and_no_more(axis, data):
    start = data.draw(st.integers(0, axis.size - 1))
    stop = data.draw(st.integers(start + 1, axis.size))
    index, weight = axis.taps(start, stop)
    used = index[weight > 0]
    assert axis.span(start, stop) == (used.min(), used.max() + 1)
    assert used.min() >= 0 and used.max() < axis.pixels


@given(axes())
def test_pixels_go_to_the_cell_around_them(axis):
    cells = axis.nearest()
    assert len(cells) == axis.pixels and cells.max() < axis.size
    centres = np.arange(axis.pixels) + 0.5
    assert (cells * axis.factor <= centres + 1e-9).all()
    inside = centres <= (cells + 1) * axis.factor + 1e-9
    assert inside.all() or axis.factor < 0.1  # the last thousandth of a cell has none of its own


@given(st.data())
def test_cell_windows_hold_what_is_snapped(data):
    cells = model_grid(raster(), data.draw(st.sampled_from([0.3, 0.5, 0.6, 1, 2.4, 5])))
    y, x = data.draw(st.integers(0, 89)), data.draw(st.integers(0, 69))
    area = Window(y, x, data.draw(st.integers(1, 90 - y)), data.draw(st.integers(1, 70 - x)))
    rows, columns = snap_indices(cells)
    down, across = area.slices_yx
    window = cells.cell_window(area)
    assert (window.y, window.bottom) == (rows[down].min(), rows[down].max() + 1)
    assert (window.x, window.right) == (columns[across].min(), columns[across].max() + 1)
