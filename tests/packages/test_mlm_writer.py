import dataclasses
import json
import math

import jsonschema
import numpy as np
import pystac
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pystac.extensions.file import FileExtension
from pystac.extensions.mlm import MLMExtension
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

import geodl_lab
from geodl_lab import from_torch, nets, open_model
from geodl_lab.decoders import Recognizer
from geodl_lab.errors import ModelError, OutputError
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.package import make_classes
from geodl_lab.packages.mlm_input import PIXEL_TYPES
from geodl_lab.packages.mlm_writer import _scaling
from geodl_lab.packages.scaling import canonical
from geodl_lab.packages.wrap import Facts, wrap
from geodl_lab.runtime import Closed, Model, open_session
from geodl_lab.testing import RandomNet

# What the extension asks of an item (v1.4), in our words: its schema cannot be fetched here.
TEXT, WHOLE = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": -1}
SHAPE = {
    "type": "object",
    "required": ["shape", "dim_order", "data_type"],
    "properties": {
        "shape": {"type": "array", "minItems": 1, "items": WHOLE},
        "dim_order": {"type": "array", "uniqueItems": True,
                      "items": {"type": "string", "pattern": "^[a-z-_]+$"}},
        "data_type": {"enum": list(PIXEL_TYPES)},
    },
}  # fmt: skip
CLASS = {
    "type": "object",
    "required": ["value", "description"],
    "properties": {
        "value": {"type": "integer"},
        "name": {"type": "string", "pattern": "^[0-9A-Za-z-_]+$"},
        "color_hint": {"type": "string", "pattern": "^([0-9A-F]{6})$"},
    },
}


def step(kind, *needs):
    return {
        "type": "object",
        "required": ["type", *needs],
        "properties": {"type": {"const": kind}, **{name: {"type": "number"} for name in needs}},
    }


SCALING = {
    "oneOf": [
        step("min-max", "minimum", "maximum"), step("z-score", "mean", "stddev"),
        step("clip", "minimum", "maximum"), step("clip-min", "minimum"),
        step("clip-max", "maximum"), step("offset", "value"), step("scale", "value"), step(None),
        {"type": "object", "required": ["type", "format", "expression"],
         "properties": {"type": {"const": "processing"}, "format": TEXT}},
    ]
}  # fmt: skip
TASKS = {"enum": ["regression", "semantic-segmentation", "object-detection", "scene-classification",
                  "instance-segmentation"]}  # fmt: skip
MLM = {
    "type": "object",
    "required": ["mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output"],
    "properties": {
        "mlm:name": {"type": "string", "pattern": r"^[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]$"},
        "mlm:architecture": TEXT,
        "mlm:framework": TEXT,
        "mlm:framework_version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+([+-].*)?$"},
        "mlm:tasks": {"type": "array", "items": TASKS},
        "mlm:hyperparameters": {"type": "object", "minProperties": 1},
        "mlm:input": {"type": "array", "items": {
            "type": "object",
            "required": ["name", "bands", "input"],
            "properties": {
                "bands": {"type": "array", "items": TEXT},
                "input": SHAPE,
                "value_scaling": {"oneOf": [{"type": "null"}, {"type": "array", "minItems": 1,
                                                               "items": SCALING}]},
            },
        }},
        "mlm:output": {"type": "array", "items": {
            "type": "object",
            "required": ["name", "tasks", "result"],
            "properties": {
                "tasks": {"type": "array", "items": TASKS},
                "result": SHAPE,
                "classification:classes": {"type": "array", "uniqueItems": True, "items": CLASS},
            },
        }},
    },
    "propertyNames": {"pattern": "^(?!mlm:)|^mlm:(name|architecture|framework|framework_version"
                                 "|tasks|hyperparameters|input|output|accelerator)$"},
}  # fmt: skip


def check_item(path):
    """Check an item against STAC 1.1 as pystac ships it, and against MLM as above."""
    text = json.loads(path.read_text())
    schemas = get_local_schema_cache()
    store = Registry().with_resources(
        (uri, Resource.from_contents(schema)) for uri, schema in schemas.items()
    )
    core = next(schema for uri, schema in schemas.items() if uri.endswith("/item.json"))
    jsonschema.Draft7Validator(core, registry=store).validate(text)
    jsonschema.Draft7Validator(MLM).validate(text["properties"])
    item = pystac.Item.from_dict(text)
    assert {"mlm:model"} <= set(item.assets["model"].roles)
    assert item.assets["model"].extra_fields["mlm:artifact_type"]
    return item


