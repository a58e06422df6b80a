"""docs/server.md runs as it stands: each block with the program it is for, in order.

Of the text only ports, and addresses of libraries of web pages, are replaced. The whole page with
all clients runs in `make test-clients`; in `make test` what needs QGIS, a browser with bundled
clients or a Dask cluster is left out, and says so.
"""

from __future__ import annotations

import configparser
import functools
import http.server
import io
import json
import os
import re
import shlex
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import typer
from PIL import Image

import geodl_lab
from geodl_lab.cli import app
from geodl_lab.packages.tables import MARKED, filled
from geodl_lab.server import tables
from tests.doc_pages import ROOT, Reader, blocks_of, reading, run_bash, run_python

PAGE = ROOT / "docs" / "server.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = blocks_of(PAGE)
PORTS = ("8000", "8001", "8002", "8008", "8443", "8444", "8786")
LIBRARIES = re.compile(r"https://unpkg\.com/[\w.@-]+/dist/")
SHOWN = {"ini", "nginx"}  # not run: `test_the_unit_*` reads the one, nobody the other
EVERYDAY = {"bash", "python", "python arcgis"}
FLAGS = [
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking",
]  # fmt: skip


@pytest.fixture
def reader(tmp_path):
    """An empty folder, and programs by the names that a user types."""
    with reading(tmp_path, PORTS, QT_QPA_PLATFORM="offscreen") as reader:
        yield reader


def run_arcgis(reader: Reader, text: str) -> None:
    """Run with Python that has arcgis; torch, which is only imported, need not be there."""
    begin = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests' / 'clients')!r}); import stand_ins\n"
    )
    reader.run(os.environ["GEODL_ARCGIS_PYTHON"], "-W", "ignore", "-c", begin + text)
    assert reader.said.count("class: ") == text.count('print("class:')
    assert len(re.findall(r"trees: [1-9]", reader.said)) == text.count('print("trees:')


def run_qgis(reader: Reader, text: str) -> None:
    """Run in a QGIS without a screen, as its Python console would."""
    profile = str(reader.folder.parent / "qgis")
    begin = (
        f"import os; os.environ.update(QGIS_AUTH_DB_DIR_PATH={profile!r}, "
        f"QGIS_CUSTOM_CONFIG_PATH={profile!r}); os.makedirs({profile!r})\n"
        f"from qgis.core import QgsApplication\n"
        f"application = QgsApplication([], False, {profile!r}); application.initQgis()\n"
        f"QgsApplication.authManager().setMasterPassword('x', True)\n"
    )
    end = "\nimport sys; sys.stdout.flush(); os._exit(0)"  # QGIS 3.22 may crash while it tidies up
    reader.run(os.environ["GEODL_QGIS_PYTHON"], "-c", begin + text + end)
    assert re.search(r"True EPSG:26911 [1-9]\d* trees", reader.said), reader.said


def run_html(reader: Reader, text: str) -> None:
    """Open as a page of another origin; its libraries come from the bundled ones."""
    site = reader.folder / "site"
    site.mkdir()
    for name in ("leaflet.js", "leaflet.css", "esri-leaflet.js"):
        shutil.copy(Path(os.environ["GEODL_WEB_CLIENTS"]) / name, site)
    (site / "map.html").write_text(LIBRARIES.sub("", text))
    see(reader, site, also={(255, 0, 255)})


def run_javascript(reader: Reader, text: str) -> None:
    """Bundle as a user does, beside the SDK that the bundled clients came from."""
    clients = Path(os.environ["GEODL_WEB_CLIENTS"])
    site, packages = reader.folder / "sdk", clients.parent / "node_modules"
    site.mkdir()
    begin = (
        'import place from "@arcgis/core/config.js";\n'
        'place.assetsPath = new URL("assets", document.baseURI).href;\n'
        'place.workers.workerPath = new URL("RemoteClient.js", document.baseURI).href;\n'
    )  # the assets of this machine, as no CDN is asked
    (site / "map.mjs").write_text(begin + text)
    (site / "node_modules").symlink_to(packages)
    (site / "assets").symlink_to(clients / "assets")
    reader.run(
        str(packages / ".bin" / "esbuild"), str(site / "map.mjs"),
        f"{packages}/@arcgis/core/core/workers/RemoteClient.js", "--bundle", "--format=esm",
        "--splitting", f"--outdir={site}", "--entry-names=[name]", "--loader:.wasm=file",
        *(f"--loader:.{kind}=dataurl" for kind in ("woff2", "woff", "ttf", "svg", "png", "gif")),
        "--log-level=error",
    )  # fmt: skip
    (site / "map.html").write_text(
        '<!doctype html><link rel="stylesheet" href="map.css">'
        '<div id="map" style="width: 600px; height: 450px"></div>'
        '<script>globalThis.esriConfig = { has: { "esri-esbuild-build": 1 } };</script>'
        '<script type="module" src="map.js"></script>'
    )
    see(reader, site)


