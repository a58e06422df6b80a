"""Objects of every kind come out once, wherever seams fall: against painted truth."""

import itertools
import random

import numpy as np
import pytest
import rasterio.features
import shapely
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import geodl_lab
from geodl_lab.boxes import corners_of
from geodl_lab.detections import Detections, concatenate
from geodl_lab.finders import BoxFinder, in_order
from geodl_lab.grid import Axis, Grid, Window, cut
from geodl_lab.masks import from_crops
from geodl_lab.stitching import merge_windows
from geodl_lab.testing import (
    MaskDetector,
    RegionDetector,
    RotatedDetector,
    YoloDetector,
    paint,
    paint_turned,
    pixel_boxes,
    wrap,
)

BOXES = [
    (10, 10, 20, 22),  # inside
    (120, 120, 136, 136),  # on the corner of four windows of 128 px
    (60, 40, 70, 50),  # on a seam of cores
    (100, 180, 380, 190),  # longer than two windows
    (20, 60, 30, 290),
    (395, 0, 400, 15),  # in the raster's corner
    (200, 200, 360, 300),  # larger than a window in both directions
    (255, 119, 259, 123),
]
RASTER = paint((300, 400), BOXES)
ANCHORS = [(32.0, 32.0, 20.0, 40.0)] * 500


def edges(boxes):
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1)


def offsets(boxes):
    cx, cy, w, h = torch.tensor(ANCHORS[0])
    size = boxes[..., 2:].clamp(min=1e-3) / torch.tensor([w, h])
    return torch.cat([(boxes[..., :2] - torch.tensor([cx, cy])) / torch.tensor([w, h]),
                      size.log()], dim=-1)  # fmt: skip


def with_background(scores):
    return torch.cat([1 - scores, scores], dim=-1)


RAW = {
    "yolo v8": ("yolo", lambda b, s: torch.cat([b, s], dim=2).mT, {}),
    "yolo rows": ("yolo", lambda b, s: torch.cat([b, s], dim=2), {}),
    "yolo v5": ("yolo", lambda b, s: torch.cat([b, s.sqrt(), s.sqrt()], dim=2), {}),
    "yolo and more": ("yolo", lambda b, s: (torch.cat([b, s], dim=2), [s]), {}),
    "dense": ("boxes", lambda b, s: (edges(b), s), {}),
    "dense, auto": ("auto", lambda b, s: {"boxes": edges(b), "scores": s}, {}),
    "logits": ("boxes", lambda b, s: (edges(b), s.logit()), {"activation": "sigmoid"}),
    "background": ("boxes", lambda b, s: (edges(b), with_background(s)), {}),
    "softmax": ("boxes", lambda b, s: (edges(b), with_background(s).log()),
                {"activation": "softmax"}),
    "anchors": ("boxes", lambda b, s: (offsets(b), s), {"anchors": ANCHORS}),
}  # fmt: skip


def detected(net, decoder, raster, window=128, **options):
    model = geodl_lab.from_torch(
        net, "detect", bands=1, classes=["thing"], window=window, decoder=decoder, **options
    )
    return raster.dl.detect(model)


@pytest.mark.parametrize("kind", RAW)
@pytest.mark.parametrize("window", [64, 100])
def test_raw_boxes_come_once(kind, window):
    decoder, arrange, options = RAW[kind]
    found = detected(YoloDetector(arrange), decoder, RASTER, window, **options)
    assert pixel_boxes(found, RASTER) == sorted(BOXES)
    assert np.allclose(found.score, 0.9, atol=1e-3)


def test_without_suppression_there_are_two_of_each():
    """What the test above would see if nothing were suppressed."""
    found = detected(YoloDetector(RAW["dense"][1]), "boxes", RASTER, nms=1.0)
    assert len(found) > len(BOXES)


@pytest.mark.parametrize("max_object", [8, 40, 60])
def test_max_object_is_the_halo(max_object):
    found = detected(RegionDetector(), "boxes", RASTER, max_object=max_object)
    assert pixel_boxes(found, RASTER) == sorted(BOXES)
    assert found.attrs["geodl_recipe"].count(f'"halo": {max_object}')


