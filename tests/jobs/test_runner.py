"""In which queue a recipe waits, and that a short job is not behind long ones."""

import pytest
from fake_works import classify

from geodl_lab.jobs.job import Caller, State
from geodl_lab.jobs.recipes import (
    Deploy,
    Export,
    Failed,
    Install,
    ListModels,
    Look,
    ModelInfo,
    Ref,
)
from geodl_lab.jobs.runner import PLACES, queue_of
from geodl_lab.jobs.workers import FILES, MODELS

ANN = Caller("ann")
REF = Ref("model", "m")


@pytest.mark.parametrize(
    ("recipe", "queue"),
    [
        (classify(device="cuda:1"), "device"),
        (Export((REF,), "chips"), FILES),
        (ListModels(), MODELS),
        (ModelInfo(REF), MODELS),
        (Install(REF), MODELS),
        (Failed("no"), MODELS),
        (Deploy(1), MODELS),
        (Look(REF, Ref("file", "image")), "looks"),
        (Look(REF, Ref("url", "http://a.example/a.png")), "fetches"),
    ],
)
def test_each_recipe_has_its_queue(recipe, queue):
    assert queue_of(recipe) == queue


def test_a_job_without_a_device_does_not_wait_for_those_with_one(core, ended):
    long = [core.submit(classify(1, wait_for_cancel=True), ANN, request={}) for _ in range(5)]
    quick = ended(core, core.submit(Failed("say `this`"), ANN, request={}))
    assert quick.state is State.FAILED and core.messages(quick)[-1].text == "say `this`"
    for job in long[: PLACES["device"]]:  # a worker may still be starting
        ended(core, job, lambda job: job.state is State.RUNNING)
    states = [core.job(job.id, ANN).state for job in long]
    assert states.count(State.RUNNING) == PLACES["device"]
    for job in reversed(long):
        core.cancel(job)
    for job in long:
        ended(core, job)
