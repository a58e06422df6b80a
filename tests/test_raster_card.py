"""How ``da.dl`` shows itself: what it says, and that nothing lazy is computed for it."""

import dask.array
import numpy as np
import pytest
import xarray as xr

from geodl_lab import class_areas, from_torch, open_raster, raster_card
from geodl_lab.testing import RandomNet, make_raster, wrap

from .test_html_pieces import EVIL, Page

FLAGS = {
    "flag_values": np.array([0, 3], dtype=np.uint8),
    "flag_meanings": "open_water tree",
    "flag_colors": "#0000ff #00ff00",
}


def class_raster():
    values = np.zeros((1, 40, 60), np.uint8)
    values[0, :10], values[0, :, :6] = 3, 255
    return wrap(values, nodata=255)[0].assign_attrs(FLAGS)


def never(block):
    raise AssertionError("a lazy raster was computed")


def lazy(raster):
    return raster.copy(
        data=dask.array.map_blocks(
            never, dask.array.zeros(raster.shape, dtype=raster.dtype, chunks=20), dtype=raster.dtype
        )
    )


def test_a_class_raster_says_the_share_of_its_classes():
    page = Page(class_raster().dl._repr_html_())
    table = class_areas(class_raster())
    for row in table.itertuples():
        assert any(
            f"{100 * row.share:.1f} % · {row.hectares:.4g} ha" in text for text in page.texts
        )
    said = [text.strip() for text in page.texts]
    assert said.index("open water") < said.index("tree") and "img" in page.tags
    assert page.open == [] and "EPSG:26911 NAD83 / UTM zone 11N; pixels of 0.6 m" in said


def test_of_a_large_class_raster_shares_are_about_right(monkeypatch):
    monkeypatch.setattr(raster_card, "MEASURED", 600)
    texts = Page(class_raster().dl._repr_html_()).texts
    assert {"about 75.0 %", "about 25.0 %"} <= set(texts)


def test_nothing_lazy_is_computed():
    for raster in (
        class_raster(),
        make_raster(),
        make_raster().assign_attrs(geodl_model="net").astype("float32"),
    ):
        page = Page(lazy(raster).dl._repr_html_())
        assert "img" not in page.tags and any("nothing is read yet" in text for text in page.texts)
        assert "nothing is read yet" in repr(lazy(raster).dl)
    assert "tree" in Page(lazy(class_raster()).dl._repr_html_()).texts[-1]


def test_a_lazy_result_says_that_the_model_has_not_run():
    net = from_torch(RandomNet(2, 3), name="net", bands=2, window=64, classes=["a", "b", "c"])
    scene = make_raster((2, 70, 80))
    result = scene.chunk(x=40).dl.classify(net)
    net.network.calls = 0
    said = " ".join(Page(result.dl._repr_html_()).texts)
    assert "the model has not run yet" in said and "net 1.0.0" in said and "precision fp32" in said
    assert "the model has not run yet" in repr(result.dl) and net.network.calls == 0
    said = " ".join(Page(result.compute().dl._repr_html_()).texts)
    assert "in memory" in said and "ha" in said


def test_a_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    make_raster((3, 30, 20), names=("Red", "Green", "Blue")).rio.to_raster(path)
    monkeypatch.setattr(raster_card, "thinned", never)
    shown = repr(open_raster(path).dl)
    assert shown.startswith("Raster: in a file\n  size      30 x 20 px, 3 x uint8")
    assert "img" not in Page(open_raster(path).dl._repr_html_()).tags


def test_values_have_a_colour_bar():
    values = np.linspace(0, 1, 600, dtype=np.float32).reshape(1, 20, 30)
    result = wrap(values)[0].rename("entropy")
    result.attrs |= {"geodl_model": "net", "units": "nat", "valid_min": 0.0, "valid_max": 1.5}
    texts = Page(result.dl._repr_html_()).texts
    assert {"Entropy", "entropy (nat)", "0", "1.5"} <= set(texts)


def test_what_is_no_raster_is_said_in_a_sentence():
    series = make_raster((3, 20, 20)).rename(band="time")
    for shown in (repr(series.dl), "".join(Page(series.dl._repr_html_()).texts)):
        assert shown.startswith("no raster") and "steps in time are no bands" in shown
    assert repr(xr.Dataset().dl).startswith("no raster")


@pytest.mark.parametrize("recipe", ["{", "[1]", f'{{"{EVIL[:8]}": true}}', ""])
def test_every_text_of_a_raster_is_escaped(recipe):
    evil = EVIL.replace(" ", "")
    flags = {**FLAGS, "flag_meanings": f"{evil} {evil}"}
    raster = class_raster().assign_attrs(
        flags, geodl_model=EVIL, geodl_model_sha256=EVIL, geodl_recipe=recipe
    )
    for shown in (raster, lazy(raster), raster.rename(EVIL).drop_attrs()):
        page = Page(shown.dl._repr_html_())
        assert page.open == [] and "script" not in page.tags
        assert {name for name, _ in page.attributes} <= {"style", "src", "alt"}
