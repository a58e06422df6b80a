import pytest
import torch

from geodl_lab import from_torch, settings
from geodl_lab.errors import OptionError
from geodl_lab.planning import choose_window, plan
from geodl_lab.testing import RandomNet


def test_window_grows_until_overlap_is_cheap(finite_model):
    window, halo = choose_window(finite_model.package)
    assert window % 4 == 0 and halo % 4 == 0
    assert (window / (window - 2 * halo)) ** 2 <= settings.RECOMPUTE_GOAL


def test_a_fixed_window_caps_the_halo_and_says_so(caplog):
    model = from_torch(
        RandomNet(stride=8), bands=3, classes=list("abcd"), window=64, fixed_window=True
    )
    assert choose_window(model.package) == (64, 16)
    assert "seams are not exact" in caplog.text


def test_a_seam_tolerance_takes_the_smallest_halo_that_keeps_it():
    model = from_torch(RandomNet(stride=8), bands=3, classes=list("abcd"), window=64)
    field = model.package.field
    tolerance = field.seams[1] * 1.01
    recipe = plan(model, (900, 900), seam_tolerance=tolerance).recipe
    assert recipe.halo == field.stride < field.halo and not recipe.exact
    assert recipe.seam_tolerance == tolerance
    exact = plan(model, (900, 900)).recipe
    assert exact.exact and exact.halo == field.halo
    assert plan(model, (900, 900), seam_tolerance=1e-30).recipe.halo == field.halo


def test_seam_tolerances_that_cannot_be_kept_are_refused(finite_model):
    with pytest.raises(OptionError, match="seam_tolerance 0 is not possible"):
        plan(finite_model, (90, 90), seam_tolerance=0)
    group = from_torch(RandomNet(norm="group"), bands=3, classes=list("abcd"), window=64)
    with pytest.raises(OptionError, match="no measured seam errors"):
        plan(group, (90, 90), seam_tolerance=0.1)


def test_recipe_does_not_depend_on_torch_threads(finite_model):
    before = torch.get_num_threads()
    recipes = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        recipes.append(plan(finite_model, (500, 500)).recipe)
    torch.set_num_threads(before)
    assert recipes[0] == recipes[1]
