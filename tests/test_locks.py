import os
import subprocess
import sys

import pytest

from geodl_lab import locks


def test_a_shared_lock_keeps_the_only_one_away(tmp_path):
    file = tmp_path / "lock"
    os.close(locks.claim(file))
    first, second = locks.share(file), locks.share(file)
    with pytest.raises(BlockingIOError, match="unavailable"):
        locks.claim(file)
    os.close(first)
    with pytest.raises(BlockingIOError, match="unavailable"):
        locks.claim(file)
    os.close(second)
    os.close(locks.claim(file))


def test_a_lock_on_what_was_removed_is_none(tmp_path, monkeypatch):
    file = tmp_path / "lock"
    with pytest.raises(FileNotFoundError, match="lock"):
        locks.share(file)
    file.touch()
    lock, open_ = locks.fcntl.flock, []

    def removed_meanwhile(descriptor, kind):
        lock(descriptor, kind)
        open_.append(descriptor)
        file.rename(tmp_path / "gone")
        file.touch()

    monkeypatch.setattr(locks.fcntl, "flock", removed_meanwhile)
    with pytest.raises(FileNotFoundError, match="lock"):
        locks.share(file)
    with pytest.raises(OSError, match="Bad file descriptor"):  # it does not stay open
        os.fstat(open_[0])


def test_locks_end_with_their_process_and_are_told_by_its_id(tmp_path):
    file = tmp_path / "lock"
    file.touch()
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from locks import share;"
        "share(sys.argv[1]); print(1, flush=True); input()"
    )
    folder = os.path.dirname(locks.__file__)
    process = subprocess.Popen(
        [sys.executable, "-c", code, file, folder],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        process.stdout.readline()
        with pytest.raises(BlockingIOError, match="unavailable"):
            locks.claim(file)
        assert locks.holders(file) == [process.pid]
        process.kill()
    assert locks.holders(file) == []
    os.close(locks.claim(file))


def test_holders_are_unknown_where_the_system_does_not_tell(tmp_path, monkeypatch):
    assert locks.holders(tmp_path / "none") == []
    monkeypatch.setattr(locks, "LOCKS", tmp_path / "no-proc")
    (tmp_path / "lock").touch()
    assert locks.holders(tmp_path / "lock") == []
