"""No raster makes GDAL read another file or address, and no damaged one passes."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from geodl_lab.errors import RasterError
from geodl_lab.jobs.rasters import check_raster
from geodl_lab.jobs.worker import UNTRUSTED_ENV

DATA = Path(__file__).parents[3] / "shared" / "data"
PIXELS = np.arange(3 * 80 * 64, dtype=np.uint8).reshape(3, 80, 64)
FORMATS = {
    "a.tif": {"driver": "GTiff"},
    "big.tif": {"driver": "GTiff", "bigtiff": "yes"},
    "end.tif": {"driver": "GTiff", "endianness": "big"},
    "cog.tif": {"driver": "COG", "blocksize": 128},
    "a.png": {"driver": "PNG"},
    "a.jpg": {"driver": "JPEG", "quality": 100},
    "a.jp2": {"driver": "JP2OpenJPEG", "quality": 100, "reversible": "yes"},
}


def write(path, pixels=PIXELS, **profile):
    count, height, width = pixels.shape
    place = from_origin(500_000, 4_000_000, 10, 10)
    profile = {"driver": "GTiff", "crs": "EPSG:32633", "transform": place} | profile
    size = {"count": count, "height": height, "width": width}
    with rasterio.open(path, "w", dtype=pixels.dtype, **size, **profile) as file:
        file.write(pixels)
    for beside in path.parent.glob(f"{path.name}.*"):
        beside.unlink()  # .aux.xml
    return path


def vrt(other, size=64):
    return (
        f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><VRTRasterBand dataType="Byte" '
        f'band="1"><SimpleSource><SourceFilename>{other}</SourceFilename><SourceBand>1'
        "</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def jpeg_that_is_a_vrt(other):
    """A picture whose first segment is a comment: GDAL's VRT driver takes it."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(file, "jpeg")
    text = vrt(other).encode().ljust(0x0210)  # no zero byte may stand before the text
    comment = b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text
    return file.getvalue()[:2] + comment + file.getvalue()[2:]


@pytest.fixture
def secret(tmp_path):
    return write(tmp_path / "secret.tif", np.full((1, 64, 64), 77, np.uint8))


@pytest.mark.parametrize("name", FORMATS)
def test_good_files_pass_and_nothing_is_written_beside(tmp_path, name):
    path = write(tmp_path / name, **FORMATS[name])
    assert check_raster(path) == path
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(not DATA.exists(), reason="NOT RUN: real rasters (../shared/data) are not here")
def test_real_rasters_pass():
    found = [file for file in DATA.rglob("*") if file.suffix in (".tif", ".jpg", ".png")]
    assert len(found) > 50
    for path in found[:: len(found) // 40]:
        assert check_raster(path) == path


def test_a_text_by_the_name_of_a_raster(tmp_path, secret):
    path = tmp_path / "ok.tif"
    path.write_text(vrt(secret))
    with rasterio.open(path) as file:
        assert file.read().max() == 77  # so it works without the check
    with pytest.raises(RasterError, match=r"'ok\.tif' is no GeoTIFF.*gdal_translate"):
        check_raster(path)


def test_a_picture_that_is_a_vrt_as_well(tmp_path, secret):
    path = tmp_path / "poly.jpg"
    path.write_bytes(jpeg_that_is_a_vrt(secret))
    with rasterio.open(path) as file:
        assert (file.driver, file.read().max()) == ("VRT", 77)  # so it works without the check
    with pytest.raises(RasterError, match=r"holds '<VRTDataset', a text by which GDAL reads"):
        check_raster(path)


def test_another_driver_is_found_out_without_the_text(tmp_path, secret, monkeypatch):
    path = tmp_path / "poly.jpg"
    path.write_bytes(jpeg_that_is_a_vrt(secret))
    monkeypatch.setattr("geodl_lab.jobs.rasters.HEAD", 8)
    with pytest.raises(RasterError, match="begins as JPEG but opens as VRT"):
        check_raster(path)


@pytest.mark.parametrize(
    "text",
    ["<GDAL_WMS><Service/></GDAL_WMS>", "<GDALTileIndexDataset/>", "<?xml?><WMT_MS_Capabilities/>"],
)
@pytest.mark.parametrize(
    "begin", [b"", b"\xff\xd8\xff\xfe\x11\x11", b"II*\0", b"\x89PNG\r\n\x1a\n"]
)
def test_texts_of_other_formats(tmp_path, text, begin):
    path = tmp_path / "ok.png"
    path.write_bytes(begin + text.encode() + bytes(100))
    with pytest.raises(RasterError, match="is no GeoTIFF" if not begin else "by which GDAL reads"):
        check_raster(path)


def test_overviews_in_another_file(tmp_path, secret):
    """GDAL reads overviews from any file that a GeoTIFF's metadata names."""
    path = write(tmp_path / "a.tif", PIXELS[:1])
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(secret))
    with rasterio.Env(**UNTRUSTED_ENV), rasterio.open(path) as file:
        assert str(secret) in file.files  # so it works without the check
    with pytest.raises(RasterError, match="names other files in its metadata"):
        check_raster(path)


