"""Each notebook runs all its cells in JupyterLab, in a real browser, and shows what it makes."""

import json

import pytest

from tests.browser.visits import Visit, notebook_cases


@pytest.mark.parametrize("notebook", notebook_cases())
def test_notebook_runs_in_lab(notebook, visit, lab):
    seen = visit()
    seen.open_lab(f"{lab}lab/tree/{notebook}?reset")
    seen.run_all_cells()
    seen.page.wait_for_selector(".leaflet-container, .jp-RenderedImage img", state="attached")
    maps = seen.wait_maps()
    widths = seen.painted_images(".jp-OutputArea-output img:not(.leaflet-container img)")
    seen.keep(f"lab-{notebook.removesuffix('.ipynb')}", cells=True)
    assert maps or widths, "the notebook shows no picture and no map"
    assert all(width > 0 for width in widths)


def test_what_a_cell_raises_is_told(visit, lab, notebooks):
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": "1 / 0", "outputs": []}
    write_notebook(notebooks / "fails.ipynb", cell | {"execution_count": None})
    seen = visit()
    seen.open_lab(f"{lab}lab/tree/fails.ipynb?reset")
    with pytest.raises(AssertionError, match="ZeroDivisionError: division by zero"):
        seen.run_all_cells()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("fetch('https://example.org/x').catch(() => 0)", "asked beyond this machine"),
        ("console.error('wrong')", "the console shows errors"),
        ("setTimeout(() => { throw new Error('thrown') })", "a script of the page failed"),
    ],
)
def test_what_a_page_does_wrong_is_seen(browser, source, words):
    seen = Visit.of(browser.new_context())
    seen.page.goto("data:text/html,<p>hello")
    seen.page.evaluate(source)
    seen.page.wait_for_timeout(50)
    with pytest.raises(AssertionError, match=words):
        seen.check()
    seen.close()


def write_notebook(file, *cells):
    """Write a notebook of some cells."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    values = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4}
    file.write_text(json.dumps(values | {"nbformat_minor": 5}))
