import numpy as np
import pytest

import geodl_lab
from geodl_lab import from_torch, stack_dates
from geodl_lab.errors import BandError, RasterError
from geodl_lab.testing import RandomNet, make_raster, wrap

BEFORE = make_raster((2, 120, 90), names=("red", "nir"))
AFTER = make_raster((2, 120, 90), seed=1, names=("red", "nir"))


@pytest.fixture(scope="module")
def model():
    bands = ["after_nir", "before_nir", "after_red", "before_red"]
    return from_torch(RandomNet(4), bands=bands, classes=list("abcd"), window=64)


def test_bands_are_matched_by_date_and_name(model):
    result = BEFORE.dl.change(AFTER, model)
    planes = [AFTER[1], BEFORE[1], AFTER[0], BEFORE[0]]
    plain = from_torch(RandomNet(4), bands=4, classes=list("abcd"), window=64)
    expected = wrap(np.stack([plane.values for plane in planes])).dl.classify(plain)
    assert np.array_equal(result, expected) and result.rio.crs == BEFORE.rio.crs
    backwards = AFTER.dl.change(BEFORE, model)
    assert not np.array_equal(result, backwards)


def test_dask_input_stays_lazy(model):
    lazy = BEFORE.chunk(x=40).dl.change(AFTER.chunk(y=50), model)
    assert lazy.chunks is not None
    assert np.array_equal(lazy, geodl_lab.change(BEFORE, AFTER, model))


def test_nodata_at_one_date_is_nodata(model):
    before, after = (wrap(date.values.copy(), nodata=0) for date in (BEFORE, AFTER))
    before[:, 10:20, 30:40] = 0
    after[:, 50:60, 30:40] = 0
    before[0, 80, 80] = 0  # one band of two: still data
    plain = from_torch(RandomNet(4), bands=4, classes=list("abcd"), window=64)
    expected = np.zeros((120, 90), dtype=bool)
    expected[10:20, 30:40] = expected[50:60, 30:40] = True
    assert np.array_equal(before.dl.change(after, plain) == 255, expected)
    stack = stack_dates(before, after)
    assert stack.dtype == np.uint8 and stack.shape == (4, 120, 90)


def test_dates_that_do_not_lie_on_each_other_are_refused():
    with pytest.raises(RasterError, match=r"differ in size .*\(120, 90\) before and \(119, 90\)"):
        stack_dates(BEFORE, AFTER[:, 1:])
    with pytest.raises(RasterError, match=r"differ in place.*reproject_match"):
        stack_dates(BEFORE[:, 1:], AFTER[:, :-1])
    with pytest.raises(RasterError, match="differ in pixel type"):
        stack_dates(BEFORE, AFTER.astype("uint16"))
    with pytest.raises(RasterError, match="differ in nodata: None before and 0"):
        stack_dates(BEFORE, wrap(AFTER.values, nodata=0))


def test_missing_bands_are_named(model):
    with pytest.raises(BandError, match="before_nir"):
        BEFORE[:1].dl.change(AFTER[:1], model)
