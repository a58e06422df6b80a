"""A page of a browser that remembers what went wrong and whom it asked."""

from __future__ import annotations

import io
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, WebSocket

ROOT = Path(__file__).parents[2]
RUN_MS = 240_000  # for a notebook to run through, on two busy cores
PAINT_S = 60
TALLEST = 8000  # pixels of a picture of a notebook

# Console errors that are not ours: a pattern, and whose they are.
ALLOWED: dict[str, str] = {
    r"Unsatisfied version .* of shared singleton": "Voila is built with an older JupyterLab",
}

WIDTHS = """images => Promise.all(images.map(
    image => image.decode().then(() => image.naturalWidth, () => 0)))"""

SHOWN = """maps => maps.map(map => [...map.querySelectorAll('img.leaflet-tile')].some(
    tile => tile.complete && tile.naturalWidth > 1))"""

RUN_ALL = """async () => {
    const app = window.jupyterapp;
    await app.restored;
    const panel = app.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
    const kernel = panel.sessionContext.session.kernel;
    await kernel.info;
    await app.commands.execute('notebook:run-all-cells');
    const cells = [...panel.content.model.cells].filter(cell => cell.type === 'code');
    const outputs = cells.flatMap(cell => cell.outputs.toJSON());
    return {
        waiting: cells.filter(cell =>
            cell.sharedModel.getSource().trim() && cell.executionCount === null).length,
        failed: outputs.filter(one => one.output_type === 'error').map(
            one => one.ename + ': ' + one.evalue),
    };
}"""


@dataclass
class Visit:
    """One page, with what it said and asked.

    Parameters
    ----------
    page
        Playwright's page, to drive.
    console
        Errors of the console that nobody allows.
    thrown
        Exceptions that no script caught.
    foreign
        Addresses beyond this machine that it asked for: there must be none.
    """

    page: Page
    console: list[str] = field(default_factory=list)
    thrown: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, context: BrowserContext) -> Visit:
        """Open an empty page and listen to it."""
        visit = cls(context.new_page())
        visit.page.on("console", visit._hear)
        visit.page.on("pageerror", lambda error: visit.thrown.append(str(error)))
        visit.page.on("websocket", visit._ask)
        context.on("request", visit._ask)
        return visit

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        if not any(re.search(pattern, message.text) for pattern in ALLOWED):
            self.console.append(f"{message.text} ({message.location.get('url')})")

    def _ask(self, request: Request | WebSocket) -> None:
        host = urlsplit(request.url).hostname
        if host not in {None, "127.0.0.1", "localhost"}:
            self.foreign.append(request.url)

    def check(self) -> None:
        """Fail if anything was wrong so far."""
        assert not self.foreign, f"the page asked beyond this machine: {self.foreign}"
        assert not self.thrown, f"a script of the page failed: {self.thrown}"
        assert not self.console, f"the console shows errors: {self.console}"

    def open_voila(self, address: str) -> None:
        """Open a notebook as Voila shows it, and wait until its cells have run."""
        self.page.goto(address, timeout=RUN_MS)
        self.page.wait_for_selector(".jp-Cell", state="attached", timeout=RUN_MS)
        self.page.wait_for_selector("#loading", state="hidden", timeout=RUN_MS)
        # Voila shows the traceback of a failed cell as its standard error, and stops there.
        printed = self.page.locator("[data-mime-type='application/vnd.jupyter.stderr']")
        errors = [text for text in printed.all_inner_texts() if "Traceback" in text]
        assert not errors, errors[0]

    def open_lab(self, address: str) -> None:
        """Open JupyterLab, at a notebook if the address ends in ``lab/tree/NAME.ipynb``."""
        self.page.goto(address, timeout=RUN_MS)
        self.page.wait_for_function("window.jupyterapp?.shell?.currentWidget", timeout=RUN_MS)

    def run_all_cells(self) -> None:
        """Run the notebook that JupyterLab has open, and wait; fails where a cell fails."""
        self.page.set_default_timeout(RUN_MS)
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        done = self.page.evaluate(RUN_ALL)
        if done["waiting"] and not done["failed"]:  # asked too early: the page passed it over
            done = self.page.evaluate(RUN_ALL)
        assert not done["failed"], done["failed"][0]
        assert not done["waiting"], f"{done['waiting']} cells did not run"

    def close(self) -> None:
        """Close the page, and end kernels that JupyterLab would keep: their memory is others'."""
        self.page.evaluate("window.jupyterapp?.serviceManager.sessions.shutdownAll()")
        self.page.context.close()

    def painted_images(self, selector: str = "img") -> list[int]:
        """Return the widths of images in pixels of their own; 0 is one that is not painted."""
        return self.page.locator(selector).evaluate_all(WIDTHS)

    def wait_painted(self, selector: str = "img", *, least: int = 1) -> None:
        """Wait until there are so many images and all of them are painted."""
        deadline = time.monotonic() + PAINT_S
        while len(widths := self.painted_images(selector)) < least or min(widths) == 0:
            assert time.monotonic() < deadline, f"{selector}: images of widths {widths}"
            self.page.wait_for_timeout(100)

    def wait_maps(self) -> int:
        """Wait until every map shows a tile that is more than a blank pixel; return how many."""
        deadline = time.monotonic() + PAINT_S
        while not all(shown := self.page.locator(".leaflet-container").evaluate_all(SHOWN)):
            assert time.monotonic() < deadline, f"{shown.count(False)} of the maps show no tile"
            self.page.wait_for_timeout(100)
        return len(shown)

    def colors(self) -> np.ndarray:
        """Return the colours that are on the screen, (height, width, 3) uint8, from a picture."""
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"))

    def color_at(self, x: float, y: float) -> tuple[int, int, int]:
        """Return the colour at a place of the window, in CSS pixels from its upper left corner."""
        red, green, blue = self.colors()[int(y), int(x)]
        return int(red), int(green), int(blue)

    def _unroll(self) -> None:
        """Make the window as tall as the notebook, and show it from its top."""
        panel = self.page.locator(".jp-Notebook .jp-WindowedPanel-outer").first
        size = self.page.viewport_size or {"width": 1200, "height": 900}
        height = min(int(panel.evaluate("panel => panel.scrollHeight")), TALLEST)
        self.page.set_viewport_size({"width": size["width"], "height": height + 150})
        panel.evaluate("panel => { panel.scrollTop = 0; }")
        self.page.wait_for_timeout(300)  # for JupyterLab to lay out, as nothing says that it did

    def keep(
        self,
        name: str,
        *,
        full_page: bool = False,
        cells: bool = False,
        page: Page | None = None,
    ) -> None:
        """Keep a picture of what is to be seen, where the CI keeps what it makes.

        ``cells`` is all of the notebook that JupyterLab has open, which scrolls in its panel.
        """
        folder = pictures()
        if folder is None:
            return
        if cells:
            self._unroll()
        (page or self.page).screenshot(path=folder / f"{name}.png", full_page=full_page)


def notebook_cases() -> list[Any]:
    """Return the notebooks to open; most of them in `make test-notebooks` only."""
    names = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    quick = {names[0], "app.ipynb"}
    return [
        pytest.param(name, marks=() if name in quick else pytest.mark.notebooks, id=name)
        for name in names
    ]


def pictures() -> Path | None:
    """Return the folder where pictures are kept: GEODL_PICTURES, ci-artifacts/, or none."""
    named = os.environ.get("GEODL_PICTURES")
    if named:
        Path(named).mkdir(parents=True, exist_ok=True)
        return Path(named)
    folder = ROOT / "ci-artifacts"
    return folder if folder.is_dir() else None
