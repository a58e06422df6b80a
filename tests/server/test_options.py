"""Options check themselves and say what is possible."""

from pathlib import Path

import pytest

from geodl_lab.errors import OptionError
from geodl_lab.server.options import (
    ServerOptions,
    is_loopback,
    parse_days,
    parse_size,
    parse_stores,
)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"port": 70000}, "port 70000 is not possible; give one of 0 to 65535"),
        ({"host": "a b"}, "host 'a b' is not possible"),
        ({"api_keys": ("",)}, "a key is empty"),
        ({"api_keys": ("schlüssel",)}, "no HTTP header can hold"),
        ({"api_keys": ("a", "a")}, "two keys are the same"),
        ({"api_keys": ("a",), "admin_key": "a"}, "two keys are the same"),
        ({"api_keys": ("a",), "no_auth": True}, "do not go together"),
        ({"host": "0.0.0.0", "no_auth": True}, "use host 127.0.0.1, or keys"),
        ({"tls_cert": Path("x")}, "give tls_key too"),
        ({"tls_cert": Path("x"), "tls_key": Path("y")}, "tls_cert: there is no file x"),
        ({"self_signed": True, "tls_cert": Path("x"), "tls_key": Path("y")}, "leave one"),
        ({"stores": {"../x": Path("/tmp")}}, "store name '../x' is not possible"),
        ({"stores": {"outputs": Path("/tmp")}}, "and not outputs"),
        ({"stores": {"a": Path("/nowhere")}}, "store 'a': there is no folder /nowhere"),
        ({"queue_limit": 0}, "queue_limit 0 is not possible"),
        ({"rate_limit": float("nan")}, "rate_limit nan is not possible"),
        ({"keep_days": -1.0}, "keep_days -1.0 is not possible"),
        ({"log_format": "xml"}, "log_format 'xml' is not possible; use text, json"),
        ({"log_level": "loud"}, "use debug, info, warning, error"),
        ({"pekat_port": 70000}, "pekat_port 70000 is not possible"),
        ({"pekat_host": "a b"}, "pekat_host 'a b' is not possible"),
        ({"pekat_host": "0.0.0.0", "no_auth": True}, "use pekat_host 127.0.0.1, or keys"),
        ({"pekat_stop_key": "a b"}, "pekat_stop_key has blanks"),
        ({"pekat_project": Path("/nowhere.json")}, "project file /nowhere.json cannot be read"),
        ({"scheduler": "box:8786"}, "write it like tcp://10.0.0.5:8786"),
        ({"trusted": ("abc",)}, "trust 'abc' is no sha256"),
    ],
)
def test_what_is_not_possible_is_refused(given, says):
    with pytest.raises(OptionError, match=says):
        ServerOptions(**given)


def test_a_project_without_a_key_is_for_this_machine(tmp_path):
    file = tmp_path / "project.json"
    file.write_text('{"api_key": null}')
    with pytest.raises(OptionError, match="which is for a PEKAT port; give pekat_port too"):
        ServerOptions(pekat_project=file)
    with pytest.raises(OptionError, match="api_key null is only possible on this machine alone"):
        ServerOptions(pekat_project=file, pekat_port=0, pekat_host="0.0.0.0")
    assert ServerOptions(pekat_project=file, pekat_port=0, host="0.0.0.0").project.api_key is None


def test_a_store_may_not_hold_the_results_of_everybody(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(OptionError, match="holds the data folder"):
        ServerOptions(data_dir=tmp_path / "data", stores={"all": tmp_path})
    assert ServerOptions(data_dir=tmp_path / "data" / "x", stores={}).stores == {}


def test_the_core_gets_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    core = ServerOptions(data_dir=Path("jobs"), stores={"images": Path("images")}).core
    assert core.data_dir == tmp_path / "jobs"
    assert core.stores == {"images": tmp_path / "images"}


def test_keys_are_not_in_the_repr():
    assert "hush" not in repr(ServerOptions(admin_key="hush", database="db://u:hush@h/d"))
    assert "hush" not in repr(ServerOptions(api_keys=("hush",)))


@pytest.mark.parametrize(
    ("host", "true"),
    [
        ("localhost", True), ("127.3.2.1", True), ("::1", True), ("[::1]", True),
        ("0.0.0.0", False), ("10.0.0.1", False), ("localhost.evil.org", False), ("", False),
    ],
)  # fmt: skip
def test_loopback(host, true):
    assert is_loopback(host) is true


@pytest.mark.parametrize(
    ("text", "size"), [("12", 12), ("1K", 1024), ("1.5m", 1572864), ("2GiB", 2**31), ("1TB", 2**40)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


def test_what_cannot_be_read_is_refused():
    with pytest.raises(OptionError, match="size '-1' is not possible; write it like 500M"):
        parse_size("-1")
    with pytest.raises(OptionError, match="give one, or never"):
        parse_days("long")
    with pytest.raises(OptionError, match="write it like images=/data/images"):
        parse_stores(["images"])
    with pytest.raises(OptionError, match="two stores named 'a'"):
        parse_stores(["a=/x", "a=/y"])
    assert parse_days(" Never ") is None
    assert parse_stores(["a=/x=y"]) == {"a": Path("/x=y")}
