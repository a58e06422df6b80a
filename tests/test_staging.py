"""An output is whole or it is not there; what was there before stays until then."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from geodl_lab.errors import OptionError, OutputError
from geodl_lab.staging import check_distinct, check_target, staged


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def put(target, text, *, overwrite=False, sidecar=None):
    with staged(target, overwrite=overwrite) as path:
        assert path.name == target.name
        path.write_text(text)
        if sidecar is not None:
            path.with_name(f"{path.name}.aux.xml").write_text(sidecar)


def test_nothing_is_there_before_the_end(tmp_path):
    target = tmp_path / "a.tif"
    with staged(target, overwrite=False) as path:
        path.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.tif"]


def test_sidecars_come_along_and_stale_ones_go(tmp_path):
    target = tmp_path / "a.tif"
    put(target, "one", sidecar="names")
    (tmp_path / "a.tif.ovr").write_text("overviews that somebody built")
    assert names(tmp_path) == ["a.tif", "a.tif.aux.xml", "a.tif.ovr"]
    put(target, "two", overwrite=True)
    assert names(tmp_path) == ["a.tif"]
    assert target.read_text() == "two"


@pytest.mark.parametrize("error", [OptionError, KeyboardInterrupt, ValueError])
def test_a_failed_run_leaves_the_older_output(tmp_path, error):
    target = tmp_path / "a.tif"
    put(target, "old", sidecar="old names")
    with pytest.raises(error, match="stop"), staged(target, overwrite=True) as path:
        path.write_text("half")
        raise error("stop")
    assert target.read_text() == "old"
    assert (tmp_path / "a.tif.aux.xml").read_text() == "old names"
    assert names(tmp_path) == ["a.tif", "a.tif.aux.xml"]


def test_what_the_system_says_is_worded_and_nothing_is_left(tmp_path):
    target = tmp_path / "a.tif"
    says = r"a\.tif' could not be written \(No space left.*MB are free there\): make room"
    with pytest.raises(OutputError, match=says), staged(target, overwrite=False) as path:
        path.write_text("half")
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


def test_an_existing_output_is_refused(tmp_path):
    target = tmp_path / "a.tif"
    target.write_text("old")
    with pytest.raises(OutputError, match=r"exists; choose another output.*--overwrite"):
        put(target, "new")
    assert target.read_text() == "old"


def test_an_output_that_appears_meanwhile_is_not_lost(tmp_path):
    target = tmp_path / "a.tif"
    with pytest.raises(OutputError, match="exists"), staged(target, overwrite=False) as path:
        path.write_text("new")
        target.write_text("of somebody else")
    assert target.read_text() == "of somebody else"
    assert names(tmp_path) == ["a.tif"]


def test_folders_that_are_none(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OutputError, match="is a folder; give the name of a file"):
        check_target(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match=r"there is no folder .*nowhere'; make it first"):
        check_target(tmp_path / "nowhere" / "a.tif", overwrite=True)
    with pytest.raises(OutputError, match="there is no folder"):
        check_target(file / "a.tif", overwrite=True)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's /proc")
def test_a_folder_that_lets_nobody_write_is_named_at_once():
    with pytest.raises(OutputError, match=r"/proc/a\.tif' could not be written"):
        put(Path("/proc/a.tif"), "new")


def test_a_read_only_disk(tmp_path):
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,ro", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("CANNOT MOUNT HERE: a read-only disk was not tested")
    try:
        with pytest.raises(OutputError, match="is not writable; choose another output"):
            put(tmp_path / "a.tif", "new")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_the_input_is_no_output(tmp_path):
    source, link, other = tmp_path / "a.tif", tmp_path / "link.tif", tmp_path / "b.tif"
    source.write_text("pixels")
    link.symlink_to(source)
    for target in (source, link, tmp_path / "." / "a.tif"):
        with pytest.raises(OutputError, match="is the input itself and would be lost"):
            check_distinct(source, target)
    other.write_text("pixels")
    check_distinct(source, other)
    check_distinct("/vsicurl/https://nowhere", other)


HOLD = """
import sys, pathlib
from geodl_lab.staging import staged
with staged(pathlib.Path(sys.argv[1]), overwrite=True) as path:
    path.write_text("first")
    print("holds", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def first_run(tmp_path):
    """Another process in the middle of writing ``a.tif``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "a.tif")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdout.readline() == "holds\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_fails_at_once_and_harms_nothing(tmp_path, first_run):
    with pytest.raises(OutputError, match=r"another run is writing to .*wait for it or choose"):
        put(tmp_path / "a.tif", "second", overwrite=True)
    first_run.communicate("go on\n")
    assert first_run.returncode == 0
    assert (tmp_path / "a.tif").read_text() == "first"
    assert names(tmp_path) == ["a.tif"]


def test_a_killed_run_is_no_obstacle(tmp_path, first_run):
    os.kill(first_run.pid, signal.SIGKILL)
    first_run.wait()
    assert names(tmp_path) == [".a.tif.lock", ".a.tif.part"]
    put(tmp_path / "a.tif", "third")
    assert (tmp_path / "a.tif").read_text() == "third"
    assert names(tmp_path) == ["a.tif"]
