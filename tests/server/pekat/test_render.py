"""A picture and its context, in headers or in the body."""

import base64
import json

import pytest

from geodl_lab.errors import OptionError
from geodl_lab.server.pekat.asked import Asked
from geodl_lab.server.pekat.inspection import Inspected
from geodl_lab.server.pekat.render import context_headers, respond

FOUND = Inspected({"data": "Größe\n☂"}, b"\x89PNG picture")


def test_a_context_alone():
    answer = respond(Inspected(FOUND.context), Asked("context", True))
    assert answer.media_type == "application/json" and json.loads(answer.body) == FOUND.context
    assert "imagelen" not in answer.headers


def test_headers():
    answer = respond(FOUND, Asked("image"))
    assert answer.media_type == "image/png" and answer.body == FOUND.png
    encoded = answer.headers["ContextBase64utf"]
    assert json.loads(base64.b64decode(encoded, validate=True)) == FOUND.context
    assert answer.headers["context"].isascii() and "\n" not in answer.headers["context"]
    assert json.loads(answer.headers["context"]) == FOUND.context


def test_in_the_body():
    answer = respond(FOUND, Asked("image", True))
    count = int(answer.headers["ImageLen"])
    assert answer.body[:count] == FOUND.png and json.loads(answer.body[count:]) == FOUND.context
    assert answer.headers["content-length"] == str(len(answer.body))
    assert "ContextBase64utf" not in answer.headers


def test_how_long_headers_may_be():
    assert "context" in context_headers(b"x" * 8191)
    assert list(context_headers(b"x" * 8192)) == ["ContextBase64utf"]
    assert len(context_headers(b"x" * 46_080)["ContextBase64utf"]) == 60 * 1024
    with pytest.raises(OptionError, match=r"61444 bytes in base64.*add context_in_body"):
        context_headers(b"x" * 46_081)
