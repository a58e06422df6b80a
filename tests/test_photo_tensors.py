"""Tensors of networks against the same steps with torch and PIL."""

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from torch import nn

import geodl_lab
from geodl_lab.errors import ModelError, RunError
from geodl_lab.packages.archives import Files
from geodl_lab.packages.deepomatic import raw_model
from geodl_lab.photo_answers import answer_photo
from geodl_lab.photo_tensors import tensors
from geodl_lab.testing import save_onnx

PIXELS = (np.random.default_rng(3).random((37, 53, 3)) * 255).astype(np.uint8)
PHOTO = xr.DataArray(
    np.moveaxis(PIXELS, -1, 0), dims=("band", "y", "x"),
    attrs={"long_name": ("red", "green", "blue")},
)  # fmt: skip
PREPROCESSING = {
    "inputs": [
        {
            "tensor_name": "data",
            "image": {"target_size": "20x10", "resize_type": "SQUASH", "color_channels": "RGB"},
        }
    ]
}
RESIZED = np.asarray(
    Image.fromarray(PIXELS).resize((20, 10), Image.Resampling.BILINEAR)
).transpose(2, 0, 1)  # fmt: skip


class Named(nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"mean": x.mean((2, 3)), "image": x}


class Plain(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


class Two(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.mean((2, 3)), x.amax((2, 3))


class Unbatched(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[0].mean((1, 2))


class Endless(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) / 0


def answered(folder, module, names, **preprocessing):
    torch.jit.script(module.eval()).save(folder / "model.pt")
    said = {**PREPROCESSING, **preprocessing}
    model = raw_model(Files(folder), "pytorch-2.x", said, name="net")
    return tensors(PHOTO, model, names=names, device="cpu")


def test_tensors_by_name_are_flat_with_their_shape(tmp_path):
    mean, image = answered(tmp_path, Named(), ["mean", "image"])
    assert (mean["name"], mean["shape"]) == ("mean", [1, 3])
    assert mean["data"] == pytest.approx(RESIZED.mean((1, 2)), abs=0.5)
    assert image["shape"] == [1, 3, 10, 20]
    found = np.array(image["data"]).reshape(image["shape"])[0]
    np.testing.assert_allclose(found, RESIZED, atol=1.01)  # PIL rounds


def test_without_names_they_are_in_the_order_asked(tmp_path):
    (mean,) = answered(tmp_path, Plain(), ["prob"])
    assert mean["data"] == pytest.approx(RESIZED.mean((1, 2)), abs=0.5)
    first, second = answered(tmp_path, Two(), ["a", "b"])
    assert (first["name"], second["name"]) == ("a", "b")
    assert second["data"] == pytest.approx(RESIZED.max((1, 2)), abs=1.01)


def test_a_network_without_a_batch(tmp_path):
    (mean,) = answered(tmp_path, Unbatched(), ["prob"], batched_output=False)
    assert mean["shape"] == [1, 3]
    assert mean["data"] == pytest.approx(RESIZED.mean((1, 2)), abs=0.5)


def test_onnx_answers_by_the_names_of_its_graph(tmp_path):
    pytest.importorskip("onnxruntime")
    save_onnx(Plain(), tmp_path / "model.onnx", (1, 3, 10, 20), free=(0,), outputs=["prob"])
    model = raw_model(Files(tmp_path), "onnx-1.x", PREPROCESSING, name="net")
    (mean,) = tensors(PHOTO, model, names=["prob"], device="cpu")
    assert mean["data"] == pytest.approx(RESIZED.mean((1, 2)), abs=0.5)
    with pytest.raises(ModelError, match="answers 'prob', not 'other'"):
        tensors(PHOTO, model, names=["other"], device="cpu")


def test_a_bundled_model_answers_before_its_activation():
    model = geodl_lab.open_model("aerial-scene")
    (output,) = tensors(PHOTO, model, names=["output"], device="cpu")
    found = torch.tensor(output["data"]).softmax(0).tolist()
    labels = {one.label_id: one.score for one in answer_photo(PHOTO, model, device="cpu").labels}
    assert found == pytest.approx([labels[id] for id in sorted(labels)], abs=1e-5)


@pytest.mark.parametrize(
    ("module", "names", "words"),
    [
        (Named(), ["scores"], "answers 'mean', 'image', not 'scores'"),
        (Two(), ["a"], "2 tensors without names, and output_tensors names 1"),
        (Endless(), ["a"], "not finite"),
    ],
)
def test_what_cannot_be_answered(tmp_path, module, names, words):
    with pytest.raises((ModelError, RunError), match=words):
        answered(tmp_path, module, names)


def test_no_more_numbers_than_json_should_hold(tmp_path, monkeypatch):
    monkeypatch.setattr("geodl_lab.photo_tensors.MOST", 100)
    with pytest.raises(RunError, match="600 numbers and 100 are answered"):
        answered(tmp_path, Named(), ["image"])


def test_networks_that_are_not_run(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(ModelError, match="is not run here; convert it"):
        raw_model(Files(tmp_path), "tensorflow-1.x", PREPROCESSING, name="net")
