"""Each notebook opens in a real browser through plain Voila, runs and shows its pictures."""

import pytest

from tests.browser.visits import notebook_cases

APP = "app.ipynb"  # has no pictures but the tiles of its map, and a test of its own


@pytest.mark.parametrize("notebook", notebook_cases(without=APP))
def test_notebook_runs_in_plain_voila(notebook, visit, voila):
    seen = visit()
    seen.open_voila(voila("") + f"voila/render/{notebook}")
    widths = seen.painted_images(".jp-RenderedImage img")
    seen.keep(f"voila-{notebook.removesuffix('.ipynb')}", full_page=True)
    assert widths, "the notebook shows no picture"
    assert min(widths) > 0
