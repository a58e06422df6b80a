"""Models as jobs list, describe, install and remove them."""

import shutil

import pytest

from geodl_lab import open_model
from geodl_lab.cards import card
from geodl_lab.errors import ModelError
from geodl_lab.jobs import models
from geodl_lab.packages import installed as installed_models
from geodl_lab.packages.installed import ZOO, bundled, installed


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An archive of a model of ours under another name, and an empty folder of models."""
    monkeypatch.setenv("GEODL_MODELS", str(tmp_path / "models"))
    folder = tmp_path / "mine"
    shutil.copytree(ZOO / "naip-trees", folder)
    description = next(folder.glob("*.json"))
    text = description.read_text(encoding="utf-8")
    description.write_text(text.replace('"naip-trees"', '"mine"', 1), encoding="utf-8")
    shutil.make_archive(str(tmp_path / "mine"), "zip", folder)
    return (tmp_path / "mine.zip").rename(tmp_path / "mine.dlpk")


def test_all_models_are_listed_as_they_open(package):
    listed = models.model_list()
    assert [one["reference"] for one in listed] == bundled()
    assert {one["task"] for one in listed} == {open_model(name).package.task for name in bundled()}


def test_a_card_tells_no_paths(package, tmp_path):
    told = models.card_of(str(package))
    assert told["classes"] == card(open_model("naip-trees"))["classes"]
    assert str(tmp_path) not in str(told)


def test_a_package_is_installed_and_removed_by_itself(package, tmp_path):
    reference, told, said = models.install_package(str(package))
    assert reference in said
    assert str(tmp_path) not in str(told)
    assert [one.reference for one in installed()] == [reference]
    assert models.model_list()[-1]["reference"] == reference
    assert models.is_installed(reference)
    assert (
        models.installed_reference(str(package)) == models.installed_reference("mine") == reference
    )
    assert models.remove(reference) == reference
    assert not models.is_installed(reference)


def test_a_package_that_is_not_installed_is_named(package):
    with pytest.raises(ModelError, match=r"'mine.dlpk' is not installed; install it"):
        models.installed_reference(str(package))


def test_a_worker_that_has_opened_a_model_does_not_keep_it(package, monkeypatch):
    reference, _, _ = models.install_package(str(package))
    monkeypatch.setenv("GEODL_HOLD_MODELS", "no")
    assert open_model(reference).package.name == "mine"
    assert models.remove(reference) == reference
    models.install_package(str(package))
    monkeypatch.setenv("GEODL_HOLD_MODELS", "yes")
    installed_models._opened.cache_clear()
    open_model(reference)
    with pytest.raises(ModelError, match="is in use by process"):
        models.remove(reference)
