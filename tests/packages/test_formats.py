import json

import pytest

from geodl_lab import open_model
from geodl_lab.errors import ModelError
from geodl_lab.packages.archives import open_files
from geodl_lab.packages.formats import FORMATS, identify
from geodl_lab.packages.registry import ZOO
from geodl_lab.packages.weights import ENDINGS

ITEM = {"type": "Feature", "stac_version": "1.1.0", "properties": {"mlm:name": "x"}}


@pytest.fixture
def write(tmp_path):
    """Writes a file of the folder ``tmp_path/model`` and answers its path."""

    def write_file(name, content):
        path = tmp_path / "model" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write_file


@pytest.fixture
def reader(monkeypatch):
    """Puts a reader in the place of another and answers what it is called with."""

    def put(function):
        calls = []

        def read(files, name, **given):
            calls.append((files.path.name, name, given))
            return "model"

        (kind,) = (kind for kind in FORMATS if kind.read.__name__ == function)
        monkeypatch.setitem(vars(kind), "read", read)
        return calls

    return put


def test_every_bundled_model_is_of_one_format():
    found = {folder.name: identify(open_files(folder))[0].name for folder in ZOO.iterdir()}
    assert found.pop("naip-landcover") == "Esri model"
    assert set(found.values()) == {"geodl model"}


def test_json_is_told_apart_by_what_it_holds(write):
    native, item = {"format": "geodl-model"}, ITEM
    for name, content, kind in (
        ("model.json", native, "geodl model"),
        ("any.json", item, "STAC MLM item"),
        ("model.json", item, "STAC MLM item"),
        ("model.json", {"format": "other"}, "geodl model"),  # whose reader says what is wrong
        ("x.emd", "{", "Esri model"),
        ("X.EMD", "{", "Esri model"),
    ):
        file = write(name, content)
        assert identify(open_files(file))[0].name == kind
        assert identify(open_files(file.parent)) == identify(open_files(file))
        file.unlink()
    assert identify(open_files(write("any.json", native)))[0].name == "geodl model"


@pytest.mark.parametrize("content", [{}, {"type": "Feature"}, {"format": "geodl"}])
def test_other_json_is_no_model(write, content):
    file = write("any.json", content)
    for path in (file, file.parent):
        with pytest.raises(ModelError, match=r"is no model package; possible are model.json, .emd"):
            open_model(path)


def test_other_json_beside_a_model_is_left_alone(write):
    write("metrics.json", "no JSON {")
    write("list.json", "[]")
    file = write("x.json", ITEM)
    assert identify(open_files(file.parent))[1] == "x.json"


def test_broken_json_is_named_by_its_line(write):
    for name in ("any.json", "model.json"):
        with pytest.raises(ModelError, match=rf"'{name}' is no valid JSON: line 2"):
            open_model(write(name, '{\n"format"'))


def test_several_descriptions_are_no_guess(write):
    write("b.emd", "{}")
    file = write("a.emd", "{}")
    with pytest.raises(ModelError, match=r"more than one model: a.emd, b.emd; give the path of on"):
        open_model(file.parent)


def test_a_stac_object_without_a_model_is_for_the_reader_to_refuse(write, reader):
    calls = reader("read_mlm")
    other = write("collection.json", {**ITEM, "type": "Collection", "properties": {}})
    assert open_model(other) == "model" and calls[0][1] == "collection.json"
    with pytest.raises(ModelError, match="is no model package"):
        open_model(other.parent)
    write("item.json", ITEM)
    assert identify(open_files(other.parent))[1] == "item.json"


def test_readers_get_files_name_and_trust(write, reader):
    calls = reader("read_mlm")
    file = write("x.json", ITEM)
    assert open_model(file) == open_model(file.parent, trust=True) == "model"
    assert calls == [("model", "x.json", {"trust": False}), ("model", "x.json", {"trust": True})]


@pytest.mark.parametrize("ending", [*ENDINGS, ".ONNX"])
def test_weights_alone_get_what_the_caller_says(write, reader, ending):
    calls = reader("read_bare")
    file = write(f"net{ending}", "")
    assert open_model(file, bands=2) == open_model(file) == "model"
    given = {"trust": False, "bands": 2}
    assert calls == [("model", file.name, given), ("model", file.name, {"trust": False})]


def test_what_has_no_ending_of_ours_is_told_what_is_possible(write):
    for name in ("net", "net.txt", "net.json.bak"):
        with pytest.raises(ModelError, match=r"is no model package; possible are .*\.onnx, \.pt"):
            open_model(write(name, json.dumps(ITEM)))


def test_formats_differ_and_name_their_reader():
    assert len({kind.name for kind in FORMATS}) == len({kind.read for kind in FORMATS}) == 4
