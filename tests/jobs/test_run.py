"""How a run words things, and how much of a machine it takes."""

import pytest
from fake_works import classify

from geodl_lab.jobs import recipes
from geodl_lab.jobs.job import Job
from geodl_lab.jobs.run import _on_device, _places, lane_name
from geodl_lab.jobs.workers import Lane


class Wide:
    width = 8


@pytest.mark.parametrize(("share", "places"), [(None, 8), (0.5, 4), (0.01, 1), (7.0, 8)])
def test_a_share_of_the_workers(share, places):
    job = Job("j1", "ann", recipes.to_json(classify(share=share)))
    assert _places(job, Lane("cluster", [Wide()])) == places


@pytest.mark.parametrize(
    ("asked", "lane", "given"),
    [
        ("auto", "cuda:1", "cuda:1"),
        ("auto", "cpu", "cpu"),
        ("cuda", "cuda:1", "cuda:1"),
        ("cuda", "cpu", "cuda"),  # so that the worker says that there is none
        ("auto", "cluster", "auto"),
        ("cuda:3", "cuda:1", "cuda:3"),
    ],
)
def test_auto_becomes_the_chosen_device(asked, lane, given):
    recipe = _on_device(classify(device=asked), Lane(lane, []))
    assert recipe.context.device == lane_name(recipe) == given
