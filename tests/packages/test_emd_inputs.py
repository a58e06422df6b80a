import numpy as np
import pytest

from geodl_lab.errors import ModelError
from geodl_lab.packages.emd_inputs import IMAGENET_MEAN, IMAGENET_STD, PIXEL_TYPES, read_inputs
from geodl_lab.packages.emd_keys import Emd
from geodl_lab.runtime import _scaled, _to_tensor

STATS = {
    "band_min_values": [0.0, 10.0, 20.0, 100.0],
    "band_max_values": [255.0, 210.0, 120.0, 4100.0],
    "scaled_mean_values": [0.5, 0.25, 0.125, 0.3],
    "scaled_std_values": [0.25, 0.5, 0.2, 0.1],
}


def inputs(*, dates=1, from_learn=False, function=False, **text):
    emd = Emd("a.emd", {"ExtractBands": [0, 1, 2], **text})
    return read_inputs(emd, dates=dates, from_learn=from_learn, function=function)


def fed(spec, stored):
    """What the engine feeds a network, (C, H, W) in and out."""
    return _scaled(_to_tensor(stored[None]), spec)[0].numpy()


def test_bands_without_names_are_counted():
    spec = inputs(ExtractBands=[3, "2", 1.0])
    assert (spec.bands, spec.count, spec.positions) == ((), 3, (3, 2, 1))


@pytest.mark.parametrize(
    ("keys", "bands", "positions"),
    [
        ({"ExtractBands": ["Red", "NearInfrared_1"]}, ("red", "nir"), ()),
        ({"WellKnownBandNames": ["Red", "Green", "NearInfrared"]}, ("red", "green", "nir"), ()),
        (
            {"ExtractBands": [2, 1, 0], "WellKnownBandNames": ["Red", "Green", "Blue"]},
            ("blue", "green", "red"),
            (2, 1, 0),
        ),
        (
            {"ExtractBands": [3, 2, 1], "WellKnownBandNames": ["Red", "Green", "Blue"]},
            ("red", "green", "blue"),
            (3, 2, 1),
        ),
        (  # a list of all names that are possible says nothing of these bands
            {"WellKnownBandNames": ["Pan", "Blue", "Green", "Red", "NearInfrared"]},
            (),
            (0, 1, 2),
        ),
        (
            {"ExtractBands": [3, 0], "Bands": ["red", "green", "blue", "nir"]},
            ("nir", "red"),
            (3, 0),
        ),
        (
            {"InputRastersProps": {"BandNames": ["Red", "Green", "Blue", "NearInfrared"]}},
            ("red", "green", "blue"),
            (0, 1, 2),
        ),
        (
            {"AllTilesStats": [{"BandName": b} for b in ("Coastal Aerosol", "Blue", "Green")]},
            ("coastal", "blue", "green"),
            (),
        ),
        ({"InputRastersProps": {"BandNames": ["Band_1", "Band_2", "Band_3"]}}, (), (0, 1, 2)),
        ({"Bands": ["red", "red", "nir"]}, (), (0, 1, 2)),
    ],
)
def test_names_of_bands(keys, bands, positions):
    spec = inputs(**keys)
    assert (spec.bands, spec.positions) == (bands, positions)


@pytest.mark.parametrize("extract", [[0, 1, 2], [0, 1, 2, 3, 4, 5], [0, 1, 2, 0, 1, 2]])
def test_two_dates_have_their_bands_twice(extract):
    """arcgis.learn lists the bands of both images, others those of one."""
    names = ["red", "green", "nir"]
    wanted = tuple(date + name for date in ("before_", "after_") for name in names)
    for keys in ({"Bands": names}, {"WellKnownBandNames": names}):
        spec = inputs(dates=2, ExtractBands=extract, **keys)
        assert (spec.bands, spec.positions) == (wanted, ())
    spec = inputs(dates=2, ExtractBands=extract, WellKnownBandNames=list(wanted))
    assert spec.bands == wanted


