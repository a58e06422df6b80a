"""Uploaded programs run only where the operator installed the very same one with trust."""

import dataclasses
import hashlib
import io
import json
import zipfile

import pytest
import torch
from test_photo_works import OUTPUTS, READINGS, Mean, preprocessing, scripted

from geodl_lab.errors import ModelError, TrustError
from geodl_lab.jobs.networks import is_trusted, open_network, open_raw, try_network
from geodl_lab.jobs.resolved import Network
from geodl_lab.packages.store import install


def exported():
    """A program that torch exported: it runs its own code when it is opened."""
    buffer = io.BytesIO()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(
        Mean().eval(), (torch.zeros(2, 3, 10, 20),), dynamic_shapes=({0: batch},)
    )
    torch.export.save(program, buffer)
    return buffer.getvalue()


def zipped(folder):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    return buffer.getvalue()


@pytest.fixture
def network(tmp_path):
    folder = tmp_path / "network"
    folder.mkdir()
    (folder / "model.pt").write_bytes(exported())
    return Network(folder, "pytorch-2.x", json.dumps(preprocessing()), "3")


def test_a_program_needs_trust_of_its_very_hash(network, tmp_path, models_folder):
    for call in (try_network, lambda one: open_network(one, OUTPUTS, READINGS)):
        with pytest.raises(TrustError, match="trust"):
            call(network)
    assert not is_trusted(network)


@pytest.mark.parametrize(("same", "trust"), [(True, True), (True, False), (False, True)])
def test_trust_is_that_of_the_operator(network, package, models_folder, same, trust):
    folder = package()
    content = (network.folder / "model.pt").read_bytes()
    (folder / "program.pt2").write_bytes(content if same else content + b"x")
    install(str(folder), trust=trust)
    assert is_trusted(network) == (same and trust)
    if same and trust:
        try_network(network)
        ((model, _),) = open_network(network, OUTPUTS, READINGS)
        assert [one.value for one in model.package.classes] == [10, 11, 12]


def test_a_client_is_told_what_the_operator_does(network, models_folder):
    sha256 = hashlib.sha256((network.folder / "model.pt").read_bytes()).hexdigest()
    for call in (try_network, open_raw, lambda one: open_network(one, OUTPUTS, READINGS)):
        with pytest.raises(TrustError, match=f"start the server with --trust {sha256}$") as error:
            call(network)
        assert "trust=True" not in str(error.value)
    trusted = dataclasses.replace(network, trusted=("0" * 64, sha256))
    try_network(trusted)
    assert open_raw(trusted) and open_network(trusted, OUTPUTS, READINGS)
    assert not is_trusted(dataclasses.replace(network, trusted=("0" * 64,)))


def test_what_does_not_fit_is_said_without_options_of_python(tmp_path, models_folder):
    (tmp_path / "model.pt").write_bytes(scripted(Mean()))
    network = Network(tmp_path, "pytorch-2.x", json.dumps(preprocessing()), "3")
    labels = {"labels": [{"id": 1, "name": "a"}], "exclusive": True, "roi": "NONE"}
    with pytest.raises(ModelError, match=r"possible is one score a label$"):
        open_network(network, [{"labels": labels}], [{"classification": {"output_tensor": "p"}}])


def test_code_of_an_archive_is_worded_for_clients_too(tmp_path, models_folder):
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "own.py").write_text("class own:\n    pass\n")
    said = {
        "Framework": "PyTorch", "ModelType": "ObjectDetection", "InferenceFunction": "own.py",
        "ModelFile": "own.py", "ImageHeight": 64, "ImageWidth": 64, "ExtractBands": [0, 1, 2],
        "Classes": [{"Value": 1, "Name": "tree"}],
    }  # fmt: skip
    (folder / "own.emd").write_text(json.dumps(said))
    (tmp_path / "model.dlpk").write_bytes(zipped(folder))
    network = Network(tmp_path, "esri-dlpk", json.dumps(preprocessing()), "3")
    labels = {"labels": [{"id": 1, "name": "tree"}], "exclusive": True, "roi": "BBOX"}
    direct = {"scores_tensor": "s", "classes_tensor": "c", "boxes_tensor": "b"}
    version = [{"labels": labels}], [{"detection": {"direct_output": direct}}]
    for call in (try_network, open_raw, lambda one: open_network(one, *version)):
        with pytest.raises(TrustError, match=r"own Python code.*start the server with --trust"):
            call(network)


def test_an_archive_is_trusted_by_what_it_holds(package, tmp_path, models_folder):
    folder = package()
    (tmp_path / "model.dlpk").write_bytes(zipped(folder))
    network = Network(tmp_path, "esri-dlpk", json.dumps(preprocessing()), "3")
    install(str(folder), trust=False)
    assert not is_trusted(network)
    install(str(folder), trust=True)
    assert is_trusted(network)


def test_torchscript_that_only_computes_needs_none(tmp_path, models_folder):
    (tmp_path / "model.pt").write_bytes(scripted(Mean()))
    network = Network(tmp_path, "pytorch-2.x", json.dumps(preprocessing()), "3")
    assert not is_trusted(network)
    try_network(network)
    ((model, discard),) = open_network(network, OUTPUTS, READINGS)
    assert model.package.task == "recognize" and discard == 0.025
