"""Colours against what numpy says of the whole raster."""

import json

import matplotlib
import numpy as np
import pytest
import rasterio
from affine import Affine

from geodl_lab.package import LabelClass
from geodl_lab.server.arcgis.image_files import FileId
from geodl_lab.server.arcgis.image_reads import Pixels, read_view
from geodl_lab.server.arcgis.image_rendering import Rule, colors_of, parse_rule, ramp, shown_bands
from geodl_lab.server.arcgis.image_sources import ImageSource, grid_of
from geodl_lab.server.arcgis.image_views import View
from geodl_lab.server.arcgis.web import ArcgisError


@pytest.fixture
def write(tmp_path):
    """Writes a raster; answers it as a source, ours or of a store."""

    def write(array, *, ours=False, classes=(), names=(), **profile):
        path = tmp_path / "a.tif"
        shape = dict(zip(("count", "height", "width"), array.shape, strict=True))
        with rasterio.open(
            path, "w", driver="GTiff", dtype=array.dtype, crs="EPSG:32611",
            transform=Affine(1, 0, 0, 0, -1, 100), **shape, **profile,
        ) as file:  # fmt: skip
            file.write(array)
            for index, name in enumerate(names, 1):
                file.set_band_description(index, name)
        file = FileId.of(path, ours=ours)
        return ImageSource("a", "a", file, grid_of(file), tuple(classes))

    return write


def drawn(source, rule=None, bands=()):
    bands = shown_bands(source, bands)
    height, width = source.grid.shape_yx
    pixels = read_view(source, View(source.box, source.grid.crs, (height, width)), bands)
    return colors_of(source, pixels, bands, rule or Rule())


def stretched(values, low, high):
    scaled = (values.astype(float) - low) / (high - low) * 255
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def rule(function, **arguments):
    text = {"rasterFunction": function, "rasterFunctionArguments": arguments}
    return parse_rule(json.dumps(text))


SIXTEEN = np.random.default_rng(0).gamma(2, 900, (4, 70, 90)).astype("uint16")


def test_sixteen_bits_are_cut_at_two_per_cent_of_each_band(write):
    source = write(SIXTEEN)
    rgba = drawn(source)
    for band in range(3):
        low, high = np.percentile(SIXTEEN[band], (2, 98))
        assert (rgba[..., band] == stretched(SIXTEEN[band], low, high)).all()
    assert (rgba[..., 3] == 255).all()


def test_a_part_is_as_bright_as_it_is_in_the_whole(write):
    source = write(SIXTEEN)
    bands, corner = (0, 1, 2), View((10, 60, 30, 80), source.grid.crs, (20, 20))
    part = colors_of(source, read_view(source, corner, bands), bands, Rule())
    assert (part == drawn(source)[20:40, 10:30]).all()


def test_bytes_are_shown_as_they_are_by_the_bands_names(write):
    array = SIXTEEN.astype("uint8")
    rgba = drawn(write(array, names=("nir", "blue", "green", "red"), photometric="MINISBLACK"))
    assert (rgba[..., :3] == np.moveaxis(array[[3, 2, 1]], 0, -1)).all()
    rgba = drawn(write(array, photometric="MINISBLACK"), bands=(2, 0, 1))
    assert (rgba[..., :3] == np.moveaxis(array[[2, 0, 1]], 0, -1)).all()


def test_one_band_is_grey_and_a_result_of_ours_viridis(write):
    values = np.linspace(0, 1, 6300, dtype="float32").reshape(1, 70, 90)
    low, high = np.percentile(values, (2, 98))
    grey = stretched(values[0], low, high)
    assert (drawn(write(values))[..., 0] == grey).all()
    assert (drawn(write(values, ours=True))[..., :3] == ramp("viridis")[grey]).all()


def test_viridis_is_matplotlibs(write):
    theirs = matplotlib.colormaps["viridis"](np.arange(256))[:, :3] * 255
    assert np.abs(ramp("viridis") - theirs).max() < 6


def test_classes_are_painted_by_value_and_others_not_at_all(write):
    values = np.array([[[0, 1, 2], [3, 250, 9]]], "uint8")
    labels = [LabelClass(1, "a", "#ff0000"), LabelClass(250, "b", "#00ff00")]
    for dtype in ("uint8", "int32"):
        rgba = drawn(write(values.astype(dtype), classes=labels))
        assert rgba[0, 1].tolist() == [255, 0, 0, 255] and rgba[1, 1].tolist() == [0, 255, 0, 255]
        assert (rgba[..., 3] > 0).sum() == 2


def test_rules_stretch_between_other_limits(write):
    source = write(SIXTEEN[:1])
    values = SIXTEEN[0]
    wanted = {
        (values.min(), values.max()): rule("Stretch", StretchType=5),
        (0, 255): rule("Stretch", StretchType=0),
        (100, 900): rule("stretch", StretchType=5, Statistics=[[100, 900, 0, 0]]),
        (max(values.min(), values.mean() - values.std()), values.mean() + values.std()): rule(
            "Stretch", StretchType=3, NumberOfStandardDeviations=1
        ),
    }
    for (low, high), given in wanted.items():
        off = drawn(source, given)[..., 0].astype(int) - stretched(values, low, high)
        assert np.abs(off).max() <= 1
    clipped = drawn(source, rule("Stretch", StretchType=6, MinPercent=10, MaxPercent=20))[..., 0]
    assert (clipped == 0).mean() == pytest.approx(0.1, abs=0.02)
    assert (clipped == 255).mean() == pytest.approx(0.2, abs=0.02)


def test_rules_bring_colours_of_their_own(write):
    values = np.array([[[1, 2, 3]]], "uint8")
    source = write(values, classes=[LabelClass(1, "a", "#ff0000")])
    rgba = drawn(source, rule("Colormap", Colormap=[[2, 1, 2, 3], [3, 4, 5, 6]]))
    assert rgba[0].tolist() == [[0, 0, 0, 0], [1, 2, 3, 255], [4, 5, 6, 255]]
    assert drawn(source, rule("None"))[0, 0].tolist() == [255, 0, 0, 255]
    grey = drawn(write(values), rule("Colormap", ColormapName="Viridis"))
    assert grey[0, 0, :3].tolist() == ramp("viridis")[1].tolist()


def test_no_data_has_no_colour_at_all(write):
    source = write(SIXTEEN[:3], nodata=int(SIXTEEN[0, 0, 0]))
    pixels = Pixels(SIXTEEN[:3], np.zeros(SIXTEEN[:3].shape, bool))
    assert not colors_of(source, pixels, (0, 1, 2), Rule()).any()


@pytest.mark.parametrize(("text", "words"), [
    ('{"rasterFunction": "NDVI"}', "possible are None, Colormap, Stretch"),
    ("7", "no object"),
    ('{"rasterFunction":"Stretch","rasterFunctionArguments":7}', "no object"),
    ('{"rasterFunction":"Stretch","rasterFunctionArguments":{"MinPercent":99}}', "MinPercent"),
    ('{"rasterFunction":"Stretch","rasterFunctionArguments":{"Statistics":[[1]]}}', "Statistics"),
    ('{"rasterFunction":"Colormap","rasterFunctionArguments":{"ColormapName":"x"}}', "viridis"),
    ('{"rasterFunction":"Colormap","rasterFunctionArguments":{"Colormap":[[0,0,0,256]]}}', "255"),
])  # fmt: skip
def test_rules_that_are_none(text, words):
    with pytest.raises(ArcgisError, match=words):
        parse_rule(text)
