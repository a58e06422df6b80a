"""Photos and uploaded networks in a worker, against the same models called directly."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from geodl_lab import photo_models
from geodl_lab.errors import CancelledError, ModelError, OptionError, RasterError
from geodl_lab.jobs import photo_works
from geodl_lab.jobs.photo_works import deploy_work, look, look_at, photo_of
from geodl_lab.jobs.recipes import Deploy, Look, Ref, from_json, to_json
from geodl_lab.jobs.resolved import Network, Resolved
from geodl_lab.packages.deepomatic import make_model
from geodl_lab.photo_answers import PhotoAnswer, answer_photo
from geodl_lab.photos import open_photo

PIXELS = np.random.default_rng(8).integers(0, 256, (60, 80, 3), dtype=np.uint8)
FILE = Ref("file", "image")


def saved(pixels=PIXELS):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


PHOTO = open_photo(saved())


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3)) / 255


def scripted(module):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module.eval()), buffer)
    return buffer.getvalue()


def preprocessing():
    image = {"target_size": "20x10", "resize_type": "SQUASH", "color_channels": "RGB"}
    image |= {"dimension_order": "NCHW", "data_type": "FLOAT32"}
    return {"inputs": [{"tensor_name": "data", "image": image}], "batched_output": True}


OUTPUTS = [
    {
        "labels": {
            "labels": [{"id": 10 + i, "name": name} for i, name in enumerate("abc")],
            "exclusive": False,
            "roi": "NONE",
        }
    }
]
READINGS = [{"classification": {"output_tensor": "prob", "thresholds": [0.4, 0.5, 0.6]}}]
SAID = {"outputs": OUTPUTS, "post_processings": READINGS}


def network_in(folder, content, *, framework="pytorch-2.x", name="model.pt", **said):
    folder.mkdir()
    (folder / name).write_bytes(content)
    text = json.dumps({**preprocessing(), **said})
    return Network(folder, framework, text, "network 3")


def photo_in(folder, *, model="aerial-scene", network=None, data=None, **asked):
    folder.mkdir(exist_ok=True)
    (folder / "image").write_bytes(saved() if data is None else data)
    recipe = from_json(to_json(Look(Ref("model", model), FILE, **asked)))  # as from the store
    return photo_of(recipe, Resolved(model=model, photo=folder / "image", network=network), folder)


def test_answers_are_those_of_the_model(tmp_path):
    for model in ("aerial-scene", "tree-crowns"):
        (values,) = look_at(photo_in(tmp_path, model=model), "cpu")["answers"]
        assert PhotoAnswer.from_dict(values) == answer_photo(PHOTO, model)


def test_parts_are_shares_of_the_photo(tmp_path):
    asked = {"area": (0.25, 0.1, 1, 0.9), "polygon": ((0.3, 0.2), (0.9, 0.2), (0.9, 0.9))}
    photo = photo_in(tmp_path, **asked, crop_background=True, arguments={"most": 2})
    (values,) = look_at(photo, "cpu")["answers"]
    corners = [(24, 12), (72, 12), (72, 54)]
    expected = answer_photo(PHOTO, "aerial-scene", area=(20, 6, 80, 54), polygon=corners, most=2)
    assert PhotoAnswer.from_dict(values) == expected


def test_what_is_not_sure_is_answered_where_it_is_asked_for(tmp_path):
    arguments = {"discarded": True, "most": 500}
    photo = photo_in(tmp_path, model="tree-crowns", arguments=arguments)
    (values,) = look_at(photo, "cpu")["answers"]
    expected = answer_photo(PHOTO, "tree-crowns", discard=0.025, most=500)
    assert PhotoAnswer.from_dict(values) == expected and expected.regions


def test_an_uploaded_network_is_its_model(tmp_path, models_folder):
    network = network_in(tmp_path / "network", scripted(Mean()))
    photo = photo_in(tmp_path / "job", model="", network=network, arguments=SAID)
    (values,) = look_at(photo, "cpu")["answers"]
    files = {"model.pt": (network.folder / "model.pt").read_bytes()}
    same = make_model(
        files, "pytorch-2.x", preprocessing(), OUTPUTS, READINGS, name="n", trust=False
    )
    assert PhotoAnswer.from_dict(values) == answer_photo(PHOTO, same)
    assert {one["label_id"] for one in values["labels"]} == {10, 11, 12}


def test_a_network_is_opened_once_for_many_photos(tmp_path, models_folder, monkeypatch):
    network = network_in(tmp_path / "network", scripted(Mean()))
    opened, own = [], photo_works._networks()
    real = own.open_network
    monkeypatch.setattr(own, "open_network", lambda *args: opened.append(1) or real(*args))
    photos = [
        photo_in(tmp_path / f"job{i}", model="", network=network, arguments=SAID) for i in range(3)
    ]
    assert all(answer.error is None for answer in look(photos, "cpu"))
    assert opened == [1]


def test_answers_come_in_the_order_of_the_photos(tmp_path):
    models = ["tree-crowns", "aerial-scene", "nope", "tree-crowns", "aerial-tags"]
    photos = [photo_in(tmp_path / f"job{i}", model=name) for i, name in enumerate(models)]
    (tmp_path / "job3" / "cancel").touch()
    answers = look(photos, "cpu")
    assert [type(answer.error) for answer in answers] == [
        type(None), type(None), ModelError, CancelledError, type(None),
    ]  # fmt: skip
    counts = [len(answers[i].value["answers"][0]["labels"]) for i in (0, 1, 4)]
    assert counts == [0, 4, 5]


def test_photos_of_one_model_are_a_batch(tmp_path, monkeypatch):
    sizes, own = [], photo_models.label_scores
    monkeypatch.setattr(
        photo_models,
        "label_scores",
        lambda some, *args, **kw: sizes.append(len(some)) or own(some, *args, **kw),
    )
    monkeypatch.setattr(photo_works, "SOME_PIXELS", 4 * PHOTO[0].size)
    pictures = [np.roll(PIXELS, i, axis=0)[: 30 + i] for i in range(9)]
    photos = [photo_in(tmp_path / f"job{i}", data=saved(one)) for i, one in enumerate(pictures)]
    answers = look(photos, "cpu")
    assert sizes == [8, 1]
    for picture, answer in zip(pictures, answers, strict=True):
        alone = answer_photo(open_photo(saved(picture)), "aerial-scene")
        assert PhotoAnswer.from_dict(answer.value["answers"][0]) == alone  # the same bits


def test_where_a_batch_fails_each_photo_is_by_itself(tmp_path):
    asked = [{}, {"area": (0.5, 0.5, 0.5, 0.6)}, {"arguments": {"thresholds": 3}}, {}]
    photos = [photo_in(tmp_path / f"job{i}", **one) for i, one in enumerate(asked)]
    assert [type(one.error) for one in look(photos, "cpu")] == [
        type(None), OptionError, OptionError, type(None),
    ]  # fmt: skip


@pytest.mark.parametrize(("data", "words"), [(b"", "empty"), (b"x", "no photo")])
def test_a_damaged_photo_says_so(tmp_path, data, words):
    with pytest.raises(RasterError, match=words):
        look_at(photo_in(tmp_path, data=data), "cpu")


def test_a_job_without_its_photo_says_so(tmp_path):
    recipe = Look(Ref("model", "m"), FILE)
    with pytest.raises(OptionError, match="came without its photo"):
        photo_of(recipe, Resolved(model="m", photo=tmp_path / "image"), tmp_path)


def deployed(tmp_path, network):
    work = deploy_work(Deploy(3), Resolved(network=network), tmp_path)
    assert work.missing().parts == ()
    return work.finish()


def test_a_deployment_opens_the_network(tmp_path, models_folder):
    result = deployed(tmp_path, network_in(tmp_path / "n", scripted(Mean())))
    assert result.messages == ("network 3 (pytorch-2.x) opens and can be used.",)


@pytest.mark.parametrize(
    ("framework", "name", "content", "words"),
    [
        ("tensorflow-1.x", "saved_model.pb", b"x", "is of tensorflow-1.x, which is not run here"),
        ("nv-caffe-0.x-mod", "snapshot.caffemodel", b"x", "nv-caffe-0.x-mod, which is not run"),
        ("pytorch-2.x", "other.pt", b"x", "framework pytorch-2.x needs a file 'model.pt'"),
        ("pytorch-2.x", "model.pt", b"x", "model.pt"),
        ("onnx-1.x", "model.onnx", b"x", "model.onnx"),
        ("esri-dlpk", "model.dlpk", b"x", "model.dlpk"),
        ("pytorch-9", "model.pt", b"x", "framework is 'pytorch-9'"),
    ],
)
def test_a_deployment_says_why_a_network_does_not_open(tmp_path, framework, name, content, words):
    network = network_in(tmp_path / "n", content, framework=framework, name=name)
    with pytest.raises(ModelError, match=words):
        deployed(tmp_path, network)
