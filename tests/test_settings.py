"""What decides bits does not come from the environment."""

import os
from pathlib import Path

from geodl_lab import settings


def test_cores_are_those_this_process_may_use():
    allowed = os.sched_getaffinity(0)
    assert settings.cores() == len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert settings.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_models_are_kept_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("GEODL_MODELS", "some/folder")
    assert settings.models_folder() == Path.cwd() / "some" / "folder"
    monkeypatch.setenv("GEODL_MODELS", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert settings.models_folder() == tmp_path / "geodl-lab" / "models"
    for unset in ("", "relative"):  # which the XDG specification says to ignore
        monkeypatch.setenv("XDG_DATA_HOME", unset)
        monkeypatch.setenv("HOME", str(tmp_path / "me"))
        expected = tmp_path / "me" / ".local" / "share" / "geodl-lab" / "models"
        assert settings.models_folder() == expected
