import pytest
import torch

from geodl_lab.errors import ModelError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("output/tasks", ["similarity-search"])], "are not one that can be run; possible"),
        ([("output/tasks", ["regression", "semantic-segmentation"])], "are not one that can"),
        ([("output/tasks", ["scene-classification"])], "contradict each other"),
        ([("output/result/shape", [-1, 4]),
          ("output/result/dim_order", ["batch", "class"])], "contradict each other"),
        ([("output/post_processing_function", {"format": "python", "expression": "os:abort"})],
         "post_processing_function 'os:abort' is code, which is never run"),
        ([("output/classification:classes", [])], "names no classes"),
        ([("output/classification:classes/0/value", 9)], "not in the order of their values"),
        ([("output/classification:classes/0/value", "0")], "needs a whole number there"),
        ([("output/classification:classes/0/color_hint", "red")], "the color '#red'"),
        ([("output/classification:classes/3", {"value": 5})], "value 5 has no name"),
    ],
)  # fmt: skip
def test_outputs_that_cannot_be_read_are_refused(opened, folder, changes, message):
    with pytest.raises(ModelError, match=message):
        opened(folder, *changes)


def test_classes_in_another_order_than_their_values_need_our_word(opened, folder):
    first = ("output/classification:classes/0/value", 9)
    ours = ("properties/geodl:package", {"values": [9, 1, 2, 5]})
    values = [label.value for label in opened(folder, first, ours).package.classes]
    assert values == [9, 1, 2, 5]


def test_whole_images_are_told_from_pixels_by_the_outputs_shape(opened, write_script, tmp_path):
    pooled = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1),
                                 torch.nn.Flatten())  # fmt: skip
    write_script(tmp_path, pooled)
    whole = [
        ("properties/mlm:tasks", ["classification"]),
        ("output/tasks", ["classification"]),
        ("output/result", {"shape": [-1, 4], "dim_order": ["batch", "class"]}),
    ]
    package = opened(tmp_path, *whole, ("input/resize_type", "interpolation-cubic")).package
    assert package.task == "recognize" and package.recognizer.activation == "softmax"
    fit = package.inputs.fit
    assert (fit.kind, fit.height, fit.width) == ("squash", 64, 64)
    crop = opened(tmp_path, *whole, ("input/resize_type", "crop")).package.inputs.fit
    assert crop.kind == "crop"
    assert opened(tmp_path, *whole).package.inputs.fit is None
    with pytest.raises(ModelError, match="does not say what whole images become"):
        opened(tmp_path, *whole, ("input/resize_type", "pad"))
    write_script(tmp_path, torch.nn.Sequential(pooled, torch.nn.Softmax(1)))
    assert opened(tmp_path, *whole).package.recognizer.activation == "none"


def test_regression_answers_values(opened, write_script, tmp_path):
    write_script(tmp_path, torch.nn.Conv2d(3, 2, 3, padding=1))
    package = opened(
        tmp_path,
        ("output/tasks", ["regression"]),
        ("output/result/shape/1", 2),
        ("output/classification:classes", ...),
    ).package
    assert package.task == "regress"
    assert [label.name for label in package.classes] == ["parcels_1", "parcels_2"]


class Boxes(torch.nn.Module):
    """One box around the whole window."""

    def forward(self, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        side, one = float(x.shape[3]), torch.ones(1)
        box = torch.tensor([[0.0, 0.0, side, side]])
        return [{"boxes": box, "labels": one.long(), "scores": one * 0.9} for _ in x]


def test_detectors_leave_the_background_out(opened, write_script, changed, tmp_path):
    write_script(tmp_path, Boxes())
    detect = [
        ("properties/mlm:tasks", ["object-detection"]),
        ("output/tasks", ["object-detection"]),
        ("output/classification:classes", [{"value": 0, "name": "background"},
                                              {"value": 1, "name": "tree"}]),
        ("output/result", {"shape": [-1, -1, 4], "dim_order": ["batch", "box", "corner"]}),
    ]  # fmt: skip
    package = opened(tmp_path, *detect).package
    assert [label.value for label in package.classes] == [1] and package.decoder.name == "boxes"
    ours = {"decoder": {"name": "boxes", "threshold": 0.7}}
    package = opened(tmp_path, *detect, ("properties/geodl:package", ours)).package
    assert package.decoder.threshold == 0.7
    outputs = changed(*detect)["properties"]["mlm:output"]
    scores = {**outputs[0], "name": "scores"}
    del scores["classification:classes"]
    several = ("properties/mlm:output", [scores, *outputs])
    assert len(opened(tmp_path, several, detect[0]).package.classes) == 1
    with pytest.raises(ModelError, match="count classes from 1"):
        opened(tmp_path, *detect, ("output/classification:classes/0/name", "shrub"))


class Rows(torch.nn.Module):
    """One box of cx, cy, w, h and one class, as YOLO lists them (N, A, 4 + K)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[[8.0, 8.0, 4.0, 4.0, 0.9]] * 9]).expand(x.shape[0], 9, 5)


def test_how_objects_are_read_can_be_said(opened, tmp_path, write_script):
    write_script(tmp_path, Rows())
    detect = [
        ("output/tasks", ["object-detection"]),
        ("output/classification:classes", [{"value": 1, "name": "tree"}]),
        ("output/result", {"shape": [-1, 9, 5], "dim_order": ["batch", "box", "row"]}),
    ]
    with pytest.raises(ModelError, match=r'"geodl:package": {"decoder": {"name": "yolo"}}'):
        opened(tmp_path, *detect)
    ours = ("properties/geodl:package", {"decoder": {"name": "yolo", "nms": 0.4}})
    assert opened(tmp_path, *detect, ours).package.decoder.layout == "channels_last"
