"""The project file says what is possible."""

import json

import pytest

from geodl_lab.errors import OptionError
from geodl_lab.server.pekat.project import Project, load_project


def test_a_file_is_read(tmp_path):
    file = tmp_path / "project.json"
    said = {
        "model": "aerial-tags", "threshold": 0.4, "defects": ["water"], "max_defects": 2,
        "max_share": 0.1, "colors": {"water": "#0000FF"}, "processing": False, "api_key": None,
        "device": "cuda:1",
    }  # fmt: skip
    file.write_text(json.dumps(said))
    assert load_project(file) == Project(**{**said, "defects": ("water",)})
    file.write_text("{}")
    assert load_project(file) == Project() and Project().model == "tree-crowns"


def test_a_model_with_a_slash_is_seen_from_the_file(tmp_path):
    file = tmp_path / "project.json"
    file.write_text('{"model": "./mine/model"}')
    assert load_project(file).model == str(tmp_path / "mine" / "model")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("\xff", "is not JSON"),
        ("[]", "is no object"),
        ('{"modle": "a"}', "says 'modle'; possible are model, threshold"),
        ('{"model": 3}', "model 3 is not possible"),
        ('{"threshold": 1.5}', "threshold 1.5 is not possible; give a number from 0 to 1"),
        ('{"threshold": NaN}', "threshold nan is not possible"),
        ('{"max_share": null}', "max_share None is not possible"),
        ('{"max_defects": -1}', "max_defects -1 is not possible"),
        ('{"max_defects": 1.5}', "max_defects 1.5 is not possible"),
        ('{"defects": "tree"}', "defects 'tree' are not possible; give a list"),
        ('{"defects": [1]}', "are not possible; give a list"),
        ('{"colors": []}', "give colours by label"),
        ('{"colors": {"tree": "red"}}', "the color 'red' of 'tree' is not possible"),
        ('{"processing": 1}', "processing 1 is not possible"),
        ('{"api_key": "a b"}', "api_key has blanks"),
        ('{"api_key": 4}', "api_key has blanks"),
        ('{"device": "gpu"}', "device 'gpu' is not possible"),
    ],
)
def test_what_is_not_possible_is_refused(tmp_path, text, says):
    file = tmp_path / "project.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(OptionError, match=says):
        load_project(file)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(OptionError, match="cannot be read: No such file"):
        load_project(tmp_path / "none.json")


def test_labels_are_the_models():
    project = Project(defects=("tree", "car"), colors={"bus": "#ffffff"})
    with pytest.raises(OptionError, match=r"names 'bus', 'car', which model .* possible are tree"):
        project.check_labels(("tree",))
    project.check_labels(("tree", "car", "bus"))


def test_which_labels_are_defects():
    assert Project().is_defect("tree") and not Project().is_defect("Background")
    chosen = Project(defects=("water", "background"))
    assert [chosen.is_defect(one) for one in ("water", "tree", "background")] == [True, False, True]


def test_the_key_stays_here():
    project = Project(api_key="secret")
    assert "secret" not in repr(project) and project.public == Project()
