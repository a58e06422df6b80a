import dataclasses

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from hypothesis import strategies as st

from geodl_lab import from_torch, settings
from geodl_lab.errors import OptionError
from geodl_lab.grid import Axis
from geodl_lab.options import Options
from geodl_lab.planning import choose_window, plan
from geodl_lab.testing import RandomNet


@pytest.mark.parametrize("budget", [2**22, 2**24, 2**31])
@pytest.mark.parametrize("stride", [4, 32])
def test_the_window_is_the_smallest_near_the_cheapest(stride, budget, monkeypatch):
    monkeypatch.setattr(settings, "MEMORY_BUDGET", budget)
    net = RandomNet(stride=stride)
    model = from_torch(net, bands=3, classes=list("abcd"), window=64)
    field = model.package.field
    (window, _), halo = choose_window(model.package)
    assert window % stride == 0 and halo == field.halo

    def cost(w):
        side_by_side = 2 * field.memory * w * w <= budget
        return (w / (w - 2 * halo)) ** 2 * (1 if side_by_side else settings.ALONE)

    least = max(64, 2 * stride, 2 * halo + stride)
    possible = [w for w in range(least, 9000, stride) if field.memory * w * w <= budget]
    good = [w for w in possible if cost(w) <= settings.NEAR_BEST * min(map(cost, possible))]
    assert window == (good[0] if good else least)


@tries(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(300, 5000), st.sampled_from([0, 4, 12]))
def test_windows_are_as_even_as_the_stride_allows(finite_model, size, halo):
    field = dataclasses.replace(finite_model.package.field, halo=halo)
    model = dataclasses.replace(
        finite_model, package=dataclasses.replace(finite_model.package, field=field)
    )
    axis = plan(model, (size, size)).grid.rows
    (largest, _), _ = choose_window(model.package)
    plain = Axis(size, largest, halo, field.stride)
    assert axis.count == plain.count and axis.window <= plain.window
    if axis.count > 1 and axis.window > 64:  # one stride less would not reach
        assert axis.count * (axis.window - field.stride) - 2 * halo * (axis.count - 1) < size


def test_the_window_does_not_depend_on_cores(finite_model, monkeypatch):
    monkeypatch.setattr(settings, "cores", lambda: 64)
    many = choose_window(finite_model.package)
    monkeypatch.setattr(settings, "cores", lambda: 1)
    assert choose_window(finite_model.package) == many


def test_a_fixed_window_caps_the_halo_and_says_so(caplog):
    model = from_torch(
        RandomNet(stride=8), bands=3, classes=list("abcd"), window=64, fixed_window=True
    )
    assert choose_window(model.package) == ((64, 64), 16)
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


def test_seam_tolerances_that_cannot_be_kept_are_refused():
    with pytest.raises(OptionError, match="seam_tolerance 0 is not possible"):
        Options(seam_tolerance=0)
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
