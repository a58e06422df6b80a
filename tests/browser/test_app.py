"""The app in plain Voila, without internet: what a colleague without code does with it."""

import os

import numpy as np
import pytest
import rasterio

import geodl_lab
from geodl_lab.dashboard.app import EXAMPLES
from tests.browser import servers

RUN_MS = 240_000
AREA = EXAMPLES[geodl_lab.demo_scene().name]
SAYS = """words => [...document.querySelectorAll('.geoapp-note')].some(
    note => note.textContent.includes(words))"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def address(notebooks, folder):
    """The app in a Voila of its own, whose job server ends soon after it."""
    os.environ["GEODL_APP_IDLE"] = "2"
    try:
        with servers.voila(notebooks / "app.ipynb", folder, "--show_tracebacks=True") as address:
            yield address
    finally:
        del os.environ["GEODL_APP_IDLE"]


@pytest.fixture
def open_app(visit, address):
    def open_page(**options):
        seen = visit(**options)
        seen.page.set_default_timeout(60_000)
        seen.open_voila(address)
        says(seen, "Ready.")
        return seen

    return open_page


def says(seen, words):
    seen.page.wait_for_function(SAYS, arg=words, timeout=RUN_MS)


def run(seen):
    seen.page.get_by_role("button", name="Run", exact=True).click()


def draw(seen, width=70, height=50):
    """Draw a rectangle with the mouse, a little left of the map's middle."""
    seen.page.locator(".leaflet-pm-icon-rectangle").first.click()
    box = seen.page.locator(".leaflet-container").bounding_box()
    x, y = box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.45
    seen.page.mouse.click(x, y)
    seen.page.mouse.move(x + width, y + height, steps=4)
    seen.page.mouse.click(x + width, y + height)


def download(seen, ending, target):
    with seen.page.expect_download() as coming:
        seen.page.locator(f"button[data-ending='{ending}']").click()
    coming.value.save_as(target)
    return target


def test_one_click_maps_the_example_and_the_file_is_that_of_the_command_line(open_app, tmp_path):
    seen = open_app()
    seen.wait_painted(".leaflet-container img")
    seen.keep("app-ready")
    run(seen)
    says(seen, "Done in")
    seen.page.wait_for_selector(".geoapp-chart")
    seen.wait_painted(".leaflet-container img", least=2)
    seen.keep("app-done")
    assert "job=j" in seen.page.url
    ours, theirs = download(seen, ".tif", tmp_path / "a.tif"), tmp_path / "b.tif"
    geodl_lab.classify_file(geodl_lab.demo_scene(), theirs, "naip-landcover", area=AREA)
    with rasterio.open(ours) as one, rasterio.open(theirs) as other:
        np.testing.assert_array_equal(one.read(), other.read())
        assert (one.transform, one.crs) == (other.transform, other.crs)
        assert one.colormap(1) == other.colormap(1) and one.overviews(1) == other.overviews(1)
    table = geodl_lab.class_areas(geodl_lab.open_raster(theirs))
    shown = seen.page.locator(".geoapp-chart").inner_text()
    assert all(name in shown for name in table["name"])


def test_an_area_is_drawn_with_the_mouse_and_a_reload_finds_the_job(open_app):
    seen = open_app()
    draw(seen)
    seen.page.get_by_text("the box around what you drew").wait_for()
    run(seen)
    says(seen, "Running")
    address = seen.page.url
    seen.open_voila(address)
    # A page that is left asks Voila to end its kernel, and Voila's own check of forgery refuses it.
    seen.console[:] = [one for one in seen.console if "/voila/api/shutdown/" not in one]
    says(seen, "Done in")
    seen.page.wait_for_selector(".geoapp-chart")
    assert seen.page.url == address
    seen.keep("app-reloaded")


def test_trees_are_counted_and_downloaded(open_app, tmp_path):
    seen = open_app()
    seen.page.get_by_label("Model", exact=True).select_option(label="naip-trees: single objects")
    run(seen)
    says(seen, "Done in")
    seen.page.wait_for_selector(".geoapp-chart")
    theirs = tmp_path / "b.geojson"
    geodl_lab.detect_file(geodl_lab.demo_scene(), theirs, "naip-trees", area=AREA)
    ours = download(seen, ".geojson", tmp_path / "a.geojson")
    rows = [path.read_text().splitlines()[1:] for path in (ours, theirs)]
    assert rows[0] == rows[1]
    assert f"{len(rows[0]) - 1}" in seen.page.locator(".geoapp-number").inner_text()


def test_a_long_run_is_cancelled_while_another_visitor_works(open_app):
    one, other = open_app(), open_app()
    one.page.get_by_role("button", name="All of it").click()
    run(one)
    says(one, "Running")
    run(other)
    says(other, "Done in")
    one.keep("app-running")
    one.page.get_by_role("button", name="Cancel").click()
    says(one, "Cancelled.")


@pytest.mark.parametrize(
    ("name", "words"),
    [("notes.txt", "no raster by its name"), ("text.tif", "no raster that can be read")],
)
def test_what_is_no_raster_is_said_in_a_sentence(open_app, tmp_path, name, words):
    seen = open_app()
    (tmp_path / name).write_text("hello " * 100)
    seen.page.locator("input[type=file]").set_input_files(tmp_path / name)
    says(seen, words)
    assert seen.page.get_by_role("button", name="Run", exact=True).is_enabled()


def test_an_upload_of_one_band_fits_no_model_and_says_why(open_app, tmp_path):
    with rasterio.open(geodl_lab.demo_scene()) as scene:
        values = scene.read(1, window=rasterio.windows.Window(512, 4096, 64, 64))
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 1, "width": 64, "height": 64,
        "crs": "EPSG:26911", "transform": rasterio.Affine(0.6, 0, 0, 0, -0.6, 0),
    }  # fmt: skip
    with rasterio.open(tmp_path / "one.tif", "w", **profile) as file:
        file.write(values, 1)
    seen = open_app()
    seen.page.locator("input[type=file]").set_input_files(tmp_path / "one.tif")
    says(seen, "the raster has 1 (band 1 (unnamed))")
    assert seen.page.get_by_role("button", name="Run", exact=True).is_disabled()
    seen.keep("app-misfit")


@pytest.mark.parametrize("width", [375, 1600])
def test_nothing_is_wider_than_the_page(open_app, width):
    seen = open_app(viewport={"width": width, "height": 900})
    wide = seen.page.evaluate("""() => [...document.querySelectorAll('.geoapp-app *')].filter(
        one => !one.closest('.geoapp-map') && one.getBoundingClientRect().right > innerWidth + 1
    ).map(one => one.className)""")
    assert not wide
    seen.keep(f"app-{width}")


def test_it_is_run_by_the_keyboard_alone(open_app):
    seen = open_app()
    for _ in range(60):
        seen.page.keyboard.press("Tab")
        if seen.page.evaluate("document.activeElement.classList.contains('geoapp-run')"):
            break
    seen.page.keyboard.press("Enter")
    says(seen, "Done in")
