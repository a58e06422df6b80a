"""docs/maps.md runs as it stands, in order, and names what there is."""

import re

import pytest

import geodl_lab
from tests.doc_pages import ROOT, blocks_of, reading, run_python

PAGE = ROOT / "docs" / "maps.md"


@pytest.mark.slow
def test_the_blocks_run_as_one_notebook(tmp_path):
    text = "".join(block.text for block in blocks_of(PAGE) if block.kind == "python")
    with reading(tmp_path, ()) as reader:
        run_python(reader, text)
        said = reader.said
    height, width, hectares = re.search(r"\((\d+), (\d+)\) ([\d.]+)", said).groups()
    assert float(hectares) == pytest.approx(int(height) * int(width) * 0.36 / 10_000, rel=0.02)


def test_the_methods_it_names_are_there():
    named = set(re.findall(r"\bm\.(\w+)\(", PAGE.read_text(encoding="utf-8")))
    assert len(named) > 5 and all(hasattr(geodl_lab.Explorer, name) for name in named)
