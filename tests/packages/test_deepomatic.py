"""Deepomatic networks: each chain against the same steps by hand in numpy and PIL."""

import io
import pickle

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from torch import nn

from geodl_lab import from_torch
from geodl_lab.errors import ModelError, TrustError
from geodl_lab.packages.deepomatic import make_model, make_models
from geodl_lab.testing import RegionDetector, save_onnx

RNG = np.random.default_rng(3)
PIXELS = (RNG.random((37, 53, 3)) * 255).astype(np.uint8)
NAMES = ("red", "green", "blue")
PHOTO = xr.DataArray(
    np.moveaxis(PIXELS, -1, 0), dims=("band", "y", "x"), attrs={"long_name": NAMES}
)


def scripted(module):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module.eval()), buffer)
    return {"model.pt": buffer.getvalue()}


def preprocessing(*, constants=(), batched=True, **image):
    usual = {"target_size": "20x10", "resize_type": "SQUASH", "color_channels": "RGB"}
    inputs = [{"tensor_name": "data", "image": {**usual, **image}}]
    return {"inputs": [*inputs, *constants], "batched_output": batched}


def outputs(*names, exclusive=True, boxes=False, first=7):
    labels = [{"id": first + i, "name": name} for i, name in enumerate(names)]
    roi = "BBOX" if boxes else "NONE"
    return [{"labels": {"labels": labels, "exclusive": exclusive, "roi": roi}}]


def classification(**options):
    return [{"classification": {"output_tensor": "prob", **options}}]


def detection(kind, tensors, **options):
    return [{"detection": {kind: tensors, **options}}]


def model(files, pre=None, out=None, post=None, framework="pytorch-2.x", **options):
    pre, out = pre or preprocessing(), out or outputs("a", "b", "c")
    post = post or classification()
    return make_model(files, framework, pre, out, post, name="net", trust=True, **options)


def resized(width=20, height=10):
    """PIL's picture at the net's size, (y, x, 3) float."""
    image = Image.fromarray(PIXELS).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).astype(np.float64)


# What the network is fed


class Echo(nn.Module):
    """Scores are the means of what each channel shows, over 1000, whatever the order."""

    def __init__(self, axis: int):
        super().__init__()
        self.axis = axis

    def forward(self, data: torch.Tensor):
        x = data.float().transpose(1, self.axis).flatten(2)  # (N, C, ...)
        return x.mean(dim=2) / 1000 + 0.5


def scores(made):
    table = PHOTO.dl.recognize(made).sort_values("label_id")
    return table.score.to_numpy()


@pytest.mark.parametrize(("order", "axis"), [("NCHW", 1), ("NCWH", 1), ("NHWC", 3), ("NWHC", 3)])
def test_dimension_orders_and_scaling(order, axis):
    made = model(scripted(Echo(axis)), preprocessing(dimension_order=order, pixel_scaling="2.0"))
    expected = resized().mean(axis=(0, 1)) / 255 * 2 / 1000 + 0.5
    assert scores(made) == pytest.approx(expected, abs=1e-5)
    assert made.package.task == "recognize" and made.package.inputs.fit.kind == "squash"


class Shape(nn.Module):
    """Scores are the sides of what comes, over 100, and whether it is bytes."""

    def forward(self, data: torch.Tensor):
        sides = [data.shape[1] / 100, data.shape[2] / 100, data.shape[3] / 100]
        whole = 1.0 if data.dtype == torch.uint8 else 0.0
        return torch.tensor([[sides[0], sides[1], sides[2], whole]])


