import json
import shutil

import pytest

from geodl_lab import open_model
from geodl_lab.errors import ModelError
from geodl_lab.packages.archives import Files
from geodl_lab.packages.registry import ZOO


@pytest.fixture
def copy(tmp_path):
    """A copy of a bundled model that a test may damage, and its description."""
    folder = tmp_path / "model"
    shutil.copytree(ZOO / "tree-crowns", folder)
    return folder, json.loads((folder / "model.json").read_text())


def write(folder, text):
    (folder / "model.json").write_text(json.dumps(text))


def test_a_copy_opens_by_folder_and_by_file(copy):
    folder, _ = copy
    assert open_model(folder).package == open_model("tree-crowns").package
    assert open_model(str(folder / "model.json")).package.name == "tree-crowns"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "other", "is of format 'other'"),
        ("weights", "../secret", "outside its own folder"),
        ("weights", "none.safetensors", "is missing in"),
        ("architecture", {"name": "gpt"}, "'gpt' is not known; possible are unet"),
        ("architecture", {"name": "unet", "arguments": {"colour": 1}}, "cannot be made of its"),
        ("classes", None, "lacks or misuses"),
        ("window", None, "lacks or misuses"),
    ],
)
def test_descriptions_that_lie_are_refused(copy, key, value, message):
    folder, text = copy
    write(folder, {**text, key: value})
    with pytest.raises(ModelError, match=message):
        open_model(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(b"", "an empty file"), (b"\x00" * 100, "of an unknown kind"), ("half", "do not open")],
)
def test_damaged_weights_are_refused(copy, damage, message):
    folder, _ = copy
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2] if damage == "half" else damage)
    with pytest.raises(ModelError, match=message):
        open_model(folder)


def test_broken_json_is_named_by_line(copy):
    folder, _ = copy
    (folder / "model.json").write_text('{\n "format": \n}')
    with pytest.raises(ModelError, match="line 3, column 1"):
        open_model(folder)
    (folder / "model.json").write_text("[]")
    with pytest.raises(ModelError, match="holds a list"):
        open_model(folder)


def test_files_of_a_package_take_either_slash(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.pt").touch()
    assert Files(tmp_path).find(".\\sub\\a.pt") == "sub/a.pt"