def test_no_address_is_asked(tmp_path, web):
    path = write(tmp_path / "a.tif", PIXELS[:1])
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{web.url}/o.tif")
    with pytest.raises(RasterError, match="names other files in its metadata"):
        check_raster(path)
    with rasterio.Env(**UNTRUSTED_ENV), pytest.raises(rasterio.errors.RasterioIOError):
        rasterio.open(f"/vsicurl/{web.url}/o.tif")
    assert web.asked == []


def test_files_beside_are_not_read(tmp_path, secret):
    path = write(tmp_path / "a.png", PIXELS[:1], driver="PNG")
    for ending in (".ovr", ".msk"):
        path.with_name(path.name + ending).write_bytes(secret.read_bytes())
    item = f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{secret}</MDI></Metadata>'
    path.with_name("a.png.aux.xml").write_text(f"<PAMDataset>{item}</PAMDataset>")
    with rasterio.open(path) as file:
        assert len(file.files) > 1  # so they are read without the settings
    check_raster(path)
    with rasterio.Env(**UNTRUSTED_ENV), rasterio.open(path) as file:
        assert file.files == [str(path)]
        assert not file.overviews(1)


def test_several_rasters_in_one_file(tmp_path):
    path = tmp_path / "pages.tif"
    pages = [Image.fromarray(PIXELS[0]), Image.fromarray(PIXELS[1])]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(RasterError, match="holds 2 rasters; save the one"):
        check_raster(path)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("left", [0.05, 0.5, 0.95])
def test_files_that_are_cut_off(tmp_path, name, left):
    path = write(
        tmp_path / name,
        np.random.default_rng(0).integers(0, 255, (3, 300, 200), "u1"),
        **FORMATS[name],
    )
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left)])
    with pytest.raises(RasterError, match="is damaged or cut off"):
        check_raster(path)


def test_absurd_sizes(tmp_path):
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=2**21, height=2**20, count=1, dtype="uint8",
        tiled=True, sparse_ok=True,  blockxsize=2**14, blockysize=2**14, bigtiff="yes",
    ):  # fmt: skip
        pass
    with pytest.raises(RasterError, match="1048576 x 2097152 pixels in 1 bands"):
        check_raster(tmp_path / "a.tif")


def test_a_picture_that_unpacks_to_more_than_anybody_waits_for(tmp_path):
    def chunk(kind, content):
        parts = struct.pack(">I", len(content)), kind, content
        return b"".join(parts) + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**17, 2**17, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(2**17))) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    with pytest.raises(RasterError, match="131072 x 131072 pixels in 1 bands; of PNG 1 to"):
        check_raster(tmp_path / "a.png")


def test_one_block_for_all(tmp_path):
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=2**16, height=2**15, count=1, dtype="uint16",
        tiled=True, blockxsize=2**15, blockysize=2**15, sparse_ok=True, compress="deflate",
    ):  # fmt: skip
        pass
    with pytest.raises(RasterError, match="blocks of 32768 x 32768 pixels, 2147483648 bytes"):
        check_raster(tmp_path / "a.tif")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "empty.tif").touch()
    with pytest.raises(RasterError, match="is not a plain file"):
        check_raster(tmp_path / "pipe.tif")
    with pytest.raises(RasterError, match="is not a plain file"):
        check_raster(tmp_path)
    with pytest.raises(RasterError, match="is no GeoTIFF"):
        check_raster(tmp_path / "empty.tif")
    with pytest.raises(RasterError, match="cannot be read"):
        check_raster(tmp_path / "none.tif")
