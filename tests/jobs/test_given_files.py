"""Files of requests: by plain names, all or none."""

import pytest

from geodl_lab.errors import OptionError
from geodl_lab.jobs.given_files import write_files


def test_files_are_there_with_what_they_hold(tmp_path):
    upload = tmp_path / "upload"
    upload.write_bytes(b"moved")
    write_files(tmp_path / "a" / "b", {"image": b"12", "model.pt": upload, "x": memoryview(b"3")})
    found = {path.name: path.read_bytes() for path in (tmp_path / "a" / "b").iterdir()}
    assert found == {"image": b"12", "model.pt": b"moved", "x": b"3"}
    assert not upload.exists()


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "../x", "a\0", "a" * 201, "ü", "a\n"])
def test_a_name_is_no_path(tmp_path, name):
    with pytest.raises(OptionError, match="a file cannot be called"):
        write_files(tmp_path / "a", {"fine": b"", name: b""})
    assert list(tmp_path.iterdir()) == []


def test_of_a_failure_nothing_is_left(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        write_files(tmp_path / "a", {"one": b"1", "two": tmp_path / "nothing"})
    assert list(tmp_path.iterdir()) == []
