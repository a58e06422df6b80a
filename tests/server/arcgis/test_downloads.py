"""Downloads against the files themselves, by ranges and through GDAL."""

import io
import os
import subprocess
import sys
import threading
import types
import zipfile

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from geodl_lab.errors import AccessError
from geodl_lab.jobs.catalog import Service
from geodl_lab.jobs.job import Caller
from geodl_lab.server.arcgis import downloads

ROOT = "/arcgis/rest/services/Hosted"


@pytest.fixture(scope="module")
def cog(tmp_path_factory):
    """A COG of noise, with overviews."""
    path = tmp_path_factory.mktemp("cog") / "result.tif"
    data = np.random.default_rng(0).integers(0, 255, (1, 700, 600)).astype(np.uint8)
    about = {"width": 600, "height": 700, "count": 1, "dtype": "uint8", "crs": 26911,
             "transform": rasterio.transform.from_origin(5e5, 3.8e6, 1, 1)}  # fmt: skip
    with rasterio.MemoryFile() as file:
        with file.open(driver="GTiff", **about) as target:
            target.write(data)
        with file.open() as source:
            rasterio.shutil.copy(source, path, driver="COG", blocksize=256)
    return path


@pytest.fixture(scope="module")
def app(cog, tmp_path_factory):
    """A server of a COG, of a mosaic, of features and of a folder."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "chips" / "images").mkdir(parents=True)
    (folder / "chips" / "images" / "0 é.tif").write_bytes(os.urandom(3 * 2**20))
    (folder / "chips" / "map.txt").write_text("a b")
    (folder / "secret").write_text("secret")
    (folder / "chips" / "link").symlink_to(folder / "secret")
    services = {
        "one": Service("one", "raster", "", "0", {"raster": str(cog)}, {}, 3),
        "chips": Service("chips", "folder", "", "2", {"folder": str(folder / "chips")}),
        "empty": Service("empty", "features", "", "3"),
        "gone": Service("gone", "raster", "", "4", {"raster": str(folder / "no.tif")}),
        "mine": Service("mine", "raster", "somebody", "5", {"raster": str(cog)}),
    }

    def service(name, caller):
        if name not in services or not caller.may_see(services[name].owner):
            raise AccessError(f"there is no service {name}")
        return services[name]

    app = FastAPI()
    app.state.core = types.SimpleNamespace(catalog=types.SimpleNamespace(service=service))
    app.state.services = services

    @app.middleware("http")
    async def caller(request, call_next):
        request.state.caller = Caller("me")
        return await call_next(request)

    app.include_router(downloads.router, prefix="/arcgis/rest/services")
    return app


@pytest.fixture(scope="module")
def client(app):
    """A client of it."""
    return TestClient(app)


URL = f"{ROOT}/one/ImageServer/download/one.tif"


def test_a_whole_file(client, cog):
    head, whole = client.head(URL), client.get(URL)
    assert whole.content == cog.read_bytes()
    assert head.headers["content-length"] == str(cog.stat().st_size)
    assert head.headers["accept-ranges"] == "bytes"
    assert head.content == b""
    assert 'filename="one.tif"' in head.headers["content-disposition"]


@pytest.mark.parametrize(
    ("asked", "part"),
    [("bytes=0-0", slice(0, 1)), ("bytes=100-199", slice(100, 200)),
     ("bytes=1000-", slice(1000, None)),
     ("bytes=-50", slice(-50, None)), ("bytes=10-99999999", slice(10, None))],
)  # fmt: skip
def test_a_range(client, cog, asked, part):
    answer = client.get(URL, headers={"Range": asked})
    data = cog.read_bytes()
    start, stop, _ = part.indices(len(data))
    assert answer.status_code == 206
    assert answer.content == data[part]
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(data)}"


def test_several_ranges(client, cog):
    answer = client.get(URL, headers={"Range": "bytes=0-9,100-109"})
    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    assert cog.read_bytes()[:10] in answer.content
    assert cog.read_bytes()[100:110] in answer.content


def test_beyond_the_end(client, cog):
    answer = client.get(URL, headers={"Range": "bytes=99999999-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{cog.stat().st_size}"


def test_a_range_of_another_version_is_the_whole(client, app, cog):
    etag = client.head(URL).headers["etag"]
    part = {"Range": "bytes=0-9"}
    assert client.get(URL, headers={**part, "If-Range": etag}).status_code == 206
    assert client.get(URL, headers={**part, "If-Range": '"other"'}).content == cog.read_bytes()


@pytest.mark.parametrize(
    "asked", ["bytes=x", "bytes=", "lines=1-2", "bytes=5-1", "b", "bytes=1-2-3"]
)
def test_a_range_that_is_none_is_no_fault_of_ours(client, asked):
    assert client.get(URL, headers={"Range": asked}).status_code in (200, 400, 416)


@pytest.mark.parametrize(
    "path",
    ["one/ImageServer/download/one.tif.aux.xml", "one/ImageServer/download/one.tif.msk",
     "one/ImageServer/download/", "one/ImageServer/download/../one.tif", "one/x/download/one.tif",
     "one/ImageServer/download/result.tif", "mine/ImageServer/download/mine.tif",
     "nope/ImageServer/download/nope.tif", "gone/ImageServer/download/gone.tif",
     "empty/FeatureServer/download/empty.gpkg", "chips/download/link", "chips/download/../secret",
     "chips/download/%2e%2e/secret", "chips/download//etc/passwd", "chips/download/images",
     "one/ImageServer/download/secret", "one/ImageServer/download/..%2fsecret"],
)  # fmt: skip
def test_all_else_is_not_there(client, path):
    answer = client.get(f"{ROOT}/{path}")
    assert answer.status_code == 404
    assert b"secret" not in answer.content


def test_a_folder_is_a_zip_and_its_files(client, app):
    with zipfile.ZipFile(
        io.BytesIO(client.get(f"{ROOT}/chips/download/chips.zip").content)
    ) as file:
        assert file.testzip() is None
        assert sorted(file.namelist()) == ["images/0 é.tif", "map.txt"]
        chip = file.read("images/0 é.tif")
    assert client.get(f"{ROOT}/chips/download/images/0%20%C3%A9.tif").content == chip
    assert len(chip) == 3 * 2**20
    assert client.head(f"{ROOT}/chips/download/chips.zip").content == b""
    assert client.get(f"{ROOT}/chips/download.zip").status_code == 200
    assert client.get(f"{ROOT}/one/download.zip").status_code == 404


GDAL = """
import sys, rasterio
with rasterio.open(sys.argv[1]) as file:
    sys.stdout.buffer.write(file.read(1, window=((300, 320), (200, 240))).tobytes())
"""


def test_gdal_reads_a_window_by_ranges(app, cog):
    """Over a real socket, GDAL in another process: here it would keep the server from running."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    command = [sys.executable, "-c", GDAL, f"/vsicurl/http://127.0.0.1:{port}{URL}"]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=60)
    server.should_exit = True
    with rasterio.open(cog) as file:
        assert answer.stdout == file.read(1, window=((300, 320), (200, 240))).tobytes()
    thread.join(10)
