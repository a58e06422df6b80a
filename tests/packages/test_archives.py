"""The files of a package: which they are, their hash, and that none is outside."""

import hashlib
import os
import stat
import zipfile

import pytest

from geodl_lab.errors import ModelError, TrustError
from geodl_lab.packages import archives
from geodl_lab.packages.archives import Files, is_trusted, open_files

STAC = b'{"type": "Feature", "stac_version": "1.1.0"}'


@pytest.fixture
def folder(tmp_path):
    """A package with a file in a folder of its own."""
    path = tmp_path / "model"
    (path / "sub").mkdir(parents=True)
    (path / "model.json").write_text('{"a": 1}')
    (path / "sub" / "w.pt").write_bytes(b"weights")
    return path


def zipped(target, files):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target


def sha(content):
    return hashlib.sha256(content).hexdigest()


def test_a_folder_and_its_archive_hold_the_same(folder, tmp_path):
    content = {"model.json": b'{"a": 1}', "sub/w.pt": b"weights"}
    archive = open_files(zipped(tmp_path / "m.dlpk", content))
    for files in (open_files(folder), archive):
        assert files.names == tuple(content)
        assert {name: files.read(name) for name in files.names} == content
        assert files.read("..\\sub\\w.pt", beside="sub/x.emd") == b"weights"
        assert files.read_json("model.json") == {"a": 1}


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "C:\\x", "c:x", "sub/../../x", "\\x"])
def test_names_outside_are_refused(folder, tmp_path, name):
    archive = zipped(tmp_path / "m.dlpk", {"sub/w.pt": b""})
    for files in (Files(folder), open_files(archive)):
        with pytest.raises(ModelError, match="outside its own folder"):
            files.read(name)


@pytest.mark.parametrize("name", ["none", "", "sub", "a\0b", "x" * 5000])
def test_names_of_no_file_are_missing(folder, tmp_path, name):
    archive = zipped(tmp_path / "m.dlpk", {"sub/w.pt": b""})
    for files in (Files(folder), open_files(archive)):
        with pytest.raises(ModelError, match="is missing in"):
            files.read(name)


def test_links_that_leave_the_folder_are_refused(folder, tmp_path):
    (tmp_path / "secret").write_text("x")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "in").symlink_to(folder / "model.json")
    files = Files(folder)
    for name in ("out", "linked/secret"):
        with pytest.raises(ModelError, match="outside its own folder"):
            files.read(name)
    with pytest.raises(ModelError, match="outside its own folder"):
        _ = files.sha256
    with pytest.raises(ModelError, match="missing"):
        files.read("circle")
    assert files.read("in") == b'{"a": 1}'


def test_pipes_and_devices_are_not_waited_for(folder):
    os.mkfifo(folder / "pipe.dlpk")
    assert "pipe.dlpk" not in Files(folder).names
    with pytest.raises(ModelError, match="missing"):
        Files(folder).read("pipe.dlpk")
    for path in (folder / "pipe.dlpk", "/dev/zero"):
        with pytest.raises(ModelError, match="no plain file"):
            open_files(type(folder)(path))
    with pytest.raises(ModelError, match="no plain file"):
        archives._read(folder / "pipe.dlpk")


def test_an_archive_is_read_once_and_a_file_when_it_is_asked_for(tmp_path, monkeypatch):
    path = zipped(tmp_path / "m.zip", {"a.emd": b"{}", "large.bin": b"x" * 1000})
    files = open_files(path)
    read = []
    monkeypatch.setattr(files._zip.__class__, "read", lambda zip, name: read.append(name) or b"{}")
    assert files.descriptions() == ("a.emd",) and read == []
    before = files.sha256
    path.unlink()  # what is in memory counts
    assert files.sha256 == before


