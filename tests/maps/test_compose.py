"""Objects and legends on a picture."""

import geopandas
import numpy as np
import pytest
import shapely
from PIL import Image

from geodl_lab.maps.compose import LEGEND_WIDTH, drawn, with_legends
from geodl_lab.maps.layers import ObjectLayer
from geodl_lab.maps.places import Place

PLACE = Place((50.0, -50.0), 0, (100, 100), plane=True)  # pixels of a photo are those of the screen


def layer(*shapes):
    frame = geopandas.GeoDataFrame(geometry=list(shapes))
    return ObjectLayer(
        id="a", name="Things", bounds=(0, 0, 1, 1), frame=frame, colors={"thing": "#ff0000"}
    )


@pytest.mark.parametrize(
    ("shape", "on", "off"),
    [
        (shapely.box(20, 30, 60, 70), [(20, 50), (60, 50), (40, 30), (40, 70)], [(40, 50)]),
        (shapely.Point(50, 50), [(45, 50), (50, 55)], [(50, 50), (60, 60)]),
        (shapely.LineString([(10, 10), (90, 10)]), [(50, 10)], [(50, 20)]),
        (
            shapely.box(10, 10, 90, 90).difference(shapely.box(40, 40, 60, 60)),
            [(40, 50), (10, 50)],
            [(50, 50), (25, 50)],
        ),
    ],
    ids=["box", "point", "line", "hole"],
)
def test_outlines_are_drawn(shape, on, off):
    alpha = np.asarray(drawn(PLACE, layer(shape)))[..., 3]
    assert all(alpha[y, x] for x, y in on)
    assert not any(alpha[y, x] for x, y in off)


def test_a_legend_stands_beside_the_picture():
    picture = Image.new("RGBA", (100, 40), "blue")
    whole = with_legends(picture, [layer(shapely.Point(1, 1))])
    assert whole.width == 100 + LEGEND_WIDTH and whole.height >= 60
    colors = {color for _, color in whole.crop((100, 0, *whole.size)).getcolors(100_000)}
    assert (255, 0, 0, 255) in colors
    assert with_legends(picture, []) is picture
