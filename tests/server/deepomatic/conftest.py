"""A core whose jobs are ended by the test, and an app around the face of Deepomatic."""

import io

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from geodl_lab.jobs.documents import Documents
from geodl_lab.photo_answers import PhotoAnswer, Region, Scored
from geodl_lab.server.app import make_app
from geodl_lab.server.options import ServerOptions
from geodl_lab.server.tokens import Tokens
from tests.server.fake_core import StoreCore

KEY, OTHER = "key-of-one", "key-of-another"


def card(name, task, classes, **more):
    """A card as far as the face reads it."""
    rows = [{"value": value, "name": label, "color": "#000000"} for value, label in classes]
    return {
        "reference": name, "name": name, "title": name.title(), "description": f"About {name}.",
        "task": task, "bands": ["red", "green", "blue"], "version": "1.0.0", "license": "CC0-1.0",
        "attribution": "us", "classes": rows, "recognizer": None, "decoder": None, "fit": None,
        "window": 256, **more,
    }  # fmt: skip


FIT = {"kind": "squash", "height": 96, "width": 128}
CARDS = [
    card("four-bands", "detect", [(1, "tree")], bands=["red", "green", "blue", "nir"]),
    card("land", "classify", [(0, "water"), (1, "land")]),
    card("tree-crowns", "detect", [(1, "tree")], decoder={"threshold": 0.375, "thresholds": []}),
    card("aerial-tags", "recognize", [(0, "water"), (4, "road")],
         recognizer={"exclusive": False, "thresholds": []}, fit=FIT),
    card("aerial-scene", "recognize", [(0, "water"), (4, "road")],
         recognizer={"exclusive": True, "thresholds": []}, fit=FIT),
    card("mine", "recognize", [(0, "a")], reference="mine@1.0.0",
         recognizer={"exclusive": True, "thresholds": []}),
]  # fmt: skip


class FakeCore(StoreCore):
    """With the real documents."""

    def __init__(self, folder):
        super().__init__(folder)
        self.documents = Documents(self.database, folder / "documents")

    def model_cards(self):
        return CARDS

    def succeed(self, id, **values):
        super().succeed(id, values=values)


@pytest.fixture
def core(tmp_path):
    core = FakeCore(tmp_path)
    yield core
    core.database.close()


@pytest.fixture
def app(core, tmp_path):
    options = ServerOptions(data_dir=tmp_path, api_keys=(KEY, OTHER))
    return make_app(core, options, tokens=Tokens(options.api_keys, secret=b"secret"))


@pytest.fixture
def client(app):
    """A client with a key; addresses are those below /v0.7."""
    with TestClient(
        app, base_url="http://testserver/v0.7", headers={"X-API-KEY": KEY},
        follow_redirects=False,
    ) as client:  # fmt: skip
        yield client


@pytest.fixture
def picture():
    """The bytes of a small PNG."""
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (10, 200, 30)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def answer():
    """What a detector says: two objects, one of them below its threshold for one label."""
    tree, bush = Scored(1, "tree", 0.75, 0.5, True), Scored(2, "bush", 0.25, 0.5, False)
    best = Scored(2, "bush", 1, 0.5, True)
    return PhotoAnswer(
        (100, 200),
        regions=(Region(0, 0, 10, 50, 60, (tree, bush)), Region(1, 100, 50, 200, 100, (best,))),
    )