def forward(model, batch):
    """What the engine makes of stored values (N, C, H, W)."""
    session = open_session(
        model, device="cpu", precision="fp32", threads=1, layout=model.package.layout
    )
    return session.submit(session.forward, batch, model.package.inputs).result()


def facts(model):
    """All that decides the bits of an answer."""
    return dataclasses.replace(model.package, sha256="", about={})


def saved(model, folder, name="x.json"):
    path = model.save(folder / name)
    check_item(path)
    return open_model(path, trust=True)


@pytest.mark.parametrize("name", geodl_lab.list_models())
def test_bundled_models_come_back_bit_for_bit(name, tmp_path):
    model = open_model(name)
    again = saved(model, tmp_path)
    assert facts(again) == facts(model)
    told = {key: value for key, value in again.package.about.items() if key in model.package.about}
    assert told == {key: value for key, value in model.package.about.items() if value}
    size = model.package.window
    batch = np.random.default_rng(0).integers(0, 255, (1, model.package.inputs.count, size, size))
    assert torch.equal(forward(again, batch.astype("uint8")), forward(model, batch.astype("uint8")))


def test_what_is_written_opens_without_trust(tmp_path):
    open_model(open_model("tree-crowns").save(tmp_path / "a.json"))
    assert (tmp_path / "a.safetensors").is_file()
    open_model("naip-landcover").save(tmp_path / "b.json")
    assert (tmp_path / "b.pt").is_file()
    assert (
        open_model(tmp_path / "b.json").package.classes
        == open_model("naip-landcover").package.classes
    )


def test_other_readers_find_what_they_look_for(tmp_path):
    model = open_model("naip-landcover")
    item = check_item(model.save(tmp_path / "x.json"))
    text = MLMExtension.ext(item)
    assert text.mlm_name == item.properties["mlm:name"]
    assert text.tasks == ["semantic-segmentation"] and text.framework == "PyTorch"
    (entry,), (output,) = text.input, text.output
    assert entry.bands == list(model.package.inputs.bands)
    assert entry.input.shape == [-1, 4, 256, 256]
    # pystac takes the list for one object, so it is looked at as it is written.
    assert entry.to_dict()["value_scaling"] == [{"type": "scale", "value": 255.0}]
    assert output.result.shape == [-1, 6, 128, 128]
    assert [label.value for label in output.classes] == [0, 1, 2, 3, 4, 5]
    assert [label.color_hint for label in output.classes][3] == "000075"
    file = FileExtension.ext(item.assets["model"])
    assert file.size == (tmp_path / "x.pt").stat().st_size
    assert file.checksum.startswith("1220")


class Tiny(torch.nn.Module):
    """One convolution, or for whole images its mean."""

    def __init__(self, bands, out, *, whole=False):
        super().__init__()
        torch.manual_seed(bands + out)
        self.conv, self.whole = torch.nn.Conv2d(bands, out, 3, padding=1), whole

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return x.mean(dim=[2, 3]) if self.whole else x


NUMBERS = st.floats(0.01, 100).map(float)


@st.composite
def a_model(draw):
    """A model of any task, scaling and size."""
    task = draw(st.sampled_from(["classify", "detect", "regress", "recognize"]))
    bands, out = draw(st.integers(1, 3)), draw(st.integers(1, 4))

    def numbers(extra=(), some=NUMBERS):
        one = st.one_of(some, *map(st.just, extra))
        return draw(st.none() | st.lists(one, min_size=bands, max_size=bands).map(tuple))

    fit = draw(st.none() | st.builds(Fit, st.sampled_from(["squash", "crop", "fill", "network"]),
                                     st.just(24), st.just(32)))  # fmt: skip
    inputs = InputSpec(
        bands=draw(st.sampled_from([(), ("red", "band 2", "nir")[:bands]])),
        count=bands,
        dtype=draw(st.sampled_from([None, "uint8", "uint16"])),
        scale=draw(st.sampled_from([1.0, 1 / 255, 1 / 10000, 0.1, -2.0])),
        mean=numbers(),
        std=numbers(),
        low=numbers([-math.inf]),
        high=numbers([math.inf], st.floats(100, 300)),
        cell_size=draw(st.none() | NUMBERS),
        fit=fit if task == "recognize" else None,
    )
    names = draw(st.lists(st.text(min_size=1, max_size=6), min_size=out, max_size=out))
    values = draw(st.permutations(range(1, out + 1)))
    labels = [(v, n, c.color) for v, n, c in zip(values, names, make_classes(names), strict=True)]
    heat = task == "detect" and draw(st.booleans())
    recognizer = Recognizer(draw(st.booleans()), draw(st.sampled_from(["none", "sigmoid"])),
                            draw(st.sampled_from([(), (0.25,) * out])))  # fmt: skip
    told = Facts(
        name=draw(st.text(min_size=1, max_size=8)),
        task=task,
        inputs=inputs,
        classes=make_classes(labels),
        window=24,
        width=draw(st.sampled_from([None, 32])) or None,
        fixed_window=draw(st.booleans()),
        decoder="heatmap" if heat else "auto",
        decoding={"threshold": draw(st.floats(0, 1)), **({"box_size": 3.5} if heat else {})},
        recognizer=recognizer if task == "recognize" else None,
        version="2.1",
    )
    return wrap(Tiny(bands, out, whole=task == "recognize").eval(), told)


