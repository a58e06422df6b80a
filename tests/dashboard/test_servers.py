"""Which job server a page uses."""

import sys

import pytest

from geodl_lab.dashboard import servers
from geodl_lab.errors import AccessError, OptionError


class FakeClient:
    def stores(self):
        return ["demo"]


def test_a_server_that_is_named_is_used(monkeypatch):
    monkeypatch.setenv(servers.URL, "http://127.0.0.1:1")
    monkeypatch.setattr(servers, "connect", lambda url, **given: (url, given))
    found = servers.find_server(key="k")
    assert found.client == ("http://127.0.0.1:1", {"key": "k", "ca_file": None})
    assert found.user is None


def test_one_that_runs_is_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "_running", lambda folder: FakeClient())
    found = servers.find_server(data_dir=tmp_path / "jobs")
    assert servers.keeper.has_users(tmp_path / "jobs")
    found.user.close()
    assert not servers.keeper.has_users(tmp_path / "jobs")
    with pytest.raises(OptionError, match=r"runs without the store images; close the other pages"):
        servers.find_server(data_dir=tmp_path / "jobs", store={"images": tmp_path})


def test_where_none_runs_it_is_started_and_why_it_did_not_is_said(tmp_path, monkeypatch):
    code = "import sys; sys.exit('geodl: the disk is full')"
    popen = servers.subprocess.Popen

    def fail(command, **options):
        assert command[:5] == [*servers.KEEPER, str(tmp_path)]
        return popen([sys.executable, "-c", code], **options)

    monkeypatch.setattr(servers.subprocess, "Popen", fail)
    with pytest.raises(OptionError, match=r"did not start: the disk is full"):
        servers.find_server(data_dir=tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match=r"cannot be made: .*; name another in GEODL_JOBS"):
        servers.find_server(data_dir=tmp_path / "file" / "jobs")


def test_a_server_of_the_environment_that_is_gone(monkeypatch):
    monkeypatch.setenv(servers.URL, "http://127.0.0.1:9")
    with pytest.raises(AccessError, match="no job server answers"):
        servers.find_server()
