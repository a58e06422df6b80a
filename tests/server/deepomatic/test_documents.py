"""Specifications, versions and networks from their begin to their end."""

import json

import pytest

from geodl_lab.jobs.recipes import Deploy
from tests.server.deepomatic.conftest import OTHER

LABELS = [{"id": 7, "name": "cat"}, {"id": 2, "name": "dog"}]
OUTPUTS = [{"labels": {"labels": LABELS, "exclusive": True, "roi": "NONE"}}]
POST = [{"classification": {"output_tensor": "prob", "thresholds": [0.1, 0.2]}}]
IMAGE = {
    "dimension_order": "NCHW", "target_size": "224x224", "resize_type": "SQUASH",
    "color_channels": "RGB", "pixel_scaling": 255.0, "data_type": "FLOAT32",
}  # fmt: skip
PREPROCESSING = {"inputs": [{"tensor_name": "data", "image": IMAGE}], "batched_output": True}
FLAT = {
    "preprocessing.inputs[0]tensor_name": "data",
    **{f"preprocessing.inputs[0]image.{key}": str(value) for key, value in IMAGE.items()},
    "preprocessing.batched_output": "True",
}
INFER = {"inputs": [{"image": {"source": "http://a/b"}}]}


def make_spec(client, **more):
    answer = client.post("/recognition/specs/", json={"name": "pets", "outputs": OUTPUTS, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def upload(client, files=None, **fields):
    sent = {"name": "net", "framework": "onnx-1.x", "preprocessing": json.dumps(PREPROCESSING)}
    files = {"model.onnx": ("m", b"graph")} if files is None else files
    return client.post("/networks/", data={**sent, **fields}, files=files)


def make_network(client, **fields):
    answer = upload(client, **fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def make_version(client, spec, network):
    sent = {"spec_id": spec["id"], "network_id": network["id"], "post_processings": POST}
    answer = client.post("/recognition/versions/", json=sent)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def made(client):
    """A specification, a network and the first version."""
    spec, network = make_spec(client), make_network(client)
    return spec, network, make_version(client, spec, network)


def ids(client, path):
    return [one["id"] for one in client.get(path).json()["results"]]


def test_a_specification(client):
    spec = make_spec(client, metadata={"a": [1.5, None]}, description="Two pets")
    assert (spec["outputs"], spec["current_version_id"]) == (OUTPUTS, None)
    assert isinstance(spec["id"], int)
    path = f"/recognition/specs/{spec['id']}"
    assert client.get(f"{path}/").json() == spec
    (listed,) = client.get("/recognition/specs?offset=0&limit=100").json()["results"]
    assert listed == {key: value for key, value in spec.items() if key != "outputs"}
    changed = client.patch(path, json={"name": "animals"}).json()
    assert (changed["name"], changed["metadata"]) == ("animals", spec["metadata"])
    assert client.put(path, data={"description": ""}).json()["description"] == ""
    assert client.patch(path, json={**changed, "name": "x"}).json()["name"] == "x"
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    assert client.delete(path).status_code == 404


def test_a_specification_as_flat_fields_has_numbers_and_truth_values(client):
    flat = {"name": "pets", "outputs[0]labels.exclusive": "True", "outputs[0]labels.roi": "NONE"}
    for place, label in enumerate(LABELS):
        flat |= {f"outputs[0]labels.labels[{place}]{key}": label[key] for key in label}
    assert client.post("/recognition/specs", data=flat).json()["outputs"] == OUTPUTS


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({}, "name"),
        ({"name": "a"}, "outputs"),
        ({"name": "a", "outputs": []}, "outputs"),
        ({"name": "a", "outputs": [{"tensors": {}}]}, "outputs"),
        ({"name": 5, "outputs": OUTPUTS}, "name"),
        ({"name": "a" * 2000, "outputs": OUTPUTS}, "name"),
        ({"name": "a", "outputs": OUTPUTS, "metadata": [1]}, "metadata"),
        ({"name": "a", "outputs": OUTPUTS, "description": {}}, "description"),
    ],
)
def test_specifications_that_are_not_possible(client, sent, field):
    answer = client.post("/recognition/specs", json=sent)
    assert answer.status_code == 400
    assert list(answer.json()["detail"]) == [field]
    assert not ids(client, "/recognition/specs")


def test_what_of_a_specification_cannot_be_changed(client, made):
    spec, _, version = made
    path = f"/recognition/specs/{spec['id']}"
    foreign = make_version(client, make_spec(client), make_network(client))
    for sent, field in (
        ({"outputs": [*OUTPUTS, *OUTPUTS]}, "outputs"),
        ({"colour": 1}, "colour"),
        ({"current_version_id": foreign["id"]}, "current_version_id"),
        ({"current_version_id": 10**6}, "current_version_id"),
        ({"current_version_id": "x"}, "current_version_id"),
    ):
        answer = client.patch(path, json=sent)
        assert (answer.status_code, list(answer.json()["detail"])) == (400, [field]), sent
    assert client.get(path).json()["current_version_id"] == version["id"]


def test_the_first_version_is_the_current_one(client, core, made):
    spec, network, version = made
    path = f"/recognition/specs/{spec['id']}"
    assert (version["spec_name"], version["network_name"]) == ("pets", "net")
    assert version["post_processings"] == POST
    second = make_version(client, spec, network)
    assert client.get(path).json()["current_version_id"] == version["id"]
    assert ids(client, f"{path}/versions?offset=0&limit=100") == [version["id"], second["id"]]
    assert ids(client, "/recognition/versions/") == [version["id"], second["id"]]
    listed = client.get(f"{path}/versions").json()["results"][0]
    assert "post_processings" not in listed
    for where in (path, f"/recognition/versions/{version['id']}"):
        recipe = core.recipe(client.post(f"{where}/inference", json=INFER).json()["task_id"])
        assert recipe.deployment == network["id"]
        assert recipe.arguments["outputs"] == OUTPUTS
        assert recipe.arguments["post_processings"] == POST
    assert client.patch(path, json={"current_version_id": second["id"]}).status_code == 200
    assert client.delete(f"/recognition/versions/{second['id']}").status_code == 204
    assert client.get(path).json()["current_version_id"] is None
    answer = client.post(f"{path}/inference", json=INFER)
    assert answer.status_code == 400
    assert "no current version" in answer.json()["error"]
    assert client.patch(f"/recognition/versions/{version['id']}", json={}).status_code == 405


def test_numbers_of_flat_forms_are_kept_as_numbers(client, made):
    spec, network, _ = made
    where = "post_processings[0]classification"
    sent = {"spec_id": spec["id"], "network_id": network["id"], f"{where}.output_tensor": "1"}
    sent |= {f"{where}.thresholds[{i}]": text for i, text in enumerate(("0.25", "1"))}
    answer = client.post(
        "/recognition/versions", files={k: (None, str(v)) for k, v in sent.items()}
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["post_processings"] == [
        {"classification": {"output_tensor": "1", "thresholds": [0.25, 1.0]}}
    ]
    constant = "preprocessing.inputs[1]"
    sent = {"name": "n", "framework": "onnx-1.x", **FLAT, f"{constant}tensor_name": "im_info"}
    rows = {f"constant.data[{i}]": one for i, one in enumerate(("data.1", "data.2", "1"))}
    sent |= {f"{constant}{key}": one for key, one in {**rows, "constant.shape[0]": "3"}.items()}
    files = {"model.onnx": ("m", b"graph"), "mean.npy": ("m", b"1")}
    told = client.post("/networks", data=sent, files=files).json()["preprocessing"]["inputs"][1]
    assert told == {
        "tensor_name": "im_info", "constant": {"shape": [3], "data": ["data.1", "data.2", 1.0]},
    }  # fmt: skip


def test_versions_that_are_not_possible(client, made):
    spec, network, _ = made
    good = {"spec_id": spec["id"], "network_id": network["id"], "post_processings": POST}
    for sent, field in (
        ({"spec_id": None}, "spec_id"),
        ({"spec_id": 10**6}, "spec_id"),
        ({"network_id": "x"}, "network_id"),
        ({"network_id": spec["id"]}, "network_id"),
        ({"post_processings": []}, "post_processings"),
        ({"post_processings": POST * 2}, "post_processings"),
        ({"post_processings": [{"detection": {}}]}, "post_processings"),
        ({"post_processings": [{"classification": {"output_tensor": "a", "thresholds": [1]}}]},
         "post_processings"),
    ):  # fmt: skip
        answer = client.post("/recognition/versions", json={**good, **sent})
        assert (answer.status_code, list(answer.json()["detail"])) == (400, [field]), sent
    assert client.post("/recognition/versions", json={}).status_code == 400


def test_deletes_cascade(client, made):
    spec, network, version = made
    other = make_version(client, spec, make_network(client))
    assert client.delete(f"/networks/{network['id']}/").status_code == 204
    assert ids(client, "/recognition/versions") == [other["id"]]
    assert client.get(f"/recognition/versions/{version['id']}").status_code == 404
    assert client.get(f"/recognition/specs/{spec['id']}").json()["current_version_id"] is None
    assert client.delete(f"/recognition/specs/{spec['id']}/").status_code == 204
    assert ids(client, "/recognition/versions") == []


@pytest.mark.parametrize("flat", [False, True])
def test_a_network_comes_in_both_encodings(client, core, flat):
    fields = FLAT if flat else {"preprocessing": json.dumps(PREPROCESSING)}
    sent = {"name": "net", "framework": "onnx-1.x", **fields}
    more = {"metadata.a": "b"} if flat else {"metadata": '{"a": "b"}'}
    files = {"model.onnx": ("weights", b"graph"), "mean.npy": ("mean.npy", b"123")}
    answer = client.post("/networks/", data={**sent, **more}, files=files)
    assert answer.status_code == 201, answer.text
    network = answer.json()
    assert network["preprocessing"] == PREPROCESSING
    assert network["metadata"] == {"a": "b"}
    folder = core.documents.folder("network", network["id"])
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        "model.onnx": b"graph", "mean.npy": b"123",
    }  # fmt: skip
    assert core.recipe(network["task_id"]) == Deploy(network["id"])
    core.succeed(network["task_id"])
    assert client.get(f"/tasks/{network['task_id']}").json()["status"] == "success"
    assert client.get(f"/networks/{network['id']}").json() == network
    assert not list(core.options.data_dir.glob(".upload*"))


def test_a_network_is_edited_and_deleted_with_its_files(client, core):
    network = make_network(client)
    path = f"/networks/{network['id']}"
    assert client.patch(path, json={"metadata": {"x": 1}}).json()["metadata"] == {"x": 1}
    assert client.patch(path, json={"framework": "esri-dlpk"}).status_code == 400
    assert client.patch(path, json={"framework": "onnx-1.x"}).status_code == 200
    assert client.delete(path).status_code == 204
    assert not core.documents.folder("network", network["id"]).exists()
    assert client.get(f"/tasks/{network['task_id']}").json()["status"] == "error"


@pytest.mark.parametrize("framework", ["tensorflow-1.x", "nv-caffe-0.x-mod", "pytorch-2.x"])
def test_networks_that_are_only_stored_are_taken(client, framework):
    main = {"tensorflow-1.x": "saved_model.pb", "nv-caffe-0.x-mod": "snapshot.caffemodel",
            "pytorch-2.x": "model.pt2"}[framework]  # fmt: skip
    assert make_network(client, framework=framework, files={main: ("x", b"x")})["task_id"]


def test_networks_that_are_not_possible(client, core):
    mean = json.dumps(
        {"inputs": [{"tensor_name": "data", "image": {**IMAGE, "mean_file": "m.npy"}}]}
    )
    for sent, field in (
        ({"name": ""}, "name"),
        ({"framework": "keras"}, "framework"),
        ({"preprocessing": ""}, "preprocessing"),
        ({"preprocessing": "{}"}, "preprocessing"),
        ({"preprocessing": "{"}, "preprocessing"),
        ({"preprocessing": mean}, "preprocessing"),
        ({"postprocessings": "a"}, "postprocessings"),
        ({"files": {"model.pt": ("m", b"x")}}, "model.onnx"),
        ({"files": {"model.onnx": ("m", b"")}}, "model.onnx"),
        ({"files": {"model.onnx": ("m", b"x"), "../up": ("m", b"x")}}, "files"),
    ):
        answer = upload(client, **sent)
        assert (answer.status_code, list(answer.json()["detail"])) == (400, [field]), sent
    assert not ids(client, "/networks")
    assert not core.files


def test_a_network_that_the_queue_does_not_take_is_not_kept(client, core):
    core.limit = 0
    assert upload(client).status_code == 503
    assert not ids(client, "/networks")


def test_others_see_nothing(client, made):
    key = {"x-api-key": OTHER}
    for kind, one in zip(
        ("recognition/specs", "networks", "recognition/versions"), made, strict=True
    ):
        path = f"/{kind}/{one['id']}"
        assert client.get(f"/{kind}", headers=key).json()["count"] == 0
        assert client.get(path, headers=key).status_code == 404
        assert client.delete(path, headers=key).status_code == 404
        assert client.post(f"{path}/inference", json=INFER, headers=key).status_code == 404
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("id", ["x", "0", "-1", "1.5", "9" * 18, "9" * 30, "\u0661"])
@pytest.mark.parametrize("kind", ["recognition/specs", "networks", "recognition/versions"])
def test_ids_that_are_none(client, kind, id):
    for answer in (client.get(f"/{kind}/{id}"), client.delete(f"/{kind}/{id}")):
        assert answer.status_code == 404
        assert answer.json()["error"]


def test_pages_of_networks(client):
    all_ids = [make_network(client)["id"] for _ in range(3)]
    told = client.get("/networks/?offset=0&limit=2").json()
    assert (told["count"], [one["id"] for one in told["results"]]) == (3, all_ids[:2])
    assert ids(client, told["next"]) == all_ids[2:]
