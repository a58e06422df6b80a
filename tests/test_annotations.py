"""Pictures of answers: what is drawn where, on small and large photos."""

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from geodl_lab.annotations import COLORMAP, annotate, heat_map, to_png
from geodl_lab.package import LabelClass
from geodl_lab.photo_answers import PhotoAnswer, Region, Scored

LEGEND = (LabelClass(1, "tree", "#ff0000"), LabelClass(2, "car", "#0000ff"))


def scored(label="tree", score=0.5):
    return Scored(1 if label == "tree" else 2, label, score, 0.25, True)


def grey(height, width, value=100):
    return np.full((height, width, 3), value, np.uint8)


def changed(photo, image):
    return (np.asarray(image) != photo).any(axis=-1)


def test_a_box_is_drawn_at_its_edges_and_named_above():
    photo, region = grey(200, 300), Region(0, 100, 80, 160, 140, (scored(),))
    image = np.asarray(annotate(photo, PhotoAnswer((200, 300), (), (region,), legend=LEGEND)))
    red = (image == (255, 0, 0)).all(axis=-1)
    for y, x in ((80, 130), (139, 130), (110, 100), (110, 159)):
        assert red[y, x]
    assert (image[100:130, 115:145] == 100).all()
    above = (image[60:78, 100:160] != 100).any(axis=-1)
    assert above.mean() > 0.3  # the name
    assert (image[150:] == 100).all() and (image[:, :90] == 100).all()
    assert (photo == 100).all()  # what was given is left alone


def test_every_object_is_drawn():
    regions = tuple(Region(i, 20 + 60 * i, 50, 60 + 60 * i, 90, (scored(),)) for i in range(3))
    image = np.asarray(
        annotate(grey(120, 220), PhotoAnswer((120, 220), (), regions, legend=LEGEND))
    )
    assert [tuple(image[70, 20 + 60 * i]) for i in range(3)] == [(255, 0, 0)] * 3


def test_own_colors_go_before_the_legends():
    region = Region(0, 10, 10, 60, 60, (scored(),))
    answer = PhotoAnswer((80, 80), (), (region,), legend=LEGEND)
    image = np.asarray(annotate(grey(80, 80), answer, colors={"tree": "#00ff00"}))
    assert tuple(image[40, 10]) == (0, 255, 0)


def test_names_do_not_cover_each_other():
    regions = tuple(Region(i, 50 + i, 50, 90 + i, 90, (scored(),)) for i in range(4))
    answer = PhotoAnswer((200, 200), (), regions, legend=LEGEND)
    one = PhotoAnswer((200, 200), (), regions[:1], legend=LEGEND)
    photo = grey(200, 200)
    names = [changed(photo, annotate(photo, many))[36:48, 150:].any() for many in (answer, one)]
    rows = [changed(photo, annotate(photo, many))[30:47].sum() for many in (answer, one)]
    assert names == [False, False] and rows[0] == rows[1]


def test_classes_cover_the_photo_in_their_colours():
    classes = np.full((200, 200), 255, np.uint8)
    classes[:, 100:] = 2
    answer = PhotoAnswer((200, 200), classes=classes, fill=255, legend=LEGEND)
    image = np.asarray(annotate(grey(200, 200), answer))
    assert (image[100:, :100] == 100).all()
    assert np.abs(image[150, 150].astype(int) - (55, 55, 170)).max() <= 1  # 0.45 of blue
    assert changed(grey(200, 200), image)[:10, :30].all()  # the legend


def test_masks_are_filled_and_rotated_boxes_are_not():
    ring = ((20.0, 20.0), (60.0, 20.0), (60.0, 60.0), (20.0, 60.0))
    middles = []
    for area in (1600.0, None):
        region = Region(0, 20, 20, 60, 60, (scored(),), area=area, outline=ring)
        image = annotate(grey(100, 100), PhotoAnswer((100, 100), (), (region,), legend=LEGEND))
        middles.append(np.asarray(image)[50, 40].tolist())
    assert middles[0] != [100] * 3 and middles[1] == [100] * 3


