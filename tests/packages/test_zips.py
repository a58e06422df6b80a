"""Archives that lie, hide or burst are refused by the name of what does so."""

import io
import stat
import struct
import zipfile

import pytest

from geodl_lab.errors import ModelError
from geodl_lab.packages import zips
from geodl_lab.packages.zips import Zip, pack, plain


def packed(*entries, method=zipfile.ZIP_DEFLATED):
    """An archive of (name or ZipInfo, content)."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return target.getvalue()


def special(name, mode):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


def test_files_are_read_by_name_with_either_slash():
    archive = Zip(packed(("a.txt", b"A" * 999), ("sub\\b.txt", b"B"), ("sub/", b"")), "m.dlpk")
    assert archive.names == ("a.txt", "sub/b.txt")
    assert (archive.read("a.txt"), archive.read("sub/b.txt")) == (b"A" * 999, b"B")
    assert archive.size("a.txt") == 999 and archive.top == ""
    assert Zip(packed(("t/a", b""), ("t/s/b", b"")), "m.dlpk").top == "t/"


def test_what_is_packed_is_read_back_by_another_reader():
    files = {"t/a": b"1", "t/b": bytes(10_000)}
    with zipfile.ZipFile(pack(files)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("../a", "a path outside"),
        ("sub/../../a", "a path outside"),
        ("sub\\..\\..\\a", "a path outside"),
        ("/etc/a", "an absolute path"),
        ("\\\\server\\a", "an absolute path"),
        ("C:\\a", "an absolute path"),
        ("c:a", "an absolute path"),
        ("a\nb", "control characters"),
        ("./", "control characters or none"),
        (special("a", stat.S_IFLNK | 0o777), "a link or a special file"),
        (special("a", stat.S_IFIFO | 0o644), "a link or a special file"),
        (special("a", stat.S_IFCHR | 0o644), "a link or a special file"),
    ],
)
def test_entries_that_are_no_plain_files_inside_are_refused(entry, reason):
    with pytest.raises(ModelError, match=f"'m.dlpk' holds .*{reason}.* was not opened"):
        Zip(packed((entry, b"x"), ("model.json", b"{}")), "m.dlpk")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["a/b", "a\\b", "./a//b"])
def test_a_name_given_twice_is_refused(second):
    with pytest.raises(ModelError, match="holds 'a/b' twice"):
        Zip(packed(("a/b", b"1"), (second, b"2")), "m.dlpk")


def test_a_file_that_is_a_folder_too_is_refused():
    with pytest.raises(ModelError, match="holds 'a' both as a file and as a folder"):
        Zip(packed(("a", b"1"), ("a/b/c", b"2")), "m.dlpk")


def flagged(content, flag):
    """Set a flag of the first entry, in its own header and in the list."""
    listed = content.index(b"PK\x01\x02")
    changed = bytearray(content)
    changed[6] |= flag
    changed[listed + 8] |= flag
    return bytes(changed)


def test_encrypted_and_unusually_packed_files_are_refused():
    with pytest.raises(ModelError, match="which is encrypted"):
        Zip(flagged(packed(("a", b"x")), 1), "m.dlpk")
    with pytest.raises(ModelError, match="packed in an unusual way"):
        Zip(packed(("a", b"x"), method=zipfile.ZIP_LZMA), "m.dlpk")


def test_files_that_burst_are_refused():
    with pytest.raises(ModelError, match="unpacks to over 200 times its size"):
        Zip(packed(("a", bytes(11 * 2**20))), "m.dlpk")
    Zip(packed(("a", bytes(9 * 2**20))), "m.dlpk")  # small ones may


def resized(content, size, packed_size=None):
    """State another size for the first entry, in the list alone, as a bomb does."""
    listed, changed = content.index(b"PK\x01\x02"), bytearray(content)
    struct.pack_into("<I", changed, listed + 24, size)
    if packed_size is not None:
        struct.pack_into("<I", changed, listed + 20, packed_size)
    return bytes(changed)


def test_sizes_that_lie_are_found_when_read():
    content = packed(("a", bytes(20 * 2**20)))
    with pytest.raises(ModelError, match=r"no whole archive .*'a'"):
        Zip(resized(content, 1000), "m.dlpk").read("a")
    with pytest.raises(ModelError, match="'a' is not of the size that it says"):
        Zip(resized(packed(("a", b"xy" * 50)), 500), "m.dlpk").read("a")
    with pytest.raises(ModelError, match="over 200 times its size and was not opened; no weights"):
        Zip(resized(content, 2**32 - 2, 2**31), "m.dlpk")


def test_archives_of_too_much_are_refused(monkeypatch):
    monkeypatch.setattr(zips, "MAX_FILES", 3)
    with pytest.raises(ModelError, match="holds 4 files; at most 3"):
        Zip(packed(*((str(i), b"") for i in range(4))), "m.dlpk")
    monkeypatch.setattr(zips, "MAX_BYTES", 100)
    with pytest.raises(ModelError, match=r"unpacks to .* GiB; at most"):
        Zip(packed(("a", b"x" * 60), ("b", b"x" * 60)), "m.dlpk")


def test_a_list_of_entries_without_end_is_not_even_read(monkeypatch):
    monkeypatch.setattr(zips, "LISTING", 2**20)
    content = packed(*((f"{i:0200}", b"") for i in range(5000)))
    with pytest.raises(ModelError, match="it lists more than"):
        Zip(content, "m.dlpk")


@pytest.mark.parametrize("cut", [3, 10, 60, -1, -30])
def test_cut_archives_are_refused(cut):
    content = packed(("a.txt", b"hello" * 50), ("b.txt", b"you" * 50))
    with pytest.raises(ModelError, match="is no whole archive"):
        Zip(content[:cut], "m.dlpk")


def test_something_before_the_first_entry_is_refused():
    with pytest.raises(ModelError, match="does not begin as one"):
        Zip(b"#!/bin/sh\n" + packed(("a", b"x")), "m.dlpk")


def test_a_damaged_file_is_told_when_read():
    content = bytearray(packed(("a", bytes(range(256)) * 9), method=zipfile.ZIP_STORED))
    content[500] ^= 1
    with pytest.raises(ModelError, match=r"no whole archive .*'a': Bad CRC"):
        Zip(bytes(content), "m.dlpk").read("a")


def test_plain_names():
    assert plain(".\\a//b/./c") == "a/b/c"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"7z\xbc\xaf\x27\x1c", "packed with 7-Zip; unpack it first"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of git-lfs"),
        (b"<!DOCTYPE html><html>", "a web page"),
    ],
)
def test_what_is_no_archive_is_named(content, message):
    with pytest.raises(ModelError, match=f"'x.dlpk' is {message}"):
        Zip(content, "x.dlpk")
