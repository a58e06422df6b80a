"""Below a hub's prefix: the launcher's tile starts the job server, Voila shows notebooks."""

import httpx
import pytest

from tests.browser.servers import ROOT

NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
TILE = ".jp-LauncherCard:has-text('geodl-lab jobs')"
WAIT_MS = 90_000


def test_the_tile_opens_the_job_server(visit, hub):
    seen = visit()
    seen.open_lab(f"{hub}lab?reset")
    tile = seen.page.locator(TILE)
    tile.wait_for()
    seen.wait_painted(f"{TILE} img")
    seen.page.get_by_title("geodl-lab jobs").first.wait_for()
    seen.keep("lab-launcher")
    with seen.page.context.expect_page() as opened:
        tile.click()
    page = opened.value
    page.wait_for_load_state(timeout=WAIT_MS)
    assert page.url == f"{hub}geodl-lab/"
    page.get_by_text("workers").wait_for(timeout=WAIT_MS)
    seen.keep("tile-start", page=page)


def test_the_app_opens_from_its_tile(visit, hub):
    seen = visit()
    seen.open_lab(f"{hub}lab?reset")
    with seen.page.context.expect_page() as opened:
        seen.page.locator(".jp-LauncherCard:has-text('geodl-lab app')").click()
    opened.value.wait_for_selector("button.geoapp-run:enabled", timeout=WAIT_MS)
    opened.value.wait_for_selector("img.leaflet-tile-loaded", timeout=WAIT_MS)
    assert opened.value.url == f"{hub}voila/render/app.ipynb"
    seen.keep("tile-app", page=opened.value)


@pytest.mark.parametrize("notebook", NOTEBOOKS[:1])
def test_a_notebook_runs_in_voila_below_the_prefix(notebook, visit, hub):
    seen = visit()
    seen.open_voila(f"{hub}voila/render/{notebook}")
    widths = seen.painted_images(".jp-RenderedImage img")
    assert widths and min(widths) > 0


def test_status_is_for_who_is_logged_in(hub):
    answer = httpx.get(f"{hub}geodl-lab/status").json()
    assert answer["url"] == "/user/x/geodl-lab/"
