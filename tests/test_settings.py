"""The environment is read once; what decides bits does not come from it."""

import os

from geodl_lab import settings


def test_the_device_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("GEODL_DEVICE", raising=False)
    assert settings.from_environment() == settings.Settings(device="auto")
    monkeypatch.setenv("GEODL_DEVICE", "cuda:1")
    assert settings.from_environment().device == "cuda:1"


def test_cores_are_those_this_process_may_use():
    allowed = os.sched_getaffinity(0)
    assert settings.cores() == len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert settings.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
