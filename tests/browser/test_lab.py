"""Each notebook runs all its cells in JupyterLab, in a real browser, and shows its pictures."""

import pytest

from tests.browser.servers import ROOT

NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
PICTURES = ".jp-RenderedImage img"
TILES = ".leaflet-container .leaflet-tile-pane img"


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_notebook_runs_in_lab(notebook, visit, lab):
    seen = visit()
    seen.open_lab(f"{lab}lab/tree/{notebook}?reset")
    seen.run_all_cells()
    widths = seen.painted_images(PICTURES)
    seen.keep(f"lab-{notebook.removesuffix('.ipynb')}")
    assert widths, "the notebook shows no picture"
    assert min(widths) > 0
