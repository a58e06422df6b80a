"""Make docs/images/live_map.webp: the live map on the bundled scene, in a real browser.

    python -m scripts.make_map_picture    # wants voila, playwright and Chromium

Plain Voila shows a notebook of one cell. A hand zooms in, drags, and swipes land cover against the
image, while pictures are taken of what is on the screen. They follow each other evenly, whatever
this machine took to compute what they show.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from geodl_lab.maps.places import to_pixels
from tests.browser.servers import voila

TARGET = Path(__file__).parents[1] / "docs" / "images" / "live_map.webp"
WIDTH, HEIGHT = 800, 450
CENTER, ZOOM, LEVELS = (34.0198, -118.4931), 15, 4  # the model runs from zoom 16
BLOCK = (34.0185, -118.49615)  # middle of the largest piece of the scene
FRAME_MS, STILL_MS = 95, 1200
MOST_BYTES = 1_000_000
QUALITIES = (70, 60, 50, 40, 30)

STORY = f"""
import ipywidgets, geodl_lab
da = geodl_lab.open_raster(geodl_lab.demo_scene())
m = geodl_lab.Explorer(center={CENTER}, zoom={ZOOM}, height="{HEIGHT}px")
m.add(da, name="NAIP image")
m.add(da, model="naip-landcover", name="Land cover", opacity=0.85)
button = ipywidgets.Button(description="swipe")
button.on_click(lambda _: m.swipe("Land cover", "NAIP image"))
ipywidgets.VBox([m, button], layout={{"width": "{WIDTH + 8}px"}})
"""

# A screenshot shows no mouse: one is drawn.
MOUSE = """() => {
    const mouse = document.createElement('div');
    mouse.innerHTML = `<svg width="22" height="22" viewBox="0 0 22 22"><path d="M3 2l14 9-6 1
        4 7-3 1-3-7-5 5z" fill="#fff" stroke="#000" stroke-width="1.4"/></svg>`;
    mouse.style.cssText = 'position:fixed;z-index:99999;pointer-events:none;left:-99px';
    document.body.append(mouse);
    addEventListener('pointermove', event => {
        mouse.style.left = event.clientX - 3 + 'px';
        mouse.style.top = event.clientY - 2 + 'px';
    }, true);
}"""

BUSY = """() => !document.querySelector('.geodl-running').hidden ||
    [...document.querySelectorAll('.geodl-raster img')].some(image => !image.dataset.state)"""


class Film:
    """Pictures of the map, each with its time on the screen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        box = page.locator(".leaflet-container").first.bounding_box()
        self.box = {**box, "width": WIDTH, "height": HEIGHT}
        self.frames: list[Image.Image] = []
        self.times: list[int] = []

    def take(self, milliseconds: int = FRAME_MS) -> None:
        """Take a picture; what has not changed stays longer."""
        picture = Image.open(io.BytesIO(self.page.screenshot(clip=self.box))).convert("RGB")
        if self.frames and picture.tobytes() == self.frames[-1].tobytes():
            self.times[-1] = max(self.times[-1], milliseconds)
            return
        self.frames.append(picture)
        self.times.append(milliseconds)

    def until_painted(self, most: int) -> None:
        """Take pictures while tiles come, then hold the last."""
        taken = len(self.frames)
        for _ in range(2000):
            busy = self.page.evaluate(BUSY)
            if len(self.frames) - taken < most or not busy:
                self.take()
            if not busy:
                break
            self.page.wait_for_timeout(250)
        self.take(STILL_MS)

    def move(self, start: tuple[float, float], end: tuple[float, float], steps: int) -> None:
        """Move the mouse over the map, from and to points of it, and take pictures."""
        for i in range(1, steps + 1):
            x, y = (a + (b - a) * i / steps for a, b in zip(start, end, strict=True))
            self.page.mouse.move(self.box["x"] + x, self.box["y"] + y)
            self.take()

    def save(self, target: Path) -> int:
        """Write it in the best quality that is small enough; answer how many bytes."""
        for quality in QUALITIES:
            self.frames[0].save(
                target, save_all=True, append_images=self.frames[1:], duration=self.times,
                loop=0, quality=quality, method=6, minimize_size=True,
            )  # fmt: skip
            if target.stat().st_size <= MOST_BYTES:
                break
        return target.stat().st_size


def on_map(box: dict[str, float]) -> tuple[float, float]:
    """Return where `BLOCK` is when the map opens, in pixels from its corner."""
    places = np.array([[*BLOCK[::-1]], [*CENTER[::-1]]])
    (x, y), (x0, y0) = to_pixels(places, ZOOM, plane=False).tolist()
    return x - x0 + box["width"] / 2, y - y0 + box["height"] / 2


def play(page: Page) -> Film:
    """Zoom in, drag, swipe."""
    page.evaluate(MOUSE)
    film = Film(page)
    page.wait_for_function(f"() => !({BUSY})()")
    film.take(STILL_MS)
    at = on_map(film.box)
    film.move((480, 440), at, 5)
    for _ in range(LEVELS):
        page.mouse.wheel(0, -60)  # one level
        for _ in range(4):
            page.wait_for_timeout(60)
            film.take()
    film.until_painted(14)
    page.mouse.down()
    film.move(at, (at[0] - 140, at[1] + 20), 8)
    page.mouse.up()
    film.until_painted(10)
    page.get_by_role("button", name="swipe").evaluate("button => button.click()")
    page.locator(".geodl-handle").wait_for()
    page.wait_for_timeout(300)
    film.move((at[0] - 140, at[1] + 20), (400, 225), 3)
    page.mouse.down()
    film.move((400, 225), (190, 225), 7)
    film.move((190, 225), (520, 225), 10)
    film.move((520, 225), (400, 225), 4)
    page.mouse.up()
    film.take(STILL_MS)
    return film


def main() -> None:
    """Show the story in Voila, play it, write the picture."""
    cell = nbformat.v4.new_code_cell(STORY)
    book = nbformat.v4.new_notebook(cells=[cell])
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nbformat.write(book, folder / "story.ipynb")
        with voila(folder / "story.ipynb", folder) as address, sync_playwright() as playwright:
            path = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1000, "height": 620})
            page.goto(address, timeout=240_000)
            page.wait_for_selector(".geodl-raster img[data-state]", timeout=240_000)
            film = play(page)
            browser.close()
    size = film.save(TARGET)
    print(f"{TARGET}: {len(film.frames)} pictures, {sum(film.times) / 1e3:.1f} s, {size} bytes")


if __name__ == "__main__":
    main()
