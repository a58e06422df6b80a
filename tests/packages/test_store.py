"""Installed models are whole or not there, whoever installs and uninstalls at once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from geodl_lab import open_model
from geodl_lab.errors import ModelError, OptionError, OutputError, TrustError
from geodl_lab.packages import install, uninstall
from geodl_lab.packages.archives import Files
from geodl_lab.packages.installed import find, installed

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("models_folder")


def visible(folder):
    """All that is in the folder of models, but for its lock."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_what_is_installed_is_what_opens(package, models_folder):
    folder = package(about="kept as it is")
    (folder / "sub").mkdir()
    (folder / "sub" / "note.txt").write_text("more")
    one = install(folder)
    assert (one.name, one.version, one.source, one.trusted) == ("tiny", "1.0", "package", False)
    assert one.folder == models_folder / "tiny" / "1.0" / one.sha256
    assert one.sha256 == Files(folder).sha256 and set(one.hashes) == set(Files(folder).names)
    shutil.rmtree(folder)
    assert (one.folder / "package" / "sub" / "note.txt").read_text() == "more"
    assert open_model("tiny").package.classes[1].name == "water"
    assert open_model("tiny") is open_model("tiny@1.0") is open_model(f"tiny#{one.sha256[:9]}")
    assert one.card["bands"] == ["red"] and installed() == [one]


def test_a_file_installs_its_folder_and_an_archive_its_files(package, tmp_path):
    folder = package()
    (folder / "other.emd").write_text("{}")
    with pytest.raises(ModelError, match=r"more than one model: model.json, other.emd; give the p"):
        install(folder)
    one = install(folder / "model.json")
    assert one.source == "model.json" and open_model("tiny").package.name == "tiny"
    assert {"model.json", "other.emd", "w.safetensors"} == set(one.hashes)
    (folder / "other.emd").unlink()
    shutil.make_archive(str(tmp_path / "x"), "zip", folder)
    two = install(tmp_path / "x.zip", name="zipped")
    assert two.source == "x.zip" and open_model("zipped").name == "zipped"
    assert two.sha256 == Files(folder).sha256


def test_the_same_twice_is_once(package, models_folder):
    folder = package()
    one = install(folder)
    assert install(folder) == one and len(installed()) == 1
    trusted = install(folder, trust=True)
    assert trusted.trusted and trusted.date == one.date and installed() == [trusted]
    assert install(folder).trusted  # what was said stays said
    assert visible(models_folder) == ["tiny"] and visible(models_folder / "tiny") == ["1.0"]


def test_a_name_is_its_newest_version_and_of_that_the_last(package):
    versions = ["1.9", "1.10", "1.10rc1", "v1.2", "1.2.1"]
    for number, version in enumerate(versions):
        install(package(f"p{number}", weight=number, version=version))
    assert [one.version for one in installed()] == ["1.10", "1.10rc1", "1.9", "1.2.1", "v1.2"]
    assert open_model("tiny").package.version == "1.10"
    later = install(package("later", weight=77, version="1.10"))
    assert find("tiny")[0] == later and len(find("tiny@1.10")) == 2
    assert open_model("tiny").package.sha256 != open_model("tiny@1.9").package.sha256
    with pytest.raises(ModelError, match=r"'tiny@1.10' may be each of tiny@1.10#\w{12}, tiny@1.10"):
        uninstall("tiny@1.10")
    with pytest.raises(ModelError, match=r"no model 'tiny@7'; installed of it: tiny@1.10#"):
        open_model("tiny@7")


@pytest.mark.parametrize(
    "name", ["../up", "a/b", ".hidden", "", "a b", "x" * 65, "-x", "trees.dlpk", "a\x00", "a#b"]
)
def test_names_are_safe(package, models_folder, name):
    with pytest.raises(ModelError, match="is not possible: letters"):
        install(package(), name=name)
    with pytest.raises(ModelError, match="is not possible: letters"):
        install(package("said", name=name))
    with pytest.raises(ModelError, match=r"the version .* is not possible: .* as 'tiny@"):
        install(package("version", version=name))
    assert not models_folder.exists()
    assert install(package("named", name=name), name="fine@3").reference.startswith("fine@3#")


