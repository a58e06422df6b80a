"""Works without parts."""

import pickle

import pytest

from geodl_lab.errors import ModelError, OptionError
from geodl_lab.jobs import model_works, recipes
from geodl_lab.jobs.make import make_work
from geodl_lab.jobs.resolved import Resolved

REF = recipes.Ref("model", "naip-trees")


@pytest.mark.parametrize(
    "recipe",
    [recipes.ListModels(), recipes.ModelInfo(REF), recipes.Install(REF), recipes.Uninstall(REF)],
    ids=lambda one: one.kind,
)
def test_works_travel_and_have_no_parts(recipe, tmp_path):
    work = make_work(recipe, Resolved(model="naip-trees"), tmp_path)
    assert pickle.loads(pickle.dumps(work)) == work
    assert len({work, work}) == 1
    assert (work.device, work.folder) == ("", tmp_path)
    assert work.missing().parts == ()
    assert work.compute(()).pixels == 0


def test_what_cannot_be_told_fails_with_its_message(tmp_path):
    with pytest.raises(OptionError, match="context is no JSON"):
        make_work(recipes.Failed("context is no JSON"), Resolved(), tmp_path)


def test_a_model_is_described(tmp_path):
    work = make_work(recipes.ModelInfo(REF), Resolved(model="naip-trees"), tmp_path)
    assert work.finish().values["card"]["name"] == "naip-trees"


def test_uninstalling_goes_on_after_a_crash(tmp_path, monkeypatch):
    monkeypatch.setenv("GEODL_MODELS", str(tmp_path / "models"))
    work = model_works.UninstallWork(tmp_path, "mine")
    with pytest.raises(ModelError, match="no installed model 'mine'"):
        work.finish()
    (tmp_path / model_works.REMOVED).write_text("mine@1.0#abcdef", encoding="utf-8")
    assert work.finish().values == {"model": "mine@1.0#abcdef"}
