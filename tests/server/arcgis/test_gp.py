"""Tasks over the wire: pages, jobs, results, cancel; what is wrong is said by the job."""

import html
import json
import re

import pytest

from geodl_lab.jobs import recipes
from geodl_lab.jobs.catalog import Item, new_item_id
from geodl_lab.server.arcgis.tasks import TASKS

ROOT = "/rest/services/System/RasterAnalysisTools/GPServer"
CLASSIFY = f"{ROOT}/ClassifyPixelsUsingDeepLearning"
SENT = {
    "inputRaster": "/fileShares/images/a.tif",
    "outputClassifiedRaster": "lc",
    "model": "naip-landcover",
}
UNKNOWN = "j" + "0" * 32


def last(job):
    return job["messages"][-1]


@pytest.fixture
def submit(ask):
    """Submit a task; returns the id of its job."""

    def submit(task=CLASSIFY, **sent):
        answer = ask(f"{task}/submitJob", **(sent or SENT))
        assert answer.keys() == {"jobId", "jobStatus"}
        return answer["jobId"]

    return submit


def test_the_root_has_what_clients_need(ask):
    root = ask(ROOT)
    assert root["tasks"] == [task.name for task in TASKS]
    assert (root["executionType"], root["resultMapServerName"]) == (
        "esriExecutionTypeAsynchronous",
        "",
    )
    assert 11 <= root["currentVersion"] < 12


def test_task_pages_and_what_is_none(ask):
    assert ask(f"{ROOT}/listdeeplearningmodels")["name"] == "ListDeepLearningModels"
    error = ask(f"{ROOT}/TrainDeepLearningModel")["error"]
    assert error["code"] == 404
    assert "ClassifyPixels" in error["message"]


def test_a_job_from_submit_to_result(ask, submit, core):
    id = submit()
    waiting = ask(f"{CLASSIFY}/jobs/{id}", returnMessages="True")
    assert waiting["jobStatus"] == "esriJobSubmitted"
    assert waiting["results"] == {}
    core.start(id)
    assert ask(f"{CLASSIFY}/jobs/{id}")["jobStatus"] == "esriJobExecuting"
    item = new_item_id()
    core.succeed(id, service="lc", item=item)
    done = ask(f"{CLASSIFY}/jobs/{id}")
    assert done["jobStatus"] == "esriJobSucceeded"
    assert done["progress"]["percent"] == 100
    result = ask(f"{CLASSIFY}/jobs/{id}/{done['results']['outRaster']['paramUrl']}")
    url = "https://box:8443/arcgis/rest/services/Hosted/lc/ImageServer"
    assert result == {
        "paramName": "outRaster", "dataType": "GPString", "value": {"itemId": item, "url": url},
    }  # fmt: skip


def test_get_form_and_multipart_are_one(client, core):
    path, key = f"/arcgis{CLASSIFY}/submitJob", {"x-api-key": "key-a"}
    answers = [
        client.get(path, params=SENT | {"f": "json"}, headers=key),
        client.post(path, data=SENT | {"f": "JSON"}, headers=key),
        client.post(path, data=SENT | {"f": "json"}, files={"x": b"1"}, headers=key),
    ]
    ids = [answer.json()["jobId"] for answer in answers]
    assert {str(core.recipe(id)) for id in ids} == {str(core.recipe(ids[0]))}
    assert core.recipe(ids[0]).rasters == (recipes.Ref("store", "images/a.tif"),)


@pytest.mark.parametrize("sent", [{"inputRaster": "{"}, {"model": "{}"}, {"x": "y"}])
def test_wrong_parameters_make_a_job_that_fails(ask, submit, core, sent):
    id = submit(**sent)
    recipe = core.recipe(id)
    assert isinstance(recipe, recipes.Failed)
    core.fail(id, recipe.message)
    job = ask(f"{CLASSIFY}/jobs/{id}")
    assert job["jobStatus"] == "esriJobFailed"
    assert last(job) == {"type": "esriJobMessageTypeError", "description": recipe.message}


