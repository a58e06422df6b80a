"""The map in a real browser: what is on the screen, and what hands and keys do to it."""

import json
import math
import re

import nbformat
import numpy as np
import pyproj
import pytest
import rasterio
from PIL import Image

WIDTH, HEIGHT = 750, 500  # of the map, in pixels of the screen
COLORS = ["#0000ff", "#00a000", "#ffff00"]
PALETTE = " ".join([*COLORS, "#ffffff"])
CENTER = (33.4342, -118.0749)
SEEN = 18  # zoom: a pixel of 2 m is about four of the screen
TILES = ".geodl-raster img"

CLASSES = f"""
import ipywidgets, numpy as np, geodl_lab
from geodl_lab.testing import wrap
values = np.random.default_rng(0).integers(0, 3, (1, 60, 80)).astype("uint8")
land = wrap(values, cell_size=2.0)[0]
land.attrs.update(flag_values=np.arange(4, dtype="uint8"))
land.attrs.update(flag_meanings="water tree_cover soil ice", flag_colors="{PALETTE}")
center = {CENTER}
"""

STORIES = {
    "classes": CLASSES
    + f"""
m = geodl_lab.explore(land, center=center, zoom={SEEN}, height="{HEIGHT}px")
ipywidgets.Box([m], layout={{"width": "{WIDTH}px"}})
""",
    "hands": CLASSES
    + f"""
import geopandas, shapely
m = geodl_lab.Explorer(center=center, zoom={SEEN}, height="{HEIGHT}px")
m.add(land, name="Land")
m.add(wrap(values.astype("float32") + 0.125, cell_size=2.0), name="Heights")
boxes = [shapely.box(400080, 3699940, 400090, 3699950)]
m.add(geopandas.GeoDataFrame({{"label": ["pool"], "score": [0.875]}}, geometry=boxes,
      crs=land.rio.crs), name="Pools")
m.swipe("Land", "Heights")
said = ipywidgets.HTML()
said.add_class("said")
def tell():
    said.value = "nothing" if m.area() is None else ",".join(f"{{side:.2f}}" for side in m.area())
m.on_drawn(tell)
ipywidgets.VBox([m, said], layout={{"width": "{WIDTH}px"}})
""",
    "live": """
import ipywidgets, torch, numpy as np, geodl_lab
from geodl_lab.testing import wrap
ran = ipywidgets.Label("0")
ran.add_class("ran")
class Bright(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.forwards = torch.nn.Conv2d(1, 2, 1), 0
        with torch.no_grad():
            self.conv.weight[:, 0, 0, 0] = torch.tensor([-20.0, 20.0])
            self.conv.bias[:] = torch.tensor([10.0, -10.0])
    def forward(self, x):
        self.forwards += 1
        return self.conv(x)
net = Bright()
classes = [(0, "dark", "#0000ff"), (1, "bright", "#ffff00")]
model = geodl_lab.from_torch(net, bands=1, classes=classes, window=64)
stripes = np.where(np.arange(1024) // 16 % 2, 230, 10).astype("uint8")
data = wrap(np.broadcast_to(stripes, (1, 1024, 1024)).copy(), cell_size=2.0)
before = net.forwards
m = geodl_lab.Explorer(center=(33.4299, -118.0698), zoom=17, height="500px")
m.add(data, model=model, name="Bright")
def count(change):
    ran.value = str(net.forwards - before)
button = ipywidgets.Button(description="count")
button.on_click(count)
ipywidgets.VBox([m, button, ran], layout={"width": "750px"})
""",
}


@pytest.fixture(scope="module", autouse=True)
def stories(notebooks):
    """Notebooks of this test, each of one cell, beside the others."""
    for name, code in STORIES.items():
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(book, notebooks / f"map_{name}.ipynb")


@pytest.fixture(params=["voila", "lab"])
def shown(request, visit):
    """Opens a story in plain Voila and in JupyterLab, and waits for its map."""

    def open_story(name):
        seen = visit(viewport={"width": 1300, "height": 1300})  # all of the map in JupyterLab too
        if request.param == "voila":
            seen.open_voila(request.getfixturevalue("voila")("") + f"voila/render/map_{name}.ipynb")
        else:
            lab = request.getfixturevalue("lab")
            seen.open_lab(f"{lab}lab/tree/map_{name}.ipynb?reset")
            seen.run_all_cells()
        seen.wait_painted(TILES, least=2)
        seen.page.wait_for_function(WHOLE)
        seen.place = f"{request.param}-map-{name}"
        return seen

    return open_story


