import json
import os

import pytest

from geodl_lab.checkpoints import file_identity, is_resumable, key_hash, open_checkpoint
from geodl_lab.errors import OutputError
from geodl_lab.grid import Window

KEY = {"model": {"name": "a", "sha256": "x"}, "recipe": {"halo": 4}}
CHUNK = Window(0, 4, 2, 3)


def test_a_block_counts_when_it_is_whole(tmp_path):
    checkpoint = open_checkpoint(tmp_path, ".bin", KEY, resume=False)
    assert not is_resumable(tmp_path)

    def dies(path):
        path.write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        checkpoint.commit(CHUNK, dies)
    assert not checkpoint.holds(CHUNK) and not is_resumable(tmp_path)
    checkpoint.commit(CHUNK, lambda path: path.write_bytes(b"whole"))
    assert checkpoint.holds(CHUNK) and is_resumable(tmp_path)
    again = open_checkpoint(tmp_path, ".bin", KEY, resume=True)
    assert again.path(CHUNK).read_bytes() == b"whole"


def test_another_run_is_refused_and_told_what_differs(tmp_path):
    other = {**KEY, "recipe": {"halo": 8}}
    open_checkpoint(tmp_path, ".bin", other, resume=False)
    checkpoint = open_checkpoint(tmp_path, ".bin", KEY, resume=True)  # nothing to go on with
    checkpoint.commit(CHUNK, lambda path: path.write_bytes(b"whole"))
    with pytest.raises(OutputError, match=r"recipe halo was 4 and is 8\. Give what it was begun"):
        open_checkpoint(tmp_path, ".bin", other, resume=True)
    manifest = tmp_path / "blocks" / "manifest.json"
    assert json.loads(manifest.read_text()) == KEY


def test_without_a_key_nothing_can_be_resumed(tmp_path):
    checkpoint = open_checkpoint(tmp_path, ".bin", None, resume=False)
    checkpoint.commit(CHUNK, lambda path: path.write_bytes(b"whole"))
    assert not is_resumable(tmp_path)


def test_a_file_is_known_by_size_time_and_header(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100_000)
    before = file_identity(path)
    assert file_identity(path) == before and before["bytes"] == 100_000
    os.utime(path, ns=(1, 1))
    assert file_identity(path) != before
    assert file_identity("s3://somewhere/a.tif") == {"path": "s3://somewhere/a.tif"}


def test_the_hash_of_a_key_does_not_depend_on_its_order():
    assert key_hash({"a": 1, "b": 2}) == key_hash({"b": 2, "a": 1}) != key_hash({"a": 1, "b": 3})


@pytest.mark.parametrize("manifest", [None, "{damaged"])
def test_blocks_of_nobody_knows_what_are_not_used(tmp_path, manifest):
    checkpoint = open_checkpoint(tmp_path, ".bin", KEY, resume=False)
    checkpoint.commit(CHUNK, lambda path: path.write_bytes(b"whole"))
    file = tmp_path / "blocks" / "manifest.json"
    if manifest is None:
        file.unlink()
    else:
        file.write_text(manifest)
    assert not open_checkpoint(tmp_path, ".bin", KEY, resume=True).holds(CHUNK)


def test_a_file_in_an_archive_is_known_by_the_archive(tmp_path):
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"zip")
    inner = f"/vsizip/{archive}/folder/a.tif"
    assert file_identity(inner) == file_identity(archive) != {"path": inner}
