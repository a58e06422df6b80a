"""esri-leaflet and Esri's own SDK draw both services in a real browser, from another origin."""

import functools
import http.server
import io
import os
import shutil
import threading
from pathlib import Path

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
from PIL import Image
from playwright.sync_api import sync_playwright

pytestmark = [pytest.mark.clients, pytest.mark.xdist_group("clients")]
PAGES = Path(__file__).with_name("pages")
WAIT_MS = 120_000
FLAGS = [
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages with their libraries, on an origin that is not the server's."""
    bundled = os.environ.get("GEODL_WEB_CLIENTS")
    if bundled is None:
        pytest.skip("no web clients: make test-clients installs them")
    folder = tmp_path_factory.mktemp("site") / "pages"
    shutil.copytree(bundled, folder)
    for page in PAGES.glob("*.html"):
        shutil.copy(page, folder)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def page(site):
    """An empty page that remembers what went wrong and whom it asked."""
    path = os.environ.get("GEODL_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: scripts/ensure_chromium.sh finds or installs one")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": 640, "height": 480})
        page.site, page.wrong, page.hosts = site, [], set()
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("request", lambda request: page.hosts.add(request.url.split("/")[2].split(":")[0]))
        yield page
        browser.close()


def draw(page, name, task, picture):
    """Draw a task on one of the pages; return its answer and the screen (row, column, RGB)."""
    page.goto(f"{page.site}/{name}.html")
    page.wait_for_function("window.ready === true", timeout=WAIT_MS)
    page.set_default_timeout(WAIT_MS)
    answer = page.evaluate("task => window.draw(task)", task)
    page.wait_for_timeout(500)  # the last frame
    shot = page.screenshot(path=picture)
    screen = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))
    assert not page.wrong
    assert page.hosts <= {"127.0.0.1", ""}, page.hosts
    return answer, screen


def at(screen, places):
    """Return the colours (#rrggbb) of a screen at pixels (x, y)."""
    return ["#{:02x}{:02x}{:02x}".format(*screen[int(y), int(x)]) for x, y in places]


def lat_lng(published, places):
    """Bring places to latitude and longitude."""
    with rasterio.open(published.cog) as file:
        crs = file.crs
    turn = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    return [[lat, lng] for lng, lat in (turn.transform(*place) for place in places)]


def leaflet_task(published, **layer):
    with rasterio.open(published.cog) as file:
        left, bottom, right, top = file.bounds
    bounds = lat_lng(published, [(left, bottom), (right, top)])
    points = lat_lng(published, published.places())
    return {"token": published.key, "bounds": bounds, "points": points, **layer}


def test_esri_leaflet_draws_and_identifies_classes(page, published, pictures):
    task = leaflet_task(published, raster=published.raster)
    answer, screen = draw(page, "leaflet", task, pictures / "leaflet-raster.png")
    assert at(screen, answer["places"]) == published.colors()
    with rasterio.open(published.cog) as file:
        (value,) = next(iter(file.sample(published.places()[:1])))
    assert answer["found"]["pixel"]["properties"]["value"] == str(value)


def test_esri_leaflet_draws_every_object(page, published, pictures):
    task = leaflet_task(published, features=published.features + "/0")
    answer, screen = draw(page, "leaflet", task, pictures / "leaflet-features.png")
    count = len(geopandas.read_parquet(published.objects))
    assert answer["shown"] == answer["count"] == count
    assert (screen != 255).any(axis=2).mean() > 0.01


def sdk_task(published, **layers):
    with rasterio.open(published.cog) as file:
        left, bottom, right, top = file.bounds
        wkid = file.crs.to_epsg()
    extent = {
        "xmin": left, "ymin": bottom, "xmax": right, "ymax": top,
        "spatialReference": {"wkid": wkid},
    }  # fmt: skip
    return {"token": published.key, "extent": extent, "points": published.places(), **layers}


def test_the_sdk_draws_and_reads_classes(page, published, pictures):
    task = sdk_task(published, raster=published.raster)
    answer, screen = draw(page, "sdk", task, pictures / "sdk-raster.png")
    assert at(screen, answer["places"]) == published.colors()
    assert answer["pixels"] == 64 * 64


def test_the_sdk_draws_every_object(page, published, pictures):
    task = sdk_task(published, features=published.features + "/0")
    answer, screen = draw(page, "sdk", task, pictures / "sdk-features.png")
    count = len(geopandas.read_parquet(published.objects))
    assert answer["count"] == answer["drawn"] == count
    assert "Class" in answer["fields"]
    assert (screen != 255).any(axis=2).mean() > 0.01
