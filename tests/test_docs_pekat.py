"""docs/pekat.md: its tables are those of the code, and its blocks run as they stand, in order."""

import re

import pytest
from PIL import Image

from geodl_lab.packages.tables import filled
from geodl_lab.server.pekat.routes import router
from geodl_lab.server.pekat.tables import PAGE, TABLES
from tests.doc_pages import blocks_of, photo_of_the_scene, reading, run_bash, run_python

DO = {"bash": run_bash, "python": run_python}
BLOCKS = [block for block in blocks_of(PAGE) if block.kind in DO]


def test_tables_are_those_of_the_code():
    text = PAGE.read_text(encoding="utf-8")
    assert filled(text, TABLES) == text, "run python -m geodl_lab.server.pekat.tables"


def test_each_endpoint_has_an_example_of_either_kind():
    for route in router.routes:
        if route.include_in_schema:
            for kind in DO:
                assert any(route.path in b.text for b in BLOCKS if b.kind == kind), route.path


@pytest.mark.slow
def test_every_block_runs(tmp_path):
    photo = photo_of_the_scene(tmp_path / "given.png")
    with reading(tmp_path, ("8000", "8008"), GEODL_PHOTO=photo) as reader:
        for block in BLOCKS:
            reader.do(block, DO[block.kind])
        said, page = reader.all_said, reader.folder
    assert re.search(r"defective [1-9]\d* found|good [12] found", said)
    assert '"data": "lot-7"' in said and "{'height': 48, 'width': 64}" in said
    assert re.search(r"image/png \d+ bytes", said) and "send the pixels to /analyze_raw" in said
    assert "pong 3.17.0+geodl" in said and "stopping" in said
    shapes = [seen(page / name) for name in ("annotated.png", "heat.png", "last.png")]
    assert shapes == [(320, 256), (320, 256), (64, 48)]  # the raw one came last


def seen(file):
    with Image.open(file) as picture:
        return picture.size
