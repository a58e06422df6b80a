"""Items, folders and services of a user."""

import json

import pytest

USER = "/sharing/rest/content/users/self"


@pytest.fixture
def create(ask):
    """Create a service; returns the answer."""

    def create(name="lc", folder="", output="imageService", **more):
        place = f"{USER}/{folder}" if folder else USER
        return ask(
            f"{place}/createService",
            createParameters=json.dumps({"name": name}),
            outputType=output,
            **more,
        )

    return create


def test_a_service_is_made_for_a_result_to_come(ask, create, core):
    made = create(tags="a,b")
    assert made["success"]
    assert made["serviceurl"] == "https://box:8443/arcgis/rest/services/Hosted/lc/ImageServer"
    item = ask(f"/sharing/rest/content/items/{made['itemId']}")
    assert (item["title"], item["type"], item["tags"]) == ("lc", "Image Service", ["a", "b"])
    assert not ask("/sharing/rest/portals/self/isServiceNameAvailable", name="lc")["available"]
    assert "'lc' is taken" in create()["error"]["message"]


def test_names_and_kinds_that_are_not_possible(create):
    assert "call it 'a_b'" in create("a/b")["error"]["message"]
    assert (
        "possible are imageService, featureService" in create("x", output="map")["error"]["message"]
    )


def test_an_item_is_seen_by_its_key_and_the_admin_alone(ask, create):
    path = f"/sharing/rest/content/items/{create()['itemId']}"
    assert "error" in ask(path, key="key-b")
    assert ask(path, key="key-admin")["title"] == "lc"
    assert "no item" in ask("/sharing/rest/content/items/x")["error"]["message"]


def test_an_item_is_changed_and_removed_with_its_service(ask, create):
    id = create()["itemId"]
    done = ask(f"{USER}/items/{id}/update", title="New", properties='{"jobId": "j1"}')
    assert done == {"success": True, "id": id}
    item = ask(f"/sharing/rest/content/items/{id}")
    assert (item["title"], item["properties"]) == ("New", {"jobId": "j1"})
    assert "error" in ask(f"{USER}/items/{id}/delete", key="key-b")
    assert ask(f"{USER}/items/{id}/delete")["success"]
    assert "error" in ask(f"/sharing/rest/content/items/{id}")
    assert ask("/sharing/rest/portals/self/isServiceNameAvailable", name="lc")["available"]


def test_several_items_are_removed(ask, create):
    ids = [create("a")["itemId"], "0" * 32, create("b")["itemId"]]
    results = ask(f"{USER}/deleteItems", items=",".join(ids))["results"]
    assert [one["success"] for one in results] == [True, False, True]


def test_models_and_the_servers_own_stay(ask, core):
    model = next(one for one in core.items(core_caller(core, ask)) if one.model)
    error = ask(f"{USER}/items/{model.id}/delete")["error"]
    assert "UninstallDeepLearningModel" in error["message"]
    assert ask(f"/sharing/rest/content/items/{model.id}")["title"] == "naip-landcover"


def core_caller(core, ask):
    from geodl_lab.jobs.job import Caller  # noqa: PLC0415

    return Caller(ask("/sharing/rest/community/self")["username"])


def test_folders(ask, create):
    made = ask(f"{USER}/createFolder", title="Mine")["folder"]
    inside = create("in", folder=made["id"])["itemId"]
    create("out")
    content = ask(USER)
    assert [one["title"] for one in content["items"]] == ["out"]
    assert content["folders"][0]["title"] == "Mine"
    assert [one["title"] for one in ask(f"{USER}/Mine")["items"]] == ["in"]
    assert ask(f"{USER}/Mine/items/{inside}")["item"]["ownerFolder"] == made["id"]
    assert "already" in ask(f"{USER}/createFolder", title="Mine")["error"]["message"]
    assert "no folder" in create("x", folder="Other")["error"]["message"]
    assert ask(f"{USER}/{made['id']}/delete")["success"]
    assert "error" in ask(f"/sharing/rest/content/items/{inside}")
    assert ask(USER)["folders"] == []


def test_the_content_of_others_is_not_ours(ask):
    other = ask("/sharing/rest/community/self", key="key-b")["username"]
    assert "is not yours" in ask(f"/sharing/rest/content/users/{other}")["error"]["message"]
