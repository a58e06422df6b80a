"""Lines of the log: fields by name, and no secrets."""

import json
import logging
import shlex

import pytest

from geodl_lab.server import logs


def record(message, *arguments, **extra):
    made = logging.LogRecord("geodl_lab.x", logging.INFO, "f", 1, message, arguments, None)
    vars(made).update(extra)
    return made


def test_a_line_of_text_can_be_taken_apart():
    line = logs.TextFormatter().format(record("done in %d s", 3, job="j12", note='a "b"\nc', no=""))
    found = dict(pair.split("=", 1) for pair in shlex.split(line))
    assert found["message"] == "done in 3 s" and found["job"] == "j12"
    assert "\n" not in line and "no=" not in line
    assert json.loads(line.split("note=")[1]) == 'a "b"\nc'


def test_a_line_of_json():
    token = logs.REQUEST.set("r1")
    found = json.loads(logs.JsonFormatter().format(record("été", seconds=1.5)))
    logs.REQUEST.reset(token)
    assert found["message"] == "été" and found["seconds"] == 1.5 and found["request"] == "r1"
    assert found["time"].endswith("Z") and found["level"] == "info"


@pytest.mark.parametrize(
    "text",
    [
        "GET /x?f=json&token=hush&a=1", "Authorization: Bearer hush", "{'token': 'hush'}",
        '{"password": "hush"}', "X-API-KEY: hush", "api_key=hush", "TOKEN=hush",
    ],
)  # fmt: skip
def test_secrets_are_not_written(text):
    for formatter in (logs.TextFormatter(), logs.JsonFormatter()):
        assert "hush" not in formatter.format(record(text))
        assert "hush" not in formatter.format(record("m", note=text))


@pytest.fixture
def loggers():
    """Loggers as they were, afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("geodl_lab").level
    yield
    root.handlers[:], root.level = before[:2]
    logging.getLogger("geodl_lab").setLevel(before[2])


def test_set_up_writes_ours_and_warnings_of_others(loggers, capsys):
    logs.set_up(format="json", level="info")
    logging.getLogger("geodl_lab.jobs").info("ours")
    logging.getLogger("geodl_lab.jobs").debug("too much")
    logging.getLogger("httpx").info("theirs")
    logging.getLogger("uvicorn.error").warning("what anybody can cause")
    logging.getLogger("uvicorn.error").error("of uvicorn")
    lines = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["ours", "of uvicorn"]
