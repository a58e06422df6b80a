"""What a job tells, whatever protocol or state it has."""

import pytest

from geodl_lab.jobs.job import Job, Level, Message, State, new_id
from geodl_lab.server.arcgis import jobs
from geodl_lab.server.arcgis.tasks import find_task
from geodl_lab.server.arcgis.web import ArcgisError

TASK = find_task("ClassifyPixelsUsingDeepLearning")


def job(**values):
    request = jobs.request_of(TASK, {"inputRaster": "a", "env:outSR": "4326"})
    return Job(new_id(), "a", {}, request, **values)


@pytest.mark.parametrize("state", State)
def test_each_state_has_an_answer_with_results_only_where_it_succeeded(state):
    answer = jobs.job_answer(job(state=state, percent=37.4), [Message(Level.WARNING, "w", 0)])
    assert answer["messages"] == [{"type": "esriJobMessageTypeWarning", "description": "w"}]
    assert bool(answer["results"]) == (state is State.SUCCEEDED)
    assert answer["progress"]["percent"] == 37
    assert answer["inputs"]["env:outSR"] == {"paramUrl": "inputs/env%3AoutSR"}


def test_jobs_of_other_protocols_are_none_of_ours():
    with pytest.raises(ArcgisError, match="none of these tasks"):
        jobs.task_of(Job(new_id(), "a", {}, {"protocol": "other", "task": TASK.name}))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://x/a?token=S", "https://x/a?token="),
        ('{"url": "https://x/a?f=json&TOKEN=S"}', '{"url": "https://x/a?f=json&TOKEN="}'),
        ("https://x/a?apiKey=S&b=1", "https://x/a?apiKey=&b=1"),
        ("https://x/a?mytoken=S", "https://x/a?mytoken=S"),
    ],
)
def test_tokens_in_urls_are_not_kept(text, kept):
    assert jobs.request_of(TASK, {"inputRaster": text})["parameters"]["inputRaster"] == kept