def test_bundled_names_are_taken(package):
    with pytest.raises(ModelError, match=r"bundled model; give another name with name= \(--name"):
        install(package(), name="naip-trees")
    with pytest.raises(ModelError, match="bundled model and cannot be uninstalled"):
        uninstall("naip-trees")


def test_what_does_not_open_is_not_installed(package, tmp_path, models_folder):
    (tmp_path / "x.onnx").touch()
    for path, words in (
        (tmp_path / "x.onnx", "weights alone"),
        (tmp_path / "none.dlpk", "there is no file"),
        (None, "there is no file"),
        ("https://example.org/x.dlpk", "is an address; download"),
        (package("bad", task="dream"), "task 'dream'"),
        (tmp_path, "is no model package"),
    ):
        with pytest.raises(ModelError, match=words):
            install(path)
    assert not models_folder.exists()


def test_trust_is_for_a_hash(package):
    folder = package()
    sha256 = Files(folder).sha256
    with pytest.raises(TrustError, match=f"the sha256 '{'0' * 64}', but .* has '{sha256}'"):
        install(folder, trust="0" * 64)
    with pytest.raises(TrustError, match=r"trust='yes' is no sha256; give True"):
        install(folder, trust="yes")
    assert install(folder, trust=sha256.upper()).trusted
    with pytest.raises(TrustError, match="trust names the sha256"):
        open_model("tiny", trust="0" * 64)
    with pytest.raises(OptionError, match="'tiny' says itself what it wants and gives, so bands"):
        open_model("tiny", bands=["red"])


@pytest.mark.parametrize("change", ["edit", "add", "remove"])
def test_what_was_changed_on_disk_is_refused_by_name(package, change):
    file = install(package()).folder / "package" / "w.safetensors"
    if change == "edit":
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    elif change == "remove":
        file.unlink()
    else:
        file.with_name("w.py").write_text("print()")
    with pytest.raises(ModelError, match=r"is not what was installed: w\.(safetensors|py) changed"):
        open_model("tiny")
    uninstall("tiny")  # what could not be opened is not in use


def test_a_damaged_record_hides_one_model_only(package, caplog, tmp_path):
    install(package("a"), name="a")
    broken = install(package("b"), name="b")
    (broken.folder / "installed.json").write_text("{")
    assert [one.name for one in installed()] == ["a"]
    assert "is left out: Expecting" in caplog.text
    with pytest.raises(ModelError, match="no model 'b'"):
        open_model("b")
    again = install(tmp_path / "b", name="b")
    assert again.folder == broken.folder and open_model("b").name == "b"


@pytest.mark.parametrize("wrong", [{"trusted": "no"}, {"main": 3}, {"date": 5}, {"card": None}])
def test_a_record_of_other_values_is_left_out(package, caplog, wrong):
    one = install(package())
    record = json.loads((one.folder / "installed.json").read_text())
    (one.folder / "installed.json").write_text(json.dumps({**record, **wrong}))
    assert installed() == []
    assert f"is left out: it holds no {next(iter(wrong))}" in caplog.text


def test_uninstall_removes_it_all(package, models_folder):
    one = install(package())
    assert uninstall(f"tiny@1.0#{one.sha256[:6].upper()}") == one
    assert visible(models_folder) == [] and installed() == []
    with pytest.raises(ModelError, match="there is no installed model 'tiny'; installed: none"):
        uninstall("tiny")


def test_what_is_open_here_stays(package):
    install(package())
    model = open_model("tiny")
    with pytest.raises(ModelError, match=rf"in use by process {os.getpid()} \(this one\); end"):
        uninstall("tiny")
    assert open_model("tiny") is model


def test_a_folder_that_cannot_be_written_is_one_sentence(package, models_folder, tmp_path):
    models_folder.write_text("I am a file")
    with pytest.raises(OutputError, match=r"could not be written .*; make room, or name another"):
        install(package())
    with pytest.raises(ModelError, match="there is no model 'tiny'"):
        open_model("tiny")


