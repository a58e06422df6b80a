"""The map as Python sees it: layers, their looks, what is refused."""

import geopandas
import ipyleaflet
import numpy as np
import pytest
import shapely
import torch
import xarray as xr

import geodl_lab
from geodl_lab.errors import OptionError, OutputError
from geodl_lab.grid import Window
from geodl_lab.maps.explorer import Explorer, explore
from geodl_lab.testing import RegionDetector, ScoreNet, make_raster, paint, wrap


def test_layers_lie_in_the_order_they_came(explorer, land):
    explorer.add(make_raster(), name="Image").add(land).add(shapely.box(-118, 33, -117, 34))
    assert explorer.names == ["Image", "raster", "objects"]
    assert [layer["kind"] for layer in explorer.tiles.layers] == ["raster", "raster", "objects"]


def test_the_first_layer_says_what_is_seen(explorer, land):
    explorer.add(land)
    west, south, east, north = explorer.tiles.fit
    assert west < explorer.center[1] < east and south < explorer.center[0] < north
    assert (east - west) * 92_900 == pytest.approx(160, rel=0.05)  # metres at this latitude


def test_a_place_that_was_given_stays(land):
    explorer = Explorer(land, center=(10, 20), zoom=5)
    assert (explorer.center, explorer.zoom, explorer.tiles.fit) == ([10, 20], 5, None)
    explorer.close()


def test_without_a_basemap_nobody_is_asked(explorer):
    assert explorer.layers == ()


def test_a_basemap_is_one_argument():
    explorer = Explorer(basemap="http://127.0.0.1/{z}/{x}/{y}.png")
    assert [layer.url for layer in explorer.layers] == ["http://127.0.0.1/{z}/{x}/{y}.png"]
    explorer.close()


def test_layers_and_controls_of_ipyleaflet_are_as_they_were(explorer):
    marker = ipyleaflet.Marker(location=(0, 0))
    explorer.add(marker)
    assert explorer.layers == (marker,) and explorer.names == []
    explorer.remove(marker)
    assert explorer.layers == ()


def test_a_legend_names_the_classes_that_occur(explorer, land):
    explorer.add(land)
    swatches = explorer.tiles.layers[0]["legend"]["swatches"]
    assert [swatch["name"] for swatch in swatches] == ["water", "tree cover"]


def test_looks_change(explorer, land):
    explorer.add(land, name="Land", opacity=0.5)
    explorer.change("Land", visible=False, opacity=0.25)
    told = explorer.tiles.layers[0]
    assert (told["visible"], told["opacity"]) == (False, 0.25)


@pytest.mark.parametrize("opacity", [-0.1, 1.5, float("nan"), "half", True])
def test_an_opacity_beyond_0_and_1_is_refused(explorer, land, opacity):
    explorer.add(land, name="Land")
    with pytest.raises(OptionError, match=r"opacity .* is not possible; give a number from 0 to 1"):
        explorer.change("Land", opacity=opacity)


def test_another_class_of_probabilities_is_chosen(explorer):
    model = geodl_lab.from_torch(ScoreNet(), bands=2, classes=["low", "high"], window=64)
    explorer.add(make_raster((2, 64, 64)).dl.probabilities(model), name="Chance")
    explorer.change("Chance", choice="high")
    told = explorer.tiles.layers[0]
    assert (told["choices"], told["choice"], told["version"]) == (["low", "high"], "high", 1)
    assert told["legend"]["label"] == "probability of high"
    with pytest.raises(OptionError, match="'Chance' does not show 'best'; possible are low, high"):
        explorer.change("Chance", choice="best")


def test_a_model_runs_on_what_is_in_view_only(explorer):
    net = ScoreNet()
    ran = []
    net.register_forward_hook(lambda *_: ran.append(1))
    model = geodl_lab.from_torch(net, bands=2, classes=["low", "high"], window=64)
    before = len(ran)
    explorer.add(make_raster((2, 256, 256)), model=model, name="Live")
    layer = explorer.stack.by_name("Live")
    assert layer.view.blocks.costly and len(ran) == before


def test_a_swipe_names_two_rasters(explorer, land):
    explorer.add(land, name="Left").add(land, name="Right")
    explorer.swipe("Left", "Right")
    assert explorer.tiles.split == [layer.id for layer in explorer.stack.all()]
    explorer.remove("Left")
    assert explorer.tiles.split is None
    with pytest.raises(OptionError, match="name two different rasters"):
        explorer.swipe("Right", "Right")


def test_a_photo_has_a_map_of_its_own(explorer, land):
    photo = xr.DataArray(np.zeros((3, 40, 60), "uint8"), dims=("band", "y", "x"))
    explorer.add(photo)
    assert explorer.plane
    assert explorer.tiles.layers[0]["bounds"] == [0, -40, 60, 0]
    with pytest.raises(OptionError, match="cannot lie on the same map"):
        explorer.add(land)


