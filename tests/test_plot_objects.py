"""Objects on axes: each in the colour of its label, where it lies."""

import geopandas
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import shapely
from matplotlib.colors import to_hex

from geodl_lab.plot_objects import bounds_of, draw_objects, swatches_of
from geodl_lab.styles import label_colors

mpl.use("Agg")
CRS = "EPSG:26911"


@pytest.fixture
def ax():
    ax = plt.subplots()[1]
    ax.set(xlim=(0, 100), ylim=(0, 100))
    yield ax
    plt.close("all")


def frame(shapes, labels, crs=CRS):
    scores = np.linspace(0.5, 0.9, len(shapes))
    return geopandas.GeoDataFrame({"label": labels, "score": scores}, geometry=shapes, crs=crs)


def test_points_boxes_and_outlines_of_several_parts(ax):
    parts = shapely.MultiPolygon([shapely.box(0, 0, 5, 5), shapely.box(10, 10, 15, 15)])
    hole = shapely.box(50, 50, 90, 90) - shapely.box(60, 60, 70, 70)
    shapes = [
        shapely.Point(20, 30),
        parts,
        hole,
        None,
        shapely.Point(),
        shapely.LineString([(1, 2), (3, 4)]),
    ]
    draw_objects(ax, frame(shapes, ["b"] * 6))
    points, lines = ax.collections
    assert points.get_offsets().tolist() == [[20, 30]]
    drawn = {
        tuple(map(tuple, np.sort(path.vertices, axis=0)[[0, -1]])) for path in lines.get_paths()
    }
    assert drawn == {
        ((0, 0), (5, 5)), ((10, 10), (15, 15)), ((50, 50), (90, 90)), ((60, 60), (70, 70)),
        ((1, 2), (3, 4)),
    }  # fmt: skip


def test_each_label_has_its_colour_and_a_line_with_its_number(ax):
    objects = frame([shapely.Point(i, i) for i in range(3)], ["tree", "car", "tree"])
    draw_objects(ax, objects)
    colors = label_colors(["car", "tree"])
    drawn = {to_hex(one.get_edgecolor()[0]): len(one.get_offsets()) for one in ax.collections}
    assert drawn == {colors["car"]: 1, colors["tree"]: 2}
    lines = swatches_of(objects)
    assert [(line.name, line.color) for line in lines] == [
        ("car (1)", colors["car"]), ("tree (2)", colors["tree"]),
    ]  # fmt: skip
    assert swatches_of(objects[:1], least=2) == swatches_of(None) == ()
    assert swatches_of(objects.drop(columns="label"))[0].name == "object (3)"


def test_objects_are_brought_to_the_crs_of_the_axes(ax):
    place = frame([shapely.Point(400_050, 3_700_050)], ["a"])
    ax.set(xlim=(400_000, 400_100), ylim=(3_700_000, 3_700_100))
    draw_objects(ax, place.to_crs(4326), crs=CRS)
    assert ax.collections[0].get_offsets().tolist()[0] == pytest.approx([400_050, 3_700_050])
    assert ax.get_xlim() == (400_000, 400_100)


def test_scores_are_written_where_objects_are_in_view(ax):
    objects = frame([shapely.box(10, 10, 20, 20), shapely.box(500, 500, 510, 510)], ["a", "a"])
    draw_objects(ax, objects, scores=True)
    assert [(text.get_text(), text.xy) for text in ax.texts] == [("0.50", (15, 20))]
    draw_objects(ax, objects.drop(columns="score"), scores=True)
    assert len(ax.texts) == 1


def test_bounds_leave_some_room_and_are_never_empty():
    assert bounds_of(frame([shapely.box(0, 0, 100, 50)], ["a"])) == (-4, -4, 104, 54)
    for shapes in ([], [shapely.Point(3, 3)], [None]):
        left, bottom, right, top = bounds_of(frame(shapes, ["a"] * len(shapes)))
        assert left < right and bottom < top
