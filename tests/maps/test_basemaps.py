"""Basemaps of every make; what is none is refused."""

import ipyleaflet
import pytest

from geodl_lab.errors import OptionError
from geodl_lab.maps.basemaps import basemap_layer

ADDRESS = "http://127.0.0.1/{z}/{x}/{y}.png"


@pytest.mark.parametrize(
    "basemap",
    [ADDRESS, ipyleaflet.TileLayer(url=ADDRESS), {"url": ADDRESS}],
    ids=["address", "layer", "provider"],
)
def test_a_basemap_is_a_base_layer(basemap):
    layer = basemap_layer(basemap)
    assert (layer.url, layer.base) == (ADDRESS, True)


@pytest.mark.parametrize("basemap", ["http://127.0.0.1/tiles", 7, {"name": "x"}])
def test_what_is_no_basemap_is_refused(basemap):
    with pytest.raises(OptionError, match="is not possible; give one as ipyleaflet"):
        basemap_layer(basemap)
