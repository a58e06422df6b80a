"""docs/deepomatic.md: its tables are those of the code, and its blocks run as they stand, in order.

The block of the vendor's client runs where GEODL_DEEPOMATIC_PYTHONS names a Python that has it.
"""

import contextlib
import json
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
from geodl_lab.photos import open_photo
from geodl_lab.server.deepomatic.routes import router
from geodl_lab.server.deepomatic.tables import PAGE, filled

TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python|python deepomatic)\n(.*?)^```$", TEXT, re.S | re.M)
SCENE = Path(geodl_lab.__file__).parent / "data" / "santa_monica_naip.tif"
PYTHONS = [one for one in os.environ.get("GEODL_DEEPOMATIC_PYTHONS", "").split(":") if one]
BLOCK_S = 240


def test_tables_are_those_of_the_code():
    assert filled(TEXT) == TEXT, "run python -m geodl_lab.server.deepomatic.tables"


@pytest.mark.parametrize("kind", ["bash", "python"])
def test_each_endpoint_has_an_example(kind):
    said = "\n".join(text for name, text in BLOCKS if name == kind)
    # In the first loop of curl two addresses are one: what follows stands for either.
    said = said.replace("/recognition/$PLACE/", "/recognition/specs/$SPEC/") + said.replace(
        "/recognition/$PLACE/", "/recognition/versions/$VERSION/"
    )
    for route in router.routes:
        path = re.sub(r"{\w+}", r"[^/\\s]+", route.path)
        assert re.search(rf"{path}(?=[\s\"'?]|$)", said), route.path


@pytest.fixture
def page(tmp_path):
    """An empty folder, a photo, and programs by the names that a user types."""
    for name, module in {"python": "", "geodl": "-m geodl_lab"}.items():
        words = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -W ignore {module} "$@"\n'
        (tmp_path / name).write_text(words)
        (tmp_path / name).chmod(0o755)
    with rasterio.open(SCENE) as file:
        pixels = file.read((1, 2, 3))[:, 100:356, 100:420].transpose(1, 2, 0)
    Image.fromarray(pixels).save(tmp_path / "given.jpg")
    folder = tmp_path / "page"
    folder.mkdir()
    return folder


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def do(kind, text, folder, log):
    """Run a block; it must succeed. Returns its group of processes."""
    command = {
        "bash": ["bash", "-euo", "pipefail", "-c"],
        "python": [sys.executable, "-W", "ignore", "-c"],
        "python deepomatic": [*PYTHONS[:1], "-c"],
    }[kind]
    environment = {
        **os.environ, "PATH": f"{folder.parent}:{os.environ['PATH']}",
        "GEODL_PHOTO": str(folder.parent / "given.jpg"),
        "PYTHONPATH": os.pathsep.join([str(folder), str(PAGE.parents[1])]),
    }  # fmt: skip
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*command, text], cwd=folder, env=environment, stdout=out, stderr=out,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    status = process.wait(BLOCK_S)
    assert status == 0, f"{text}\n{log.read_text()[-3000:]}"
    return process.pid


@pytest.mark.slow
def test_every_block_runs(page):
    log, groups, port = page.parent / "said.txt", [], free_port()
    try:
        for kind, text in BLOCKS:
            if kind in ("bash", "python") or PYTHONS:
                groups.append(do(kind, text.replace("8000", port), page, log))
    finally:
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
    (output,) = json.loads((page / "answer.json").read_text())["outputs"]
    means = open_photo((page / "photo.jpg").read_bytes()).mean(("y", "x")).values
    found = [one["label_id"] for one in output["labels"]["predicted"]]
    assert found == [int(band) for band in (-means).argsort() if band in found]
    assert found
    assert "tree-crowns [0.375]" in log.read_text()
