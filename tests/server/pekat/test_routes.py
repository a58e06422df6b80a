"""PEKAT's protocol as its clients speak it."""

import asyncio
import base64
import io
import json
import os
import signal
from concurrent.futures import Future

import numpy as np
import pytest
from PIL import Image

from geodl_lab.jobs.workers import LOCAL
from geodl_lab.server.pekat.errors import PATHS
from geodl_lab.server.pekat.routes import VERSION, router

KEY, PROJECT_KEY, STOP_KEY = "key-of-one", "key-of-the-project", "key-to-stop"
CURL = {"content-type": "application/x-www-form-urlencoded"}


def is_error(answer, status, says):
    said = answer.json()
    assert answer.status_code == status, said
    assert said["error"] is True and said["processing"] is False and "result" not in said
    assert says in said["message"] and "Traceback" not in answer.text


def file(pixels, kind, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("headers", [{}, CURL, {"content-type": "application/octet-stream"}])
def test_a_context(port, talk, png, method, headers):
    query = {"response_type": "context", "data": "lot 7", "who": "knows"}
    more = {"content": png, "params": query, "headers": headers}
    (answer,) = talk(port(), (method, "/analyze_image", more))
    context = answer.json()
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    assert context["imageShape"] == {"height": 40, "width": 60} and context["data"] == "lot 7"
    assert context["error"] is False and isinstance(context["result"], bool)


@pytest.mark.parametrize("kind", ["image", "annotated_image", "heatmap"])
@pytest.mark.parametrize("flag", ["context_in_body", "context_in_body=1", "context_in_body="])
def test_a_picture_with_the_context(port, talk, png, kind, flag):
    path = f"/analyze_image?response_type={kind}"
    beside, inside = talk(
        port(), ("POST", path, {"content": png}), ("POST", f"{path}&{flag}", {"content": png})
    )
    assert beside.headers["content-type"] == "image/png"
    contexts = [json.loads(base64.b64decode(beside.headers["contextbase64utf"]))]
    contexts.append(json.loads(beside.headers["context"]))
    count = int(inside.headers["imagelen"])
    contexts.append(json.loads(inside.content[count:]))
    assert inside.content[:count] == beside.content
    assert Image.open(io.BytesIO(beside.content)).size == (60, 40)
    assert len({str(one["surfaceClasses"]) for one in contexts}) == 1
    assert int(inside.headers["content-length"]) == len(inside.content)


def test_raw_pixels(port, talk, pixels):
    bgr, grey = pixels[..., ::-1].tobytes(), pixels[..., 0].tobytes()
    size, kind = {"width": "60", "height": "40"}, {"response_type": "image"}
    form = {"data": size, "files": {"array": ("array", bgr)}}
    answers = talk(
        port(),
        ("POST", "/analyze_raw_image", {"content": bgr, "params": {**size, **kind}}),
        ("PUT", "/analyze_raw_image", {"content": grey, "params": {**size, **kind}}),
        ("POST", "/analyze_raw_image", {**form, "params": kind}),
        ("POST", "/analyze_raw_Image", {"content": grey, "params": {**size, **kind, "bayer": ""}}),
    )
    seen = [np.asarray(Image.open(io.BytesIO(one.content))) for one in answers]
    assert (seen[0] == pixels).all() and (seen[2] == pixels).all()
    assert (seen[1] == pixels[..., :1]).all()
    assert seen[3].shape == pixels.shape and seen[3][0, 0, 0] == pixels[0, 0, 0]  # red


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/analyze_image", b"", "the photo is empty"),
        ("/analyze_image", b"\x89PNG\r\n\x1a\n" + bytes(40), "are no photo that can be read"),
        ("/analyze_image", b"text", "are no photo that can be read"),
        ("/analyze_image?response_type=jpeg", b"", "response_type 'jpeg' is not possible"),
        ("/analyze_raw_image", b"123", "width is missing"),
        ("/analyze_raw_image?width=1", b"123", "height is missing"),
        ("/analyze_raw_image?width=1&height=x", b"123", "height 'x' is not possible"),
        ("/analyze_raw_image?width=1&height=1", b"", "0 bytes are no 1 x 1 pixels"),
        ("/analyze_raw_image?width=1&height=1", b"1234", "4 bytes are no 1 x 1 pixels"),
        ("/analyze_raw_image?width=1&height=1&bayer", b"123", "1 byte a pixel (Bayer)"),
        ("/analyze_raw_image?width=99999999&height=99999999", b"1", "is not possible"),
    ],
)
def test_what_cannot_be_looked_at(port, talk, path, body, says):
    for extra in ("", "&response_type=image&context_in_body"):
        if extra and "response_type" in path:
            continue
        joined = path + (extra if "?" in path else extra.replace("&", "?", 1))
        (answer,) = talk(port(), ("POST", joined, {"content": body}))
        is_error(answer, 400, says)
        assert "imagelen" not in answer.headers