@settings(max_examples=20)
@given(a_model())
def test_any_model_comes_back_bit_for_bit(tmp_path_factory, model):
    again = saved(model, tmp_path_factory.mktemp("any"))
    assert facts(again) == facts(model)
    batch = np.random.default_rng(0).integers(0, 300, (2, model.package.inputs.count, 24, 32))
    assert torch.equal(forward(again, batch), forward(model, batch))


@settings(max_examples=20)
@given(a_model())
def test_scaling_is_right_in_standard_words_alone(model):
    inputs = model.package.inputs
    values = np.random.default_rng(0).uniform(-50, 300, (1, inputs.count, 24, 32))
    plain = dataclasses.replace(inputs, **canonical(_scaling(inputs), inputs.count))
    package = dataclasses.replace(model.package, inputs=plain)
    same = Model(package, torch.nn.Identity()), Model(model.package, torch.nn.Identity())
    assert np.allclose(*(forward(one, values) for one in same), rtol=1e-4, atol=1e-3)


def test_live_and_listing_models_come_back(tmp_path):
    torch.manual_seed(0)
    for number, network in enumerate((RandomNet(), nets.build("unet", {
        "in_channels": 3, "out_channels": 4, "widths": [4, 8], "encoder_convs": [1, 1],
        "decoder_convs": [1]}))):  # fmt: skip
        model = from_torch(network, bands=["r", "g", "b"], classes=list("abcd"), window=64)
        again = saved(model, tmp_path, f"{number}.json")
        assert facts(again) == facts(model)
        batch = np.random.default_rng(0).integers(0, 255, (2, 3, 96, 64))
        assert torch.equal(forward(again, batch), forward(model, batch))


def test_an_item_may_have_any_name(tmp_path):
    for name in ("model.json", "a b%20ü.json"):
        assert saved(open_model("tree-crowns"), tmp_path, name).name == "tree-crowns"


def test_a_changed_file_of_weights_is_refused(tmp_path):
    path = open_model("tree-crowns").save(tmp_path / "x.json")
    file = tmp_path / "x.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match="is not the file that the item means"):
        open_model(path)


def test_nothing_else_is_overwritten(tmp_path):
    tiny = from_torch(Tiny(1, 2), bands=1, classes=["a", "b"], window=32)
    other = from_torch(Tiny(1, 3), bands=1, classes=["a", "b", "c"], window=32)
    (tmp_path / "x.pt").write_bytes(b"a checkpoint of somebody")
    with pytest.raises(OutputError, match=r"x.pt' exists and does not belong to 'x.json'"):
        tiny.save(tmp_path / "x.json")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.pt"]
    tiny.save(tmp_path / "y.json")
    other.save(tmp_path / "y.json")
    assert len(open_model(tmp_path / "y.json", trust=True).package.classes) == 3
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.pt", "y.json", "y.pt"]


def test_what_cannot_be_written_leaves_nothing(tmp_path, finite_model):
    closed = Model(finite_model.package, Closed(ModelError("it is closed")))
    with pytest.raises(ModelError, match="it is closed"):
        closed.save(tmp_path / "x.json")
    with pytest.raises(OutputError, match="there is no folder"):
        finite_model.save(tmp_path / "none" / "x.json")
    zero = dataclasses.replace(finite_model.package.inputs, scale=0.0)
    package = dataclasses.replace(finite_model.package, inputs=zero)
    with pytest.raises(ModelError, match="scales by 0"):
        Model(package, finite_model.network).save(tmp_path / "x.json")
    odd = dataclasses.replace(finite_model.package, about={"accuracy": math.nan})
    with pytest.raises(ModelError, match="cannot be written as JSON"):
        Model(odd, finite_model.network).save(tmp_path / "x.json")
    assert not list(tmp_path.iterdir())
