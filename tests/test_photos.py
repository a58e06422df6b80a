"""Photos of every make against numpy by hand and Pillow's own way to turn them."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from geodl_lab.errors import RasterError
from geodl_lab.photos import MOST_SCANS, open_photo, raw_photo

RNG = np.random.default_rng(5)
COLOURS = RNG.integers(0, 256, (30, 41, 3), dtype=np.uint8)
GREY = COLOURS[..., 0]


def saved(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def opened(data, **options):
    photo = open_photo(data, **options)
    assert photo.dims == ("band", "y", "x") and photo.dtype == np.uint8
    assert photo.band.values.tolist() == ["red", "green", "blue"]
    return photo.values.transpose(1, 2, 0)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless_formats_keep_every_pixel(form, options):
    assert (opened(saved(Image.fromarray(COLOURS), form, **options)) == COLOURS).all()


def test_a_jpeg_is_what_pillow_decodes_and_a_gif_its_first_picture():
    data = saved(Image.fromarray(COLOURS), "JPEG", quality=80)
    assert (opened(data) == np.asarray(Image.open(io.BytesIO(data)))).all()
    red, blue = (Image.new("RGB", (7, 5), name) for name in ("red", "blue"))
    gif = saved(red, "GIF", save_all=True, append_images=[blue])
    assert (opened(gif) == [255, 0, 0]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_photo_is_turned_as_exif_says(orientation, form):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(COLOURS), form, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert (opened(data) == np.asarray(expected)).all()


@pytest.mark.parametrize("orientation", [0, 9, 1000])
def test_an_orientation_that_is_none_turns_nothing(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert (opened(saved(Image.fromarray(COLOURS), exif=exif)) == COLOURS).all()


def test_grey_and_two_level_photos_have_three_equal_bands():
    assert (opened(saved(Image.fromarray(GREY))) == GREY[..., None]).all()
    bits = GREY > 127
    assert (opened(saved(Image.fromarray(bits))) == 255 * bits[..., None]).all()
    assert (opened(saved(Image.fromarray(bits), "TIFF")) == 255 * bits[..., None]).all()


def test_a_palette_is_looked_up():
    image = Image.fromarray(COLOURS).quantize(16)
    assert (opened(saved(image)) == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_of_sixteen_bits_the_high_byte_is_taken(form):
    deep = GREY.astype(np.uint16) * 257
    assert (opened(saved(Image.fromarray(deep), form)) == GREY[..., None]).all()
    assert (opened(saved(Image.fromarray(deep + (GREY < 255)), form)) == GREY[..., None]).all()


def test_sixteen_bits_of_colour_are_the_high_byte_too():
    deep = COLOURS.astype(">u2") * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", 41, 30, 16, 2, 0, 0, 0)
    assert (opened(png(header, rows)) == COLOURS).all()


def test_transparent_pixels_are_over_white():
    alpha = np.array([[0, 128, 255]], np.uint8)
    image = Image.fromarray(np.dstack([np.full((1, 3, 3), 100, np.uint8), alpha]))
    share = alpha[..., None] / 255.0
    expected = 100 * share + 255 * (1 - share)
    assert np.abs(opened(saved(image)) - expected).max() <= 1
    one = Image.fromarray(np.array([[0, 200]], np.uint8))
    assert opened(saved(one, transparency=0)).tolist() == [[[255] * 3, [200] * 3]]


def test_inks_become_colours():
    image = Image.fromarray(COLOURS).convert("CMYK")
    for form in ("TIFF", "JPEG"):
        found = opened(saved(image, form, quality=100))
        assert np.abs(found.astype(int) - COLOURS).mean() < (0.5 if form == "TIFF" else 12)


def test_four_bands_of_a_geotiff_are_its_first_three():
    import rasterio  # noqa: PLC0415
    from rasterio.io import MemoryFile  # noqa: PLC0415

    bands = RNG.integers(0, 256, (4, 20, 30), dtype=np.uint8)
    shape = {"width": 30, "height": 20, "count": 4, "dtype": "uint8", "photometric": "RGB"}
    where = {"crs": "EPSG:32611", "transform": rasterio.Affine(0.6, 0, 5e5, 0, -0.6, 4e6)}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", **shape, **where, ALPHA="NO") as file:
            file.write(bands)
        data = memory.read()
    assert (opened(data) == bands[:3].transpose(1, 2, 0)).all()


def test_one_pixel_is_a_photo():
    assert opened(saved(Image.new("RGB", (1, 1), (1, 2, 3)))).tolist() == [[[1, 2, 3]]]


def test_fifty_megapixels_are_a_photo():
    photo = open_photo(saved(Image.new("L", (8660, 5780), 7), "PNG", compress_level=1))
    assert photo.shape == (3, 5780, 8660) and int(photo[2, -1, -1]) == 7


def png(header, rows=b""):
    """A PNG of an IHDR and rows, both as they are given."""

    def chunk(name, content):
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [12_000, 30_000, 60_000])
def test_a_bomb_is_refused_by_its_header(side):
    bomb = png(struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), b"\0" * 1000)
    with pytest.raises(RasterError, match=r"too large|possible are 100000000 in all"):
        open_photo(bomb)
    with pytest.raises(RasterError, match="41 x 30 pixels; possible are 1000 in all"):
        open_photo(saved(Image.fromarray(COLOURS)), most_pixels=1000)


def test_a_tiff_of_huge_tiles_is_refused():
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: 60_000, 323: 60_000}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries += [struct.pack("<HHII", 324, 4, 1, 200), struct.pack("<HHII", 325, 4, 1, 10)]
    ifd = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    data = b"II*\0" + struct.pack("<I", 8) + ifd
    with pytest.raises(RasterError, match="tiles are larger than"):
        open_photo(data.ljust(300, b"\0"))


def test_a_jpeg_of_endless_scans_is_refused():
    data = saved(Image.fromarray(COLOURS), "JPEG", progressive=True)
    scan = data.index(b"\xff\xda")
    with pytest.raises(RasterError, match="more than 500 scans"):
        open_photo(data[:scan] + data[scan:-2] * (MOST_SCANS + 1))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"])
def test_a_photo_that_is_cut_off_says_so(form):
    data = saved(Image.fromarray(COLOURS), form)
    for length in (1, 4, 12, len(data) // 4, len(data) // 2):
        with pytest.raises(RasterError, match=r"no photo that can be read|damaged or cut off"):
            open_photo(data[:length])


def test_noise_in_a_photo_is_a_photo_or_an_error_of_ours():
    for form in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"):
        data = saved(Image.fromarray(COLOURS), form)
        for _ in range(30):
            noisy = bytearray(data)
            for place in RNG.integers(0, len(data), 8):
                noisy[place] = RNG.integers(256)
            try:
                opened(bytes(noisy))
            except RasterError as error:
                assert len(str(error)) < 400


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty, 0 bytes"),
        (b"hello", "the 5 bytes are no photo"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "no photo that can be read"),
        (b"P6 2 2 255 " + b"\0" * 12, "no photo that can be read"),
    ],
)
def test_what_is_no_photo(data, words):
    with pytest.raises(RasterError, match=words):
        open_photo(data)


def test_numbers_without_a_white_are_refused():
    with pytest.raises(RasterError, match="32-bit numbers"):
        open_photo(saved(Image.fromarray(GREY.astype(np.float32)), "TIFF"))


def test_raw_pixels_are_blue_green_red_or_grey():
    bgr = COLOURS[..., ::-1]
    photo = raw_photo(bgr.tobytes(), 41, 30)
    assert (photo.values.transpose(1, 2, 0) == COLOURS).all()
    assert photo.band.values.tolist() == ["red", "green", "blue"]
    grey = raw_photo(GREY.tobytes(), 41, 30)
    assert grey.shape == (3, 30, 41) and (grey.values == GREY).all()


def test_raw_pixels_are_not_copied():
    data = COLOURS.tobytes()
    for channels in (1, 3):
        part = memoryview(data)[: 41 * 30 * channels]
        photo = raw_photo(part, 41, 30)
        assert np.shares_memory(photo.values, np.frombuffer(data, np.uint8))


def test_a_mosaic_of_colours_is_filled_in():
    y, x = np.mgrid[:12, :16]
    ramps = np.stack([10 * x + y, 5 * x + 3 * y, 2 * y + 40], axis=-1)  # bilinear keeps planes
    mosaic = np.where(y % 2, np.where(x % 2, ramps[..., 2], ramps[..., 1]), ramps[..., 1])
    mosaic = np.where((y % 2 == 0) & (x % 2 == 0), ramps[..., 0], mosaic).astype(np.uint8)
    found = raw_photo(mosaic.tobytes(), 16, 12, bayer=True).values.transpose(1, 2, 0)
    inner = slice(1, -1), slice(1, -1)
    assert np.abs(found[inner].astype(int) - ramps[inner]).max() <= 1
    assert (found[::2, ::2, 0] == ramps[::2, ::2, 0]).all()
    assert (found[1::2, 1::2, 2] == ramps[1::2, 1::2, 2]).all()


@pytest.mark.parametrize(
    ("size", "shape", "bayer"),
    [(11, (2, 2), False), (8, (2, 2), False), (12, (2, 2), True), (0, (2, 2), False)],
)
def test_raw_pixels_of_another_length_say_what_fits(size, shape, bayer):
    with pytest.raises(RasterError, match=f"{size} bytes are no 2 x 2 pixels .* send 4"):
        raw_photo(bytes(size), *shape, bayer=bayer)


@pytest.mark.parametrize("shape", [(0, 5), (-1, 5), (100_000, 100_000)])
def test_a_raw_photo_has_a_size(shape):
    with pytest.raises(RasterError, match="is not possible; give from 1 to"):
        raw_photo(b"", *shape)
