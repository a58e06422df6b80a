"""Every format is read back by another library than the one that wrote it."""

import io

import lerc
import numpy as np
import pytest
from PIL import Image
from pyproj import CRS
from rasterio.io import MemoryFile

from geodl_lab.server.arcgis.image_formats import (
    MEDIA,
    Encoding,
    find_format,
    write_indices,
    write_lerc,
    write_picture,
    write_raw,
    write_tiff,
)
from geodl_lab.server.arcgis.image_reads import Pixels
from geodl_lab.server.arcgis.image_views import View
from geodl_lab.server.arcgis.web import ArcgisError

VIEW = View((100, 50, 140, 80), CRS.from_epsg(32611), (30, 40))
PICTURES = ("jpgpng", "png", "png8", "png24", "png32", "jpg", "bmp", "gif")


def noise(dtype="uint8", bands=1, holes=True):
    generator = np.random.default_rng(0)
    values = (generator.random((bands, 30, 40)) * 200).astype(dtype)
    valid = np.ones(values.shape, bool)
    valid[:, :5, :7] = not holes
    return Pixels(values, valid)


def stripes(holes=True):
    """Four colours, (y, x, 4)."""
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]], np.uint8)
    rgba = np.full((30, 40, 4), 255, np.uint8)
    rgba[..., :3] = colors[np.arange(30) % 4][:, None]
    if holes:
        rgba[:5, :7] = 0
    return rgba


@pytest.mark.parametrize("format", PICTURES)
def test_pictures_come_back(format):
    for holes in (True, False):
        rgba = stripes(holes)
        data, media = write_picture(rgba, Encoding(format))
        image = Image.open(io.BytesIO(data))
        assert Image.MIME[image.format] == media
        pixels = np.asarray(image.convert("RGBA")).astype(int)
        if media != "image/jpeg":
            assert (pixels[rgba[..., 3] > 0] == rgba[rgba[..., 3] > 0]).all()
        hole = (255, 255, 255, 255) if format in ("jpg", "bmp") else (..., 0)
        assert not holes or tuple(pixels[0, 0])[3] == hole[-1]


def test_jpgpng_is_a_jpeg_where_nothing_is_transparent():
    assert write_picture(stripes(holes=False), Encoding("jpgpng"))[1] == "image/jpeg"
    assert write_picture(stripes(), Encoding("jpgpng"))[1] == "image/png"
    assert write_picture(stripes(), Encoding("jpgpng", opaque=True))[1] == "image/png"


def test_what_has_no_data_is_white_where_nothing_may_be_transparent():
    image = Image.open(io.BytesIO(write_picture(stripes(), Encoding("png", opaque=True))[0]))
    assert image.mode == "RGB" and image.getpixel((0, 0)) == (255, 255, 255)


def test_the_quality_of_a_jpeg_counts():
    rgba = np.dstack([*noise(bands=3).values, np.full((30, 40), 255, np.uint8)])
    sizes = [len(write_picture(rgba, Encoding("jpg", quality=quality))[0]) for quality in (5, 95)]
    assert sizes[0] < sizes[1] / 2


@pytest.mark.parametrize("format", ["png8", "gif"])
def test_indices_are_values_and_no_data_is_a_free_one(format):
    pixels = noise()
    palette = np.full((256, 4), 255, np.uint8)
    image = Image.open(io.BytesIO(write_indices(pixels, 201.0, palette, Encoding(format))))
    assert image.mode == "P"
    indices = np.asarray(image)
    assert (indices == np.where(pixels.valid, pixels.values, 201)[0]).all()
    assert np.asarray(image.convert("RGBA"))[0, 0, 3] == 0
    taken = int(pixels.values[pixels.valid][0])  # a value that pixels have is never no data
    image = Image.open(io.BytesIO(write_indices(pixels, taken, palette, Encoding(format))))
    assert (np.asarray(image)[pixels.valid[0]] == pixels.values[pixels.valid]).all()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64"])
def test_a_tiff_holds_values_place_and_mask(dtype):
    pixels = noise(dtype, bands=2)
    with MemoryFile(write_tiff(pixels, VIEW, None)) as memory, memory.open() as file:
        assert (file.read()[pixels.valid] == pixels.values[pixels.valid]).all()
        assert (file.dataset_mask() > 0).tolist() == pixels.shown.tolist()
        assert file.crs.to_epsg() == 32611 and tuple(file.bounds) == VIEW.box
    with MemoryFile(write_tiff(pixels, VIEW, 250)) as memory, memory.open() as file:
        assert file.nodata == 250 and (file.read()[~pixels.valid] == 250).all()


def test_raw_bytes_are_band_by_band_or_pixel_by_pixel():
    pixels = noise("int16", bands=3)
    expected = np.where(pixels.valid, pixels.values, -1)
    bsq = np.frombuffer(write_raw(pixels, -1, by_pixel=False), "<i2").reshape(3, 30, 40)
    bip = np.frombuffer(write_raw(pixels, -1, by_pixel=True), "<i2").reshape(30, 40, 3)
    assert (bsq == expected).all() and (np.moveaxis(bip, -1, 0) == expected).all()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
@pytest.mark.parametrize("holes", [True, False])
def test_lerc_is_read_by_the_package_itself(dtype, holes):
    pixels = noise(dtype, bands=2, holes=holes)
    for version, codec in ((1, 2), (2, 4)):
        blob = write_lerc(pixels, Encoding("lerc", lerc_version=version))
        assert blob[:6] == b"Lerc2 " and int.from_bytes(blob[6:10], "little") == codec
        status, values, valid = lerc.decode(blob)
        assert status == 0
        assert (values[pixels.valid] == pixels.values[pixels.valid]).all()
        assert valid is None or (valid.astype(bool) == pixels.shown).all()
        assert (valid is None) == (not holes)


def test_lerc_may_be_a_little_wrong_if_that_is_asked_for():
    pixels = noise("float32")
    exact, rough = (write_lerc(pixels, Encoding("lerc", tolerance=t)) for t in (0, 0.5))
    assert len(rough) < len(exact) / 2
    values = lerc.decode(rough)[1]
    assert np.abs(values - pixels.values[0])[pixels.valid[0]].max() <= 0.5


def test_formats_have_names_in_any_case():
    assert find_format("PNG32") == "png32" and find_format("JPEG") == "jpg"
    assert set(PICTURES) | {"tiff", "bip", "bsq", "lerc"} == set(MEDIA)
    with pytest.raises(ArcgisError, match="possible are jpgpng, png"):
        find_format("webp")
