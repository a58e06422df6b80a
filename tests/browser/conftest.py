"""Browsers and servers of this folder: each is started once, when a test first wants it.

``visit()`` opens a page that is watched: at the end of a test it fails for errors in the console
and for every request beyond this machine. ``lab``, ``hub``, ``voila(NOTEBOOK)`` are addresses.

    def test_map(visit, voila):
        seen = visit()
        seen.open_voila(voila("app.ipynb"))
        seen.wait_painted(".leaflet-tile-pane img")
        seen.keep("app")
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser import servers
from tests.browser.visits import Visit

# Chromium's sandbox does not start as root, and the pages are our own. No name has an address, so
# that nothing beyond this machine is ever reached.
FLAGS = [
    "--no-sandbox", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]  # fmt: skip
SIZE = {"width": 1200, "height": 900}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test here; one group, as two at once would starve each other of the two cores."""
    marks = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for mark in marks:
                item.add_marker(mark)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; ends with each file, as no test elsewhere can use asyncio beside its driver."""
    path = os.environ.get("GEODL_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: scripts/ensure_chromium.sh finds or installs one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens a page of a visitor of its own; each is checked when the test ends."""
    visits: list[Visit] = []

    def open_page(**options: object) -> Visit:
        context = browser.new_context(**{"viewport": SIZE, "accept_downloads": True, **options})
        visits.append(Visit.of(context))
        return visits[-1]

    yield open_page
    try:
        for one in visits:
            one.check()
    finally:
        for one in visits:
            one.close()


@pytest.fixture(scope="session")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of notebooks/, as pages save what they have open."""
    return servers.copy_notebooks(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="session")
def lab(notebooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab on the notebooks."""
    with servers.lab(notebooks, tmp_path_factory.mktemp("lab")) as address:
        yield address


@pytest.fixture(scope="session")
def hub(notebooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab with Voila in it, below ``/user/x/``."""
    with servers.hub(notebooks, tmp_path_factory.mktemp("hub")) as address:
        yield address


@pytest.fixture(scope="session")
def voila(
    notebooks: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """Starts Voila alone for a notebook, once for each; answers its address."""
    addresses: dict[str, str] = {}
    with ExitStack() as running:

        def start(name: str) -> str:
            if name not in addresses:
                folder = tmp_path_factory.mktemp("voila")
                server = servers.voila(notebooks / name, folder, "--show_tracebacks=True")
                addresses[name] = running.enter_context(server)
            return addresses[name]

        yield start