@pytest.mark.parametrize(
    ("options", "sides"),
    [
        ({}, (3, 10, 20, 0)),
        ({"dimension_order": "NHWC"}, (10, 20, 3, 0)),
        ({"dimension_order": "NWHC"}, (20, 10, 3, 0)),
        ({"dimension_order": "NCWH"}, (3, 20, 10, 0)),
        ({"data_type": "UINT8", "target_size": "20"}, (3, 20, 20, 100)),
        ({"color_channels": "L"}, (1, 10, 20, 0)),
        ({"resize_type": "NETWORK", "target_size": "30"}, (3, 21, 30, 0)),
        ({"resize_type": "CROP", "target_size": 16}, (3, 16, 16, 0)),
        ({"resize_type": "FILL", "target_size": "16x8"}, (3, 8, 16, 0)),
    ],
)
def test_what_a_network_is_fed(options, sides):
    made = model(scripted(Shape()), preprocessing(**options), outputs(*"abcd"))
    assert scores(made) == pytest.approx(np.array(sides) / 100)


def test_defaults_are_those_of_the_vendor():
    made = model(
        scripted(Echo(1)),
        {"inputs": [{"tensor_name": "data", "image": {"target_size": "20"}}]},
    )
    inputs = made.package.inputs
    assert inputs.bands == ("blue", "green", "red") and inputs.fit.kind == "network"
    assert inputs.scale == 1 and inputs.mean is None and inputs.dtype == "uint8"
    assert made.package.recognizer.thresholds == (0.025,) * 3
    tags = model(scripted(Echo(1)), out=outputs(*"abc", exclusive=False))
    assert tags.package.recognizer.thresholds == (0.5,) * 3


