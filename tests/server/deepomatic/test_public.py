"""Which models are public, and as what."""

from geodl_lab.deepomatic_spec import check_outputs, check_preprocessing


def results(client, path):
    return client.get(path).json()["results"]


def test_the_scene_classifier_is_first_and_four_bands_are_not_there(client):
    told = results(client, "/recognition/public/?public=1&offset=0&limit=100")
    assert [one["id"] for one in told] == ["aerial-scene", "aerial-tags", "tree-crowns"]
    assert set(told[0]) == {"id", "name", "description", "update_date", "metadata"}


def test_outputs_are_what_the_rules_of_specifications_allow(client):
    kinds = {}
    for one in results(client, "/recognition/public"):
        spec = client.get(f"/recognition/public/{one['id']}").json()
        assert "current_version_id" not in spec
        (labels,) = check_outputs(spec["outputs"])
        kinds[one["id"]] = labels.exclusive, labels.boxes, labels.ids, one["metadata"]["thresholds"]
    assert kinds == {
        "aerial-scene": (True, False, (0, 4), [0.025, 0.025]),
        "aerial-tags": (False, False, (0, 4), [0.5, 0.5]),
        "tree-crowns": (True, True, (1,), [0.375]),
    }


def test_networks_are_all_models_that_a_photo_can_feed(client):
    told = results(client, "/networks/public")
    assert [one["id"] for one in told] == ["aerial-scene", "aerial-tags", "tree-crowns", "land"]
    sizes = []
    for one in told:
        found = client.get(f"/networks/public/{one['id']}").json()
        image = check_preprocessing(found["preprocessing"]).image
        sizes.append((image.fit.kind, image.fit.height, image.fit.width))
    assert sizes == [("squash", 96, 128)] * 2 + [("network", 256, 256)] * 2


def test_what_is_not_public(client):
    for path in ("/recognition/public/mine", "/networks/public/four-bands", "/networks/public/x"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.json()["detail"] == "Not found."
        assert "aerial-scene" in answer.json()["error"]


def test_what_is_public_is_not_changed(client):
    for path in ("/recognition/public/aerial-scene", "/networks/public/land"):
        for method in ("PATCH", "PUT", "DELETE"):
            assert client.request(method, path).status_code == 403


def test_pages(client):
    told = client.get("/recognition/public/?limit=1&offset=1&public=1").json()
    assert [one["id"] for one in told["results"]] == ["aerial-tags"]
    assert told["count"] == 3
    assert [one["id"] for one in results(client, told["next"])] == ["tree-crowns"]
    assert [one["id"] for one in results(client, told["previous"])] == ["aerial-scene"]
    assert told["prev"] == told["previous"]
    for query in ("limit=-1", "offset=-1", "limit=x", "offset=1e99"):
        assert client.get(f"/recognition/public?{query}").status_code == 400
