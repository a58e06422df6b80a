"""From a request to bytes: values cast, no data as asked, tiles of nowhere."""

import io

import lerc
import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.io import MemoryFile

from geodl_lab.package import LabelClass
from geodl_lab.server.arcgis.image_files import FileId
from geodl_lab.server.arcgis.image_info import attribute_table, describe, legend
from geodl_lab.server.arcgis.image_pictures import empty_tile, make_picture, make_tile
from geodl_lab.server.arcgis.image_requests import parse_picture
from geodl_lab.server.arcgis.image_sources import ImageSource, grid_of
from geodl_lab.server.arcgis.web import ArcgisError, Parameters


@pytest.fixture
def write(tmp_path):
    """Writes a raster; answers it as a source."""

    def write(array, *, ours=True, classes=(), **profile):
        count, height, width = array.shape
        with rasterio.open(
            tmp_path / "a.tif", "w", driver="GTiff", count=count, height=height, width=width,
            dtype=array.dtype, **{
                "crs": "EPSG:32611", "transform": Affine(1, 0, 500_000, 0, -1, 3_800_000),
                "photometric": "MINISBLACK", **profile,
            },
        ) as file:  # fmt: skip
            file.write(array)
        file = FileId.of(tmp_path / "a.tif", ours=ours)
        return ImageSource("a", "a", file, grid_of(file), classes)

    return write


def asked(source, **given):
    height, width = source.grid.shape_yx
    given = {"size": f"{width},{height}", **given}
    return make_picture(source, parse_picture(Parameters(given), source))


def tiff(source, **given):
    data, media = asked(source, format="tiff", **given)
    assert media == "image/tiff"
    with MemoryFile(data) as memory, memory.open() as file:
        return file.read(), file.nodata, file.dataset_mask() > 0


FLOATS = np.linspace(-300, 70_000, 600, dtype="float32").reshape(1, 20, 30)


@pytest.mark.parametrize(("name", "dtype"), [("U8", "uint8"), ("S16", "int16"), ("F64", "float64")])
def test_values_in_another_pixel_type_are_rounded_and_clipped(write, name, dtype):
    values, _, _ = tiff(write(FLOATS), pixelType=name)
    info = np.iinfo(dtype) if dtype != "float64" else np.finfo(dtype)
    expected = np.clip(np.rint(FLOATS) if dtype != "float64" else FLOATS, info.min, info.max)
    assert values.dtype == dtype and (values == expected.astype(dtype)).all()


def test_not_a_number_is_no_data_in_any_type(write):
    holes = FLOATS.copy()
    holes[0, :3] = np.nan
    for name in ("U8", "F32"):
        _, _, valid = tiff(write(holes, nodata=np.nan), pixelType=name)
        assert not valid[:3].any() and valid[3:].all()
    blob, _ = asked(write(holes, nodata=np.nan), format="lerc")
    _, values, valid = lerc.decode(blob)
    assert (valid.astype(bool) == ~np.isnan(holes[0])).all()
    assert (values[3:] == holes[0, 3:]).all()


def test_the_request_names_no_data(write):
    bands = np.array([[[1, 2, 3, 1]], [[1, 1, 3, 9]]], "uint8")
    _, nodata, valid = tiff(write(bands), noData="1")
    assert nodata == 1 and valid.tolist() == [[False, False, True, False]]
    _, _, valid = tiff(write(bands), noData="1", noDataInterpretation="esriNoDataMatchAll")
    assert valid.tolist() == [[False, True, True, True]]
    _, _, valid = tiff(write(bands), noData="1,9")
    assert valid.tolist() == [[False, True, True, False]]


def test_bands_in_the_order_that_is_asked_for(write):
    bands = np.arange(4 * 6, dtype="uint16").reshape(4, 2, 3)
    assert (tiff(write(bands), bandIds="3,1")[0] == bands[[3, 1]]).all()
    assert (tiff(write(bands))[0] == bands).all()


def test_a_band_of_bytes_as_png8_holds_its_values(write):
    """The newest QGIS reads imagery so, band by band."""
    bands = np.random.default_rng(0).integers(0, 256, (4, 20, 30), dtype="uint8")
    source = write(bands, ours=False)
    for band in range(4):
        data, _ = asked(source, format="png8", bandIds=str(band), pixelType="U8",
                        interpolation="RSP_NearestNeighbor")  # fmt: skip
        assert (np.asarray(Image.open(io.BytesIO(data))) == bands[band]).all()


def test_colours_as_a_tiff(write):
    source = write(np.array([[[1, 2]]], "uint8"), classes=(LabelClass(1, "a", "#ff0000"),))
    rule = '{"rasterFunction":"Colormap"}'
    values, _, valid = tiff(source, renderingRule=rule)
    assert values[:, 0, 0].tolist() == [255, 0, 0, 255] and valid.tolist() == [[True, False]]


def test_rows_and_columns_of_tiles(write):
    """One white pixel of 40 m; the tile that holds it is found by the formula of web maps."""
    lon, lat = 10.0, 45.0
    degrees = Affine(0.0005, 0, lon - 0.00025, 0, -0.0005, lat + 0.00025)
    source = write(np.full((1, 1, 1), 1, "uint8"), crs="EPSG:4326", transform=degrees,
                   classes=(LabelClass(1, "a", "#ffffff"),))  # fmt: skip
    n = 2**15
    x = int((lon + 180) / 360 * n)
    y = int((1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * n)
    pixels = np.asarray(Image.open(io.BytesIO(make_tile(source, 15, y, x))))
    assert (pixels[..., 3] > 0).any()
    assert make_tile(source, 15, x, y) == empty_tile()
    assert make_tile(source, 31, 0, 0) == empty_tile()


def test_a_photo_has_no_tiles_and_no_table(write):
    source = write(np.zeros((3, 4, 4), "uint8"), crs=None, transform=None, ours=False)
    assert make_tile(source, 0, 0, 0) == empty_tile()
    with pytest.raises(ArcgisError, match="no classes"):
        attribute_table(source)
    assert describe(source)["extent"]["ymin"] == -4
    assert [each["label"][:3] for each in legend(source)["layers"][0]["legend"]] == [
        "Red", "Gre", "Blu",
    ]  # fmt: skip


def test_the_description_holds_numbers_that_json_knows(write):
    values = describe(write(FLOATS, nodata=-np.inf))
    assert values["noDataValue"] == "-Infinity" and values["pixelType"] == "F32"
    assert describe(write(FLOATS, nodata=np.nan))["noDataValues"] == ["NaN"]
    ends = legend(write(FLOATS))["layers"][0]["legend"]
    low, high = np.percentile(FLOATS, (2, 98))
    assert float(ends[0]["label"]) == pytest.approx(high, rel=1e-4)
    assert float(ends[2]["label"]) == pytest.approx(low, rel=1e-4)
