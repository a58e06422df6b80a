import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geodl_lab.nodata import reflect_fill, valid_pixels


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)))
def test_fill_keeps_data_and_takes_every_value_from_data(valid):
    if not valid.any():
        return
    stored = np.arange(valid.size, dtype=np.int32).reshape(1, *valid.shape) + 1
    filled = reflect_fill(np.where(valid, stored, -9), valid)
    assert (filled[0][valid] == stored[0][valid]).all()
    assert np.isin(filled, stored[0][valid]).all()


def test_fill_is_a_reflection():
    stored = np.array([[[1, 2, 3, 0, 0, 0, 0, 8, 9]]])
    assert reflect_fill(stored, stored[0] > 0).tolist() == [[[1, 2, 3, 2, 1, 8, 9, 8, 9]]]


def test_rows_without_data_mirror_whole_rows():
    stored = np.array([[[1, 1], [2, 2], [0, 0], [0, 0]]])
    assert reflect_fill(stored, stored[0] > 0)[0, :, 0].tolist() == [1, 2, 1, 2]


@given(st.sampled_from(["uint8", "int16", "float32"]))
def test_nodata_means_all_bands_or_any_nan(dtype):
    stored = np.array([[[0, 0, 5, 5]], [[0, 7, 0, 5]]], dtype=dtype)
    assert valid_pixels(stored, 0).tolist() == [[False, True, True, True]]
    assert valid_pixels(stored, None).all()
    if dtype == "float32":
        stored[0, 0, 3] = np.nan
        stored[1, 0, 2] = np.inf
        assert valid_pixels(stored, 0).tolist() == [[False, True, False, False]]
        assert valid_pixels(stored, np.nan).tolist() == [[True, True, False, False]]
