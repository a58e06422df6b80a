"""Errors look like a context that is none."""

import json

from geodl_lab.server.pekat import errors


def test_an_error_is_no_context():
    answer = errors.refuse(413, "Too large.", {"Retry-After": "5"})
    said = json.loads(answer.body)
    assert (said["error"], said["processing"], said["message"]) == (True, False, "Too large.")
    assert "result" not in said and answer.status_code == 413
    assert answer.headers["retry-after"] == "5" and answer.headers["cache-control"] == "no-store"


def test_keys_are_asked_for_by_their_name():
    for given, says in ((False, "api_key=KEY"), (True, "is not valid")):
        answer = errors.refuse_token(given)
        assert answer.status_code == 401 and says in json.loads(answer.body)["message"]


def test_which_requests_are_pekats():
    assert errors.is_pekat({"path": "/ping"}) and errors.is_pekat(
        {"path": "/x", errors.FACE: "pekat"}
    )
    assert not errors.is_pekat({"path": "/arcgis"})
    assert errors.is_analysis({"path": "/analyze_raw_image"})
    assert not errors.is_analysis({"path": "/last_image"})
