"""Drives deepomatic-api, whatever its version: every call that it offers. Knows nothing of ours.

Reads a task as JSON from stdin (``url``, ``key``, ``photo``, ``photo_url``, ``network``, ``steps``)
and writes what each step saw to stdout.
"""

import base64
import json
import sys

from deepomatic.api.client import Client
from deepomatic.api.exceptions import ClientError, TaskError
from deepomatic.api.inputs import ImageInput

LABELS = [{"id": 5, "name": "red"}, {"id": 9, "name": "green"}, {"id": 2, "name": "blue"}]
OUTPUTS = [{"labels": {"labels": LABELS, "exclusive": True, "roi": "NONE"}}]
POST = [{"classification": {"output_tensor": "prob", "thresholds": [0.1, 0.1, 0.1]}}]
PREPROCESSING = {
    "inputs": [
        {
            "tensor_name": "data",
            "image": {
                "dimension_order": "NCHW", "target_size": "32x32", "resize_type": "SQUASH",
                "color_channels": "RGB", "pixel_scaling": 255.0, "mean_file": "",
                "data_type": "FLOAT32",
            },
        }
    ],
    "batched_output": True,
}  # fmt: skip
BBOX = {"xmin": 0.25, "ymin": 0.0, "xmax": 1.0, "ymax": 0.75}
POLYGON = [{"x": 0.0, "y": 0.0}, {"x": 1.0, "y": 0.0}, {"x": 0.5, "y": 1.0}]


def account(client, task):
    return client.Account.retrieve("me").data()


def public(client, task):
    """Every public specification and network, page by page, with what is read on demand."""
    pages = client.RecognitionSpec.list(public=True, limit=1)
    specs = [spec["id"] for spec in pages]
    second = pages.next()
    return {
        "specs": specs,
        "count": pages.count(),
        "back": [one["id"] for one in second.prev()["results"]],
        "outputs": {id: client.RecognitionSpec.retrieve(id)["outputs"] for id in specs},
        "networks": [one["id"] for one in client.Network.list(public=True)],
        "network": client.Network.retrieve(specs[0]).data(),
    }


def infer(client, task):
    """One image in every way in which the client sends images."""
    with open(task["photo"], "rb") as file:
        content = file.read()
    spec = client.RecognitionSpec.retrieve("aerial-scene")
    asked = {"show_discarded": True, "max_predictions": 3}
    told = {
        "bytes": spec.inference(inputs=[ImageInput(content, encoding="binary")], **asked),
        "base64": spec.inference(
            inputs=[ImageInput(base64.b64encode(content), encoding="base64")], **asked
        ),
        "url": spec.inference(inputs=[ImageInput(task["photo_url"])], **asked),
    }
    with open(task["photo"], "rb") as file:
        told["file"] = spec.inference(inputs=[ImageInput(file)], **asked)
    return told


def crops(client, task):
    """Parts of an image; the client cannot send numbers beside bytes, but text."""
    with open(task["photo"], "rb") as file:
        content = file.read()
    spec = client.RecognitionSpec.retrieve("tree-crowns")
    box = {side: str(value) for side, value in BBOX.items()}
    corners = [{key: str(value) for key, value in corner.items()} for corner in POLYGON]
    ways = {
        "url": ImageInput(task["photo_url"], bbox=BBOX),
        "bytes": ImageInput(content, encoding="binary", bbox=box),
        "JSON": ImageInput(content, encoding="binary", bbox=json.dumps(BBOX)),
        "polygon": ImageInput(content, encoding="binary", polygon=corners),
        "polygon of an address": ImageInput(task["photo_url"], polygon=POLYGON),
        "background": ImageInput(task["photo_url"], crop_uniform_background=True),
    }
    return {way: spec.inference(inputs=[one]) for way, one in ways.items()}


