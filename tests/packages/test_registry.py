import pytest
import torch

from geodl_lab import list_models, open_model
from geodl_lab.errors import ModelError

BUNDLED = [
    "aerial-landcover", "aerial-scene", "aerial-tags", "naip-landcover", "naip-trees",
    "tree-crowns",
]  # fmt: skip


def test_bundled_models_open_by_name():
    assert list_models() == BUNDLED
    for name in BUNDLED:
        assert open_model(name).package.name == name


def test_a_model_is_opened_once_a_process():
    assert open_model("naip-trees") is open_model("naip-trees")
    assert open_model(open_model("naip-trees")) is open_model("naip-trees")


def test_unknown_models_are_named(tmp_path):
    with pytest.raises(
        ModelError, match=r"no model 'nope': bundled are aerial-landcover, aerial-s"
    ):
        open_model("nope")
    for name in (None, 123, "x" * 5000):
        with pytest.raises(ModelError, match="there is no model"):
            open_model(name)
    with pytest.raises(ModelError, match="is no model package"):
        open_model(tmp_path)
    file = tmp_path / "weights.pkl"
    file.touch()
    with pytest.raises(ModelError, match="is no model package"):
        open_model(file)
    with pytest.raises(ModelError, match=r"bare module.*from_torch"):
        open_model(torch.nn.ReLU())
