"""What went wrong is one status, worded by the dialect of the path."""

import inspect

import pytest

from geodl_lab import errors as ours
from geodl_lab.server.errors import STATUS

KEY = "key-of-one"
EXPECTED = {
    "AccessError": 404, "BusyError": 503, "CancelledError": 409, "OutputError": 507,
    "TrustError": 403, "OptionError": 400, "RasterError": 400, "ModelError": 400,
}  # fmt: skip


@pytest.mark.parametrize("kind", EXPECTED)
def test_our_errors_keep_their_sentence(app, ask, kind):
    answer = ask(app(), f"/fail/{kind}", key=KEY)
    assert answer.status_code == EXPECTED[kind]
    assert answer.json()["error"]["message"].endswith("the sentence")
    esri = ask(app(), f"/arcgis/fail/{kind}", key=KEY)
    assert esri.json()["error"]["code"] == EXPECTED[kind]
    assert esri.status_code == (EXPECTED[kind] if EXPECTED[kind] >= 500 else 200)
    assert esri.json()["error"]["details"] == []


def test_busy_says_when_to_come_again(app, ask):
    for path in ("/fail/BusyError", "/arcgis/fail/BusyError"):
        assert int(ask(app(), path, key=KEY).headers["retry-after"]) > 0


def test_every_error_of_ours_has_a_status():
    kinds = [kind for _, kind in inspect.getmembers(ours, inspect.isclass)]
    assert all(any(issubclass(kind, row) for row, _ in STATUS) for kind in kinds)


def test_an_error_of_the_arcgis_face_is_its_body(app, ask):
    answer = ask(app(), "/arcgis/fail/arcgis", key=KEY)
    assert answer.status_code == 200
    assert answer.json()["error"] == {
        "code": 400, "message": "The raster is not there.", "details": ["Name another."],
    }  # fmt: skip


def test_what_is_not_there(app, ask):
    answer = ask(app(), "/arcgis/nowhere", key=KEY)
    assert answer.status_code == 404 and answer.json()["error"]["code"] == 404
    assert ask(app(), "/nowhere", key=KEY).json()["error"]["message"] == (
        "There is nothing at /nowhere."
    )
    assert ask(app(), "/echo", "DELETE", key=KEY).status_code == 405
