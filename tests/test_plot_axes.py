"""Sides, names and scale bars of axes, against geodesics."""

import math

import matplotlib as mpl
import matplotlib.pyplot as plt
import pyproj
import pytest

from geodl_lab.plot_axes import add_scale_bar, aspect_of, label_axes, nice_length

mpl.use("Agg")


@pytest.fixture
def ax():
    yield plt.subplots()[1]
    plt.close("all")


def bar_of(ax, bounds, crs):
    """Words of the scale bar, and its length in units of the axes."""
    add_scale_bar(ax, bounds, crs)
    bar = ax.artists[-1]
    return bar.txt_label.get_text(), bar.size_bar.get_children()[0].get_width()


@pytest.mark.parametrize(
    ("crs", "names"),
    [
        (None, ("column (pixel)", "row (pixel)")),
        ("EPSG:4326", ("longitude (°)", "latitude (°)")),
        ("EPSG:32633", ("easting (m)", "northing (m)")),
        ("EPSG:2229", ("easting (US ft)", "northing (US ft)")),
    ],
)
def test_axes_are_named_with_their_unit(ax, crs, names):
    label_axes(ax, crs)
    assert (ax.get_xlabel(), ax.get_ylabel()) == names


def test_degrees_are_as_long_as_on_the_ground():
    bounds = (10, 59, 12, 61)
    geod = pyproj.Geod(ellps="WGS84")
    ratio = geod.line_length([11, 11], [59.5, 60.5]) / geod.line_length([10.5, 11.5], [60, 60])
    assert aspect_of(bounds, "EPSG:4326") == pytest.approx(ratio, rel=0.01)
    assert aspect_of((0, 89.9, 1, 90), "EPSG:4326") == pytest.approx(20)
    assert aspect_of(bounds, None) == aspect_of((4e5, 5e6, 5e5, 6e6), "EPSG:32633") == 1


def test_the_bar_of_a_projected_raster_is_metres(ax):
    assert bar_of(ax, (4e5, 5e6, 4e5 + 1000, 5e6 + 500), "EPSG:32633")[0] == "200 m"
    words, length = bar_of(ax, (5e5 - 4000, 5e6, 5e5 + 4000, 5e6 + 500), "EPSG:32633")
    assert words == "2 km" and length == pytest.approx(2000, rel=1e-3)
    words, length = bar_of(ax, (6.4e6, 1.8e6, 6.4e6 + 1000, 1.81e6), "EPSG:2229")
    assert words == "50 m" and length == pytest.approx(50 * 3937 / 1200, rel=1e-3)


@pytest.mark.parametrize(("crs", "bounds"), [
    ("EPSG:4326", (10.0, 59.9, 10.2, 60.1)),
    ("EPSG:3857", (1e6, 8.3e6, 1.02e6, 8.31e6)),
])  # fmt: skip
def test_the_bar_is_as_long_as_it_says_where_units_are_not_metres(ax, crs, bounds):
    words, length = bar_of(ax, bounds, crs)
    meters = float(words.removesuffix(" km")) * 1000
    x, y = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    ends = to_degrees.transform([x - length / 2, x + length / 2], [y, y])
    assert pyproj.Geod(ellps="WGS84").line_length(*ends) == pytest.approx(meters, rel=1e-4)
    assert length < 0.31 * (bounds[2] - bounds[0])


def test_without_a_crs_or_a_width_there_is_no_bar(ax):
    add_scale_bar(ax, (0, 0, 10, 10), None)
    add_scale_bar(ax, (5, 0, 5, 10), "EPSG:32633")
    assert not ax.artists


@pytest.mark.parametrize(
    ("most", "expected"), [(1, 1), (1.9, 1), (2, 2), (4.99, 2), (7, 5), (0.3, 0.2), (123, 100)]
)
def test_lengths_are_round(most, expected):
    assert math.isclose(nice_length(most), expected)