def test_the_hash_is_of_what_is_opened(folder, tmp_path):
    archive = zipped(tmp_path / "m.dlpk", {"a": b"1"})
    assert open_files(archive).sha256 == sha(archive.read_bytes())
    (folder / "bare.pt").write_bytes(b"net")
    assert open_files(folder / "bare.pt").sha256 == sha(b"net")
    names = ("bare.pt", "model.json", "sub/w.pt")
    lines = "".join(f"{sha((folder / name).read_bytes())} {name}\n" for name in names)
    for path in (folder, folder / "model.json"):
        assert open_files(path).sha256 == sha(lines.encode())


@pytest.mark.parametrize("length", [5, 200])
def test_the_hash_of_an_onnx_model_counts_its_external_data(tmp_path, length):
    onnx = pytest.importorskip("onnx")
    side = "w" * (length - 4) + ".bin"
    tensor = onnx.TensorProto(name="w", dims=[1], data_type=1, data_location=1)
    tensor.external_data.add(key="location", value=side)
    graph = onnx.GraphProto(name="g", initializer=[tensor])
    model = onnx.ModelProto(ir_version=10, graph=graph).SerializeToString()
    (tmp_path / "net.onnx").write_bytes(model)
    (tmp_path / side).write_bytes(b"1234")
    (tmp_path / "other.bin").write_bytes(b"not of it")
    files = open_files(tmp_path / "net.onnx")
    assert files.members == tuple(sorted(("net.onnx", side)))
    lines = {"net.onnx": sha(model), side: sha(b"1234")}
    assert files.sha256 == sha("".join(f"{lines[n]} {n}\n" for n in sorted(lines)).encode())


def test_folders_that_are_too_large_are_no_package(folder, monkeypatch):
    monkeypatch.setattr(archives, "MAX_FILES", 1)
    with pytest.raises(ModelError, match="is no package: it holds more than 1 files"):
        _ = Files(folder).names
    monkeypatch.setattr(archives, "MAX_BYTES", 3)
    with pytest.raises(ModelError, match="larger than"):
        Files(folder).read("model.json")


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"a.emd": b"{}", "model.json": b"{}"}, ("model.json", "a.emd")),
        ({"b.json": STAC, "A.EMD": b"{}", "metrics.json": b"{}"}, ("A.EMD", "b.json")),
        ({"esriinfo/item.json": STAC, "top/a.emd": b"{}", "top/w.pt": b""}, ("top/a.emd",)),
        ({"top/deep/a.emd": b"{}"}, ()),
        ({"one/a.emd": b"{}", "two/b.emd": b"{}"}, ("one/a.emd", "two/b.emd")),
        ({"sub/a.emd": b"{}", "net.pt": b"", "read.me": b""}, ("sub/a.emd",)),
        ({"a.emd": b"{}", "sub/b.emd": b"{}"}, ("a.emd",)),
        ({"a.json": b"[]"}, ()),
    ],
)
def test_descriptions_are_found_at_the_root_or_in_its_folders(tmp_path, files, names):
    assert open_files(zipped(tmp_path / "m.dlpk", files)).descriptions() == names
    for name, content in files.items():
        file = tmp_path / "folder" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    # A folder on disk may be anything: one model in it is not all of it.
    one = len({name.split("/")[0] for name in {*files} - {"esriinfo/item.json"}}) == 1
    known = names if one or "/" not in "".join(names) else ()
    assert open_files(tmp_path / "folder").descriptions() == known


def test_upper_and_lower_case_are_alike_where_only_one_file_is_meant(folder, tmp_path):
    archive = zipped(tmp_path / "m.dlpk", {"sub/w.pt": b"weights", "a.py": b"", "A.py": b""})
    for files in (Files(folder), open_files(archive)):
        assert files.find("SUB\\W.pt") == "sub/w.pt"
    assert open_files(archive).read("A.py") == b""
    with pytest.raises(ModelError, match=r"'A\.PY' is missing in"):
        open_files(archive).find("A.PY")