def see(reader: Reader, site: Path, also: set[tuple[int, int, int]] = frozenset()) -> None:
    """Wait until a page shows the colours of the classes, and some more."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    wanted = common_colors(reader.folder / "landcover.tif") | set(also)
    handler = functools.partial(Quiet, directory=str(site))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        sync_playwright() as driver,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = driver.chromium.launch(executable_path=os.environ["GEODL_CHROMIUM"], args=FLAGS)
        page, deadline = browser.new_page(), time.monotonic() + 120
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.server_port}/map.html")
        while (missing := wanted - screen_colors(page.screenshot())) and not wrong:
            assert time.monotonic() < deadline, missing
            time.sleep(0.5)
        server.shutdown()
        browser.close()
    assert not wrong


def common_colors(cog: Path) -> set[tuple[int, int, int]]:
    """Return the colours of the classes that most of a raster has."""
    with rasterio.open(cog) as file:
        values, counts = np.unique(file.read(1), return_counts=True)
        palette = file.colormap(1)
    common = values[(counts > counts.sum() / 20) & (values != file.nodata)]
    assert len(common) > 1
    return {palette[int(value)][:3] for value in common}


def screen_colors(picture: bytes) -> set[tuple[int, int, int]]:
    """Return the colours of a screen that more than a few pixels have."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).reshape(-1, 3)
    colors, counts = np.unique(pixels, axis=0, return_counts=True)
    return {tuple(map(int, color)) for color in colors[counts > 20]}


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_):
        """Say nothing."""


DO: dict[str, Callable[[Reader, str], None]] = {
    "bash": run_bash,
    "bash cluster": run_bash,
    "python": run_python,
    "python arcgis": run_arcgis,
    "python qgis": run_qgis,
    "html": run_html,
    "javascript": run_javascript,
}


def check_what_came(folder: Path) -> None:
    """Compare what the page has left with what the package itself makes."""
    assert json.loads((folder / "job.json").read_text())["jobStatus"] == "esriJobSucceeded"
    truth = geodl_lab.classify_file(
        folder / "scenes" / "naip.tif", folder / "truth.tif", "naip-landcover", device="cpu"
    )
    names = ["landcover.tif", "arcgis.tif"]
    with rasterio.open(truth) as file:
        classes = file.read(1)
    for path in (folder / name for name in names if (folder / name).exists()):
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(file.read(1), classes)
    assert json.loads((folder / "restored.json").read_text())["rows"] == classes.shape[0]


def do_page(reader: Reader, kinds: set[str]) -> None:
    """Do the blocks of some kinds, in order."""
    for block in BLOCKS:
        if block.kind in kinds:
            reader.do(block, DO[block.kind])


def test_every_block_is_of_a_known_kind():
    kinds = {block.kind for block in BLOCKS}
    assert kinds == DO.keys() | SHOWN
    assert len(BLOCKS) == len(re.findall(r"^```\w", TEXT, re.M)) > 15


@pytest.mark.slow
@pytest.mark.xdist_group("arcgis")
def test_the_page_runs(reader, small_windows, monkeypatch):
    monkeypatch.undo()  # of small windows: servers run models as they are, and so do we
    kinds = EVERYDAY if os.environ.get("GEODL_ARCGIS_PYTHON") else EVERYDAY - {"python arcgis"}
    do_page(reader, kinds)
    check_what_came(reader.folder)


