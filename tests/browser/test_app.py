"""The app in plain Voila, without internet: what a colleague without code does with it."""

import subprocess
import sys

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
from geopandas.testing import assert_geodataframe_equal
from PIL import Image

import geodl_lab
from geodl_lab.dashboard import examples

RUN_MS = 240_000
AREA = examples.AREAS[geodl_lab.demo_scene().name]
SAYS = """words => [...document.querySelectorAll('.geoapp-note')].some(
    note => note.textContent.includes(words))"""
TOO_WIDE = """() => [...document.querySelectorAll('.geoapp-app *')].filter(one =>
    !one.closest('.geoapp-map') && one.getBoundingClientRect().right > innerWidth + 1
).map(one => one.className)"""
RUN_IS_FOCUSED = "document.activeElement.classList.contains('geoapp-run')"


@pytest.fixture
def open_app(visit, voila):
    def open_page(**options):
        seen = visit(**options)
        seen.page.set_default_timeout(60_000)
        seen.open_voila(voila("app.ipynb"))
        says(seen, "Ready.")
        return seen

    return open_page


def says(seen, words):
    seen.page.wait_for_function(SAYS, arg=words, timeout=RUN_MS)


def press(seen, name):
    seen.page.get_by_role("button", name=name, exact=True).click()


def choose(seen, box, label):
    seen.page.get_by_label(box, exact=True).select_option(label=label)


def can_run(seen):
    return seen.page.get_by_role("button", name="Run", exact=True).is_enabled()


def upload(seen, file):
    seen.page.locator("input[type=file]").set_input_files(file)


def draw(seen, width=70, height=50):
    """Draw a rectangle with the mouse, a little left of the map's middle."""
    seen.page.locator(".leaflet-pm-icon-rectangle").first.click()
    box = seen.page.locator(".leaflet-container").bounding_box()
    x, y = box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.45
    seen.page.mouse.click(x, y)
    seen.page.mouse.move(x + width, y + height, steps=4)
    seen.page.mouse.click(x + width, y + height)


def download(seen, ending, folder):
    with seen.page.expect_download() as coming:
        seen.page.locator(f"button[data-ending='{ending}']").click()
    coming.value.save_as(folder / f"app{ending}")
    return folder / f"app{ending}"


def run_by_keyboard(seen):
    """Go to Run by the tabulator from the page's begin, and press Enter."""
    for _ in range(60):
        seen.page.keyboard.press("Tab")
        if seen.page.evaluate(RUN_IS_FOCUSED):
            return seen.page.keyboard.press("Enter")
    raise AssertionError("the tabulator does not reach Run")


def test_a_first_visitor_maps_the_example_and_counts_its_trees(open_app, tmp_path):
    seen = open_app()
    seen.wait_painted(".leaflet-container img.leaflet-tile")
    seen.keep("app-ready")
    run_by_keyboard(seen)
    says(seen, "Done in")
    tiles = seen.painted_images(".geodl-raster img")
    assert tiles and min(tiles) > 0  # the result is to be seen when the app says so
    seen.keep("app-done")
    check_land_cover(seen, tmp_path)
    choose(seen, "Model", "naip-trees: single objects")
    press(seen, "Run")
    says(seen, "Running")
    says(seen, "Done in")
    check_trees(seen, tmp_path)
    seen.keep("app-trees")


def command_line(task, model, target):
    """Run the same by the command line; answers its file."""
    words = [task, str(geodl_lab.demo_scene()), "-o", str(target), "--model", model]
    extent = ["--extent", *map(str, AREA)]
    subprocess.run([sys.executable, "-m", "geodl_lab", *words, *extent], check=True)
    return target


def check_land_cover(seen, folder):
    theirs = command_line("classify", "naip-landcover", folder / "cli.tif")
    with rasterio.open(download(seen, ".tif", folder)) as one, rasterio.open(theirs) as other:
        np.testing.assert_array_equal(one.read(), other.read())
        assert (one.transform, one.crs) == (other.transform, other.crs)
        assert one.colormap(1) == other.colormap(1) and one.overviews(1) == other.overviews(1)
    table = geodl_lab.class_areas(geodl_lab.open_raster(theirs))
    written = pandas.read_csv(download(seen, ".csv", folder))
    assert list(written["pixels"]) == list(table["pixels"])
    chart = seen.page.locator(".geoapp-chart").inner_text()
    legend = seen.page.locator(".geodl-panel").inner_text()
    assert all(name in chart and name in legend for name in table["name"])
    with Image.open(download(seen, ".png", folder)) as picture:
        assert min(picture.size) > 200


def check_trees(seen, folder):
    for ending in (".geojson", ".parquet"):
        theirs = command_line("detect", "naip-trees", folder / f"cli{ending}")
        read = geopandas.read_parquet if ending == ".parquet" else geopandas.read_file
        ours = read(download(seen, ending, folder))
        assert_geodataframe_equal(ours, read(theirs))
    assert f"{len(ours)}" in seen.page.locator(".geoapp-number").inner_text()


def test_an_area_is_drawn_with_the_mouse_and_a_reload_finds_the_job(open_app):
    seen = open_app()
    draw(seen)
    seen.page.get_by_text("the box around what you drew").wait_for()
    press(seen, "Run")
    says(seen, "Running")
    address = seen.page.url
    assert "job=j" in address
    seen.open_voila(address)
    # A page that is left asks Voila to end its kernel, and Voila's own check of forgery refuses it.
    seen.console[:] = [one for one in seen.console if "/voila/api/shutdown/" not in one]
    says(seen, "Done in")
    seen.page.wait_for_selector(".geoapp-chart")
    assert seen.page.url == address
    assert seen.page.get_by_role("button", name="Drawn").get_attribute("class").count("mod-active")


def test_a_long_run_is_cancelled_while_another_visitor_works(open_app):
    one, other = open_app(), open_app(viewport={"width": 375, "height": 800})
    press(one, "All of it")
    press(one, "Run")
    says(one, "Running")
    press(other, "Run")
    one.keep("app-running")
    says(other, "Done in")
    other.keep("app-phone")
    press(one, "Cancel")
    says(one, "Cancelled.")
    assert can_run(one)
    other.page.locator(".widget-select select").select_option(index=0)
    press(other, "Open this run")
    says(other, "Done in")


def test_what_cannot_run_is_said_in_a_sentence_at_every_width(open_app, tmp_path):
    seen = open_app()
    for name, words in {"a.txt": "no raster by its name", "b.tif": "no raster that can"}.items():
        (tmp_path / name).write_text("hello " * 100)
        upload(seen, tmp_path / name)
        says(seen, words)
        assert can_run(seen)  # what was there before stays
    upload(seen, one_band(tmp_path / "one.tif"))
    says(seen, "the raster has 1 (band 1 (unnamed))")
    assert not can_run(seen)
    for width in (375, 800, 1600):
        seen.page.set_viewport_size({"width": width, "height": 900})
        seen.page.wait_for_function(f"({TOO_WIDE})().length === 0")  # once it is laid out anew
        seen.keep(f"app-misfit-{width}")


def one_band(file):
    with rasterio.open(geodl_lab.demo_scene()) as scene:
        values = scene.read(1, window=rasterio.windows.Window(512, 4096, 64, 64))
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 1, "width": 64, "height": 64,
        "crs": "EPSG:26911", "transform": rasterio.Affine(0.6, 0, 0, 0, -0.6, 0),
    }  # fmt: skip
    with rasterio.open(file, "w", **profile) as target:
        target.write(values, 1)
    return file
