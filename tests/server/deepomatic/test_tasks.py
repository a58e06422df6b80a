"""Tasks are our jobs in other words."""

import re

import pytest

from geodl_lab.jobs.job import Caller
from geodl_lab.jobs.recipes import ListModels
from tests.server.deepomatic.conftest import OTHER

PATH = "/recognition/public/tree-crowns/inference"
SENT = {"inputs": [{"image": {"source": "http://a/b"}}], "show_discarded": "1"}


@pytest.fixture
def id(client):
    """A task."""
    return client.post(PATH, json=SENT).json()["task_id"]


def test_a_task_from_its_begin_to_its_end(client, core, id, answer):
    told = client.get(f"/tasks/{id}/").json()
    assert set(told) == {
        "id",
        "status",
        "error",
        "date_created",
        "date_updated",
        "data",
        "subtasks",
    }
    assert (told["id"], told["status"], told["data"], told["error"]) == (id, "pending", None, None)
    core.start(id)
    assert client.get(f"/tasks/{id}").json()["status"] == "pending"
    core.succeed(id, answers=[answer.as_dict()])
    told = client.get(f"/tasks/{id}").json()
    assert (told["status"], told["error"]) == ("success", None)
    (output,) = told["data"]["outputs"]
    assert [len(output["labels"][kind]) for kind in ("predicted", "discarded")] == [2, 1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", told["date_updated"])


def test_a_task_that_fails_says_why(client, core, id):
    core.fail(id, "the photo is damaged")
    told = client.get(f"/tasks/{id}").json()
    assert (told["status"], told["error"], told["data"]) == ("error", "the photo is damaged", None)


def test_a_task_that_is_cancelled_is_an_error(client, core, id):
    core.store.cancel(id)
    assert client.get(f"/tasks/{id}").json()["status"] == "error"


def test_many_tasks_in_one_answer(client):
    ids = [client.post(PATH, json=SENT).json()["task_id"] for _ in range(3)]
    for query in (
        [("task_ids", id) for id in ids],
        {"task_ids": str(ids).replace("'", '"')},
        {"task_ids": ",".join(ids)},
        [*(("task_ids", id) for id in ids), ("task_ids", ids[0]), ("task_ids", "17")],
    ):
        told = client.get("/tasks/", params=query).json()
        assert [one["id"] for one in told["results"]] == ids
        assert (told["count"], told["next"]) == (3, None)


def test_pages_of_tasks_keep_what_was_asked(client):
    ids = [client.post(PATH, json=SENT).json()["task_id"] for _ in range(3)]
    query = [*(("task_ids", id) for id in ids), ("limit", "2")]
    told = client.get("/tasks", params=query).json()
    assert told["next"].startswith("http://testserver/v0.7/tasks?")
    assert [one["id"] for one in client.get(told["next"]).json()["results"]] == ids[2:]


@pytest.mark.parametrize("query", ["", "?task_ids=", "?task_ids=[]"])
def test_no_tasks_are_asked_for(client, query):
    answer = client.get(f"/tasks{query}")
    assert answer.status_code == 400
    assert "task_ids" in answer.json()["detail"]


def test_what_is_no_task_of_ours(client, core, id):
    other = core.submit(ListModels(), Caller("somebody"), request={"protocol": "arcgis"}).id
    for one in ("17", "j" + "0" * 32, other, "%00", "a b", "../tasks"):
        answer = client.get(f"/tasks/{one}")
        assert answer.status_code in (400, 404), one
        assert answer.json()["error"]
    hidden = client.get(f"/tasks/{id}", headers={"x-api-key": OTHER})
    assert hidden.status_code == 404