@pytest.mark.parametrize(
    "keys",
    [
        {"ExtractBands": ["Red", "NIR"]},
        {"ExtractBands": [0, 1], "WellKnownBandNames": ["Red", "NIR"]},
        {"ExtractBands": [0, 1], "Bands": ["Red", "NIR"]},
    ],
)
def test_an_even_number_of_named_bands_is_that_of_one_image(keys):
    assert inputs(dates=2, **keys).bands == ("before_red", "before_nir", "after_red", "after_nir")


@pytest.mark.parametrize("wrong", [[], [-1], [0.5], [True], [None], [[0]], ["alpha"], [10**9], 3])
def test_bands_that_are_none_are_refused(wrong):
    with pytest.raises(ModelError, match="ExtractBands"):
        inputs(ExtractBands=wrong)


def test_statistics_scale_as_arcgis_learn_does():
    stored = np.random.default_rng(0).integers(0, 4000, (3, 5, 6)).astype(np.uint16)
    spec = inputs(ExtractBands=[3, 0, 2], IsMultispectral=True, NormalizationStats=STATS)
    low, high, mean, std = (
        np.array(STATS[key])[[3, 0, 2], None, None]
        for key in ("band_min_values", "band_max_values", "scaled_mean_values", "scaled_std_values")
    )
    np.testing.assert_allclose(
        fed(spec, stored), ((stored - low) / (high - low) - mean) / std, rtol=1e-5, atol=1e-4
    )
    spec = inputs(ExtractBands=[3, 0, 2], NormalizationStats=STATS, DoNormalize="False")
    np.testing.assert_allclose(
        fed(spec, stored), (stored - low) / (high - low), rtol=1e-5, atol=1e-5
    )
    assert spec.dtype is None and spec.low is None  # nothing is cut


def test_the_second_image_has_its_own_statistics():
    other = {key: [2 * n for n in values] for key, values in STATS.items()}
    spec = inputs(dates=2, NormalizationStats=STATS, NormalizationStats_b=other)
    alone, second = inputs(NormalizationStats=STATS), inputs(NormalizationStats=other)
    assert spec.mean == alone.mean + second.mean and spec.std == alone.std + second.std
    assert inputs(dates=2, NormalizationStats=STATS).mean == alone.mean * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"band_min_values": None}, "lacks the key 'band_min_values'"),
        ({"band_max_values": [1, 2]}, "one number for each of the 3 bands"),
        ({"band_max_values": [0.0, 210.0, 120.0]}, "band_max above band_min"),
        ({"scaled_std_values": [1, 0, 1]}, "scaled_std above 0"),
        ({"scaled_mean_values": ["a", 0, 1]}, "a number is needed"),
    ],
)
def test_statistics_that_do_not_scale_are_refused(change, message):
    with pytest.raises(ModelError, match=message):
        inputs(NormalizationStats={**STATS, **change})


def test_multispectral_needs_statistics():
    with pytest.raises(ModelError, match="lacks the key 'NormalizationStats': with IsMultisp"):
        inputs(IsMultispectral=True)


def test_imagenet():
    stored = np.arange(75, dtype=np.uint8).reshape(3, 5, 5)
    wanted = (stored / 255 - np.array(IMAGENET_MEAN)[:, None, None]) / np.array(IMAGENET_STD)[
        :, None, None
    ]
    for keys in ({"IsImageNetNormalization": 1}, {"ImageNetNormalization": "True"}):
        np.testing.assert_allclose(fed(inputs(**keys), stored), wanted, rtol=1e-5, atol=1e-5)
    learn = inputs(from_learn=True)
    np.testing.assert_allclose(fed(learn, stored), wanted, rtol=1e-5, atol=1e-5)
    assert inputs(from_learn=True, DataRange=[0, 1]).mean is None
    assert inputs(from_learn=True, IsImageNetNormalization=False).mean is None
    with pytest.raises(ModelError, match="red, green and blue: 3 bands"):
        inputs(ExtractBands=[0, 1], IsImageNetNormalization=True)