def test_a_full_disk_leaves_nothing(package, disk, monkeypatch):
    full = disk("64k")
    monkeypatch.setenv("GEODL_MODELS", str(full))
    folder = package()
    (folder / "large.bin").write_bytes(bytes(200_000))
    with pytest.raises((ModelError, OutputError), match=r"No space left on device.*; make\s*room"):
        install(folder)
    assert visible(full) == [] and installed() == []


def start(models, code, *arguments):
    """Run code in a process of its own, with the names that it needs."""
    head = """
        import sys, time
        from geodl_lab import open_model
        from geodl_lab.errors import ModelError
        from geodl_lab.packages import install, uninstall
        from geodl_lab.packages.archives import Files
    """
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(head) + textwrap.dedent(code)]
        + [str(argument) for argument in arguments],
        cwd=ROOT, env={**os.environ, "GEODL_MODELS": str(models)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_killed_install_leaves_nothing_visible(package, models_folder):
    code = """
        extract = Files.extract
        def half(files, folder):
            extract(files, folder)
            (folder / "w.safetensors").unlink()
            print("half", flush=True)
            time.sleep(60)
        Files.extract = half
        install(sys.argv[1])
    """
    folder = package()
    with start(models_folder, code, folder) as process:
        assert process.stdout.readline() == "half\n"
        assert [name[:9] for name in visible(models_folder)] == [".install-"]
        other = install(package("b", weight=2), name="other")  # it lives: its files stay
        assert len(visible(models_folder)) == 2
        process.send_signal(signal.SIGKILL)
    assert installed() == [other]
    install(folder)
    assert visible(models_folder) == ["other", "tiny"]


def test_a_killed_uninstall_leaves_nothing_visible(package, models_folder):
    one = install(package())
    code = """
        import shutil
        def half(path, **_):
            (path / "package" / "w.safetensors").unlink()
            print("half", flush=True)
            time.sleep(60)
        shutil.rmtree = half
        uninstall("tiny")
    """
    with start(models_folder, code) as process:
        assert process.stdout.readline() == "half\n"
        assert installed() == [] and not one.folder.exists()
        process.send_signal(signal.SIGKILL)
    install(package("b"), name="other")
    assert visible(models_folder) == ["other"]


def test_what_another_process_has_open_stays_until_it_ends(package, models_folder):
    install(package())
    code = "open_model('tiny'); print(1, flush=True); time.sleep(60)"
    with start(models_folder, code) as process:
        process.stdout.readline()
        with pytest.raises(ModelError, match=f"in use by process {process.pid}; end what runs it"):
            uninstall("tiny")
        assert installed()
        process.kill()
    uninstall("tiny")
    assert installed() == []


def test_many_at_once(package, models_folder):
    """Two install the same, one uninstalls, one opens: each finds a whole model or none."""
    folder = package()
    ready = "print('ready', flush=True)\ninput()\nend = time.time() + 2\ncount = 0\n"
    putting = ready + "while time.time() < end: install(sys.argv[1]); count += 1\nprint(count)"
    removing = """
        while time.time() < end:
            try:
                uninstall("tiny")
                count += 1
            except ModelError as error:
                assert any(w in str(error) for w in ("no installed", "just now", "in use")), error
        print(count)
    """
    opening = """
        import os
        from geodl_lab.packages.installed import _HELD, _opened
        while time.time() < end:
            try:
                count += open_model("tiny").name == "tiny"
            except ModelError as error:
                assert "no model" in str(error) or "just now" in str(error), error
            _opened.cache_clear()
            while _HELD:
                os.close(_HELD.pop())
        print(count)
    """
    codes = [putting, putting, ready + textwrap.dedent(removing), ready + textwrap.dedent(opening)]
    running = [start(models_folder, code, folder) for code in codes]
    for process in running:
        assert process.stdout.readline() == "ready\n", process.communicate()
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=100) for process in running]
    assert [process.returncode for process in running] == [0] * 4, answers
    assert all(int(count) > 0 for count, _ in answers), answers
    assert set(visible(models_folder)) <= {"tiny"}
    install(folder)
    assert open_model("tiny").name == "tiny" and visible(models_folder) == ["tiny"]