@pytest.mark.slow
@pytest.mark.xdist_group("arcgis")
@pytest.mark.skipif(
    not os.environ.get("GEODL_ARCGIS_PYTHON"), reason="GEODL_ARCGIS_PYTHON names no Python"
)
def test_the_readme_runs(reader, small_windows, monkeypatch):
    monkeypatch.undo()
    scene = next(block for block in BLOCKS if block.kind == "python")
    said = [
        block for block in blocks_of(ROOT / "README.md") if block.kind in ("bash", "python arcgis")
    ]
    for block in (scene, *said):
        reader.do(block, DO[block.kind])
    assert "/Hosted/landcover/ImageServer" in reader.said


@pytest.mark.parametrize("kind", sorted(DO.keys() - {"bash", "python"}))
def test_what_is_left_out_every_day(kind):
    if kind in EVERYDAY and os.environ.get("GEODL_ARCGIS_PYTHON"):
        return
    lines = ", ".join(str(block.line) for block in BLOCKS if block.kind == kind)
    why = "GEODL_ARCGIS_PYTHON names no Python" if kind in EVERYDAY else "make test-clients runs it"
    pytest.skip(f"docs/server.md line {lines} ({kind}) was not run: {why}")


@pytest.mark.clients
@pytest.mark.xdist_group("clients")
def test_the_page_runs_with_every_client(reader, small_windows, monkeypatch):
    monkeypatch.undo()
    names = ("ARCGIS_PYTHON", "QGIS_PYTHON", "WEB_CLIENTS", "CHROMIUM")
    missing = [f"GEODL_{name}" for name in names if not os.environ.get(f"GEODL_{name}")]
    if missing:
        pytest.fail(f"set {', '.join(missing)}; make test-clients does")
    do_page(reader, set(DO))
    check_what_came(reader.folder)
    dask = json.loads((reader.folder / "dask.json").read_text())
    assert dask["jobStatus"] == "esriJobSucceeded"


def test_the_tables_are_those_of_the_code():
    found = []
    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        assert filled(text, tables.TABLES) == text, "run: python -m geodl_lab.server.tables"
        found += MARKED.findall(text)
    assert sorted(found) == sorted(tables.TABLES)


def test_the_unit_starts_a_server_that_is_possible():
    (unit,) = [block.text for block in BLOCKS if block.kind == "ini"]
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str
    parser.read_string(unit)
    command, serve, *words = shlex.split(parser["Service"]["ExecStart"])
    assert (Path(command).name, serve) == ("geodl", "serve")
    known = {name for one in serve_options() for name in one.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_every_option_that_the_page_names_is_one():
    known = {name for one in serve_options() for name in one.opts}
    rows = re.findall(r"`(--[a-z-]+)", TEXT)
    others = {"--trust", "--cacert"}
    assert set(rows) <= known | others
    assert {name for one in serve_options() if not one.hidden for name in one.opts} <= set(rows) | {
        "--help"
    }


def test_what_the_page_explains_is_what_the_server_says():
    files = (ROOT / "geodl_lab").rglob("*.py")
    source = re.sub(r'"\s*\n\s*f?"', "", "\n".join(file.read_text("utf-8") for file in files))
    rows = TEXT.partition("## Troubleshooting")[2].splitlines()
    cells = [row.split("|")[1] for row in rows if row.startswith("|")]
    said = [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    assert len(said) > 8
    for text in said:
        for part in re.split(r"\.\.\.|'scenes/x\.tif'|9 \(SIGKILL\)", text):
            assert part.strip() in source, part


@pytest.mark.parametrize("folder", ["exports", "jobs", "server", "server/arcgis"])
def test_the_map_of_the_code_names_every_module(folder):
    rows = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    named = {
        name.rpartition("/")[2]
        for row in rows
        if row.startswith(f"| `{folder}/")
        for name in re.findall(r"`([\w/]+)`", row.split("|")[1])
    }
    there = {file.stem for file in (ROOT / "geodl_lab" / folder).glob("*.py")} - {"__init__"}
    assert named >= there, there - named


def serve_options() -> list:
    """Return the options of ``geodl serve``."""
    return typer.main.get_command(app).commands["serve"].params