def batch(client, task):
    """Several tasks, waited for together; one fails."""
    spec = client.RecognitionSpec.retrieve("aerial-tags")
    with open(task["photo"], "rb") as file:
        content = file.read()
    pictures = [content, content[:500], content]
    tasks = [
        spec.inference(
            inputs=[ImageInput(one, encoding="binary")], return_task=True, wait_task=False
        )
        for one in pictures
    ]
    pending, success, error = client.Task.batch_wait(tasks=tasks)
    listed = client.Task.list(task_ids=[one.pk for one in tasks])
    try:
        tasks[1].wait()
        said = ""
    except TaskError as failure:
        said = str(failure)
    return {
        "places": [[place for place, _ in kind] for kind in (pending, success, error)],
        "data": [one["data"] for _, one in success],
        "error": error[0][1]["error"],
        "said": said,
        "listed": [one["status"] for one in listed],
        "again": client.Task.retrieve(tasks[0].pk)["data"],
    }


def own(client, task):
    """The way of the vendor's demo: a specification, a network, a version, inference, clean up."""
    spec = client.RecognitionSpec.create(name="colours", outputs=OUTPUTS, metadata={"a": 1})
    begin = dict(spec.data())
    network = client.Network.create(
        name="colours", framework="pytorch-2.x", preprocessing=PREPROCESSING, metadata={"b": "c"},
        files={"model.pt": task["network"]},
    )  # fmt: skip
    version = client.RecognitionVersion.create(
        spec_id=spec.pk, network_id=network.pk, post_processings=POST
    )
    image = ImageInput(task["photo_url"])
    soon = version.inference(inputs=[image])  # before it is said to be deployed
    deployment = client.Task.retrieve(network["task_id"]).wait()
    told = {
        "begin": begin,
        "network": network.data(),
        "version": version.data(),
        "soon": soon,
        "deployment": deployment["status"],
        "spec": spec.inference(inputs=[image]),
        "current": client.RecognitionSpec.retrieve(spec.pk)["current_version_id"],
        "versions": [one["id"] for one in spec.versions()],
        "all": [one["id"] for one in client.RecognitionVersion.list()],
        "retrieved": client.RecognitionVersion.retrieve(version.pk)["post_processings"],
        "specs": [one["id"] for one in client.RecognitionSpec.list()],
        "networks": [one["id"] for one in client.Network.list()],
    }
    spec.update(name="other", description="changed")
    network.update(description="mine")
    told["updated"] = [spec["name"], spec["description"], network["description"]]
    spec.update(replace=True, name="replaced", current_version_id=None)
    told["replaced"] = [spec["name"], spec["current_version_id"]]
    told["deleted"] = [one.delete() for one in (version, network, spec)]
    told["left"] = [
        kind.list().count()
        for kind in (client.RecognitionSpec, client.Network, client.RecognitionVersion)
    ]
    return told


def tensors(client, task):
    """Raw tensors of networks, as numbers and as arrays."""
    network = client.Network.create(
        name="colours", framework="pytorch-2.x", preprocessing=PREPROCESSING,
        files={"model.pt": task["network"]},
    )  # fmt: skip
    image = ImageInput(task["photo_url"])
    plain = network.inference(inputs=[image], output_tensors=["prob"], convert_to_numpy=False)
    array = network.inference(inputs=[image], output_tensors=["prob"])["prob"]
    scores = client.Network.retrieve("aerial-scene").inference(
        inputs=[image], output_tensors=["output"]
    )["output"]
    network.delete()
    return {"plain": plain, "array": array.tolist(), "public": scores.tolist()}


def errors(client, task):
    """What the client makes of refusals."""
    spec = client.RecognitionSpec.retrieve("aerial-scene")
    told = {}
    calls = {
        "empty": lambda: spec.inference(inputs=[]),
        "missing": lambda: client.RecognitionSpec.retrieve("nothing").data(),
        "unknown task": lambda: client.Task.retrieve("17").data(),
        "key": lambda: Client(api_key="wrong", host=task["url"]).Account.retrieve("me").data(),
        "framework": lambda: client.Network.create(
            name="a", framework="keras", preprocessing=PREPROCESSING,
            files={"model.pt": task["network"]},
        ),
    }  # fmt: skip
    for name, call in calls.items():
        try:
            told[name] = [200, call()]
        except ClientError as error:
            told[name] = [error.response.status_code, error.response.json()]
    return told


STEPS = {one.__name__: one for one in (account, public, infer, crops, batch, own, tensors, errors)}


def main():
    """Do the steps of a task."""
    task = json.load(sys.stdin)
    client = Client(api_key=task["key"], host=task["url"])
    json.dump({name: STEPS[name](client, task) for name in task["steps"]}, sys.stdout)


main()
