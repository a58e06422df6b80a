"""``geodl app``: what it starts, and what it says when it cannot."""

import socket
from pathlib import Path

import pytest

from geodl_lab.dashboard import launch
from geodl_lab.errors import OptionError

ROOT = Path(__file__).parents[2]


def test_it_shows_the_notebook_of_the_repository():
    assert launch.NOTEBOOK.read_text() == (ROOT / "notebooks" / "app.ipynb").read_text()


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as taken:
        taken.bind((launch.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OptionError, match=rf"cannot listen on port {port} .*; choose another"):
            launch.run(port, data_dir=tmp_path)


def test_without_voila(tmp_path, monkeypatch):
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"needs Voila; install it: pip install"):
        launch.run(0, data_dir=tmp_path)


def test_voila_ends_when_the_server_does_not_start(tmp_path, monkeypatch):
    ended = []

    class FakeVoila:
        def __init__(self, command, **options):
            assert command[1:3] == ["-m", "voila"] and options["env"]["GEODL_JOBS"] == str(tmp_path)

        def terminate(self):
            ended.append(True)

        def wait(self):
            return 0

    def fail(**_):
        raise OptionError("the job server did not start")

    monkeypatch.setattr(launch.subprocess, "Popen", FakeVoila)
    monkeypatch.setattr(launch, "find_server", fail)
    with pytest.raises(OptionError, match="did not start"):
        launch.run(0, data_dir=tmp_path)
    assert ended
