"""Files of what is in view, read back."""

import io
import json

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image

import geodl_lab
from geodl_lab.errors import OptionError, OutputError
from geodl_lab.maps.places import Place, to_map
from geodl_lab.testing import ScoreNet, make_raster

UTM = "EPSG:26911"


def show(explorer, column, row, *, zoom=20, size=(300, 200)):
    """Look at a pixel of ``land``."""
    ((x, y),) = to_map(np.array([[400_000 + 2 * (column + 0.5), 3_700_000 - 2 * (row + 0.5)]]), UTM)
    explorer._place = Place((float(x), float(y)), zoom, size)


def test_a_picture_has_the_colors_of_what_is_seen(explorer, land, tmp_path):
    explorer.add(land, name="Land")
    show(explorer, 40, 30)
    picture = Image.open(explorer.save(tmp_path / "map.png")).convert("RGB")
    colors = {0: (0, 0, 255), 1: (0, 160, 0)}
    assert picture.getpixel((150, 100)) == colors[int(land.values[30, 40])]
    seen = np.asarray(picture)[:200, :300].reshape(-1, 3)
    assert {tuple(color) for color in np.unique(seen, axis=0).tolist()} == set(colors.values())
    assert picture.width > 300  # the legend


def test_a_picture_shows_objects_and_leaves_out_what_is_not_visible(explorer, land):
    box = shapely.box(400_070, 3_699_930, 400_090, 3_699_950)
    explorer.add(land, name="Land", visible=False).add(box, crs=UTM, name="Box")
    show(explorer, 40, 30)
    pixels = np.asarray(Image.open(io.BytesIO(explorer.contents(".png", explorer.place))))
    seen = {tuple(color) for color in np.unique(pixels[:200, :300].reshape(-1, 3), axis=0).tolist()}
    assert seen == {(233, 236, 239), (255, 230, 0)}


def test_opacity_mixes_with_what_is_beneath(explorer, land):
    explorer.add(land * 0, name="Water", opacity=0.5)
    explorer.stack.by_name("Water")
    show(explorer, 40, 30)
    picture = Image.open(io.BytesIO(explorer.contents(".png", explorer.place)))
    assert picture.getpixel((10, 10)) == pytest.approx((116, 118, 247), abs=2)


def test_objects_and_what_is_drawn_are_one_geojson(explorer, tmp_path):
    explorer.add(shapely.box(-118, 33, -117, 34), name="Box")
    shape = shapely.geometry.mapping(shapely.box(-118, 33, -117.5, 34))
    explorer._draw.data = [{"type": "Feature", "geometry": shape, "properties": {}}]
    saved = json.loads(explorer.save(tmp_path / "map.geojson").read_text())
    assert [feature["properties"] for feature in saved["features"]] == [
        {"layer": "Box"}, {"layer": "drawn"},
    ]  # fmt: skip


PLANES = {
    "photo": (None, [(1, -2), (5, -2), (5, -6), (1, -6)]),
    "north up": (Affine(0.5, 0, 100, 0, -0.5, 90), [(101, 88), (105, 88), (105, 84), (101, 84)]),
}


@pytest.mark.parametrize("plane", PLANES)
def test_objects_without_a_crs_are_saved_where_the_raster_has_them(plane, tmp_path):
    transform, seen = PLANES[plane]
    data = make_raster((3, 60, 80)).drop_vars(["x", "y", "spatial_ref"])
    if transform is not None:
        data = data.rio.write_transform(transform)
    left, top, right, bottom = (1, 2, 5, 6) if transform is None else (101, 88, 105, 84)
    box = shapely.box(left, min(top, bottom), right, max(top, bottom))
    explorer = geodl_lab.Explorer(data).add(
        geopandas.GeoDataFrame({"label": ["a"]}, geometry=[box])
    )
    layer = explorer.stack.all()[1]
    frame = explorer.stack.all()[0].view.frame
    row, column = frame.pixel_at(*seen[0])
    assert (column, row) == ((1, 2) if transform is None else (2, 4))
    assert layer.bounds == shapely.Polygon(seen).bounds
    shape = shapely.geometry.mapping(shapely.Polygon(seen))
    explorer._draw.data = [{"type": "Feature", "geometry": shape, "properties": {}}]
    saved = json.loads(explorer.save(tmp_path / "map.geojson").read_text())
    for feature in saved["features"]:
        assert shapely.geometry.shape(feature["geometry"]).equals(box)
    assert explorer.drawn().equals(box)
    explorer.close()


def test_the_pixels_in_view_of_a_lazy_layer_are_those_of_the_whole(explorer, tmp_path):
    model = geodl_lab.from_torch(ScoreNet(), bands=2, classes=["low", "high"], window=64)
    data = make_raster((2, 200, 300))
    explorer.add(data, model=model, name="Live")
    ((x, y),) = to_map(np.array([[400_060.0, 3_699_940.0]]), UTM)  # row 100, column 100
    explorer._place = Place((float(x), float(y)), 20, (200, 100))
    with rasterio.open(explorer.save(tmp_path / "view.tif")) as file:
        saved, transform = file.read(1), file.transform
    column, row = (round(value) for value in ~data.rio.transform() * (transform.c, transform.f))
    whole = data.dl.classify(model).values
    height, width = saved.shape
    assert 20 < height < 60 and 30 < width < 100
    np.testing.assert_array_equal(saved, whole[row : row + height, column : column + width])


def test_what_is_not_there_is_not_saved(explorer, land, tmp_path):
    with pytest.raises(OptionError, match="there are no objects and no drawn areas to save"):
        explorer.save(tmp_path / "a.geojson")
    with pytest.raises(OptionError, match="no raster is visible; show one"):
        explorer.save(tmp_path / "a.tif")
    explorer.add(land, name="Land")
    explorer._place = Place((0.0, 0.0), 10, (300, 200))
    with pytest.raises(OptionError, match="'Land' is not in view; zoom to it"):
        explorer.save(tmp_path / "a.tif")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays_where_it_is_told_to(explorer, land, tmp_path):
    (tmp_path / "map.png").write_text("mine")
    explorer.add(land)
    with pytest.raises(OutputError, match=r"map\.png"):
        explorer.save(tmp_path / "map.png", overwrite=False)
    assert (tmp_path / "map.png").read_text() == "mine"
