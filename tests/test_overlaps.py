import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geodl_lab import overlaps
from geodl_lab.boxes import corners_of
from geodl_lab.detections import Detections
from geodl_lab.masks import from_crops
from geodl_lab.overlaps import areas, common, iou, outranked, suppress, touching_pairs


def boxes(seed, count=40):
    generator = np.random.default_rng(seed)
    low = generator.integers(0, 30, (count, 2))
    found = np.hstack([low, low + generator.integers(0, 15, (count, 2))]).astype(float)
    scores = generator.permutation(count) / count
    return Detections(found, generator.integers(1, 3, count), scores)


def every_pair(count):
    return np.stack(np.triu_indices(count, 1))


@given(st.integers(0, 1000))
def test_pairs_are_all_that_touch(seed):
    found = boxes(seed)
    i, j = every_pair(len(found))
    shapes = shapely.box(*found.boxes.T)
    same = found.label_ids[i] == found.label_ids[j]
    meet = shapely.intersects(shapes[i], shapes[j]) & same
    expected = set(zip(i[meet], j[meet], strict=True))
    labels = found.label_ids
    pairs = touching_pairs(found.boxes, lambda i, j: labels[i] == labels[j])
    assert set(zip(*pairs.tolist(), strict=True)) == expected


@pytest.mark.parametrize("limited", [False, True])
def test_areas_of_all_kinds_are_those_of_pixels(limited):
    generator = np.random.default_rng(1)
    canvases, crops = [], []
    for _ in range(12):
        top, left = generator.integers(0, 8, 2)
        pixels = generator.random((12, 12)) < 0.6
        canvas = np.zeros((20, 20), dtype=bool)
        canvas[top : top + 12, left : left + 12] = pixels
        canvases.append(canvas)
        crops.append((int(top), int(left), pixels))
    masks = from_crops(crops)
    found = Detections(masks.boxes, np.ones(12, dtype=np.int64), np.ones(12), None, masks)
    i, j = every_pair(12)
    limits = np.tile([4.0, 5, 13, 11], (len(i), 1)) if limited else None
    inside = np.zeros((20, 20), dtype=bool)
    inside[(slice(5, 11), slice(4, 13)) if limited else slice(None)] = True
    both = [(canvases[a] & canvases[b] & inside).sum() for a, b in zip(i, j, strict=True)]
    assert common(found, i, j, limits).tolist() == both
    assert areas(found, i, limits).tolist() == [(canvases[a] & inside).sum() for a in i]


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_areas_of_boxes_and_rotated_ones_are_those_of_shapely(limited, turn):
    found = boxes(5)
    i, j = every_pair(len(found))
    sizes = found.boxes[:, 2:] - found.boxes[:, :2]
    rows = np.hstack([found.centres, sizes, np.full((len(found), 1), turn)])
    shapes = shapely.polygons(corners_of(rows))
    if turn:
        found = Detections(found.boxes, found.label_ids, found.scores, corners_of(rows))
    limits = np.tile([4.0, 5, 23, 21], (len(i), 1)) if limited else None
    area = shapely.box(4, 5, 23, 21) if limited else shapely.box(-99, -99, 99, 99)
    both = shapely.area(shapely.intersection(shapely.intersection(shapes[i], shapes[j]), area))
    assert np.allclose(common(found, i, j, limits), both, atol=1e-6)
    assert np.allclose(areas(found, i, limits), shapely.area(shapely.intersection(shapes[i], area)))


def test_equal_objects_without_area_are_the_same():
    found = Detections(np.array([[3.0, 3, 3, 9]] * 2), np.ones(2, int), np.ones(2))
    assert iou(found, np.array([0]), np.array([1])).tolist() == [1]


@given(st.integers(0, 1000), st.integers(1, 50))
def test_the_greedy_choice_is_that_of_a_loop(seed, count):
    pairs = np.sort(np.random.default_rng(seed).integers(0, count, (2, 60)), axis=0)
    pairs = pairs[:, pairs[0] < pairs[1]]
    lost = np.zeros(count, dtype=bool)
    for weak in range(count):
        lost[weak] = any(not lost[strong] for strong in pairs[0, pairs[1] == weak])
    assert outranked(*pairs, count).tolist() == lost.tolist()


@given(st.integers(0, 1000), st.sampled_from([0.2, 0.5]), st.integers(1, 30))
def test_suppression_is_that_of_a_loop(seed, limit, block):
    found = boxes(seed)
    kept = []
    for index in np.argsort(-found.scores):
        rivals = [k for k in kept if found.label_ids[k] == found.label_ids[index]]
        over = iou(found, np.array(rivals, dtype=int), np.full(len(rivals), index))
        if not (over > limit).any():
            kept.append(index)
    best = suppress(found, limit, block=block)
    assert best.scores.tolist() == found.scores[kept].tolist()


def test_a_heap_of_boxes_is_suppressed_in_bounded_memory():
    generator = np.random.default_rng(0)
    low = generator.uniform(0, 5, (30_000, 2))
    found = Detections(np.hstack([low, low + 50]), np.ones(30_000, int), generator.random(30_000))
    assert len(suppress(found, 0.5)) == 1  # all pairs at once would be 450 million


def test_what_is_kept_is_not_indexed_in_every_block(monkeypatch):
    """Boxes that are all kept: planting them again in each of 40 blocks would be 20 times all."""
    planted, grow = [], shapely.STRtree

    def counted(shapes):
        planted.append(len(shapes))
        return grow(shapes)

    monkeypatch.setattr(overlaps.shapely, "STRtree", counted)
    low = np.arange(4000)[:, None] * np.array([3.0, 0])
    found = Detections(np.hstack([low, low + 2]), np.ones(4000, int), np.linspace(1, 0, 4000))
    assert len(suppress(found, 0.5, block=100)) == 4000
    assert sum(planted) < 8 * 4000


@pytest.mark.parametrize("most", [1, 7, 40])
def test_pairs_of_masks_are_cut_by_their_runs(monkeypatch, most):
    generator = np.random.default_rng(3)
    masks = from_crops([(0, 0, generator.random((k + 1, 12)) < 0.5) for k in range(9)])
    masks = masks.select(masks.counts > 0)
    found = Detections(masks.boxes, np.ones(len(masks), int), np.ones(len(masks)), None, masks)
    i, j = every_pair(len(masks))
    expected, shared, seen = common(found, i, j), overlaps._shared_runs, []

    def counted(masks, i, j, limits):
        seen.append((len(i), int((masks.counts[i] + masks.counts[j]).sum())))
        return shared(masks, i, j, limits)

    monkeypatch.setattr(overlaps, "RUNS", most)
    monkeypatch.setattr(overlaps, "_shared_runs", counted)
    assert np.array_equal(common(found, i, j), expected)
    largest = int((masks.counts[i] + masks.counts[j]).max())
    assert max(runs for _, runs in seen) < most + largest and len(seen) > 1
