"""docs/pekat.md: its tables are those of the code, and its blocks run as they stand, in order."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio
from PIL import Image

import geodl_lab
from geodl_lab.server.pekat.routes import router
from geodl_lab.server.pekat.tables import PAGE, filled

TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```$", TEXT, re.S | re.M)
SCENE = Path(geodl_lab.__file__).parent / "data" / "santa_monica_naip.tif"
BLOCK_S = 240


def test_tables_are_those_of_the_code():
    assert filled(TEXT) == TEXT, "run python -m geodl_lab.server.pekat.tables"


def test_each_endpoint_has_an_example_of_either_kind():
    for route in router.routes:
        if route.include_in_schema:
            for kind in ("bash", "python"):
                assert any(route.path in text for name, text in BLOCKS if name == kind), route.path


@pytest.fixture
def page(tmp_path):
    """An empty folder, a photo, and programs by the names that a user types."""
    for name, module in {"python": "", "geodl": "-m geodl_lab"}.items():
        words = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -W ignore {module} "$@"\n'
        (tmp_path / name).write_text(words)
        (tmp_path / name).chmod(0o755)
    with rasterio.open(SCENE) as file:
        pixels = file.read((1, 2, 3))[:, 100:356, 100:420].transpose(1, 2, 0)
    Image.fromarray(pixels).save(tmp_path / "given.png")
    folder = tmp_path / "page"
    folder.mkdir()
    return folder


def ports():
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        return {"8000": str(one.getsockname()[1]), "8008": str(other.getsockname()[1])}


def do(kind, text, folder, log):
    command = ["bash", "-euo", "pipefail", "-c"] if kind == "bash" else [sys.executable, "-c"]
    environment = {
        **os.environ, "PATH": f"{folder.parent}:{os.environ['PATH']}",
        "GEODL_PHOTO": str(folder.parent / "given.png"), "PYTHONPATH": str(PAGE.parents[1]),
    }  # fmt: skip
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*command, text], cwd=folder, env=environment, stdout=out, stderr=out,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    status = process.wait(BLOCK_S)
    assert status == 0, log.read_text()[-3000:]
    return process.pid


@pytest.mark.slow
def test_every_block_runs(page):
    log, groups, known = page.parent / "said.txt", [], ports()
    try:
        for kind, text in BLOCKS:
            chosen = re.sub(r"\b(8000|8008)\b", lambda found: known[found[1]], text)
            groups.append(do(kind, chosen, page, log))
        said = log.read_text()
    finally:
        for group in groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue
    assert re.search(r"defective [1-9]\d* found|good [12] found", said)
    assert '"data": "lot-7"' in said and "{'height': 48, 'width': 64}" in said
    assert re.search(r"image/png \d+ bytes", said) and "send the pixels to /analyze_raw" in said
    assert "pong 3.17.0+geodl" in said and "stopping" in said
    shapes = [seen(page / name) for name in ("annotated.png", "heat.png", "last.png")]
    assert shapes == [(320, 256), (320, 256), (64, 48)]  # the raw one came last


def seen(file):
    with Image.open(file) as picture:
        return picture.size
