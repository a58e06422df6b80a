"""What requests for inference ask for, in every way in which an image can be sent."""

import base64
import json
from urllib.parse import quote_from_bytes

import pytest

from geodl_lab.jobs.recipes import Ref

PATH = "/recognition/public/tree-crowns/inference"


@pytest.fixture
def infer(client, core):
    """Send a request that must be taken; returns its recipe and the bytes that came."""

    def infer(path=PATH, **sent):
        answer = client.post(path, **sent)
        assert answer.status_code == 200, answer.text
        (id,) = answer.json().values()
        return core.recipe(id), (core.files[id] or {}).get("image")

    return infer


def image(source, **more):
    return {"inputs": [{"image": {"source": source, **more}}]}


def test_an_address_is_left_to_the_job(infer):
    recipe, content = infer(json=image("https://example.com/a.jpg?x=1"))
    assert (recipe.image, content) == (Ref("url", "https://example.com/a.jpg?x=1"), None)
    assert recipe.model == Ref("model", "tree-crowns")
    assert recipe.arguments == {"most": 100, "discarded": False}


def in_ways(picture):
    """Fields of a request that carry a picture."""
    text = base64.b64encode(picture).decode()
    based = image(f"data:image/*;base64,{text}")
    binary = b"data:image/png;binary," + picture
    return {
        "base64": {"json": based},
        "binary in JSON": {"json": image(binary.decode("latin-1"))},
        "file": {"files": {"inputs[0]image.source": ("a.png", picture)}},
        "file with a dot": {"files": {"inputs[0].image.source": ("a.png", picture)}},
        "binary file": {"files": {"inputs[0]image.source": ("a.png", binary)}},
        "base64 part": {"files": {"inputs[0]image.source": (None, f"data:image/*;base64,{text}")}},
        "binary part": {"files": {"inputs[0]image.source": (None, binary)}},
        "form": {"data": {"inputs[0]image.source": f"data:image/png;base64,{text}"}},
        "binary form": {
            "content": b"inputs[0]image.source=" + quote_from_bytes(binary).encode(),
            "headers": {"content-type": "application/x-www-form-urlencoded"},
        },
        "JSON in a form": {"data": {"inputs": json.dumps(based["inputs"])}},
    }  # fmt: skip


@pytest.mark.parametrize("way", sorted(in_ways(b"")))
def test_bytes_come_as_they_were_sent(infer, picture, way):
    recipe, content = infer(**in_ways(picture)[way])
    assert recipe.image == Ref("file", "image")
    assert content == picture


def test_a_part_that_is_text_by_chance_keeps_its_bytes(infer):
    content = "data:image/*;binary,BM with é and 木".encode()
    assert infer(files={"inputs[0]image.source": (None, content)})[1] == content[20:]


BOX = {"xmin": 0.1, "ymin": 0.2, "xmax": 0.5, "ymax": 0.75}
CORNERS = [{"x": 0, "y": 0}, {"x": 1, "y": 0}, {"x": 0.5, "y": 1}]


def test_who_sends_an_image_does_not_wait_for_cards(infer, core, picture, monkeypatch):
    monkeypatch.setattr(core, "model_cards", lambda: pytest.fail("a worker was asked"))
    assert infer(files={"inputs[0]image.source": ("a.png", picture)})[1] == picture


def test_crops(infer):
    sent = image("http://a/b", bbox=BOX, polygon=CORNERS, crop_uniform_background=True)
    recipe, _ = infer(json=sent)
    assert recipe.area == (0.1, 0.2, 0.5, 0.75)
    assert recipe.polygon == ((0, 0), (1, 0), (0.5, 1))
    assert recipe.crop_background


@pytest.mark.parametrize(
    "fields",
    [
        {f"inputs[0]image.bbox.{side}": (None, str(value)) for side, value in BOX.items()},
        {"inputs[0]image.bbox": (None, json.dumps(BOX))},
        {"inputs[0]bbox": (None, json.dumps(BOX))},
    ],
)
def test_crops_of_forms(infer, picture, fields):
    corners = {
        f"inputs[0]image.polygon[{i}]{key}": (None, str(value))
        for i, corner in enumerate(CORNERS)
        for key, value in corner.items()
    }
    more = {
        "inputs[0]image.crop_uniform_background": (None, "False"),
        "show_discarded": (None, "True"),
        "max_predictions": (None, "7"),
    }
    source = {"inputs[0]image.source": ("a", picture)}
    recipe, content = infer(files={**source, **fields, **corners, **more})
    assert (recipe.area, content) == ((0.1, 0.2, 0.5, 0.75), picture)
    assert recipe.polygon == ((0, 0), (1, 0), (0.5, 1))
    assert not recipe.crop_background
    assert recipe.arguments == {"most": 7, "discarded": True}


def test_repeated_requests_are_tasks_of_their_own(client, core, picture):
    sent = {"files": {"inputs[0]image.source": ("a.png", picture)}}
    ids = {client.post(PATH, **sent).json()["task_id"] for _ in range(3)}
    assert len(ids) == 3
    assert {core.files[id]["image"] for id in ids} == {picture}
    assert {core.store.get(id).priority for id in ids} == {10}


WRONG = [
    ({}, "inputs is empty"),
    ({"inputs": []}, "inputs is empty"),
    ({"inputs": "word"}, "inputs is empty"),
    ({"inputs": [{}]}, "no image"),
    ({"inputs": [{"video": {"source": "http://a/b"}}]}, "videos are not taken"),
    ({"inputs": [{"image": {"source": "http://a/b"}}] * 2}, "one image"),
    (image(None), "possible are"),
    (image(17), "possible are"),
    (image("file:///etc/passwd"), "possible are"),
    (image("ftp://a/b"), "possible are"),
    (image("data:text/plain;base64,AAAA"), "possible are"),
    (image("data:image/png;base64,***"), "no base64"),
    (image("data:image/png;base64,"), "no bytes"),
    (image("http://a/" + "b" * 5000), "4000 at most"),
    (image("http://a/b", box=BOX), "unknown key 'box'"),
    (image("http://a/b", bbox={"xmin": 0}), "possible is an object"),
    (image("http://a/b", bbox={**BOX, "xmax": 0.05}), "is empty"),
    (image("http://a/b", bbox={**BOX, "xmax": 1.5}), "from 0 to 1"),
    (image("http://a/b", bbox={**BOX, "xmax": "wide"}), "possible is a number"),
    (image("http://a/b", polygon=CORNERS[:2]), "three corners"),
    (image("http://a/b", polygon=[{"x": 0}] * 3), "give x and y"),
    (image("http://a/b", crop_uniform_background="maybe"), "possible are true and false"),
    ({**image("http://a/b"), "show_discarded": []}, "possible are true and false"),
    ({**image("http://a/b"), "max_predictions": -1}, "whole numbers"),
    ({**image("http://a/b"), "max_predictions": 0}, "whole numbers"),
    ({**image("http://a/b"), "max_predictions": 1e30}, "whole numbers"),
]


@pytest.mark.parametrize(("sent", "words"), WRONG)
def test_what_is_not_possible_names_the_field_and_makes_no_task(client, core, sent, words):
    answer = client.post(PATH, json=sent)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert list(answer.json()["detail"].values()) == [[answer.json()["error"]]]
    assert not core.files


def test_a_network_is_asked_for_tensors(infer, client):
    path = "/networks/public/land/inference"
    recipe, _ = infer(path, json={**image("http://a/b"), "output_tensors": ["output"]})
    assert recipe.arguments["output_tensors"] == ["output"]
    assert client.post(path, json=image("http://a/b")).status_code == 400
