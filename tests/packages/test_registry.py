import pytest
import torch

from geodl_lab import list_models, open_model
from geodl_lab.errors import ModelError, OptionError, TrustError
from geodl_lab.packages import install
from geodl_lab.packages.archives import Files
from geodl_lab.packages.registry import origin_of

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


def test_a_near_name_is_suggested(package, models_folder):
    with pytest.raises(ModelError, match=r"'naip-tree': .*; did you mean 'naip-trees'\?"):
        open_model("naip-tree")
    install(package(), name="fields")
    with pytest.raises(ModelError, match=r"installed are fields; did you mean 'fields'\?; or give"):
        open_model("field")
    assert list_models() == sorted([*BUNDLED, "fields"])


def test_addresses_are_to_be_downloaded_first():
    for address in ("https://example.org/a.onnx", "s3://bucket/a.dlpk", "HTTP:/x"):
        with pytest.raises(ModelError, match=r"is an address; download the model and give the fil"):
            open_model(address)


def test_facts_are_for_what_does_not_say_them(package):
    folder = package()
    for model in ("naip-trees", folder, open_model(folder)):
        with pytest.raises(OptionError, match="says itself what it wants and gives, so bands, win"):
            open_model(model, bands=["red"], window=64)


def test_a_path_is_trusted_by_its_hash(package):
    folder = package()
    sha256 = Files(folder).sha256
    assert open_model(folder, trust=sha256).name == "tiny"
    with pytest.raises(TrustError, match=f"the sha256 '{'1' * 64}', but .* '{sha256}'"):
        open_model(folder, trust="1" * 64)
    for trust in ("", "yes", None, 1):
        with pytest.raises(TrustError, match=r"is no sha256; give True.* the hash"):
            open_model(folder, trust=trust)


def test_a_name_goes_before_a_path(package, monkeypatch, tmp_path, models_folder):
    monkeypatch.chdir(tmp_path)
    install(package("a", version="3"), name="here")
    package("here")
    assert open_model("here").package.version == "3"
    assert open_model("./here").package.version == "1.0"


def test_where_a_model_is_from_is_told(package, models_folder):
    folder = package()
    assert origin_of("naip-trees") == {"where": "bundled"}
    assert origin_of(folder / "model.json") == {
        "format": "geodl model",
        "content_sha256": Files(folder).sha256,
        "where": str(folder / "model.json"),
    }
    one = install(folder, trust=True)
    assert origin_of("tiny@1.0") == one.origin and one.origin["trusted"]
    assert one.origin["format"] == "geodl model" and one.origin["where"] == str(one.folder)
