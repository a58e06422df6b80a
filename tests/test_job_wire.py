"""Requests to a job server: where the key goes, and its errors in our words."""

import json

import httpx
import pytest

from geodl_lab import job_wire
from geodl_lab.errors import AccessError, BusyError, OptionError, OutputError, RunError
from geodl_lab.job_wire import Wire

URL = "http://127.0.0.1:8000"


@pytest.fixture
def wire(monkeypatch):
    """Makes a wire whose requests a function answers; they are kept."""

    def make(answer, **options):
        asked = []

        def handle(request):
            asked.append(request)
            return answer(request)

        def session(host, key, ca_file):
            headers = {"X-API-KEY": key} if key else {}
            return httpx.Client(headers=headers, transport=httpx.MockTransport(handle))

        monkeypatch.setattr(job_wire, "_session", session)
        made = Wire(URL, **options)
        made.asked = asked
        return made

    return make


def told(code, message="Some words."):
    return {"error": {"code": code, "message": message}}


def test_the_key_goes_in_a_header_and_never_into_the_address(wire):
    one = wire(lambda _: httpx.Response(200, json={"a": 1}), key="hush")
    assert one.get("/jobs", limit=3) == {"a": 1}
    (request,) = one.asked
    assert request.headers["x-api-key"] == "hush"
    assert str(request.url) == f"{URL}/jobs?limit=3"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(404, 404, AccessError), (200, 498, AccessError), (503, 503, BusyError),
     (200, 400, OptionError), (507, 507, OutputError), (429, 429, BusyError)],
)  # fmt: skip
def test_errors_come_in_our_words(wire, status, code, kind):
    one = wire(lambda _: httpx.Response(status, json=told(code, "It is not there; look again.")))
    with pytest.raises(kind, match=r"^It is not there; look again\.$"):
        one.get("/jobs")


def test_an_answer_that_is_no_json_is_told_too(wire):
    one = wire(lambda _: httpx.Response(502, text="<h1>Bad\n gateway</h1>"))
    with pytest.raises(RunError, match=r"answered 502: <h1>Bad gateway</h1>"):
        one.get("/jobs")


def test_no_server_is_said_with_what_to_do(wire):
    def refuse(request):
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(AccessError, match=r"no job server answers at http.*; start one with geodl"):
        wire(refuse).get("/jobs")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://here", "", "http://"])
def test_an_address_must_be_one(url):
    with pytest.raises(OptionError, match="write it like http"):
        Wire(url)


def test_gdal_gets_a_token_that_expires_and_not_the_key(wire):
    def answer(request):
        assert b"password=hush" in request.content
        return httpx.Response(200, content=json.dumps({"token": "a+b"}))

    one = wire(answer, key="hush")
    first, second = one.gdal_path("/x.tif"), one.gdal_path("/x.tif")
    assert first.startswith(f"/vsicurl/{URL}/x.tif?token=a%2Bb&once=")
    assert first != second, "GDAL remembers what it read under a name"
    assert len(one.asked) == 1, "one token is enough"


def test_without_a_key_there_is_no_token(wire):
    assert "token" not in wire(lambda _: None).gdal_path("/x.tif")


def test_a_file_is_whole_or_not_there(wire, tmp_path):
    def broken():
        yield b"half"
        raise httpx.ReadError("gone")

    one = wire(lambda _: httpx.Response(200, content=broken()))
    with pytest.raises(RunError, match="broke off"):
        one.save("/x.tif", tmp_path / "x.tif", overwrite=False)
    assert not (tmp_path / "x.tif").exists()
    good = wire(lambda _: httpx.Response(200, content=b"whole"))
    seen = []
    good.save("/x", tmp_path / "x.tif", overwrite=False, received=lambda *n: seen.append(n))
    assert (tmp_path / "x.tif").read_bytes() == b"whole" and seen == [(5, 5)]


def test_a_piece_is_asked_for_as_a_range(wire):
    one = wire(lambda request: httpx.Response(206, content=request.headers["range"].encode()))
    assert one.piece("/x", 10, 5) == b"bytes=10-14"
