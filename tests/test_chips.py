"""Which pixels a feature's chip holds."""

import numpy as np
import pytest
import shapely

from geodl_lab.chips import cut_chips
from geodl_lab.errors import OptionError
from geodl_lab.grid import Window
from geodl_lab.inputs import InputSpec
from geodl_lab.raster import as_raster
from geodl_lab.sources import make_source
from geodl_lab.testing import make_raster

RASTER = make_raster((1, 30, 40))
SPEC = InputSpec(count=1)
SOURCE = make_source(as_raster(RASTER), SPEC)


def chips(*shapes, size=(8, 6), fixed=True):
    return cut_chips(np.array(shapes), SOURCE, size, inputs=SPEC, fixed=fixed)


def test_chips_lie_side_by_side():
    cut = chips(shapely.Point(10, 10), shapely.Point(20.4, 20.6))
    assert cut.shape_yx == (8, 12) and cut.nodata is None and cut.bands == (0,)
    assert cut.windows == (Window(6, 7, 8, 6), Window(17, 17, 8, 6))
    second = cut.read(Window(0, 6, 8, 6))
    assert np.array_equal(second, RASTER.values[:, 17:25, 17:23])


def test_over_the_rim_pixels_are_mirrored():
    (window,) = (cut := chips(shapely.Point(0, 0))).windows
    assert window == Window(-4, -3, 8, 6)
    mirrored = np.pad(RASTER.values[:, :4, :3], ((0, 0), (4, 0), (3, 0)), mode="reflect")
    assert np.array_equal(cut.read(Window(0, 0, 8, 6)), mirrored)


def test_bounds_are_whole_pixels_inside_the_raster():
    cut = chips(shapely.box(-5, 3.2, 4.5, 6), shapely.box(39.5, 1, 60, 2), fixed=False)
    assert cut.windows == (Window(3, 0, 3, 5), Window(1, 39, 1, 1))


@pytest.mark.parametrize(
    "shape", [shapely.Point(40, 3), shapely.box(-4, -4, 0, 0), shapely.box(0, 31, 3, 40)]
)
def test_outside_is_outside(shape):
    with pytest.raises(OptionError, match="1 of 2 features lie outside the raster, which has 30"):
        chips(shapely.Point(3, 3), shape)
    with pytest.raises(OptionError, match="1 of 1 features lie outside"):
        chips(shape, fixed=False)
