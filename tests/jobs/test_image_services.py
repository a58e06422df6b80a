"""What is fetched of an image service is, pixel for pixel, the raster that it serves."""

import json
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds
from rasterio.windows import from_bounds

from geodl_lab.errors import AccessError, CancelledError, GeodlError
from geodl_lab.fetch import Fetcher
from geodl_lab.grid import Window
from geodl_lab.jobs import image_services
from geodl_lab.jobs.image_services import describe, download_image, download_window
from geodl_lab.jobs.recipes import Extent

PLACE = "/arcgis/rest/services/scene/ImageServer"
CELL = 0.6


@pytest.fixture
def pixels():
    return np.random.default_rng(1).integers(0, 2000, (3, 130, 90), dtype=np.uint16)


@pytest.fixture
def service(web, tmp_path, pixels):
    """An image service on loopback; ``said`` changes what it says of itself."""
    path = tmp_path / "served.tif"
    transform = from_origin(500_000.1, 4_000_000.3, CELL, CELL)
    profile = {"count": 3, "height": 130, "width": 90, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", driver="GTiff", transform=transform, nodata=0, **profile) as file:
        file.write(pixels)
        left, bottom, right, top = file.bounds
    reference = {"wkid": 32633, "latestWkid": 32633}
    web.said = {
        "name": "scene", "bandCount": 3, "pixelType": "U16", "pixelSizeX": CELL, "pixelSizeY": CELL,
        "extent": {"xmin": left, "ymin": bottom, "xmax": right, "ymax": top,
                   "spatialReference": reference},
        "maxImageWidth": 40, "maxImageHeight": 50, "noDataValue": 0,
    }  # fmt: skip
    web.pages[PLACE] = lambda request: request.answer(json.dumps(web.said).encode())
    web.pages[f"{PLACE}/exportImage"] = lambda request: request.answer(export(path, request.path))
    web.service = f"{web.url}{PLACE}"
    return web


def export(path, url):
    """Answer exportImage by its documentation: the nearest pixels of a box."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert (asked["f"], asked["format"]) == ("image", "tiff")
    box = [float(side) for side in asked["bbox"].split(",")]
    width, height = map(int, asked["size"].split(","))
    assert width <= 40 and height <= 40
    with rasterio.open(path) as file, MemoryFile() as memory:
        window = from_bounds(*box, file.transform).round_offsets().round_lengths()
        transform = rasterio.transform.from_bounds(*box, width, height)
        profile = file.profile | {"width": width, "height": height, "transform": transform}
        with memory.open(**profile) as answer:
            answer.write(file.read(window=window, out_shape=(3, height, width)))
        return memory.read()


@pytest.fixture
def fetcher(web):
    return Fetcher((web.host,))


def read(path):
    with rasterio.open(path) as file:
        return file.read(), file


def test_a_whole_service_is_the_raster_that_it_serves(service, fetcher, tmp_path, pixels):
    info = describe(service.service, fetcher)
    assert (info.shape_yx, info.bands, info.side, info.nodata) == ((130, 90), 3, 40, 0)
    path = download_image(info, tmp_path / "got.tif", fetcher)
    got, file = read(path)
    assert np.array_equal(got, pixels)
    assert (file.crs, file.nodata, file.dtypes[0]) == (rasterio.CRS.from_epsg(32633), 0, "uint16")
    assert file.transform.almost_equals(from_origin(500_000.1, 4_000_000.3, CELL, CELL), 1e-6)
    assert sum("exportImage" in asked for asked in service.asked) == 12
    assert sorted(one.name for one in tmp_path.iterdir()) == ["got.tif", "served.tif"]


def test_a_slash_at_the_end_says_nothing(service, fetcher):
    assert describe(f"{service.service}/", fetcher) == describe(service.service, fetcher)


@pytest.mark.parametrize("crs", ["", "EPSG:32633", "EPSG:4326"])
def test_an_extent_is_fetched_with_a_margin(service, fetcher, tmp_path, pixels, monkeypatch, crs):
    monkeypatch.setattr(image_services, "MARGIN", 5)
    info = describe(service.service, fetcher)
    left, top = info.transform * (30, 60)
    right, bottom = info.transform * (50, 80)
    box = (left, bottom, right, top)
    if crs == "EPSG:4326":
        box = transform_bounds("EPSG:32633", crs, *box)
    path = download_image(info, tmp_path / "got.tif", fetcher, extent=Extent(*box, crs=crs))
    got, file = read(path)
    x, y = ~info.transform * (file.transform.c, file.transform.f)
    x, y = round(x), round(y)
    assert np.array_equal(got, pixels[:, y : y + file.height, x : x + file.width])
    assert 22 <= x <= 25 and 52 <= y <= 55 and 55 <= x + file.width <= 58
    assert 85 <= y + file.height <= 88
    assert all("token" not in asked for asked in service.asked)


def test_the_margin_ends_at_the_rim(service, fetcher, tmp_path, pixels):
    info = describe(service.service, fetcher)
    x, y = info.transform * (10.5, 10.5)
    path = download_image(info, tmp_path / "got.tif", fetcher, extent=Extent(x, y, x + 1, y + 1))
    assert np.array_equal(read(path)[0], pixels)


@pytest.mark.parametrize(
    ("box", "crs"),
    [((0, 0, 1, 1), ""), ((10, 10, 11, 11), "EPSG:4326"), ((0, 0, 1, 1), "nonsense")],
)
def test_an_extent_that_misses(service, fetcher, tmp_path, box, crs):
    info = describe(service.service, fetcher)
    with pytest.raises(AccessError, match=r"lies outside|cannot be brought"):
        download_image(info, tmp_path / "got.tif", fetcher, extent=Extent(*box, crs=crs))
    assert not any("exportImage" in asked for asked in service.asked)


def test_the_grid_alone_is_one_pixel(service, fetcher, tmp_path):
    info = describe(service.service, fetcher)
    path = download_window(info, tmp_path / "got.tif", fetcher, window=Window(0, 0, 1, 1))
    got, file = read(path)
    assert got.shape == (3, 1, 1)
    assert (file.transform.a, file.transform.c) == pytest.approx((CELL, 500_000.1))


def test_a_killed_fetch_goes_on_with_what_is_missing(service, web, tmp_path, pixels):
    answers = iter([False] * 10 + [True] * 100)
    info = describe(service.service, Fetcher((web.host,)))
    with pytest.raises(CancelledError, match="cancelled"):
        download_image(info, tmp_path / "got.tif", Fetcher((web.host,), stop=lambda: next(answers)))
    assert not (tmp_path / "got.tif").exists()
    there = len(list((tmp_path / "got-blocks").glob("*-*.tif")))
    assert 0 < there < 12
    service.asked.clear()
    path = download_image(info, tmp_path / "got.tif", Fetcher((web.host,)))
    assert len(service.asked) == 12 - there
    assert np.array_equal(read(path)[0], pixels)


def test_tokens_go_along(service, fetcher, tmp_path):
    info = describe(f"{service.service}?token=T", fetcher)
    download_image(info, tmp_path / "got.tif", fetcher)
    assert all("token=T" in asked for asked in service.asked)


def test_too_much_is_refused_before_it_is_asked(service, fetcher, tmp_path):
    service.said["extent"]["xmax"] += 1e9
    info = describe(service.service, fetcher)
    with pytest.raises(AccessError, match=r"at most \d+ are fetched: give a smaller extent"):
        download_image(info, tmp_path / "got.tif", fetcher)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"pixelType": "C64"}, "pixelType is 'C64'"),
        ({"pixelSizeX": 0}, "is empty"),
        ({"pixelSizeX": "NaN"}, "is empty"),
        ({"bandCount": None}, "does not describe an image service"),
        ({"extent": {}}, "does not describe an image service"),
        ({"extent": [1]}, "does not describe an image service"),
        ({"noDataValue": [0, 1, 2]}, "3 values of no data"),
        ({"error": {"code": 499, "message": "Token Required"}}, "answered an error: 'Token Requir"),
        ({"error": "x"}, "answered an error: 'x'"),
    ],
)
def test_services_that_do_not_describe_themselves(service, fetcher, said, match):
    service.said |= said
    with pytest.raises(AccessError, match=match):
        describe(service.service, fetcher)


@pytest.mark.parametrize("page", [b"<html>", b"[]", b"", b"[" * 10**5])
def test_what_is_no_service(service, fetcher, page):
    service.pages[PLACE] = page
    with pytest.raises(AccessError, match="did not answer with JSON"):
        describe(service.service, fetcher)


def shifted(path):
    def answer(request):
        content = export(path, request.path)
        with MemoryFile(content) as memory, memory.open() as file:
            profile = file.profile | {"transform": from_origin(0, 0, CELL, CELL)}
            values = file.read()
        with MemoryFile() as memory:
            with memory.open(**profile) as file:
                file.write(values)
            request.answer(memory.read())

    return answer


@pytest.mark.parametrize(
    ("page", "match"),
    [
        (b'{"error": {"message": "no such image"}}', "answered an error: 'no such image'"),
        (b"<html>", "answered no GeoTIFF"),
        (b"<VRTDataset rasterXSize='40' rasterYSize='40'/>", "answered no GeoTIFF"),
        (b"II*\0", "answered no GeoTIFF"),
        ("shifted", "answered another place"),
        ("smaller", r"answered \(3, 40, 39\) values"),
    ],
)
def test_answers_that_are_not_what_was_asked(service, fetcher, tmp_path, page, match):
    served = tmp_path / "served.tif"
    if page == "shifted":
        page = shifted(served)
    elif page == "smaller":
        page = lambda r: r.answer(export(served, r.path.replace("size=40%2C40", "size=39%2C40")))  # noqa: E731
    service.pages[f"{PLACE}/exportImage"] = page
    with pytest.raises(GeodlError, match=match):
        download_image(describe(service.service, fetcher), tmp_path / "got.tif", fetcher)
    assert not (tmp_path / "got.tif").exists()
    assert not list((tmp_path / "got-blocks").glob("*-*.tif"))


def test_no_data_that_no_pixel_can_have_is_none(service, fetcher):
    service.said |= {"noDataValue": -9999}
    assert describe(service.service, fetcher).nodata is None
