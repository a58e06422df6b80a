"""Each notebook opens in a real browser through plain Voila, runs and shows its pictures."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
START_S = 60  # for Voila to answer, on two busy cores
RUN_S = 300  # for the notebook to run through
PICTURE_WIDTHS = """Promise.all([...document.querySelectorAll('.jp-RenderedImage img')].map(
    image => image.decode().then(() => image.naturalWidth, () => 0)))"""

# One group: two notebooks at once would only starve each other of the two cores.
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def chromium() -> str:
    path = os.environ.get("GEODL_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: scripts/ensure_chromium.sh finds or installs one")
    return path


@contextmanager
def voila(notebook: Path, log: Path) -> Iterator[str]:
    """Serve one notebook and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--port={port}", "--Voila.ip=127.0.0.1", "--no-browser", "--show_tracebacks=True"]
    command = [sys.executable, "-m", "voila", str(notebook), *options]
    with log.open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, cwd=notebook.parent)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(address, server, log)
            yield address
        finally:
            server.terminate()
            server.wait(30)


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until Voila listens; a static path answers without running the notebook."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/voila/static/", timeout=5):
                return
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"Voila did not start:\n{log.read_text()[-4000:]}")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_in_plain_voila(notebook: Path, chromium: str, tmp_path: Path) -> None:
    foreign: list[str] = []

    def note(request) -> None:
        host = urlsplit(request.url).hostname
        # Voila's own template asks a CDN for the style of icons; a script from there is never ours.
        if request.resource_type == "script" and host not in {None, "127.0.0.1"}:
            foreign.append(request.url)

    with voila(notebook, tmp_path / "voila.log") as address, sync_playwright() as playwright:
        # Chromium's sandbox does not start as root; the page is our own.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.on("request", note)
        page.goto(address, timeout=RUN_S * 1000)
        page.wait_for_selector(".jp-Cell", timeout=RUN_S * 1000)
        page.wait_for_selector("#loading", state="hidden", timeout=RUN_S * 1000)
        # Voila shows the traceback of a failed cell as its standard error, and stops there.
        printed = page.locator("[data-mime-type='application/vnd.jupyter.stderr']")
        errors = [text for text in printed.all_inner_texts() if "Traceback" in text]
        widths = page.evaluate(PICTURE_WIDTHS)
        keep_screenshot(page, notebook.stem)
        browser.close()

    assert not errors
    assert widths, "the notebook shows no picture"
    assert all(width > 0 for width in widths)
    assert not foreign


def keep_screenshot(page, name: str) -> None:
    """Keep what the browser showed, where the CI keeps its artefacts."""
    folder = ROOT / "ci-artifacts"
    if folder.is_dir():
        page.screenshot(path=folder / f"voila-{name}.png", full_page=True)
