"""Every state and level has a word of theirs."""

import pytest

from geodl_lab.jobs.job import Job, Level, State, new_id
from geodl_lab.server.arcgis import words


def job(state, cancelling=False):
    return Job(new_id(), "a", {}, state=state, cancelling=cancelling)


@pytest.mark.parametrize("state", State)
def test_each_state_has_a_word(state):
    assert words.status(job(state)).startswith("esriJob")


@pytest.mark.parametrize("level", Level)
def test_each_level_has_a_word(level):
    assert words.MESSAGE[level].startswith("esriJobMessageType")


def test_a_job_that_is_asked_to_stop_is_cancelling_until_it_has():
    assert words.status(job(State.RUNNING, True)) == "esriJobCancelling"
    assert words.status(job(State.CANCELLED, True)) == "esriJobCancelled"
    assert words.status(job(State.SUCCEEDED, True)) == "esriJobSucceeded"
