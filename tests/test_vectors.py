import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geodl_lab.decoders import Decoder
from geodl_lab.detections import Detections, empty
from geodl_lab.inputs import InputSpec
from geodl_lab.masks import Masks, from_crops
from geodl_lab.package import Field, ModelPackage, make_classes
from geodl_lab.raster import as_raster
from geodl_lab.testing import paint
from geodl_lab.vector_files import GEOMETRY
from geodl_lab.vectors import outlines, to_frame

ARRAY = paint((80, 90), [])


def package(name="boxes", **options):
    return ModelPackage(
        "fake", "detect", InputSpec(("gray",)), make_classes([(7, "car", "#102030")]), 64,
        Field(finite=False), Decoder(name, **options),
    )  # fmt: skip


def one(box, **more):
    return Detections(np.array([box], dtype=float), np.array([7]), np.array([0.8]), **more)


def test_boxes_are_polygons_in_the_crs_with_names_and_attrs():
    frame = to_frame(one((10, 20, 30, 25)), as_raster(ARRAY), package(), {"made": "so"})
    x0, y0 = ARRAY.rio.transform() @ (10, 25)
    x1, y1 = ARRAY.rio.transform() @ (30, 20)
    assert frame.geometry[0].equals(shapely.box(x0, y0, x1, y1))
    assert frame.crs == "EPSG:26911" and frame.attrs == {"made": "so"}
    assert frame[["label", "label_id", "score"]].to_numpy().tolist() == [["car", 7, 0.8]]


def test_rotated_boxes_are_their_corners():
    corners = np.array([[[10.0, 10], [20, 15], [18, 19], [8, 14]]])
    frame = to_frame(one((8, 10, 20, 19), corners=corners), as_raster(ARRAY), package(), {})
    found = shapely.get_coordinates(frame.geometry[0])[:4]
    expected = [ARRAY.rio.transform() @ tuple(xy) for xy in corners[0]]
    assert np.allclose(found, expected)


def test_masks_are_outlines_in_the_crs():
    masks = from_crops([(4, 6, np.eye(2, dtype=bool))])
    frame = to_frame(one((6, 4, 8, 6), masks=masks), as_raster(ARRAY), package(), {})
    drawn = rasterio.features.rasterize(
        frame.geometry, (80, 90), transform=ARRAY.rio.transform(), dtype="uint8"
    )
    assert np.argwhere(drawn).tolist() == [[4, 6], [5, 7]]
    assert frame.geom_type.tolist() == ["MultiPolygon"]


def test_frames_of_mask_models_name_their_geometry_even_when_empty():
    frame = to_frame(empty(), as_raster(ARRAY), package(name="masks"), {})
    assert frame.attrs == {GEOMETRY: "MultiPolygon"}


@given(st.integers(0, 500))
def test_outlines_hold_the_pixels_of_each_object_and_no_other(seed):
    generator = np.random.default_rng(seed)
    crops = []
    for _ in range(8):
        pixels = generator.random(generator.integers(1, 12, 2)) < 0.7
        pixels[0, 0] = True
        crops.append((*generator.integers(0, 20, 2).tolist(), pixels))
    shapes = outlines(from_crops(crops))
    assert shapely.is_valid(shapes).all()
    for shape, (top, left, pixels) in zip(shapes, crops, strict=True):
        truth = np.zeros((40, 40), dtype=bool)
        truth[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        drawn = rasterio.features.rasterize([shape], (40, 40), dtype="uint8") == 1
        assert (drawn == truth).all() and shape.area == truth.sum()


def test_a_large_object_is_traced_in_pieces_without_its_crop():
    """A diagonal over 40 000 x 40 000 pixels: its crop would be 1.6 GB."""
    y = np.arange(40_000)
    masks = Masks(np.stack([y, y, y + 3], axis=1).astype(np.int32), np.array([0, len(y)]))
    (shape,) = outlines(masks)
    assert shape.geom_type == "Polygon" and shape.area == 3 * len(y)
    assert shape.bounds == (0, 0, 40_002, 40_000)


@pytest.mark.parametrize("masks", [None, from_crops([])])
def test_nothing_found_keeps_columns_and_crs(masks):
    none = Detections(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0), None, masks)
    frame = to_frame(none, as_raster(ARRAY), package(), {})
    assert len(frame) == 0 and frame.crs == "EPSG:26911"
    assert list(frame.columns) == ["label", "label_id", "score", "geometry"]
