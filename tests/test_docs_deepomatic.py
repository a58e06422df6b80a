"""docs/deepomatic.md: its tables are those of the code, and its blocks run as they stand, in order.

The block of the vendor's client runs where GEODL_DEEPOMATIC_PYTHONS names a Python that has it.
"""

import json
import os
import re

import pytest

from geodl_lab.packages.tables import filled
from geodl_lab.photos import open_photo
from geodl_lab.server.deepomatic.routes import router
from geodl_lab.server.deepomatic.tables import PAGE, TABLES
from tests.doc_pages import blocks_of, photo_of_the_scene, reading, run_bash, run_python

PYTHONS = [one for one in os.environ.get("GEODL_DEEPOMATIC_PYTHONS", "").split(":") if one]


def run_client(reader, text):
    """Run with a Python that has the vendor's client."""
    reader.run(PYTHONS[0], "-c", text)


DO = {"bash": run_bash, "python": run_python, "python deepomatic": run_client}
BLOCKS = [block for block in blocks_of(PAGE) if block.kind in DO]


def test_tables_are_those_of_the_code():
    text = PAGE.read_text(encoding="utf-8")
    assert filled(text, TABLES) == text, "run python -m geodl_lab.server.deepomatic.tables"


@pytest.mark.parametrize("kind", ["bash", "python"])
def test_each_endpoint_has_an_example(kind):
    said = "\n".join(block.text for block in BLOCKS if block.kind == kind)
    # In the first loop of curl two addresses are one: what follows stands for either.
    said = said.replace("/recognition/$PLACE/", "/recognition/specs/$SPEC/") + said.replace(
        "/recognition/$PLACE/", "/recognition/versions/$VERSION/"
    )
    for route in router.routes:
        path = re.sub(r"{\w+}", r"[^/\\s]+", route.path)
        assert re.search(rf"{path}(?=[\s\"'?]|$)", said), route.path


@pytest.mark.slow
def test_every_block_runs(tmp_path):
    photo = photo_of_the_scene(tmp_path / "given.jpg")
    with reading(tmp_path, ("8000",), GEODL_PHOTO=photo) as reader:
        for block in BLOCKS:
            if block.kind != "python deepomatic" or PYTHONS:
                reader.do(block, DO[block.kind])
        said, page = reader.all_said, reader.folder
    (output,) = json.loads((page / "answer.json").read_text())["outputs"]
    means = open_photo((page / "photo.jpg").read_bytes()).mean(("y", "x")).values
    found = [one["label_id"] for one in output["labels"]["predicted"]]
    assert found == [int(band) for band in (-means).argsort() if band in found]
    assert found
    assert "tree-crowns [0.375]" in said