def test_what_is_extracted_is_whole_and_plain(folder, tmp_path):
    archive = zipped(tmp_path / "m.dlpk", {"a.emd": b"{}", "sub/f.py": b"code"})
    for source, names in ((archive, {"a.emd", "sub/f.py"}), (folder, {"model.json", "sub/w.pt"})):
        target = tmp_path / f"new-{source.name}"
        open_files(source).extract(target)
        found = {p.relative_to(target).as_posix(): p for p in target.rglob("*") if p.is_file()}
        assert set(found) == names
        assert {stat.S_IMODE(file.stat().st_mode) for file in found.values()} == {0o644}
        with pytest.raises(ModelError, match="exists already"):
            open_files(source).extract(target)


def test_nothing_is_left_of_what_could_not_be_extracted(tmp_path):
    content = bytearray(zipped(tmp_path / "m.dlpk", {"a": b"first", "b": b"second"}).read_bytes())
    content[content.index(b"b", 60) + 3] ^= 0xFF
    (tmp_path / "m.dlpk").write_bytes(content)
    with pytest.raises(ModelError, match="no whole archive"):
        open_files(tmp_path / "m.dlpk").extract(tmp_path / "new")
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="could not be unpacked"):
        archive = zipped(tmp_path / "n.dlpk", {"a": b"x"})
        open_files(archive).extract(tmp_path / "file" / "new")
    assert {p.name for p in tmp_path.iterdir()} == {"m.dlpk", "n.dlpk", "file"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 100_000, "nested too deep"),
        (b'{"a": ' * 100_000, "nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read: "),
        (b"\xff\xfe{", "is no text in UTF-8: line 1 .* 0x7b; save it"),
        (b"{", "line 1, column 2"),
        (b"", "line 1, column 1"),
        (b"null", "holds a NoneType"),
    ],
)
def test_json_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "model.json").write_bytes(text)
    with pytest.raises(ModelError, match=message):
        Files(tmp_path).read_json("model.json")


def test_text_may_be_as_editors_of_windows_write_it(tmp_path):
    (tmp_path / "a.json").write_bytes('{"a": "\u00e4"}'.encode("utf-16"))
    assert Files(tmp_path).read_json("a.json") == {"a": "\u00e4"}
    (tmp_path / "a.json").write_bytes('{\n"a": "\u00e4"}'.encode("cp1252"))
    with pytest.raises(ModelError, match=r"'a\.json' is no text in UTF-8: line 2 .* 0xe4; save it"):
        Files(tmp_path).read_json("a.json")


def test_numbers_that_are_none_are_null(tmp_path):
    (tmp_path / "a.emd").write_bytes(b'\xef\xbb\xbf{"loss": NaN, "b": [-Infinity, 1]}')
    assert Files(tmp_path).read_json("a.emd") == {"loss": None, "b": [None, 1]}


def test_trust_is_for_a_hash():
    ours, other = sha(b"ours"), sha(b"other")
    assert is_trusted(True, ours) and is_trusted(ours.upper(), ours)
    assert not is_trusted(False, ours)
    with pytest.raises(TrustError, match=f"names the sha256 '{other}', but .* has '{ours}'"):
        is_trusted(other, ours)
    for wrong in ("yes", "", ours[:-1], 1, None):
        with pytest.raises(TrustError, match=f"is no sha256; .*{ours}"):
            is_trusted(wrong, ours)


def test_a_file_that_changes_after_it_was_hashed_is_refused(tmp_path):
    """Else what was trusted is not what runs."""
    (tmp_path / "a.emd").write_text("{}")
    (tmp_path / "f.py").write_text("good")
    files = open_files(tmp_path / "a.emd")
    assert files.read("f.py") == b"good" and files.sha256
    assert files.read("f.py") == b"good"
    (tmp_path / "f.py").write_text("evil")
    with pytest.raises(ModelError, match=r"'f.py' in .* changed while it was opened; look at it"):
        files.read("f.py")