def winding():
    """A raster of blobs that are no boxes: a spiral, a ring, a diagonal, a comb, small ones."""
    values = np.full((1, 300, 400), 10, dtype=np.uint8)
    y, x = np.indices((300, 400))
    turn, far = np.arctan2(y - 100, x - 100), np.hypot(y - 100, x - 100)
    values[0][(np.abs((far - turn * 4) % 25.13 - 12) < 4) & (far < 90)] = 230
    values[0][np.abs(np.hypot(y - 210, x - 310) - 70) < 3] = 230
    values[0][np.abs(np.hypot(y - 210, x - 310)) < 9] = 230
    values[0][(np.abs(y - x + 170) < 3) & (y < 120) & (x > 215)] = 230
    values[0][(y > 220) & (y < 226) & (x < 200)] = values[0][
        (y >= 226) & (y < 290) & (x < 200) & (x % 20 < 5)
    ] = 230
    values[0][40:44, 380:390] = values[0][126:131, 254:259] = 230
    return wrap(values)


@pytest.mark.parametrize("window", [64, 100, 128])
@pytest.mark.parametrize("raster", [RASTER, winding()], ids=["boxes", "winding"])
def test_masks_come_once_with_all_their_pixels(raster, window):
    found = detected(MaskDetector(), "masks", raster, window)
    labels, count = ndimage.label(raster.values[0] > 128, np.ones((3, 3)))
    assert len(found) == count > 5
    for shape in found.geometry:
        drawn = rasterio.features.rasterize(
            [shape], labels.shape, transform=raster.rio.transform(), dtype="uint8"
        )
        (number,) = np.unique(labels[drawn == 1])  # of one blob, and nothing else
        assert number and (drawn == (labels == number)).all()


TURNED = [
    (40.0, 40, 30, 12, 0.5),
    (128, 128, 34, 14, -0.7),
    (300, 60, 20, 8, 1.2),
    (200, 200, 330, 14, 0.4),  # longer than windows
    (25, 200, 18, 170, 0.1),
    (370, 200, 24, 16, 0.0),
]


@pytest.mark.parametrize("window", [100, 128, 160])
def test_rotated_boxes_come_once(window):
    raster = paint_turned((300, 400), TURNED)
    found = detected(RotatedDetector(), "boxes", raster, window)
    assert len(found) == len(TURNED)
    expected = shapely.polygons(corners_of(np.array(TURNED, dtype=float)))
    transform = raster.rio.transform()
    truth = shapely.transform(expected, lambda p: np.column_stack(transform * p.T))
    for shape in truth:
        overlap = shapely.area(shapely.intersection(shape, found.geometry.to_numpy()))
        either = shape.area + found.geometry.area.to_numpy() - overlap
        assert (overlap / either).max() > 0.8


GRID = Grid(*(Axis(size, 64, 16, clamped=True, fixed=True) for size in (210, 250)))


def random_views(seed, kind):
    """Boxes anywhere in their windows: whole, cut, touching, in heaps."""
    generator = np.random.default_rng(seed)
    for tile in GRID.tiles():
        window, count = tile.window, int(generator.integers(0, 6))
        low = generator.integers(0, 60, (count, 2)) + np.array([window.x, window.y])
        high = np.minimum(low + generator.integers(2, 60, (count, 2)),
                          [window.right, window.bottom])  # fmt: skip
        boxes = np.hstack([low, high]).astype(float)
        found = Detections(
            boxes, generator.integers(1, 3, count), generator.integers(5, 9, count) / 10
        )
        yield tile, kind(found, generator)


def plain(found, generator):
    return found


def leaning(found, generator):
    centre, size = found.centres, found.boxes[:, 2:] - found.boxes[:, :2]
    rows = np.hstack([centre, size * 0.8, generator.uniform(-1, 1, (len(found), 1))])
    corners = corners_of(rows)
    upright = np.hstack([corners.min(axis=1), corners.max(axis=1)])
    return Detections(upright, found.label_ids, found.scores, corners)


def blobs(found, generator):
    crops = []
    for x0, y0, x1, y1 in found.boxes.astype(int):
        pixels = generator.random((y1 - y0, x1 - x0)) < 0.6
        pixels[[0, -1]] = True
        pixels[:, [0, -1]] = True
        crops.append((y0, x0, pixels))
    return Detections(found.boxes, found.label_ids, found.scores, None, from_crops(crops))


