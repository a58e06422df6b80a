import pickle
import re

import pytest
import torch

from geodl_lab.errors import ModelError
from geodl_lab.packages.emd_keys import Emd
from geodl_lab.packages.emd_refusals import is_learn
from geodl_lab.runtime import Closed, open_session

IN_ARCGIS = "[Functions]System\\DeepLearning\\ArcGISLearn\\ArcGISImageClassifier.py"
PICKLE = pickle.dumps({"model": [1, 2, 3]})


def reason(model):
    """Why a model does not run; it opened all the same."""
    assert isinstance(model.network, Closed) and model._repr_html_()
    with pytest.raises(ModelError) as raised:
        open_session(model, device="cpu", precision="fp32", threads=1)
    return str(raised.value)


@pytest.mark.parametrize(
    ("framework", "file", "message"),
    [
        ("TensorFlow", "net.pb", "TensorFlow is not run here; convert .* ONNX with tf2onnx, name"),
        ("Keras", "net.h5", "Keras is not run here; .*tf2onnx.*set Framework to 'Onnx'"),
        ("CNTK", "net.model", "CNTK is not run here; .*CNTK's own"),
        (None, "net.hdf5", "Keras is not run here"),
        (None, "net.cntk", "CNTK is not run here"),
        ("PyTorch", "net.h5", "are a pickle, which needs the code"),
    ],
)
def test_other_frameworks_open_and_name_the_way_out(esri, tmp_path, framework, file, message):
    path = esri.write(
        tmp_path / "a", b"weights", weights_name=file, Framework=framework, ModelFile=".\\" + file
    )
    model = esri.read(path, trust=False)
    assert model.package.classes[1].name == "road" and model.package.window == 32
    assert re.search(message, reason(model))


def test_what_is_not_run_here_need_not_have_its_weights(esri, tmp_path):
    """As Esri's samples, whose weights are other downloads; those of others are missed."""
    for more in ({}, {"InferenceFunction": ".\\None.py"}):
        path = esri.write(tmp_path / "a", Framework="TensorFlow", ModelFile=".\\n.pb", **more)
        model = esri.read(path, trust=True)
        assert model.package.sha256 and "TensorFlow is not run here" in reason(model)
    (tmp_path / "a" / "None.py").write_text("raise SystemExit")
    assert re.search(
        "its own Python code .* TensorFlow is not run here", reason(esri.read(path, trust=False))
    )
    with pytest.raises(ModelError, match=r"'none\.pt' is missing"):
        esri.read(esri.write(tmp_path / "b", ModelFile="none.pt"))
    with pytest.raises(ModelError, match="outside its own folder"):
        esri.read(esri.write(tmp_path / "c", Framework="CNTK", ModelFile="..\\none.model"))


@pytest.mark.parametrize("kind", ["Pix2Pix", "ImageCaptioner", "PanopticSegmentation"])
def test_other_model_types_open_and_name_what_is_possible(esri, tmp_path, kind):
    model = esri.read(esri.write(tmp_path / "a", drop=["Classes"], ModelType=kind), trust=False)
    assert f"its ModelType is '{kind}'; possible are ImageClassification" in reason(model)


@pytest.mark.parametrize(
    "keys",
    [
        {"Framework": "arcgis.learn.models._inferencing"},
        {"InferenceFunction": IN_ARCGIS},
        {"ArcGISLearnVersion": "2.3.0"},
    ],
)
def test_what_is_built_into_arcgis(esri, tmp_path, keys):
    """Pickles are refused; TorchScript runs, and arcgis.learn's background comes first."""
    path = esri.write(tmp_path / "a", PICKLE, weights_name="t.pth", ModelFile="t.pth", **keys)
    text = reason(esri.read(path, trust=False))
    assert "'t.pth' are a pickle" in text and "framework='torchscript'" in text
    path = esri.write(tmp_path / "b", esri.scores(classes=3), drop=["DataRange"], **keys)
    package = esri.read(path).package
    assert [label.value for label in package.classes] == [0, 1, 4]
    assert package.inputs.mean == pytest.approx((0.485, 0.456, 0.406))
    path = esri.write(tmp_path / "c", esri.scores(classes=2), drop=["DataRange"], **keys)
    assert [label.value for label in esri.read(path).package.classes] == [1, 4]  # as it lists them
    path = esri.write(tmp_path / "d", esri.scores(classes=5), drop=["DataRange"], **keys)
    with pytest.raises(ModelError, match="answers 5 channels and 3 classes are named"):
        esri.read(path)


def test_the_same_weights_beside_a_pickle_are_run(esri, tmp_path):
    path = esri.write(tmp_path / "a", PICKLE, weights_name="tiny.pth", ModelFile="tiny.pth")
    (path.parent / "tiny-cpu.pt").write_bytes(esri.scores())
    assert isinstance(esri.read(path).network, torch.jit.ScriptModule)


def test_a_pickle_of_somebody_else_is_left_to_the_weights_reader(esri, tmp_path):
    path = esri.write(tmp_path / "a", PICKLE, weights_name="t.pth", ModelFile="t.pth")
    with pytest.raises(ModelError):
        esri.read(path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"ignore_mapped_class": [1]}, "ignores classes"),
        ({"ModelName": "SingleShotDetector", "ArcGISLearnVersion": "2.0"}, "offsets of anchors"),
    ],
)
def test_what_other_code_does_after_the_network_is_refused(esri, tmp_path, keys, message):
    assert message in reason(esri.read(esri.write(tmp_path / "a", **keys), trust=False))


def test_who_wrote_a_description():
    assert is_learn(Emd("a", {"InferenceFunction": ".\\ArcGISObjectDetector.py"}))
    assert not is_learn(Emd("a", {"Framework": "PyTorch", "InferenceFunction": "Mine.py"}))