def test_inputs_are_told_without_tokens(ask, submit):
    url = "https://else.org/x/ImageServer?token=secret&f=json"
    id = submit(**SENT | {"inputRaster": json.dumps({"url": url}), "token": "key-a"})
    job = ask(f"{CLASSIFY}/jobs/{id}")
    assert job["inputs"].keys() == SENT.keys()
    answer = ask(f"{CLASSIFY}/jobs/{id}/inputs/inputRaster")
    assert answer["value"] == json.dumps({"url": url.replace("secret", "")})
    error = ask(f"{CLASSIFY}/jobs/{id}/inputs/context")["error"]
    assert "it has inputRaster, outputClassifiedRaster, model" in error["message"]


@pytest.mark.parametrize("path", ["", "/cancel", "/results/outRaster", "/inputs/model"])
def test_an_unknown_job_and_that_of_another_key_fail_with_one_message(ask, submit, path):
    id = submit()
    for key, asked in (("key-b", id), ("key-a", UNKNOWN)):
        job = ask(f"{CLASSIFY}/jobs/{asked}{path}", key=key)
        assert job["jobStatus"] == "esriJobFailed"
        assert [one["type"] for one in job["messages"]] == ["esriJobMessageTypeError"]
        assert f"no job {asked}" in last(job)["description"]
    assert "jobStatus" in ask(f"{CLASSIFY}/jobs/{id}", key="key-admin")


def test_what_is_no_id_is_an_error(ask):
    assert ask(f"{CLASSIFY}/jobs/17")["error"]["code"] == 404


def test_cancel(ask, submit, core):
    id = submit()
    assert ask(f"{CLASSIFY}/jobs/{id}/cancel")["jobStatus"] == "esriJobCancelled"
    running = submit()
    core.start(running)
    assert ask(f"{CLASSIFY}/jobs/{running}/cancel")["jobStatus"] == "esriJobCancelling"
    assert ask(f"{CLASSIFY}/jobs/{id}/cancel")["jobStatus"] == "esriJobCancelled"


def test_a_result_before_its_time_and_of_another_name(ask, submit):
    id = submit()
    error = ask(f"{CLASSIFY}/jobs/{id}/results/outRaster")["error"]
    assert "is pending; it has results when succeeded" in error["message"]
    error = ask(f"{CLASSIFY}/jobs/{id}/results/outObjects")["error"]
    assert "it has outRaster" in error["message"]


def test_an_existing_service_is_replaced_by_its_url_and_not_by_its_name(ask, submit, core):
    owner = core.store.get(submit()).owner
    item = Item(new_item_id(), owner, "Image Service", "lc")
    core.catalog.create("lc", "raster", owner, item)
    url = "https://box:8443/arcgis/rest/services/Hosted/lc/ImageServer"
    by_url = submit(**SENT | {"outputClassifiedRaster": json.dumps({"url": url})})
    assert core.recipe(by_url).output.item == item.id
    by_name = '{"serviceProperties": {"name": "lc"}}'
    assert core.recipe(submit(**SENT | {"outputClassifiedRaster": by_name})).output.item == ""


def test_a_full_queue_is_said_at_once(client, core):
    core.limit = 0
    answer = client.post(
        f"/arcgis{CLASSIFY}/submitJob", data=SENT | {"f": "json"}, headers={"x-api-key": "key-a"}
    )
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


def test_another_format_makes_no_job(ask, core):
    assert (
        "possible are html, json, pjson"
        in ask(f"{CLASSIFY}/submitJob", f="xml", **SENT)["error"]["message"]
    )
    assert sum(core.store.counts().values()) == 0


def test_pages_are_for_people_and_escape_all(client, core):
    key, evil = {"x-api-key": "key-a"}, "<script>alert(1)</script>\"'"
    page = client.get(f"/arcgis{CLASSIFY}", headers=key)
    assert page.headers["content-type"].startswith("text/html")
    assert 'name="inputRaster"' in page.text
    assert f'formaction="/arcgis{CLASSIFY}/submitJob"' in page.text
    sent = SENT | {"inputRaster": evil, "token": "key-a", "f": "HTML"}
    page = client.post(f"/arcgis{CLASSIFY}/submitJob", data=sent)
    id = re.search("j[0-9a-f]{32}", page.text)[0]
    for path in ("", "/inputs/inputRaster", "/cancel"):
        page = client.post(f"/arcgis{CLASSIFY}/jobs/{id}{path}", data={"token": "key-a"})
        assert page.status_code == 200
        assert "<script" not in page.text
        assert 'type="password" name="token" value="key-a"' in page.text
    assert html.escape(evil) in client.get(
        f"/arcgis{CLASSIFY}/jobs/{id}/inputs/inputRaster", headers=key
    ).text.replace("&#39;", "&#x27;")


