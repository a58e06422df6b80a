"""The demo's parts on tiny data; the whole is `make demo`."""

import itertools

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image

from geodl_lab import classify_file, demo, demo_scene, open_raster
from geodl_lab.demo import densest, density, draw_preview, run_demo
from geodl_lab.errors import OutputError
from geodl_lab.raster import as_raster
from geodl_lab.testing import CRS, make_raster, wrap

FLAGS = {
    "flag_values": np.array([0, 1, 2], dtype=np.uint8),
    "flag_meanings": "open_water tree road",
    "flag_colors": "#0000ff #00aa00 #808080",
}


def classes_of_halves(shape_yx=(300, 400), **options):
    values = np.full((1, *shape_yx), 1, dtype=np.uint8)
    values[0, :, shape_yx[1] // 2 :] = 2
    values[0, 0] = 255
    return wrap(values, nodata=255, **options).assign_attrs(FLAGS)


def test_the_scene_is_bundled():
    with rasterio.open(demo_scene()) as file:
        assert file.descriptions == ("Red", "Green", "Blue", "NIR")


def test_densest_squares_lie_on_data_and_apart():
    valid = np.zeros((1024, 1280), dtype=bool)
    valid[256:512, 512:768] = valid[512:768, :256] = True
    valid[:256, 1024:1152] = True
    windows = list(densest(valid, 3))
    assert {(w.y, w.x) for w in windows[:2]} == {(256, 512), (512, 0)}
    assert [valid[w.slices_yx].sum() for w in windows] == [256**2, 256**2, 256 * 128]
    for one, other in itertools.pairwise(windows):
        assert not one.intersect(other)


def test_of_equal_squares_the_one_with_more_trees_is_denser():
    raster = as_raster(make_raster((1, 512, 512)))
    west, north = raster.transform @ (300, 300)
    trees = geopandas.GeoDataFrame(geometry=shapely.points([[west, north], [0, 0]]), crs=CRS)
    count = density(raster, trees)
    assert count.sum() == 512 * 512 + 1 and count[300, 300] == 2
    window = next(densest(count, 1))
    assert window.y <= 300 < window.bottom and window.x <= 300 < window.right


def test_the_preview_is_a_picture_of_everything(tmp_path):
    scene = make_raster((4, 800, 900), nodata=0)
    scene[:, :, 600:] = 0
    trees = geopandas.GeoDataFrame(
        {"label": ["tree"] * 3}, geometry=shapely.points([[400_010, 3_699_990]] * 3), crs=CRS
    )
    target = tmp_path / "preview.png"
    target.write_text("of an earlier run")
    draw_preview(scene, classes_of_halves((800, 900)), trees, target)
    with Image.open(target) as picture:
        assert picture.size == (1900, 1500)
        colors = {color for _, color in picture.convert("RGB").getcolors(2**24)}
    assert {(0, 170, 0), (128, 128, 128), (183, 190, 198)} <= colors  # two classes, no data
    assert [path.name for path in tmp_path.iterdir()] == ["preview.png"]


def test_nothing_goes_into_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/demo' cannot be made: Not a directory"):
        run_demo(tmp_path / "file" / "demo", progress=lambda _: print)


def test_the_run_joins_the_parts(tmp_path, monkeypatch, finite_model):
    """The whole demo with quick stand-ins for scene and models."""
    scene = make_raster((3, 600, 500))
    scene.rio.to_raster(tmp_path / "scene.tif")
    trees = geopandas.GeoDataFrame(
        {"label": ["tree"]}, geometry=shapely.points([[400_010, 3_699_990]]), crs=CRS
    )
    stages = []
    monkeypatch.setattr(demo, "demo_scene", lambda: tmp_path / "scene.tif")
    monkeypatch.setattr(
        demo, "classify_file", lambda source, target, _, **options: (
            classify_file(source, target, finite_model, **options)
        ),
    )  # fmt: skip
    monkeypatch.setattr(demo, "detect_file", lambda _, path, *__, **___: trees.to_parquet(path))

    def progress(stage):
        stages.append(stage)
        return lambda *_: None

    result = run_demo(tmp_path / "new" / "out", progress=progress)
    assert stages == ["land cover", "trees"]
    assert result.tree_count == 1 and result.pixels == 300_000
    total = 300_000 * 0.36 / 1e4
    assert sum(result.hectares.values()) == pytest.approx(total)
    assert result.landcover.exists() and result.preview.exists()
    assert set(np.unique(open_raster(result.landcover))) <= {0, 1, 2, 3}