WHOLE = f"""() => [...document.querySelectorAll("{TILES}")].length > 1 &&
    [...document.querySelectorAll("{TILES}")].every(image => image.dataset.state)"""


# Whether no tool, panel or rim covers a place, nor its shadow, which reaches some pixels.
ON_TILE = """places => {
    const bare = (x, y) => !!document.elementFromPoint(x, y)?.matches(
        '.leaflet-container, .geodl-raster *');
    const around = [-8, 0, 8].flatMap(dx => [-8, 0, 8].map(dy => [dx, dy]));
    return places.map(([x, y]) => around.every(([dx, dy]) => bare(x + dx, y + dy)));
}"""


def mercator(longitude, latitude, zoom):
    """Pixels of the whole map, by PROJ."""
    x, y = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(longitude, latitude)
    half = math.pi * 6378137
    return np.array([x + half, half - np.asarray(y)]) / (2 * half) * 256 * 2**zoom


def on_screen(seen, x, y, *, center=CENTER, zoom=SEEN):
    """Places on the screen (n, 2), in pixels, of places in UTM zone 11 north."""
    box = seen.page.locator(".leaflet-container").first.bounding_box()
    degrees = pyproj.Transformer.from_crs(26911, 4326, always_xy=True).transform(x, y)
    middle = mercator(center[1], center[0], zoom)
    origin = np.round(middle - (box["width"] / 2, box["height"] / 2))
    return np.atleast_2d(mercator(*degrees, zoom).T - origin + (box["x"], box["y"]))


def rgb(color):
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def pixel(row, column):
    """Middle of a pixel of `CLASSES`, in UTM."""
    return 400_000 + 2 * (column + 0.5), 3_700_000 - 2 * (row + 0.5)


def test_colors_on_the_screen_are_the_classes_of_the_raster(shown):
    seen = shown("classes")
    seen.keep(seen.place)
    values = np.random.default_rng(0).integers(0, 3, (60, 80))
    rows, columns = np.indices(values.shape).reshape(2, -1)
    places = np.floor(on_screen(seen, *pixel(rows, columns))).astype(int)
    bare = np.array(seen.page.evaluate(ON_TILE, places.tolist()))
    x, y = places[bare].T
    expected = np.array([rgb(color) for color in COLORS])[values[rows[bare], columns[bare]]]
    assert bare.sum() > 1000
    np.testing.assert_array_equal(seen.colors()[y, x], expected)


def test_legend_names_the_classes_that_occur(shown):
    seen = shown("classes")
    swatches = seen.page.locator(".geodl-swatches li").all_inner_texts()
    assert swatches == ["water", "tree cover", "soil"]


def test_hands_swipe_ask_draw_measure_and_save(shown, tmp_path):
    seen = shown("hands")
    page = seen.page
    page.wait_for_timeout(500)
    _swipe(seen)
    _draw(seen)
    _measure(seen)
    _ask(seen)  # last, as a map makes room for what it tells
    for what in ("PNG", "GeoJSON", "GeoTIFF"):
        page.click("[aria-label='Save']")
        with page.expect_download(timeout=60_000) as download:
            page.get_by_role("menuitem", name=what).click()
        download.value.save_as(tmp_path / what)
    seen.keep(seen.place)
    picture = np.asarray(Image.open(tmp_path / "PNG").convert("RGB"))
    assert (picture[:HEIGHT, :WIDTH] == (255, 230, 0)).all(axis=-1).any()  # the pool's outline
    layers = [
        feature["properties"]["layer"]
        for feature in json.loads((tmp_path / "GeoJSON").read_text())["features"]
    ]
    assert layers == ["Pools", "drawn"]
    with rasterio.open(tmp_path / "GeoTIFF") as file:
        expected = np.random.default_rng(0).integers(0, 3, (60, 80)) + np.float32(0.125)
        np.testing.assert_array_equal(file.read(1), expected)


def _swipe(seen):
    """The left of the handle shows classes, the right heights; mouse and keys move it."""
    handle = seen.page.locator(".geodl-handle")
    classes = {rgb(color) for color in COLORS}
    where = np.floor(on_screen(seen, *pixel(np.array([30, 30]), np.array([10, 44])))).astype(int)
    left, right = (seen.color_at(*place) for place in where.tolist())
    assert left in classes and right not in classes
    box = handle.bounding_box()
    seen.page.mouse.move(box["x"] + 20, box["y"] + 20)
    seen.page.mouse.down()
    seen.page.mouse.move(box["x"] + 120, box["y"] + 25, steps=4)
    seen.page.mouse.up()
    assert seen.color_at(*where[1].tolist()) in classes
    now = int(handle.get_attribute("aria-valuenow"))
    seen.page.keyboard.press("ArrowLeft")
    assert int(handle.get_attribute("aria-valuenow")) == now - 2