def npy(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def test_bgr_with_a_mean_a_channel():
    mean = np.array([10.0, 20.0, 30.0]).reshape(1, 1, 3)
    files = {**scripted(Echo(1)), "mean.npy": npy(mean)}
    made = model(files, preprocessing(color_channels="BGR", mean_file="mean.npy"))
    expected = (resized().mean(axis=(0, 1))[::-1] - mean.ravel()) / 1000 + 0.5
    assert scores(made) == pytest.approx(expected, abs=1e-4)
    assert made.package.inputs.mean == (10, 20, 30)


class Spread(nn.Module):
    """Scores are how far the pixels of each channel lie from 0, over 1000."""

    def forward(self, data: torch.Tensor):
        return data.abs().mean(dim=(2, 3)) / 1000


def test_a_mean_image_is_taken_off_pixel_by_pixel():
    mean = RNG.random((10, 20, 3)) * 200
    files = {**scripted(Spread()), "mean.npy": npy(mean)}
    made = model(files, preprocessing(mean_file="mean.npy"))
    expected = np.abs(resized() - mean).mean(axis=(0, 1)) / 1000
    assert scores(made) == pytest.approx(expected, abs=1e-3)
    with pytest.raises(ModelError, match=r"is 9 x 20 pixels and the network is fed 10 x 20"):
        model({**files, "mean.npy": npy(mean[:9])}, preprocessing(mean_file="mean.npy"))
    with pytest.raises(ModelError, match="10 x 20 or less"):
        model(files, preprocessing(mean_file="mean.npy", resize_type="NETWORK"))


def test_grey_is_luma():
    files = {**scripted(Echo(1)), "mean.npy": npy(np.array([40.0]))}
    made = model(
        files,
        preprocessing(color_channels="GRAY", mean_file="mean.npy"),
        outputs("grey"),
    )
    expected = (resized() @ [0.299, 0.587, 0.114]).mean() / 1000 - 0.04 + 0.5
    assert scores(made) == pytest.approx([expected], abs=1e-5)


class Sized(nn.Module):
    """Scores are the constants, over 100."""

    def forward(self, im_info: torch.Tensor, data: torch.Tensor):
        return im_info.reshape(-1, 3) / 100


def test_constants_are_sides_of_the_prepared_image():
    constant = {
        "tensor_name": "im_info",
        "constant": {"shape": [3], "data": ["data.1", "data.2", 1.5]},
    }
    made = model(scripted(Sized()), preprocessing(constants=[constant]))
    assert scores(made) == pytest.approx([0.10, 0.20, 0.015])  # by name, though data comes first


# What the network answers


class Named(nn.Module):
    def forward(self, data: torch.Tensor):
        x = data.mean(dim=(2, 3)) / 255
        return {"other": x * 0, "prob": x}


class Pair(nn.Module):
    def forward(self, data: torch.Tensor):
        x = data.mean(dim=(2, 3)) / 255
        return x, 1 - x


class Unbatched(nn.Module):
    def forward(self, data: torch.Tensor):
        return data.mean(dim=(2, 3))[0] / 255


def test_tensors_by_name_in_order_and_without_a_batch():
    expected = resized().mean(axis=(0, 1)) / 255
    assert scores(model(scripted(Named()))) == pytest.approx(expected, abs=1e-3)
    assert scores(model(scripted(Unbatched()), preprocessing(batched="False"))) == pytest.approx(
        expected, abs=1e-3
    )
    both = make_models(
        scripted(Pair()), "pytorch-2.x", preprocessing(), outputs(*"abc") * 2,
        [*classification(), {"classification": {"output_tensor": "second"}}],
        name="two", trust=True,
    )  # fmt: skip
    assert scores(both[1]) == pytest.approx(1 - expected, abs=1e-3)
    assert both[0].package.sha256 != both[1].package.sha256
    with pytest.raises(ModelError, match=r"answers 2 tensors without names, and .* name 1: prob"):
        model(scripted(Pair()))
    with pytest.raises(ModelError, match="answers 'other', 'prob', not 'x'"):
        model(scripted(Named()), post=[{"classification": {"output_tensor": "x"}}])
    with pytest.raises(ModelError, match=r"is \(3,\) an image and the specification has 2 labels"):
        model(scripted(Named()), out=outputs("a", "b"))


def test_label_ids_are_those_of_the_specification():
    made = model(scripted(Named()), out=outputs(*"abc", first=900))
    table = PHOTO.dl.recognize(made)
    assert sorted(table.label_id) == [900, 901, 902]
    many = outputs(*(f"label {i}" for i in range(1000)), first=0)
    assert len(PHOTO.dl.recognize(model(scripted(Wide()), out=many))) == 1000


class Wide(nn.Module):
    def forward(self, data: torch.Tensor):
        return torch.linspace(0, 1, 1000)[None].repeat(len(data), 1)


class Direct(nn.Module):
    """Boxes in 0..1 as TensorFlow's detection API names them, one label id a box."""

    def forward(self, data: torch.Tensor):
        boxes = [[0.1, 0.2, 0.5, 0.6], [0.12, 0.2, 0.5, 0.6], [0.5, 0.5, 1.0, 1.0],
                 [0.0, 0.0, 0.1, 0.1], [0.0, 0.0, 0.2, 0.2]]  # fmt: skip
        return {
            "detection_boxes": torch.tensor([boxes]),
            "detection_scores": torch.tensor([[0.9, 0.85, 0.3, 0.02, 0.99]]),
            "detection_classes": torch.tensor([[7.0, 7.0, 8.0, 8.0, 1.0]]),
        }


TENSORS = {
    "boxes_tensor": "detection_boxes:0",
    "scores_tensor": "detection_scores:0",
    "classes_tensor": "detection_classes:0",
}
OBJECTS = outputs("cat", "dog", boxes=True)


def found(made, **options):
    frame = PHOTO.dl.detect(made, **options)
    rows = zip(frame.label_id, frame.score, frame.bounds.to_numpy(), strict=True)
    return sorted((int(k), round(float(s), 4), tuple(np.round(b, 3))) for k, s, b in rows)


def in_pixels(x0, y0, x1, y1):
    """0..1 of the squashed image in pixels of the photo."""
    return tuple(np.round(np.array([x0 * 53, y0 * 37, x1 * 53, y1 * 37]), 3))


def test_direct_output():
    made = model(scripted(Direct()), out=OBJECTS, post=detection("direct_output", TENSORS))
    assert made.package.decoder.thresholds == (0.8, 0.8)
    cat = (7, 0.9, in_pixels(0.1, 0.2, 0.5, 0.6))
    dog = (8, 0.3, in_pixels(0.5, 0.5, 1, 1))
    assert found(made) == [cat]  # the second is the same object, by nms 0.3
    assert found(made, threshold=0.025) == [cat, dog]
    each = detection("direct_output", TENSORS, thresholds=[0.95, 0.1], nms_threshold=1)
    assert found(model(scripted(Direct()), out=OBJECTS, post=each)) == [dog]
    swapped = detection("direct_output", {**TENSORS, "box_order": "yxyx"})
    assert found(model(scripted(Direct()), out=OBJECTS, post=swapped)) == [
        (7, 0.9, in_pixels(0.2, 0.1, 0.6, 0.5))
    ]


class Rcnn(nn.Module):
    """Proposals in pixels with offsets, as Faster R-CNN of Caffe answers them."""

    def forward(self, data: torch.Tensor, im_info: torch.Tensor):
        rois = torch.tensor([[1.0, 2.0, 1.0, 8.0, 4.0], [1.0, 10.0, 2.0, 4.0, 6.0]])
        scores = torch.tensor([[0.05, 0.9, 0.05], [0.1, 0.05, 0.85]])
        offsets = torch.zeros(2, 12)
        offsets[0, 4:8] = torch.tensor([0.25, 0.5, 0.0, 0.6931472])
        offsets[1, 8:12] = torch.tensor([0.0, 0.0, -0.6931472, 0.0])
        return rois, scores, offsets


def test_anchored_output():
    info = {"tensor_name": "im_info", "constant": {"shape": [2], "data": ["data.1", "data.2"]}}
    tensors = {"anchors_tensor": "rois", "scores_tensor": "prob", "offsets_tensor": "pred"}
    post = detection("anchored_output", tensors, normalize_wrt_tensor="im_info")
    pre = preprocessing(constants=[info], batched=False)

    class Ordered(Rcnn):  # tensors without names come in the order scores, anchors, offsets
        def forward(self, data: torch.Tensor, im_info: torch.Tensor):
            rois = torch.tensor([[1.0, 2.0, 1.0, 8.0, 4.0], [1.0, 10.0, 2.0, 4.0, 6.0]])
            scores = torch.tensor([[0.05, 0.9, 0.05], [0.1, 0.05, 0.85]])
            offsets = torch.zeros(2, 12)
            offsets[0, 4:8] = torch.tensor([0.25, 0.5, 0.0, 0.6931472])
            offsets[1, 8:12] = torch.tensor([0.0, 0.0, -0.6931472, 0.0])
            return scores, rois, offsets

    made = model(scripted(Ordered()), pre, OBJECTS, post)
    # First: centre (6, 3) + (0.25 * 8, 0.5 * 4) = (8, 5), size 8 x 8, net of 20 x 10 pixels.
    # Second: centre (12, 5), size 2 x 6.
    assert found(made) == [
        (7, 0.9, in_pixels(4 / 20, 1 / 10, 12 / 20, 9 / 10)),
        (8, 0.85, in_pixels(11 / 20, 2 / 10, 13 / 20, 8 / 10)),
    ]


def grid_of(rows, columns, anchors, labels, objects):
    """A YOLO grid (rows, columns, A * (5 + L)) with some objects."""
    grid = np.full((rows, columns, anchors, 5 + labels), -9.0)
    for (y, x, a), numbers in objects.items():
        grid[y, x, a] = numbers
    return grid.reshape(rows, columns, -1)


class Grid(nn.Module):
    def __init__(self, grid):
        super().__init__()
        self.grid = nn.Parameter(torch.tensor(grid, dtype=torch.float32)[None])

    def forward(self, data: torch.Tensor):
        return self.grid


@pytest.mark.parametrize(
    ("order", "axes"),
    [("NHWC", (0, 1, 2)), ("NCHW", (2, 0, 1)), ("NCWH", (2, 1, 0)), ("NWHC", (1, 0, 2))],
)
def test_yolo_output(order, axes):
    objects = {(1, 2, 1): [0.4, -0.3, 0.2, 0.1, 3.0, 0.5, 4.0]}
    grid = grid_of(3, 4, 2, 2, objects).transpose(axes)
    post = detection("yolo_output", {"output_tensor": "out", "anchors": [1, 1, "1.5", 2]})
    net = scripted(Grid(np.ascontiguousarray(grid)))
    made = model(net, preprocessing(dimension_order=order), OBJECTS, post)

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    x, y = (2 + sigmoid(0.4)) / 4, (1 + sigmoid(-0.3)) / 3
    w, h = 1.5 * np.exp(0.2) / 4, 2 * np.exp(0.1) / 3
    share = np.exp(4) / (np.exp(4) + np.exp(0.5)) * sigmoid(3)
    # Boxes end at the image's edge.
    box = in_pixels(*np.clip([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 0, 1))
    ((label, score, bounds),) = found(made)
    assert label == 8 and score == pytest.approx(share, abs=1e-4)
    assert bounds == pytest.approx(box, abs=0.01)
    assert [one[0] for one in found(made, threshold=0.025)] == [7, 8]  # each label by itself


def test_boxes_that_are_none_are_told():
    class Broken(nn.Module):
        def forward(self, data: torch.Tensor):
            return torch.tensor([[[0.5, 0.5, 0.1, 0.1]]]), torch.tensor([[0.9]]), torch.ones(1, 1)

    post = detection(
        "direct_output", {"boxes_tensor": "b", "scores_tensor": "s", "classes_tensor": "c"}
    )

    class Sorted(nn.Module):  # in the order of the post-processing's tensors
        def forward(self, data: torch.Tensor):
            boxes = torch.tensor([[[0.5, 0.5, 0.1, 0.1]]])
            return torch.tensor([[0.9]]), torch.full((1, 1), 7.0), boxes

    with pytest.raises(ModelError, match=r"1 boxes of direct_output are none.*box_order"):
        model(scripted(Sorted()), out=OBJECTS, post=post)
    with pytest.raises(ModelError, match="does not fit direct_output with 2 labels"):
        model(scripted(Broken()), out=OBJECTS, post=post)


# The model as a whole


def test_models_travel_between_processes():
    made = model(scripted(Named()))
    again = pickle.loads(pickle.dumps(made))
    assert scores(again) == pytest.approx(scores(made))
    object.__setattr__(again, "network", pickle.loads(pickle.dumps(made.network)))
    assert scores(again) == pytest.approx(scores(made))


@pytest.mark.parametrize(
    ("framework", "file"),
    [
        ("tensorflow-1.x", "saved_model.pb"),
        ("tensorflow-2.x", "saved_model.pbtxt"),
        ("nv-caffe-0.x-mod", "snapshot.caffemodel"),
    ],
)
def test_foreign_networks_can_be_looked_at(framework, file):
    made = model({file: b"x"}, framework=framework)
    assert [label.name for label in made.package.classes] == ["a", "b", "c"]
    with pytest.raises(ModelError, match=r"is not run here; convert it to ONNX"):
        PHOTO.dl.recognize(made)


def test_frameworks_and_files():
    with pytest.raises(ModelError, match=r"framework is 'mxnet'; possible are pytorch-2.x"):
        model({}, framework="mxnet")
    with pytest.raises(
        ModelError, match=r"needs a file 'model\.pt' or 'model\.pt2'; the network has none"
    ):
        model({})
    with pytest.raises(ModelError, match="give a plain name"):
        model({"../model.pt": b""})
    with pytest.raises(ModelError):
        model({"model.pt": b"no torch"})
    with pytest.raises(ModelError, match="call make_models"):
        model(scripted(Named()), out=outputs(*"abc") * 2, post=classification() * 2)


def test_an_esri_package_needs_an_opener():
    with pytest.raises(ModelError, match="nothing was given that opens it"):
        model({"model.dlpk": b"x"}, framework="esri-dlpk", out=OBJECTS,
              post=detection("direct_output", TENSORS))  # fmt: skip
    inner = from_torch(RegionDetector(), "detect", bands=1, classes=["x", "y"], window=64)
    asked = []

    def opener(path, *, trust):
        asked.append((path.read_bytes(), trust))
        return inner

    made = model({"model.dlpk": b"x"}, framework="esri-dlpk", out=OBJECTS, opener=opener,
                 post=detection("direct_output", TENSORS, thresholds=[0.4, 0.6]))  # fmt: skip
    assert asked == [(b"x", True)]
    assert [label.value for label in made.package.classes] == [7, 8]
    assert made.package.decoder.thresholds == (0.4, 0.6) and made.name == "net"
    with pytest.raises(ModelError, match="made to detect 2 classes; the specification has 3"):
        model({"model.dlpk": b"x"}, framework="esri-dlpk", opener=opener)


def test_trust_is_asked_for():
    try:
        made = make_model(
            scripted(Named()), "pytorch-2.x", preprocessing(), outputs(*"abc"), classification(),
            name="net",
        )  # fmt: skip
    except TrustError:
        return
    assert made.package.name == "net"  # where TorchScript that only computes needs no trust


def test_what_is_given_in_the_wrong_form_is_named():
    for files, message in (
        (None, "are a NoneType; give their bytes by role"),
        ({1: b""}, "called 1; give a plain name"),
        ({"model.pt": "text"}, "'model.pt' of the network is a str; give its bytes"),
        (
            {"a.pt": b"x"},
            r"framework pytorch-2.x needs a file 'model.pt' or 'model.pt2'; the network has 'a.pt'",
        ),
    ):
        with pytest.raises(ModelError, match=message):
            model(files)
    with pytest.raises(ModelError, match=r"framework is \['x'\]; possible are"):
        model({"model.pt": b""}, framework=["x"])
    pre = preprocessing(mean_file="mean.npy")
    with pytest.raises(ModelError, match=r"mean_file of preprocessing needs a file 'mean.npy'"):
        model({"model.pt": b"x"}, pre)
    with pytest.raises(ModelError, match=r"needs a file 'saved_model.pb' or 'saved_model.pbtxt'"):
        model({"model.pt": b"x"}, framework="tensorflow-1.x")
    with pytest.raises(ModelError, match=r"thresholds is 0; possible is a list"):
        model({"model.pt": b"x"}, post=classification(thresholds=0))


class Exactly(nn.Module):
    """Answers the same scores for every picture."""

    def __init__(self, scores):
        super().__init__()
        self.scores = nn.Parameter(torch.tensor(scores))

    def forward(self, data: torch.Tensor):
        return self.scores[None].expand(data.shape[0], -1) + 0 * data.float().sum()


def test_a_score_that_is_the_threshold_is_not_predicted():
    made = model(scripted(Exactly([0.025, 0.03, 0.9])))  # 0.025 of float32 is more than 0.025
    table = PHOTO.dl.recognize(made).set_index("label")
    assert table.predicted.to_dict() == {"a": False, "b": True, "c": True}


class Means(nn.Module):
    """Scores are the shares of the channels."""

    def forward(self, data):
        return data.mean((2, 3)) / data.mean((2, 3)).sum(1, keepdim=True)


def test_onnx_networks_answer_by_the_names_of_the_graph(tmp_path):
    pytest.importorskip("onnxruntime")
    shape = (1, 3, 10, 20)
    save_onnx(Means(), tmp_path / "model.onnx", shape, free=(0,), outputs=["prob"])
    files = {"model.onnx": (tmp_path / "model.onnx").read_bytes()}
    expected = resized().mean((0, 1)) / resized().mean((0, 1)).sum()
    made = model(files, framework="onnx-1.x")
    assert scores(made) == pytest.approx(expected, abs=1e-2)
    with pytest.raises(ModelError, match="the network answers 'prob', not 'scores'"):
        model(
            files,
            post=[{"classification": {"output_tensor": "scores"}}],
            framework="onnx-1.x",
        )
