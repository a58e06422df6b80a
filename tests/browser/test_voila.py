"""A notebook opens in a real browser through plain Voila, runs and shows its pictures."""

NOTEBOOK = "01_first_map.ipynb"  # the app has a test of its own; JupyterLab runs them all


def test_a_notebook_runs_in_plain_voila(visit, voila):
    seen = visit()
    seen.open_voila(voila("") + f"voila/render/{NOTEBOOK}")
    widths = seen.painted_images(".jp-RenderedImage img")
    seen.keep("voila-01_first_map", full_page=True)
    assert widths, "the notebook shows no picture"
    assert min(widths) > 0