def _ask(seen):
    """A click tells the true pixel of each raster, and the object."""
    row, column = 27, 42  # in the pool
    (place,) = on_screen(seen, *pixel(row, column))
    seen.page.mouse.click(*place)
    values = seen.page.locator(".geodl-values")
    values.get_by_text("EPSG:26911").wait_for()
    words = values.inner_text()
    value = np.random.default_rng(0).integers(0, 3, (60, 80))[row, column]
    assert f"row {row}, column {column}" in words
    assert ["water", "tree cover", "soil"][value] in words
    assert str(value + 0.125) in words
    assert "pool" in words and "0.875" in words
    seen.page.keyboard.press("Escape")


def _draw(seen):
    """A rectangle drawn with the mouse arrives in the raster's CRS."""
    corners = on_screen(seen, np.array([400_020, 400_060]), np.array([3_699_970, 3_699_900]))
    seen.page.locator(".leaflet-pm-icon-rectangle").first.click()
    for x, y in corners.tolist():
        seen.page.mouse.move(x, y)
        seen.page.mouse.click(x, y)
    said = seen.page.locator(".said")
    said.get_by_text(",").wait_for()
    bounds = [float(side) for side in said.inner_text().split(",")]
    # The sides of what is drawn follow meridians, which are turned against the grid here.
    np.testing.assert_allclose(bounds, [400_020, 3_699_900, 400_060, 3_699_970], atol=1.6)


def _measure(seen):
    """Three places measure as PROJ does on the ellipsoid."""
    x, y = np.array([400_020, 400_100, 400_100]), np.array([3_699_980, 3_699_980, 3_699_930])
    seen.page.click("[aria-label='Measure distance and area']")
    for place in on_screen(seen, x, y).tolist():
        seen.page.mouse.click(*place)
    readout = seen.page.locator(".geodl-readout")
    readout.get_by_text("Area").wait_for()
    distance = float(re.search(r"Distance: ([\d.]+) m", readout.inner_text())[1])
    assert distance == pytest.approx(130, rel=0.01)  # a click is on whole pixels of half a metre
    seen.page.keyboard.press("Escape")
    assert readout.is_hidden()


def test_the_model_runs_on_what_is_in_view(shown):
    seen = shown("live")
    page = seen.page
    page.locator(".geodl-running").wait_for(state="hidden")
    seen.keep(seen.place)

    def forwards():
        page.get_by_role("button", name="count").click()
        page.wait_for_timeout(300)
        return int(page.locator(".ran").inner_text())

    place = {"center": (33.4299, -118.0698), "zoom": 17}
    ran = windows_in_view(seen, **place)
    assert forwards() == len(ran) < 256  # of 16 x 16 windows of the raster
    page.locator(".leaflet-container").first.focus()
    page.keyboard.press("ArrowRight")  # 80 pixels of the screen: a window or two more each row
    page.wait_for_timeout(1500)
    page.wait_for_function(WHOLE)
    ran |= windows_in_view(seen, **place, moved=80)
    assert forwards() == len(ran)


def windows_in_view(seen, *, center, zoom, moved=0):
    """Windows of 64 pixels of 2 m that hold a pixel which the map shows, point by point."""
    box = seen.page.locator(".leaflet-container").first.bounding_box()
    width, height = int(box["width"]), int(box["height"])
    left, top = np.round(mercator(center[1], center[0], zoom) - (width / 2, height / 2))
    points = np.meshgrid(left + moved + np.arange(width) + 0.5, top + np.arange(height) + 0.5)
    half = math.pi * 6378137
    x, y = (np.array(points) / (256 * 2**zoom) * 2 * half - half).reshape(2, -1) * [[1], [-1]]
    x, y = pyproj.Transformer.from_crs(3857, 26911, always_xy=True).transform(x, y)
    column, row = np.floor((x - 400_000) / 128), np.floor((3_700_000 - y) / 128)
    inside = (column >= 0) & (column < 16) & (row >= 0) & (row < 16)
    return set(zip(row[inside].tolist(), column[inside].tolist(), strict=True))