def test_a_cut_off_file(port, talk, png, pixels):
    jpeg = file(pixels, "JPEG")
    for data, says in (
        (png[: len(png) // 2], "damaged or cut off"), (jpeg[:-300], "damaged or cut off"),
        (jpeg[:600], "are no photo"),
    ):  # fmt: skip
        (answer,) = talk(port(), ("POST", "/analyze_image", {"content": data}))
        is_error(answer, 400, says)


def test_all_makes_of_images(port, talk, pixels):
    kinds = [file(pixels, kind) for kind in ("PNG", "JPEG", "BMP", "TIFF")]
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    kinds.append(file(pixels[..., 0], "PNG"))
    kinds.append(file(pixels[..., 0].astype(np.uint16) * 257, "PNG"))
    answers = talk(
        port(), *(("POST", "/analyze_image", {"content": data}) for data in kinds),
        ("POST", "/analyze_image", {"content": file(pixels, "JPEG", exif=exif)}),
    )  # fmt: skip
    shapes = [one.json()["imageShape"] for one in answers]
    assert shapes == [{"height": 40, "width": 60}] * 6 + [{"height": 60, "width": 40}]


def test_a_form_without_a_file(port, talk):
    (answer,) = talk(port(), ("POST", "/analyze_raw_image", {"files": {"width": (None, "3")}}))
    is_error(answer, 400, "the form holds no file")


def test_a_context_that_is_too_long_for_headers(port, talk, png):
    query = {"response_type": "image", "data": "x" * 50_000}
    more = {"content": png, "params": query}
    beside, inside = talk(
        port(), ("POST", "/analyze_image", more),
        ("POST", "/analyze_image", {**more, "params": {**query, "context_in_body": ""}}),
    )  # fmt: skip
    is_error(beside, 400, "add context_in_body to the query")
    assert inside.status_code == 200


def test_a_project_that_does_not_look(port, talk, png):
    app = port(processing=False)
    path = "/analyze_image?response_type=annotated_image&context_in_body"
    (answer,) = talk(app, ("POST", path, {"content": png}))
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["processing"] is False and answer.json()["error"] is False
    assert not {"imagelen", "contextbase64utf"} & set(answer.headers)


def test_ping_and_version(made, talk):
    for app in made():
        answers = talk(app, *((method, "/ping") for method in ("GET", "HEAD")), ("GET", "/version"))
        assert [one.status_code for one in answers] == [200] * 3
        number = tuple(map(int, answers[2].text.partition("+")[0].split(".")))
        assert answers[2].text == VERSION and number < (3, 18)  # else images come by shared memory


def test_shared_memory_is_refused(port, talk):
    path = "/analyze_image_shared_memory?width=1&height=1&name=psm_1"
    (answer,) = talk(port(), ("POST", path))
    is_error(answer, 404, "send the pixels to /analyze_raw_image")


def test_the_last_image(port, talk, png, pixels):
    app = port()
    before, _, image, heat, unknown, head = talk(
        app, ("GET", "/last_image"), ("POST", "/analyze_image", {"content": png}),
        ("GET", "/last_image"), ("GET", "/last_image?response_type=heatmap"),
        ("GET", "/last_image?response_type=foo"), ("HEAD", "/last_image"),
    )  # fmt: skip
    is_error(before, 404, "no image of this key was analysed yet")
    assert (np.asarray(Image.open(io.BytesIO(image.content))) == pixels).all()
    assert heat.headers["content-type"] == "image/png" and heat.content != image.content
    assert (unknown.status_code, unknown.content) == (200, b"")
    assert unknown.headers["content-type"] == "image/png" and head.status_code == 200


def test_an_image_that_failed_is_not_the_last(port, talk, png):
    answers = talk(
        port(), ("POST", "/analyze_image", {"content": b"x"}), ("GET", "/last_image"),
    )  # fmt: skip
    assert [one.status_code for one in answers] == [400, 404]


def test_wrong_methods(port, talk):
    answers = talk(
        port(), *((method, "/analyze_image") for method in ("GET", "DELETE", "PATCH")),
        ("POST", "/ping"), ("GET", "/nowhere"),
    )  # fmt: skip
    for answer in answers[:3]:
        is_error(answer, 405, "This method is not possible")
        assert sorted(answer.headers["allow"].split(", ")) == ["POST", "PUT"]
    is_error(answers[3], 405, "not possible")
    is_error(answers[4], 404, "There is nothing at /nowhere")


def asks(png, *, key="", header=""):
    more = {"content": png, "params": {"api_key": key} if key else {}}
    return "POST", "/analyze_image", more | {"headers": {"X-API-KEY": header} if header else {}}


def test_keys(made, talk, png):
    for app in made(api_key=PROJECT_KEY):
        answers = talk(
            app, asks(png), asks(png, key="wrong"), asks(png, key=KEY), asks(png, header=KEY),
            asks(png, key=PROJECT_KEY), asks(png, header=PROJECT_KEY),
        )  # fmt: skip
        assert [one.status_code for one in answers] == [401, 401, 200, 200, 200, 200]
        is_error(answers[0], 401, "api_key=KEY")
        is_error(answers[1], 401, "is not valid")


def test_the_projects_key_opens_nothing_else(made, talk):
    main, port = made(api_key=PROJECT_KEY)
    path = "/arcgis/rest/services?f=json"
    ours, theirs = talk(
        main, ("GET", path, {"headers": {"X-API-KEY": PROJECT_KEY}}),
        ("GET", path, {"headers": {"X-API-KEY": KEY}}),
    )  # fmt: skip
    assert ours.json()["error"]["code"] == 498 and "error" not in theirs.json()
    (answer,) = talk(port, ("GET", path, {"headers": {"X-API-KEY": KEY}}))
    is_error(answer, 404, "There is nothing")


def test_without_a_key_only_the_port_answers(made, talk, png):
    main, port = made(api_key=None)
    answers = [talk(app, asks(png))[0] for app in (main, port)]
    assert [one.status_code for one in answers] == [401, 200]
    (page,) = talk(port, ("POST", "/analyze_image", {"headers": {"Origin": "http://evil.example"}}))
    is_error(page, 403, "Without keys")
    assert all(talk(app, asks(png))[0].status_code == 200 for app in made(no_auth=True))


def test_each_key_has_its_own_last_image(made, talk, png):
    main, _ = made(api_key=PROJECT_KEY)
    answers = talk(
        main, asks(png, key=KEY), ("GET", "/last_image", {"params": {"api_key": PROJECT_KEY}}),
        ("GET", "/last_image", {"params": {"api_key": KEY}}), ("GET", "/last_image"),
    )  # fmt: skip
    assert [one.status_code for one in answers] == [200, 404, 200, 401]


def test_there_is_nothing_at_the_root_behind_tls(made, talk, png):
    main, port = made(tls=True, api_key=None)
    assert talk(main, asks(png, key=KEY))[0].status_code == 404
    assert talk(port, asks(png))[0].status_code == 200


def test_stop(made, talk, monkeypatch):
    stopped = []
    monkeypatch.setattr(os, "kill", lambda *given: stopped.append(given))
    for app in made():
        none, wrong = talk(app, ("GET", "/stop"), ("GET", "/stop?key=wrong"))
        is_error(none, 403, "not the one that stops")
        is_error(wrong, 403, "not the one that stops")
        assert not stopped
        (right,) = talk(app, ("HEAD", f"/stop?key={STOP_KEY}"))
        assert right.status_code == 200
        assert stopped == [(os.getpid(), signal.SIGTERM)]
        stopped.clear()
    (never,) = talk(made(stop_key="")[1], ("GET", "/stop?key="))
    is_error(never, 404, "without a stop key")
    assert not stopped


def test_a_worker_that_dies(made, talk, png, crash):
    main, port = made(api_key=None)
    main.state.core.crash = crash
    (answer,) = talk(port, asks(png))
    is_error(answer, 503, "the worker was killed; send the same request again")
    assert answer.headers["retry-after"] == "5"


def test_a_fault_of_ours(made, talk, png):
    main, port = made(api_key=None)
    main.state.core.crash = ValueError("secret words")
    (answer,) = talk(port, asks(png))
    is_error(answer, 500, "The server made a mistake")
    assert "secret" not in answer.text


def test_too_many_at_once(made, talk, png):
    main, port = made(api_key=None)
    main.state.pekat.room.most = len(png) - 1
    is_error(talk(port, asks(png))[0], 503, "too many images are under way")
    assert main.state.pekat.room.held == 0
    main.state.pekat.room.most = len(png)
    assert [one.status_code for one in talk(port, asks(png), asks(png))] == [200, 200]


def test_images_may_be_larger_than_forms(port, talk):
    big = {"content": bytes(20 * 2**20), "headers": CURL}
    (answer,) = talk(port(), ("POST", "/analyze_image", big))
    is_error(answer, 400, "are no photo")
    huge = {"headers": {"content-length": str(2**40)}}
    (answer,) = talk(port(), ("POST", "/analyze_image", huge))
    is_error(answer, 413, "larger than")


def test_images_never_travel_to_a_cluster(made, talk, png):
    for scheduler, device in (("", "cpu"), ("tcp://127.0.0.1:8786", LOCAL)):
        main, port = made(api_key=None, scheduler=scheduler, device="cpu")
        assert talk(port, asks(png))[0].status_code == 200
        assert main.state.core.devices == [device]


def test_who_has_gone_is_not_answered_and_costs_nothing(made, png):
    main, port = made(api_key=None)
    main.state.core.compute = lambda *given, **options: waits
    waits, told = Future(), []
    heard = [{"type": "http.request", "body": png}, {"type": "http.disconnect"}]
    scope = {
        "type": "http", "method": "POST", "path": "/analyze_image", "query_string": b"",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "http_version": "1.1",
        "scheme": "http", "server": ("127.0.0.1", 2), "raw_path": b"/analyze_image",
    }  # fmt: skip

    async def receive():
        return heard.pop(0)

    async def send(message):
        told.append(message)

    asyncio.run(asyncio.wait_for(port(scope, receive, send), 20))
    assert waits.cancelled() and not told and main.state.pekat.room.held == 0


def test_the_paths_are_those_of_the_routes():
    assert {route.path for route in router.routes} == PATHS


def test_images_use_up_no_quota(made, talk, png):
    main, _ = made()
    assert 2 * len(png) > 10_000
    answers = talk(main, *[asks(png, key=KEY)] * 4)
    assert [one.status_code for one in answers] == [200] * 4
