"""Real images with labels that people drew; told loudly where they are not there."""

from pathlib import Path

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
import shapely
from PIL import Image

from geodl_lab.errors import OptionError, RasterError
from geodl_lab.exports.training_data import export_training_data

DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(
    not DATA.exists(), reason="NOT RUN: the real scenes (../shared/data) are not here"
)


@pytest.mark.parametrize("name", ["OSBS_022.tif", "2019_YELL_2_528000_4978000_image_crop2.png"])
def test_boxes_of_crowns_come_out_as_they_went_in(tmp_path, name):
    """One chip that holds the whole image, also where that has no georeference."""
    image = DATA / "neon_tree_crowns" / "images" / name
    boxes = pandas.read_csv(DATA / "neon_tree_crowns" / "boxes.csv")
    boxes = boxes[boxes["image_path"] == name]
    edges = boxes[["xmin", "ymin", "xmax", "ymax"]].to_numpy(float)
    with rasterio.open(image) as file:
        shape, transform, crs = file.shape, file.transform, file.crs
        whole = file.read()
    edges = np.clip(edges, 0, [*shape[::-1], *shape[::-1]])
    shapes = shapely.transform(
        shapely.box(*edges.T), lambda xy: np.array([transform * point for point in xy.tolist()])
    )
    frame = geopandas.GeoDataFrame({"label": boxes["label"]}, geometry=shapes, crs=crs)
    frame.to_parquet(tmp_path / "crowns.parquet")
    out = export_training_data(
        image, tmp_path / "out", tmp_path / "crowns.parquet", class_field="label", tile_yx=shape
    )
    lines = (out / "labels/000000000.txt").read_text().splitlines()
    found = np.array([line.split()[4:8] for line in lines], float)
    assert len(lines) == len(boxes) > 10
    assert np.abs(found - edges).max() < 0.011
    with rasterio.open(out / "images/000000000.tif") as file:
        assert np.array_equal(file.read(), whole)


def test_a_class_raster_of_land_cover_is_cut_with_its_photo(tmp_path):
    tile = DATA / "dubai_landcover" / "tile_1"
    photo, mask = tile / "images/image_part_001.jpg", tile / "masks/image_part_001.png"
    with Image.open(mask) as image:
        colors = np.asarray(image.convert("RGB")).astype(np.int32) @ [1, 256, 65536]
    values = (np.unique(colors, return_inverse=True)[1].reshape(colors.shape) + 1).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "classes.png")
    options = {"format": "Classified_Tiles", "chip_format": "JPEG", "tile_yx": (256, 256)}
    out = export_training_data(photo, tmp_path / "out", tmp_path / "classes.png", **options)
    with rasterio.open(out / "labels/000000000.tif") as file:
        assert np.array_equal(file.read(1), values[:256, :256])
    with pytest.raises((OptionError, RasterError), match="a class raster has one band"):
        export_training_data(photo, tmp_path / "no", photo, **options)
