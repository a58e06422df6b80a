import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodl_lab.errors import OptionError
from geodl_lab.grid import Axis, Grid, Tile, Window, cut


@st.composite
def axes(draw):
    stride = draw(st.sampled_from([1, 2, 4, 8, 32]))
    halo = stride * draw(st.integers(0, 4))
    window = 2 * halo + stride * draw(st.integers(1, 6))
    clamped = draw(st.booleans())
    fixed = True if not clamped else draw(st.booleans())
    size = draw(st.integers(1, 700))
    return Axis(size, window, halo, stride, clamped=clamped, fixed=fixed)


@given(axes())
def test_cores_partition_the_raster(axis):
    owners = np.zeros(axis.size, dtype=int)
    for index in range(axis.count):
        start, stop = axis.core(index)
        assert 0 <= start < stop <= axis.size
        owners[start:stop] += 1
    assert (owners == 1).all()


@given(axes())
def test_every_core_has_its_halo_or_the_rim_inside_its_window(axis):
    for index in range(axis.count):
        start, stop = axis.core(index)
        first = axis.start(index)
        last = first + axis.length
        assert first % axis.stride == 0
        if axis.clamped:
            assert first >= 0 and last <= axis.padded
            assert first == 0 or start - first >= axis.halo
            assert last == axis.padded or last - stop >= axis.halo
        else:
            assert start - first >= axis.halo and last - stop >= axis.halo


@given(axes(), st.data())
def test_indices_are_the_owners_of_a_range(axis, data):
    start = data.draw(st.integers(0, axis.size - 1))
    stop = data.draw(st.integers(start + 1, axis.size))
    touching = [i for i in range(axis.count) if axis.core(i)[0] < stop and axis.core(i)[1] > start]
    assert list(axis.indices(start, stop)) == touching


@given(axes(), st.data())
def test_cut_covers_a_range_at_core_edges(axis, data):
    start = data.draw(st.integers(0, axis.size - 1))
    stop = data.draw(st.integers(start + 1, axis.size))
    edges = cut(axis, start, stop, data.draw(st.integers(1, 300)))
    ends = {axis.core(i)[1] for i in range(axis.count)}
    assert edges[0] == start and edges[-1] == stop
    assert edges == sorted(set(edges))
    assert set(edges[1:-1]) <= ends


@given(axes(), axes())
def test_grid_tiles_own_every_pixel_once(rows, columns):
    grid = Grid(rows, columns)
    owners = np.zeros(grid.shape_yx, dtype=int)
    for tile in grid.tiles():
        owners[tile.core.slices_yx] += 1
        assert tile.window.shape_yx == grid.window_yx
    assert (owners == 1).all()


def test_tiles_of_an_area_are_tiles_of_the_raster():
    grid = Grid(Axis(500, 64, 16, 4), Axis(300, 64, 16, 4))
    area = Window(100, 30, 50, 60)
    every = set(grid.tiles())
    chosen = list(grid.tiles(area))
    assert set(chosen) <= every
    assert [t for t in grid.tiles() if t.core.intersect(area)] == chosen
    assert grid.windows(area) == len(chosen)
    assert list(grid.tiles(Window(900, 900, 5, 5))) == []
    assert grid.windows(Window(900, 900, 5, 5)) == 0


def test_small_raster_gets_a_small_window_unless_it_is_fixed():
    assert Axis(50, 128, 16, 4).length == 52
    assert Axis(50, 128, 16, 4, fixed=True).length == 128


def test_impossible_axes_are_refused():
    with pytest.raises(OptionError, match="multiples of the model's stride 4"):
        Axis(100, 62, 16, 4)
    with pytest.raises(OptionError, match="no core left inside a halo of 32"):
        Axis(100, 64, 32, 4)
    with pytest.raises(OptionError, match="has 0 pixels"):
        Axis(0, 64)


def test_windows_intersect_and_move():
    one, other = Window(0, 0, 10, 10), Window(5, 8, 10, 10)
    assert one.intersect(other) == Window(5, 8, 5, 2)
    assert not one.intersect(Window(20, 20, 1, 1))
    assert other.relative_to(one) == other
    assert Tile(one, other).core.bottom == 15
    with pytest.raises(OptionError, match="-1 x 3"):
        Window(0, 0, -1, 3)


def test_recompute_counts_overlap():
    assert Grid(Axis(256, 256), Axis(256, 256)).recompute == 1
    hanging = Axis(256, 256, 64, clamped=False, fixed=True)
    assert Grid(hanging, hanging).recompute == 4


@pytest.mark.parametrize(
    ("window", "expected"), [(1536, [1536] * 5), (1000, [2000] * 4), (700, [2100] * 3 + [1400])]
)
def test_chunks_are_as_near_the_side_as_cores_allow(window, expected):
    size = sum(expected)
    edges = cut(Axis(size, window), 0, size, 2048)
    assert np.diff(edges).tolist() == expected
