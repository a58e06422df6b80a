"""Parts of photos: rectangles, polygons, backgrounds."""

import numpy as np
import pytest
import xarray as xr

from geodl_lab.errors import OptionError
from geodl_lab.grid import Window
from geodl_lab.photo_crops import crop

VALUES = np.random.default_rng(2).integers(0, 200, (3, 20, 30), dtype=np.uint8)
PHOTO = xr.DataArray(VALUES, dims=("band", "y", "x"))


def framed(colour, *, noise=0, rim=(4, 2, 5, 3)):
    """A photo inside a background, whose rim is top, bottom, left, right."""
    top, bottom, left, right = rim
    shape = (20 + top + bottom, 30 + left + right)
    values = np.random.default_rng(1).integers(-noise, noise + 1, (3, *shape)) + colour
    values[:, top : top + 20, left : left + 30] = VALUES
    values[:, top, left] = values[:, top + 19, left + 29] = 255  # content up to its corners
    return xr.DataArray(values.clip(0, 255).astype(np.uint8), dims=("band", "y", "x"))


def test_without_a_wish_it_is_the_photo_itself():
    part = crop(PHOTO)
    assert part.window == Window(0, 0, 20, 30) and part.pixels is PHOTO and part.inside is None


@pytest.mark.parametrize(
    ("area", "window"),
    [
        ((3, 4, 10, 12), Window(4, 3, 8, 7)),
        ((3.5, 4.2, 9.1, 11.9), Window(4, 3, 8, 7)),  # pixels that it touches
        ((-5, -5, 100, 2), Window(0, 0, 2, 30)),
        ((0.1 * 30, 0, 30, 20), Window(0, 3, 20, 27)),  # 3.0000000000000004
    ],
)
def test_a_rectangle(area, window):
    part = crop(PHOTO, area=area)
    assert part.window == window
    assert (part.pixels.values == VALUES[:, *window.slices_yx]).all()


@pytest.mark.parametrize(
    "area",
    [(5, 5, 5, 9), (9, 5, 5, 9), (30, 0, 40, 10), (0, 0, float("nan"), 5), (1, 2, 3), ("a",) * 4],
)
def test_a_rectangle_that_holds_nothing(area):
    with pytest.raises(OptionError, match="is no part of the 30 x 20 pixels"):
        crop(PHOTO, area=area)


def test_outside_a_polygon_it_is_white():
    part = crop(PHOTO, polygon=[(5, 5), (15, 5), (5, 15)])
    assert part.window == Window(5, 5, 10, 10)
    y, x = np.mgrid[:10, :10] + 0.5
    inside = x + y < 10  # the middles of pixels; none lies on the edge but on the diagonal
    sure = np.abs(x + y - 10) > 1e-9
    assert (part.inside == inside)[sure].all()
    whole = VALUES[:, 5:15, 5:15]
    assert (part.pixels.values == np.where(part.inside, whole, 255)).all()


def test_a_polygon_within_a_rectangle():
    part = crop(PHOTO, area=(0, 0, 8, 20), polygon=[(5, 5), (15, 5), (15, 15), (5, 15)])
    assert part.window == Window(5, 5, 10, 3) and part.inside.all()


@pytest.mark.parametrize(
    ("polygon", "words"),
    [
        ([(1, 1), (5, 5)], "has 2 corners"),
        ([(1, 1), (5, 5), (float("inf"), 2)], "finite"),
        ([(1, 1), (5, 5), "ab"], "no pair of numbers"),
        ([(1,), (5, 5), (2, 2)], "no pair of numbers"),
        ([(50, 50), (60, 50), (60, 60)], "polygon's rectangle"),
        ([(1, 1), (1.2, 1), (1, 1.2)], "the middle of no pixel"),
        ([(1, 1), (9, 1), (5, 1)], "polygon's rectangle"),
    ],
)
def test_a_polygon_that_holds_nothing(polygon, words):
    with pytest.raises(OptionError, match=words):
        crop(PHOTO, polygon=polygon)


@pytest.mark.parametrize(("colour", "noise"), [(255, 0), (0, 0), (230, 5)])
def test_a_uniform_background_is_cut_off(colour, noise):
    part = crop(framed(colour, noise=noise), crop_background=True)
    assert part.window == Window(4, 5, 20, 30)


def test_what_is_no_uniform_background_stays():
    assert crop(PHOTO, crop_background=True).window == Window(0, 0, 20, 30)
    blank = PHOTO.copy(data=np.full_like(VALUES, 9))
    assert crop(blank, crop_background=True).window == Window(0, 0, 20, 30)
    one_side = framed(255, rim=(4, 0, 0, 0))
    assert crop(one_side, crop_background=True).window == Window(0, 0, 24, 30)


def test_a_background_within_a_rectangle():
    part = crop(framed(255), area=(2, 2, 38, 26), crop_background=True)
    assert part.window == Window(4, 5, 20, 30)