def test_a_result_s_page_leads_to_its_service(client, submit, core):
    id = submit()
    core.succeed(id, item="a" * 32, kind="raster", service="lc")
    sent = {"f": "html", "token": "key-a"}
    page = client.post(f"/arcgis{CLASSIFY}/jobs/{id}/results/outRaster", data=sent)
    found = 'formaction="/arcgis/rest/services/Hosted/lc/ImageServer">Service<'
    assert found in page.text
    given = client.post(f"/arcgis{CLASSIFY}/jobs/{id}/inputs/inputRaster", data=sent)
    assert given.status_code == 200 and "Service<" not in given.text


def test_a_browser_without_a_key_gets_a_page_to_enter_it(client):
    accept = {"accept": "text/html,*/*"}
    page = client.get(f"/arcgis{CLASSIFY}", headers=accept)
    assert "A key is needed" in page.text
    assert 'type="password"' in page.text
    answer = client.get(f"/arcgis{CLASSIFY}?f=json", headers=accept).json()
    assert answer["error"]["code"] == 499
    assert client.get(f"/arcgis{CLASSIFY}").json()["error"]["code"] == 499


def test_the_other_results(ask, submit, core):
    item = core.items(type("All", (), {"owner": "", "admin": True, "may_see": lambda s, o: True})())
    model = item[-1]
    card = {
        "name": "n", "version": "1", "description": "", "title": "t", "task": "detect",
        "framework": "PyTorch", "window": [64, 128], "halo": 8, "bands": ["red"], "count": 1,
        "classes": [{"value": 1, "name": "tree", "color": "#ff0001"}],
        "decoder": {"name": "boxes", "threshold": 0.5, "nms": 0.4},
    }  # fmt: skip
    listed = [
        {"reference": ref, "name": ref, "version": "1", "task": "classify"}
        for ref in ("naip-landcover", "gone")
    ]
    results = {
        "ListDeepLearningModels": ({}, {"values": {"models": listed}}),
        "QueryDeepLearningModelInfo": ({"model": "n"}, {"values": {"card": card}}),
        "InstallDeepLearningModel": ({"modelPackage": "a" * 32}, {"values": {"model": "n@1#ab"}}),
        "UninstallDeepLearningModel": (
            {"modelItemId": f'{{"itemId":"{"a" * 32}"}}'},
            {"values": {"model": "n@1"}},
        ),
        "ExportTrainingDataforDeepLearning": ({"outputLocation": "chips"}, {"service": "chips"}),
        "DetectObjectsUsingDeepLearning": ({"outputObjects": "o"}, {"service": "o", "item": "i"}),
    }
    found = {}
    for task, (sent, result) in results.items():
        id = submit(f"{ROOT}/{task}", **sent, x="y")
        core.succeed(id, **result)
        job = ask(f"{ROOT}/{task}/jobs/{id}")
        (name,) = job["results"]
        found[name] = ask(f"{ROOT}/{task}/jobs/{id}/results/{name}")["value"]
    hosted = "https://box:8443/arcgis/rest/services/Hosted"
    assert [one["id"] for one in found["deepLearningModels"]] == [model.id]
    info = json.loads(found["outModelInfo"]["modelInfo"])
    assert (info["ImageHeight"], info["ImageWidth"], info["ModelType"]) == (
        64,
        128,
        "ObjectDetection",
    )
    assert info["Classes"] == [{"Value": 1, "Name": "tree", "Color": [255, 0, 1]}]
    assert found["installSucceed"] == "n@1#ab"
    assert found["uninstallSucceed"] == "a" * 32
    assert found["outLocation"] == {
        "uri": "/fileShares/outputs/chips", "url": f"{hosted}/chips/download/chips.zip",
    }  # fmt: skip
    assert found["outObjects"] == {"itemId": "i", "url": f"{hosted}/o/FeatureServer"}