@pytest.mark.parametrize(
    ("keys", "dtype", "ends"),
    [
        ({}, "uint8", (0, 255)),
        ({"InputRastersProps": {"PixelType": "U16"}}, "uint16", (0, 65535)),
        ({"InputRastersProps": {"PixelType": "i2"}}, "int16", (-32768, 32767)),
        ({"AllTilesStats": [{"Min": 0, "Max": 9000}]}, "uint16", (0, 65535)),
        ({"AllTilesStats": [{"Min": -5, "Max": 90}]}, "int16", (-32768, 32767)),
    ],
)
@pytest.mark.parametrize("bounds", [[0, 1], [-1, 1], [0.1, 1.0]])
def test_a_data_range_is_what_the_pixel_type_is_brought_to(keys, dtype, ends, bounds):
    spec = inputs(DataRange=bounds, **keys)
    stored = np.array(ends, dtype=dtype)[:, None].repeat(3, 1).T[:, :, None]
    answer = fed(spec, stored)
    assert spec.dtype == dtype
    np.testing.assert_allclose(answer[:, :, 0], [bounds] * 3, atol=1e-6)


def test_floats_lie_in_their_range_already():
    spec = inputs(DataRange=[0, 1], InputRastersProps={"PixelType": "F32"})
    assert (spec.dtype, spec.scale, spec.mean) == ("float32", 1.0, None)


@pytest.mark.parametrize("bounds", [[1, 0], [1], [0, 1, 2], ["a", "b"], 5, {}])
def test_other_ranges_are_refused(bounds):
    with pytest.raises(ModelError, match="DataRange"):
        inputs(DataRange=bounds)


def test_values_beyond_any_type_need_its_name():
    with pytest.raises(ModelError, match="pixel type that it is for, in InputRastersProps"):
        inputs(DataRange=[0, 1], AllTilesStats=[{"Max": 1e9}])
    with pytest.raises(ModelError, match=r"PixelType .*; one of .*uint8"):
        inputs(InputRastersProps={"PixelType": "C64"})
    assert all(np.dtype(dtype) for dtype in PIXEL_TYPES.values())


def test_values_are_fed_as_they_are_where_nothing_is_said():
    spec = inputs()
    assert (spec.dtype, spec.scale, spec.mean, spec.std) == (None, 1.0, None, None)


def test_a_function_scales_itself_but_for_the_data_range():
    spec = inputs(function=True, IsImageNetNormalization=True, NormalizationStats=STATS)
    assert (spec.dtype, spec.scale, spec.mean, spec.std) == (None, 1.0, None, None)
    spec = inputs(function=True, NormalizationStats=STATS, DataRange=[0, 1])
    assert (spec.dtype, spec.scale, spec.mean) == ("uint8", 1 / 255, None)


def size(x, y=None, **reference):
    return {"x": x, "y": x if y is None else y, "spatialReference": reference}


@pytest.mark.parametrize(
    ("least", "greatest", "metres"),
    [
        (size(0.6, wkid=26911), size(0.6, wkid=26911), 0.6),
        (size(0.5, wkid=3857), size(2.0, wkid=3857), 1.0),
        (size(0.5, wkid=102100), None, 0.5),
        (size(0.5, wkid=102100, latestWkid=3857), size(0.5, wkid=102100), 0.5),
        (size(1.0, wkid=2229), size(1.0, wkid=2229), 0.3048006),  # US survey feet
        (size(1e-5, wkid=4326), size(1e-5, wkid=4326), None),
        (size(1.0), size(1.0), None),
        (size(1.0, wkid=999999999999), None, None),
        (size(2.0, 8.0, wkid=3857), None, 4.0),
        (size(0, wkid=3857), None, None),
    ],
)
def test_cell_sizes_are_in_metres(least, greatest, metres):
    spec = inputs(MinCellSize=least, MaxCellSize=greatest)
    assert spec.cell_size == (None if metres is None else pytest.approx(metres))


def test_our_own_cell_size_wins():
    assert inputs(CellSize="0.3", MinCellSize=size(1, wkid=3857)).cell_size == 0.3
    with pytest.raises(ModelError, match="CellSize 0; a size in metres"):
        inputs(CellSize=0)