def test_what_is_drawn_comes_in_the_crs_of_the_lowest_raster(explorer, land):
    assert explorer.drawn() is None and explorer.area() is None
    explorer.add(land)
    to = geopandas.GeoSeries([shapely.box(400_020, 3_699_900, 400_060, 3_699_970)], crs=26911)
    shape = shapely.geometry.mapping(to.to_crs(4326).iloc[0])
    heard = []
    explorer.on_drawn(lambda: heard.append(explorer.area()))
    explorer._draw.data = [{"type": "Feature", "geometry": shape, "properties": {}}]
    np.testing.assert_allclose(heard[0], (400_020, 3_699_900, 400_060, 3_699_970), atol=1e-3)
    assert explorer.drawn("EPSG:4326").bounds[0] == pytest.approx(-118.0755, abs=1e-3)


def test_what_is_put_there_as_drawn_comes_back(explorer, land):
    explorer.add(land)
    boxes = [shapely.box(400_020, 3_699_900, 400_060, 3_699_970), shapely.box(0, 0, 9, 5)]
    for box in boxes:
        explorer.draw(box)
    assert shapely.get_num_geometries(explorer.drawn()) == 2
    assert explorer.drawn().symmetric_difference(shapely.union_all(boxes)).area < 1e-2
    explorer.draw(shapely.box(-118, 33, -117, 34), crs="EPSG:4326")
    assert explorer._draw.data[-1]["geometry"]["coordinates"][0][0] == pytest.approx((-117, 33))
    explorer.clear_drawn()
    assert explorer.drawn() is None


def test_windows_are_counted_once(explorer, tmp_path):
    model = geodl_lab.from_torch(ScoreNet(), bands=2, classes=["low", "high"], window=64)
    lazy = make_raster((2, 200, 200)).chunk(x=100, y=100).dl.classify(model)
    assert explorer.add(lazy).windows_run == 0
    explorer.save(tmp_path / "view.png")
    seen = explorer.windows_run
    explorer.save(tmp_path / "view.png")
    blocks = explorer.stack.all()[0].view.blocks
    assert 0 < seen == explorer.windows_run == len(blocks.blocks(Window(0, 0, 200, 200)))


@pytest.mark.parametrize(
    ("item", "looks", "words"),
    [
        ({}, {}, "a dict cannot be shown on the map"),
        (make_raster(), {"colour": 3}, "colour was given; possible are name, visible, opacity"),
    ],
)
def test_what_cannot_be_shown_is_refused(explorer, item, looks, words):
    with pytest.raises(OptionError, match=words):
        explorer.add(item, **looks)
    assert explorer.names == []


def test_files_of_other_kinds_are_refused(explorer, tmp_path):
    with pytest.raises(OutputError, match="xyz"):
        explorer.save(tmp_path / "map.xyz")


def test_where_there_are_no_widgets_a_sentence_stands(explorer, land):
    explorer.add(land, name="Land")
    assert explorer._repr_mimebundle_()["text/plain"] == "Explorer: a live map of Land"


def test_the_accessor_makes_the_same_map():
    explorer = make_raster().dl.map(center=(1, 2))
    assert isinstance(explorer, geodl_lab.Explorer) and explorer.names == ["raster"]
    explorer.close()


def test_explore_takes_a_model():
    model = geodl_lab.from_torch(torch.nn.Conv2d(3, 2, 1), bands=3, classes=["a", "b"], name="net")
    explorer = explore(wrap(np.zeros((3, 64, 64), "uint8")), model=model)
    assert explorer.names == ["raster", "net"]
    explorer.close()


def test_a_live_detector_looks_again_when_it_is_shown(explorer, monkeypatch):
    facts = {"bands": 1, "classes": ["thing"], "window": 64, "max_object": 16}
    model = geodl_lab.from_torch(RegionDetector(), "detect", **facts)
    explorer.add(paint((64, 64), [(10, 10, 20, 20)]), model=model, name="Things")
    (live,) = explorer._live.values()
    seen = []
    monkeypatch.setattr(live, "look_at", seen.append)
    explorer.change("Things", visible=False)
    assert seen == []
    explorer.change("Things", visible=True)
    assert seen == [explorer.place.bounds]


def test_no_objects_do_not_say_what_is_seen(explorer):
    none = geopandas.GeoDataFrame({"label": []}, geometry=[], crs="EPSG:26911")
    explorer.add(none, name="None")
    assert explorer.tiles.fit is None and explorer.names == ["None"]


def test_two_layers_of_objects_have_colours_of_their_own(explorer):
    trees = geopandas.GeoDataFrame({"label": ["tree"]}, geometry=[shapely.Point(1, 2)], crs=4326)
    explorer.add(trees, name="found").add(trees, name="marked")
    facts = {"bands": 1, "classes": ["tree"], "window": 64, "max_object": 16}
    model = geodl_lab.from_torch(RegionDetector(), "detect", **facts)
    explorer.add(paint((64, 64), [(10, 10, 20, 20)]), model=model, name="live")
    colors = [layer.colors["tree"] for layer in explorer.stack.all()]
    assert len(set(colors)) == 3