def same(one, other):
    pairs = one.to_arrays(), other.to_arrays()
    return all(np.array_equal(*(arrays[name] for arrays in pairs)) for name in pairs[0])


@pytest.mark.parametrize("kind", [plain, leaning, blobs])
@given(seed=st.integers(0, 10_000), least=st.integers(1, 300))
def test_chunk_by_chunk_is_as_all_at_once(kind, seed, least):
    seen = list(random_views(seed, kind))
    expected = merge_windows(seen, GRID.whole)
    finder = BoxFinder(GRID, GRID.whole)
    rows, columns = (cut(axis, 0, axis.size, least) for axis in (GRID.rows, GRID.columns))

    def blocks():
        for (top, bottom), (left, right) in itertools.product(
            itertools.pairwise(rows), itertools.pairwise(columns)
        ):
            chunk = Window(top, left, bottom - top, right - left)
            inside = [view for view in seen if chunk.intersect(view[0].core)]
            yield chunk, finder.summarise(chunk, random.Random(seed).sample(inside, len(inside)))

    assert same(concatenate(in_order(finder.merger(GRID.whole), blocks())), expected)


def test_only_objects_near_the_frontier_are_kept():
    """A tall raster of many small objects: what waits does not grow with the rows done."""
    grid = Grid(Axis(64 * 200, 64, 16, fixed=True), Axis(64, 64, 16, fixed=True))
    finder = BoxFinder(grid, grid.whole)
    merger, total, most = finder.merger(grid.whole), 0, 0
    for tile in grid.tiles():
        y = tile.core.y + np.arange(4, tile.core.height - 4, 8.0)
        boxes = np.stack([y * 0 + 5, y, y * 0 + 9, y + 4], axis=1)
        found = Detections(boxes, np.ones(len(y), dtype=np.int64), np.ones(len(y)))
        total += len(found)
        settled = merger.feed(tile.core, finder.summarise(tile.core, [(tile, found)]))
        total -= len(settled)
        most = max(most, total)
    assert most < 20 and len(merger.finish()) == total


def test_a_closed_canopy_of_touching_boxes_settles_too():
    """Boxes of 26 px on a grid of 25 px: all touch, none is another."""
    grid = Grid(*(Axis(size, 256, 64, fixed=True) for size in (2048, 512)))
    finder = BoxFinder(grid, grid.whole)
    y, x = np.indices((82, 21)).reshape(2, -1) * 25.0
    boxes = np.stack([x, y, x + 26, y + 26], axis=1)
    boxes = boxes[(boxes[:, 2] <= 512) & (boxes[:, 3] <= 2048)]
    merger, held, done = finder.merger(grid.whole), [], 0
    for tile in grid.tiles():
        low = [tile.window.x, tile.window.y]
        inner = np.clip(boxes, low * 2, [tile.window.right, tile.window.bottom] * 2)
        inner = inner[(inner[:, :2] < inner[:, 2:]).all(axis=1)]
        found = Detections(inner, np.ones(len(inner), dtype=np.int64), np.ones(len(inner)))
        done += len(merger.feed(tile.core, finder.summarise(tile.core, [(tile, found)])))
        if tile.core.right == 512:
            held.append(len(merger._ahead))
    assert done + len(merger.finish()) == len(boxes)
    assert max(held) < 1.3 * held[1]


def test_many_boxes_in_one_column_and_one_wide_box_are_no_square():
    """A sweep over left edges would compare all with all: it takes seconds, not hours."""
    grid = Grid(Axis(400_000, 400_000, 0, fixed=True), Axis(100, 64, 16, fixed=True))
    y = np.arange(0.0, 400_000, 10)
    boxes = np.stack([y * 0 + 40, y, y * 0 + 48, y + 8], axis=1)
    ones = np.ones(len(y))
    found = Detections(boxes, ones.astype(np.int64), ones)
    wide = Detections(np.array([[0.0, 5, 60, 399_990]]), np.array([2]), np.ones(1))
    seen = [(tile, concatenate([found, wide])) for tile in grid.tiles()]
    assert len(merge_windows(seen, grid.whole)) >= len(y)