def test_labels_of_the_whole_photo_stand_in_the_corner():
    answer = PhotoAnswer((200, 300), (scored(),), legend=LEGEND)
    places = changed(grey(200, 300), annotate(grey(200, 300), answer))
    assert places[:10, :40].all() and not places[60:].any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (20, 20), (1200, 1600)])
def test_any_size_is_drawn(shape):
    photo, (height, width) = grey(*shape), shape
    region = Region(0, width / 4, height / 4, width, height, (scored(score=1.0),))
    for answer in (
        PhotoAnswer(shape, (scored(),), legend=LEGEND),
        PhotoAnswer(shape, (), (region, Region(1, 0, 0, 0, 0, ())), legend=LEGEND),
        PhotoAnswer(shape, (), (), np.ones(shape, np.uint8), 255, legend=LEGEND),
        PhotoAnswer(shape, scores=np.full(shape, 0.5, np.float32)),
        PhotoAnswer(shape),
    ):
        assert annotate(photo, answer).size == heat_map(answer).size == (width, height)


def test_probabilities_become_colours_of_a_perceptual_map():
    scores = np.array([[0, 0.25, 1], [np.nan, 2, -1]], np.float32)
    image = np.asarray(heat_map(PhotoAnswer((2, 3), scores=scores)).convert("RGB"))
    wanted = matplotlib.colormaps[COLORMAP](np.array([[0, 64, 255], [0, 255, 0]]))[..., :3] * 255
    assert np.abs(image - wanted).max() <= 1
    lightness = image[0].astype(int).sum(axis=-1)
    assert (np.diff(lightness) > 0).all()


def test_of_objects_the_best_over_each_pixel_counts():
    regions = (
        Region(0, 2, 2, 6, 6, (scored(score=1.0),)),
        Region(1, 0, 0, 4, 4, (scored(score=0.4),)),
    )
    values = np.asarray(heat_map(PhotoAnswer((8, 8), (), regions)))
    assert values[3, 3] == 255 and values[1, 1] == 102 and values[7, 7] == 0
    assert (values > 0).sum() == 16 + 16 - 4


def test_of_a_label_the_whole_photo_has_its_score():
    values = np.asarray(heat_map(PhotoAnswer((4, 5), (scored(score=0.2),))))
    assert values.shape == (4, 5) and (values == 51).all()


def test_a_picture_as_png():
    photo = np.random.default_rng(1).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(to_png(Image.fromarray(photo)))) as image:
        assert image.format == "PNG" and (np.asarray(image) == photo).all()


def test_the_best_label_of_a_small_photo_can_be_read():
    labels = (scored(score=0.96), scored("a long name of another label", 0.5))
    answer = PhotoAnswer((64, 64), labels, legend=LEGEND)
    places = changed(grey(64, 64), annotate(grey(64, 64), answer))
    assert places[:8, :40].all() and not places[20:].any()


def test_a_legend_never_covers_most_of_a_photo():
    legend = tuple(LabelClass(i, f"more of class {i}", "#ff0000") for i in range(5))
    classes = np.full((64, 64), 255, np.uint8)
    classes[60:, :5] = range(5)
    answer = PhotoAnswer((64, 64), classes=classes, fill=255, legend=legend)
    assert not changed(grey(64, 64), annotate(grey(64, 64), answer))[:60].any()


def test_a_name_that_has_no_room_above_stands_below():
    regions = tuple(Region(i, 50 + i, 50, 90 + i, 90, (scored(),)) for i in range(2))
    answers = [PhotoAnswer((200, 200), (), regions[:n], legend=LEGEND) for n in (1, 2)]
    below = [changed(grey(200, 200), annotate(grey(200, 200), one))[94:104] for one in answers]
    assert not below[0].any() and below[1].any()
