"""A step answers whatever happens in it."""

import logging
import os
import sys

import pytest

from geodl_lab.errors import OutputError, RunError
from geodl_lab.jobs.worker import Answer, StepError, run_step


def raises(kind, *arguments):
    raise kind(*arguments)


def warns():
    logger = logging.getLogger("geodl_lab.inference")
    for text in ("a", "b", "a"):
        logger.warning("%s", text)
    logger.info("not this")
    return 3


def test_a_value_and_the_warnings_each_once():
    assert run_step(warns) == Answer(3, None, ("a", "b"))
    assert run_step(int, "7").get() == 7
    assert not logging.getLogger("geodl_lab").handlers


def test_our_errors_come_back_as_they_are():
    with pytest.raises(OutputError, match="disk full"):
        run_step(raises, OutputError, "disk full").get()


class Unsendable(Exception):
    def __init__(self, first, second):
        super().__init__()


def raises_from():
    try:
        raise Unsendable(1, 2)
    except Unsendable as error:
        raise OutputError("disk full") from error


def test_our_errors_come_back_without_their_causes():
    # distributed has errors pickled with all their causes, which not all of them survive
    answer = run_step(raises_from)
    assert str(answer.error) == "disk full" and answer.error.__traceback__ is None
    assert answer.error.__cause__ is None and answer.error.__context__ is None


def test_others_come_back_as_their_name_and_trace():
    with pytest.raises(StepError, match="ZeroDivisionError") as caught:
        run_step(raises, ZeroDivisionError).get()
    assert caught.value.kind == "ZeroDivisionError" and "in raises" in caught.value.trace


def test_a_step_cannot_end_its_worker():
    with pytest.raises(StepError, match="SystemExit"):
        run_step(sys.exit, 3).get()


def test_without_memory_it_says_what_to_do():
    with pytest.raises(RunError, match="smaller batch_size"):
        run_step(raises, MemoryError).get()


def test_files_beside_rasters_are_not_read(monkeypatch):
    for name in ("GDAL_DISABLE_READDIR_ON_OPEN", "GDAL_PAM_ENABLED"):
        monkeypatch.setenv(name, "")
    assert run_step(os.getenv, "GDAL_DISABLE_READDIR_ON_OPEN").get() == "EMPTY_DIR"
    assert run_step(os.getenv, "GDAL_PAM_ENABLED").get() == "NO"
