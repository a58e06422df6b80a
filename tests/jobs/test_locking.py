"""One server holds a data folder, as long as it lives."""

import os
import socket

import pytest

from geodl_lab.errors import OptionError
from geodl_lab.jobs.locking import hold


def test_the_second_is_told_of_the_first_until_that_lets_go(tmp_path):
    folder = tmp_path / "new" / "data"
    first = hold(folder)
    who = f"process {os.getpid()} on {socket.gethostname()}"
    with pytest.raises(OptionError, match=f"in use by another server .{who}.; stop that one"):
        hold(folder)
    os.close(first)
    os.close(hold(folder))


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="cannot be used"):
        hold(tmp_path / "file" / "data")
