"""What decides bits does not come from the environment."""

import os

from geodl_lab import settings


def test_cores_are_those_this_process_may_use():
    allowed = os.sched_getaffinity(0)
    assert settings.cores() == len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert settings.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
