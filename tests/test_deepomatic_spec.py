"""Every field of Deepomatic's JSON: what is possible, and what the message names."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodl_lab.deepomatic_spec import (
    check_outputs,
    check_post_processings,
    check_preprocessing,
)
from geodl_lab.errors import ModelError
from geodl_lab.inputs import Fit

PREPROCESSING = {
    "inputs": [
        {
            "tensor_name": "data",
            "image": {
                "dimension_order": "NCHW", "target_size": "224x112", "resize_type": "SQUASH",
                "mean_file": "mean.binaryproto", "color_channels": "BGR", "pixel_scaling": 255.0,
                "data_type": "FLOAT32",
            },
        },
        {"tensor_name": "im_info", "constant": {"shape": [3], "data": ["data.1", "data.2", 1.0]}},
    ],
    "batched_output": True,
}  # fmt: skip
OUTPUTS = [
    {"labels": {"labels": [{"id": 0, "name": "hot dog"}, {"id": 5, "name": "other"}],
                "exclusive": True, "roi": "NONE"}},
    {"labels": {"labels": [{"id": 0, "name": "hot dog"}], "exclusive": True, "roi": "BBOX"}},
]  # fmt: skip
POSTS = [
    {"classification": {"output_tensor": "prob", "thresholds": [0.1, "0.2"]}},
    {"detection": {"yolo_output": {"output_tensor": "out", "anchors": [1.0, 2, 3, 4]},
                   "nms_threshold": 0.4}},
]  # fmt: skip


def changed(value, path, new):
    value = copy.deepcopy(value)
    *start, last = path
    inner = value
    for key in start:
        inner = inner[key]
    if new is None:
        del inner[last]
    else:
        inner[last] = new
    return value


def test_preprocessing():
    checked = check_preprocessing(PREPROCESSING)
    assert checked.image.fit == Fit("squash", 112, 224)
    assert checked.image.mean_file == "mean.binaryproto" and checked.batched
    assert checked.inputs[1].data == ("data.1", "data.2", 1.0)
    text = changed(PREPROCESSING, ("batched_output",), "False")
    assert check_preprocessing(text).batched is False


IMAGE = ("inputs", 0, "image")


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        ((*IMAGE, "resize_type"), "STRETCH",
         r"preprocessing\.inputs\[0\]\.image\.resize_type is 'STRETCH'; possible are NETWORK, SQ"),
        ((*IMAGE, "dimension_order"), "CHW", r"dimension_order is 'CHW'; possible are NCHW"),
        ((*IMAGE, "color_channels"), ["RGB"], r"color_channels is \['RGB'\]; possible are BGR"),
        ((*IMAGE, "data_type"), "INT8", "data_type is 'INT8'; possible are FLOAT32, UINT8"),
        ((*IMAGE, "target_size"), None, "target_size is None; possible is 'WIDTHxHEIGHT'"),
        ((*IMAGE, "target_size"), "0x5", "target_size is '0x5'"),
        ((*IMAGE, "target_size"), "99999", "target_size is '99999'.*from 1 to 8192"),
        ((*IMAGE, "target_size"), True, "target_size is True"),
        ((*IMAGE, "pixel_scaling"), "much", "pixel_scaling is 'much'; possible is a number above"),
        ((*IMAGE, "pixel_scaling"), -1, "pixel_scaling is -1; possible is a number above 0"),
        ((*IMAGE, "mean_file"), 3, "mean_file is 3; possible is a name"),
        ((*IMAGE, "size"), "8", "image has the unknown key 'size'; possible are color_channels"),
        (("inputs", 0, "tensor_name"), "", r"inputs\[0\]\.tensor_name is ''; possible is a name"),
        (("inputs", 0, "image"), None, r"inputs\[0\] must have exactly one of image and constant"),
        (("inputs", 1, "tensor_name"), "data", "names a tensor twice"),
        (("inputs", 1, "constant", "shape"), [2], "data has 3 numbers for the shape"),
        (("inputs", 1, "constant", "data"), ["data.7", 1, 2], "names 'data.7'; possible are"),
        (("inputs", 1, "constant", "data"), ["x", 1, 2], r"constant\.data is 'x'"),
        (("inputs",), [], r"preprocessing\.inputs is \[\]; possible is a list"),
        (("batched_output",), "maybe", "batched_output is 'maybe'; possible are true"),
    ],
)  # fmt: skip
def test_fields_of_preprocessing_are_named(path, new, message):
    with pytest.raises(ModelError, match=message):
        check_preprocessing(changed(PREPROCESSING, path, new))


def test_exactly_one_image():
    inputs = PREPROCESSING["inputs"]
    with pytest.raises(ModelError, match="has 0 images"):
        check_preprocessing({"inputs": inputs[1:]})
    with pytest.raises(ModelError, match="has 2 images"):
        check_preprocessing({"inputs": [inputs[0], {**inputs[0], "tensor_name": "b"}]})


def test_outputs_and_post_processings():
    labels = check_outputs(OUTPUTS)
    assert labels[0].ids == (0, 5) and not labels[0].boxes and labels[1].boxes
    first, second = check_post_processings(POSTS, labels)
    assert first.thresholds == (0.1, 0.2) and first.tensors == ("prob",)
    assert second.thresholds == (0.8,) and (second.nms, second.discard) == (0.4, 0.025)
    assert second.anchors == ((1, 2), (3, 4))


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        ((0, "labels", "labels", 1, "id"), 0, "gives two labels the same id"),
        ((0, "labels", "labels", 1, "id"), 1.5, r"labels\.labels\[1\]\.id is 1.5; possible are wh"),
        ((0, "labels", "labels", 1, "id"), -1, r"labels\[1\]\.id is -1"),
        ((0, "labels", "labels", 1, "name"), 3, r"labels\[1\]\.name is 3; possible is a name"),
        ((0, "labels", "labels"), {}, r"outputs\[0\]\.labels\.labels is {}; possible is a list"),
        ((0, "labels", "roi"), "MASK", "roi is 'MASK'; possible are NONE, BBOX"),
        ((0, "labels"), None, r"outputs\[0\] has no labels"),
    ],
)
def test_fields_of_outputs_are_named(path, new, message):
    with pytest.raises(ModelError, match=message):
        check_outputs(changed(OUTPUTS, path, new))


DETECTION = (1, "detection")


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        ((0, "classification", "thresholds"), [0.1], "thresholds has 1 numbers for 2 labels"),
        ((0, "classification", "thresholds"), [0.1, 2], "thresholds is 2; possible are numbers fr"),
        ((0, "classification", "output_tensor"), None, "output_tensor is None; possible is a name"),
        (
            (0, "classification"),
            None,
            r"post_processings\[0\] has nothing; the output's roi is NON",
        ),
        ((*DETECTION, "yolo_output"), None, "must have exactly one of anchored_output, direct"),
        ((*DETECTION, "yolo_output", "anchors"), [1], "anchors has 1 numbers; possible are pairs"),
        ((*DETECTION, "nms_threshold"), 7, r"detection\.nms_threshold is 7; possible are numbers"),
        ((*DETECTION, "discard_threshold"), "x", "discard_threshold is 'x'"),
        ((*DETECTION, "direct_output"), {}, "must have exactly one of"),
        ((1,), POSTS[0], "the output's roi is BBOX, so it must have detection alone"),
    ],
)
def test_fields_of_post_processings_are_named(path, new, message):
    with pytest.raises(ModelError, match=message):
        check_post_processings(changed(POSTS, path, new), check_outputs(OUTPUTS))


def test_one_post_processing_for_each_output():
    with pytest.raises(ModelError, match="has 1 entries for 2 outputs"):
        check_post_processings(POSTS[:1], check_outputs(OUTPUTS))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
PATHS = st.sampled_from(
    [(key,) for key in PREPROCESSING]
    + [("inputs", i) for i in (0, 1)]
    + [("inputs", 0, "image", key) for key in PREPROCESSING["inputs"][0]["image"]]
    + [("inputs", 1, "constant", key) for key in ("shape", "data")]
)


@given(PATHS, JSON)
def test_no_json_raises_anything_else(path, new):
    given_ = copy.deepcopy(PREPROCESSING)
    inner = given_
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    for check in (check_preprocessing, check_outputs):
        try:
            check(given_ if check is check_preprocessing else [new])
        except ModelError as error:
            assert len(str(error)) < 600
