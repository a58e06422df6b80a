"""Requests have an id and a line, faults an answer without a trace of the code."""

import io
import logging

import pytest

from geodl_lab.server import logs

KEY = "key-of-one"


@pytest.fixture
def lines():
    """The lines that were written, as a list of texts."""
    stream = io.StringIO()
    handler, logger = logging.StreamHandler(stream), logging.getLogger("geodl_lab.server")
    handler.setFormatter(logs.TextFormatter())
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield lambda: stream.getvalue().splitlines()
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_a_line_names_what_was_asked_but_no_token(app, ask, lines):
    job = "j" + "0" * 32
    ask(app(), f"/server/x/jobs/{job}?token={KEY}", headers={"X-Request-Id": "mine"})
    (line,) = lines()
    for words in (
        "method=GET",
        f"path=/server/x/jobs/{job} ",
        "status=404",
        f"job={job}",
        "owner=",
    ):
        assert words in line
    assert KEY not in line and "token" not in line


def test_the_id_goes_back(app, ask):
    assert ask(app(), "/health", headers={"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"
    other = ask(app(), "/health", headers={"X-Request-Id": "a b\tc"}).headers["x-request-id"]
    assert len(other) == 16


def test_a_fault_is_a_sentence_with_an_id(app, ask, lines):
    for path in ("/fail/anything", "/arcgis/fail/anything"):
        answer = ask(app(), path, key=KEY)
        assert answer.status_code == 500
        id = answer.headers["x-request-id"]
        assert answer.json()["error"]["message"].endswith(f"under the id {id}.")
        assert "Traceback" not in answer.text and "hush" not in answer.text
    text = "\n".join(lines())
    assert "RuntimeError" in text and f"request={id}" in text and "hush" not in text


def test_who_only_watches_is_not_in_the_log(app, ask, lines):
    ask(app(), "/health")
    ask(app(), "/metrics")
    assert not lines()
