"""The command line as people use it: one line and status 2 for bad input, nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
import safetensors.torch

import geodl_lab.files  # before a test replaces what it takes from packages
import geodl_lab.packages
from geodl_lab import __version__, cli, nets, open_raster
from geodl_lab.testing import make_raster, wrap

ROOT = Path(__file__).parents[1]
GEODL = [sys.executable, "-c", "from geodl_lab.cli import main; main()"]


def write_model(folder, *, task="classify"):
    """Write a tiny model that opens at once."""
    folder.mkdir()
    count = 3 if task == "classify" else 1
    arguments = {
        "in_channels": 3, "out_channels": count, "widths": [4, 4],
        "encoder_convs": [1, 1], "decoder_convs": [1],
    }  # fmt: skip
    safetensors.torch.save_file(
        nets.build("unet", arguments).state_dict(), folder / "w.safetensors"
    )
    decoder = {"name": "heatmap", "threshold": 0.3, "radius": 3, "box_size": 8}
    text = {
        "format": "geodl-model", "format_version": 1, "name": "tiny", "version": "2", "task": task,
        "architecture": {"name": "unet", "arguments": arguments}, "weights": "w.safetensors",
        "input": {"bands": ["red", "green", "blue"], "dtype": "uint8", "scale": 1 / 255},
        "window": 64, "field": {"finite": True, "stride": 2, "halo": 6},
        "decoder": decoder if task == "detect" else None,
        "classes": [
            {"value": i + 1, "name": name, "color": "#00aa00"}
            for i, name in enumerate(["tall tree", "road", "roof"][:count])
        ],
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(text))
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with models, a scene and bad input."""
    folder = tmp_path_factory.mktemp("world")
    write_model(folder / "model")
    write_model(folder / "finder", task="detect")
    raster = make_raster((3, 301, 211))
    options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    raster.rio.to_raster(folder / "scene.tif", **options)
    raster[:2].rio.to_raster(folder / "two.tif")
    bytes_ = (folder / "scene.tif").read_bytes()
    (folder / "cut.tif").write_bytes(bytes_[: len(bytes_) // 2])
    (folder / "text.tif").write_text("I am no raster")
    (folder / "file").write_text("")
    wide = np.random.default_rng(0).integers(0, 255, (3, 3000, 3000), dtype=np.uint8)
    wrap(wide).rio.to_raster(folder / "wide.tif")
    return folder


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def geodl(monkeypatch, capsys):
    """Run the command line in this process: status, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["geodl", *map(str, arguments)])
        with pytest.raises(SystemExit) if "--version" not in arguments else _nothing() as stopped:
            cli.main()
        answer = capsys.readouterr()
        return (stopped.value.code if stopped else 0), answer.out, answer.err

    return run


class _nothing:
    def __enter__(self):
        return None

    def __exit__(self, *_):
        return None


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def command(world, out, *more, source="scene.tif", model="model", task="classify", to="a.tif"):
    return [task, world / source, "-o", out / to, "--model", world / model, *more]


def test_classify_writes_a_map_and_says_so(geodl, world, out):
    status, said, progress = geodl(*command(world, out))
    assert status == 0
    assert f"{out / 'a.tif'} written in" in said and "classify: 100%" in progress
    assert names(out) == ["a.tif", "a.tif.aux.xml"]
    result = open_raster(out / "a.tif")
    assert np.array_equal(result[0], open_raster(world / "scene.tif").dl.classify(world / "model"))
    assert result.attrs["flag_meanings"] == "tall_tree road roof"


@pytest.mark.parametrize("ending", ["parquet", "gpkg", "geojson"])
def test_detect_writes_objects_and_counts_them(geodl, world, out, ending):
    run = command(world, out, "--threshold", "0", model="finder", task="detect", to=f"a.{ending}")
    status, said, progress = geodl(*run)
    assert status == 0 and "objects in" in said and "detect: 100%" in progress
    assert int(said.split()[1]) > 0 and names(out) == [f"a.{ending}"]


def test_options_reach_the_run(geodl, world, out):
    extent = ["--extent", "-5", "3699900", "400060", "3699990.5"]
    more = [*extent, "--bands", "red=3,green=2,blue=1", "--device", "cpu", "--precision", "fp32"]
    assert geodl(*command(world, out, *more))[0] == 0
    result = open_raster(out / "a.tif")
    assert result.rio.bounds() == pytest.approx((400_000, 3_699_900, 400_060, 3_699_991), abs=0.6)
    expected = open_raster(world / "scene.tif").dl.classify(
        world / "model", bands=[3, 2, 1], area=(-5, 3699900, 400060, 3699990.5)
    )
    assert np.array_equal(result[0], expected)


def test_threshold_reaches_the_run(geodl, world, out):
    assert geodl(*command(world, out, "--threshold", "1"))[0] == 0
    assert (open_raster(out / "a.tif") == 255).all()


BAD = {
    "missing": ({"source": "no.tif"}, [], "there is no file"),
    "text": ({"source": "text.tif"}, [], "does not open as a raster"),
    "empty": ({"source": "file"}, [], "does not open as a raster"),
    "folder": ({"source": "model"}, [], "does not open as a raster"),
    "truncated": ({"source": "cut.tif"}, [], "cannot be read; the file seems truncated"),
    "two bands": (
        {"source": "two.tif"},
        [],
        "wants 3 bands (red, green, blue) and the raster has 2",
    ),
    "model": ({"model": "nope"}, [], "there is no model"),
    "task": ({"model": "finder"}, [], "made to detect, not to classify"),
    "ending": ({"to": "a.png"}, [], "no format we write; end it on .tif"),
    "no folder": ({"to": "no/a.tif"}, [], "there is no folder"),
    "extent": ({}, ["--extent", "-9", "-9", "-8", "-8"], "does not meet the raster"),
    "extent size": ({}, ["--extent", "9", "9", "8", "8"], "has no size"),
    "extent count": ({}, ["--extent", "9", "9"], "'--extent' requires 4 arguments"),
    "bands text": ({}, ["--bands", "red"], "--bands 'red' is not possible; write it like"),
    "band number": ({}, ["--bands", "red=9"], "the raster has no band 9"),
    "band name": ({}, ["--bands", "nir=1"], "bands= names ['nir']"),
    "threshold": (
        {},
        ["--threshold", "3"],
        "threshold 3.0 is not possible; give a number from 0 to 1",
    ),
    "threshold text": ({}, ["--threshold", "much"], "Invalid value for '--threshold'"),
    "device": ({}, ["--device", "tpu"], "'tpu' is not known"),
    "precision": ({}, ["--precision", "fp8"], "'fp8' is not one of"),
    "option": ({}, ["--foo"], "No such option: --foo"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(geodl, world, out, case):
    where, more, words = BAD[case]
    (out / "a.tif").write_text("older")
    status, said, errors = geodl(*command(world, out, *more, "--overwrite", **where))
    assert status == 2 and said == ""
    *before, line = errors.strip().splitlines()
    assert line.startswith("geodl: ") and words in line and "Traceback" not in errors
    assert not any(text.strip() and "window" not in text for text in before)
    assert case == "truncated" or not before
    assert names(out) == ["a.tif"] and (out / "a.tif").read_text() == "older"


def test_an_existing_output_needs_overwrite(geodl, world, out):
    (out / "a.tif").write_text("older")
    status, _, errors = geodl(*command(world, out))
    assert status == 2 and "--overwrite" in errors and (out / "a.tif").read_text() == "older"
    assert geodl(*command(world, out, "--overwrite"))[0] == 0
    assert names(out) == ["a.tif", "a.tif.aux.xml"]


def test_the_input_is_never_the_output(geodl, world):
    before = (world / "scene.tif").read_bytes()
    status, _, errors = geodl(*command(world, world, "--overwrite", to="scene.tif"))
    assert status == 2 and "is the input itself and would be lost" in errors
    assert (world / "scene.tif").read_bytes() == before


def test_usage_and_version(geodl):
    status, said, _ = geodl("--help")
    assert status == 0 and all(word in said for word in ("classify", "detect", "demo", "models"))
    assert geodl()[1] == said
    assert geodl("--version") == (0, f"{__version__}\n", "")
    status, said, _ = geodl("classify", "--help")
    assert status == 0 and "--extent" in said and "--overwrite" in said
    status, _, errors = geodl("paint")
    assert status == 2 and "No such command 'paint'" in errors and errors.count("\n") == 1
    assert "Missing option" in geodl("classify", "a.tif")[2]


def test_models_are_listed_and_described(geodl, world):
    status, said, _ = geodl("models", "list")
    assert status == 0 and "naip-landcover" in said and "Open Water" in said
    (row,) = [m for m in json.loads(geodl("models", "list", "--json")[1]) if "naip-l" in m["name"]]
    assert row["task"] == "classify" and row["bands"] == ["red", "green", "blue", "nir"]
    info = json.loads(geodl("models", "info", world / "finder", "--json")[1])
    assert info["classes"] == [{"value": 1, "name": "tall tree", "color": "#00aa00"}]
    assert len(info["sha256"]) == 64 and info["halo"] == 6 and info["version"] == "2"
    seams = json.loads(geodl("models", "info", world / "model", "--json", "--seam-error")[1])
    assert seams["seam_error"]["scores"] < 1e-5 and seams["seam_error"]["pixels"] > 100
    status, said, _ = geodl("models", "info", world / "finder")
    assert status == 0 and info["sha256"] in said and "tall tree" in said
    status, _, errors = geodl("models", "info", "nope")
    assert status == 2 and "no model 'nope': bundled are" in errors


def test_models_are_installed_listed_and_uninstalled(geodl, world, models_folder):
    status, said, _ = geodl("models", "install", world / "finder", "--name", "finder@3")
    (folder,) = models_folder.glob("finder/3/*")
    assert (status, said) == (
        0, f"finder 3 is installed in {folder}\nsha256 {folder.name}\n"
    )  # fmt: skip
    status, said, _ = geodl("models", "list")
    (line,) = [line for line in said.splitlines() if line.startswith("finder")]
    assert line.split("  ")[0] == "finder" and "detect" in line and "tall tree" in line
    assert "  3  " in line and "  installed 20" in line and said.count("  bundled") >= 4
    (row,) = [m for m in json.loads(geodl("models", "list", "--json")[1]) if m["name"] == "finder"]
    info = json.loads(geodl("models", "info", "finder", "--json")[1])
    assert row == info and info["where"] == str(folder) and not info["trusted"]
    said = geodl("models", "info", "finder@3")[1]
    assert "  trusted     no\n" in said and f"  where       {folder}\n" in said
    status, _, errors = geodl("models", "uninstall", "finder")
    assert status == 2 and "in use by process" in errors and errors.count("\n") == 1
    geodl("models", "install", world / "model", "--name", "other", "--trust")
    status, said, _ = geodl("models", "uninstall", "other")
    assert status == 0 and said.startswith("other@2#") and said.endswith(" is uninstalled\n")
    assert geodl("models", "uninstall", "other")[0] == 2


def test_an_install_says_what_trust_means(geodl, world, models_folder, monkeypatch):
    said = geodl("models", "install", world / "model", "--trust")[1]
    assert "trusted: whatever code is in it runs as you, with your files" in said
    status, _, errors = geodl("models", "install", world / "model", "--name", "../x")
    assert status == 2 and "the name '../x' is not possible" in errors
    (models_folder / "file").touch()
    monkeypatch.setenv("GEODL_MODELS", str(models_folder / "file"))
    status, said, errors = geodl("models", "install", world / "model")
    assert status == 2 and "could not be written" in errors and errors.count("\n") == 1


def test_trust_and_padding_reach_the_run(geodl, world, out, monkeypatch):
    opened, real = [], geodl_lab.packages.open_model

    def spy(model, *, trust):
        opened.append(trust)
        return real(model, trust=trust)

    monkeypatch.setattr("geodl_lab.packages.open_model", spy)
    assert geodl(*command(world, out, "--trust", "--padding", "10", "--batch-size", "2"))[0] == 0
    recipe = json.loads(open_raster(out / "a.tif").attrs["geodl_recipe"])
    assert recipe["halo"] == 10 and opened == [True]
    run = command(world, out, "--padding", "8", model="finder", task="detect", to="a.parquet")
    assert geodl(*run)[0] == 0 and opened == [True, False]
    status, _, errors = geodl(*command(world, out, "--padding", "-1", "--overwrite"))
    assert status == 2 and "padding -1 is not possible" in errors
    assert geodl(*command(world, out, "--batch-size", "0", "--overwrite"))[0] == 2


def test_who_must_trust_is_told_how(geodl, world, out, tmp_path):
    description = {"ModelType": "ImageClassification", "InferenceFunction": "Its.py"}
    (tmp_path / "its.emd").write_text(json.dumps(description))
    (tmp_path / "Its.py").write_text("raise SystemExit")
    status, _, errors = geodl(*command(world, out, model=tmp_path / "its.emd"))
    assert status == 2 and errors.endswith("; trust=True is --trust here\n")


def test_debug_shows_the_traceback(geodl, world, out):
    status, _, errors = geodl("--debug", *command(world, out, source="no.tif"))
    assert status == 2 and "Traceback" in errors and "there is no file" in errors


def test_what_nobody_foresaw_is_one_line_too(geodl, world, out, monkeypatch):
    def fails(*_, **__):
        raise LookupError("lost\nin thought")

    monkeypatch.setattr("geodl_lab.files.classify_file", fails)
    status, _, errors = geodl(*command(world, out))
    assert status == 1 and errors.count("\n") == 1
    assert "internal error: LookupError: lost in thought; run again with --debug" in errors


def start(arguments, **options):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [*GEODL, *map(str, arguments)], cwd=ROOT, text=True, **{**pipes, **options}
    )


def test_a_photo_in_a_process_of_its_own(world, out):
    """Warnings and logs of libraries stay away; ours are lines of ours."""
    photo = out / "photo.png"
    with rasterio.open(world / "scene.tif") as scene:
        pixels = scene.read()
    import PIL.Image  # noqa: PLC0415

    PIL.Image.fromarray(np.moveaxis(pixels, 0, -1)).save(photo)
    process = start(["classify", photo, "-o", out / "a.tif", "--model", world / "model"])
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    lines = [line for line in errors.splitlines() if line and not line.startswith("classify:")]
    assert lines == [
        "geodl: the raster has no CRS: results are in its own coordinates, without a CRS"
    ]
    assert names(out) == ["a.tif", "a.tif.aux.xml", "photo.png"]


def test_a_full_disk_is_one_line(world, out):
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(out)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("CANNOT MOUNT HERE: a full disk was not tested")
    try:
        process = start(command(world, out, source="wide.tif"))
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 2
        lines = [line for line in errors.splitlines() if line.strip() and "window" not in line]
        assert len(lines) == 1 and lines[0].startswith("geodl: ") and "could not be" in lines[0]
        assert names(out) == []
    finally:
        subprocess.run(["umount", str(out)], check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_leaves_no_output_and_can_be_resumed(world, out, number):
    process = start(command(world, out, source="wide.tif"))
    part = out / ".a.tif.part"
    while not part.exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.05)  # some windows in, and others left also on a quick machine
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and not set(names(out)) - {".a.tif.part"}
    assert errors.splitlines()[-1].startswith("geodl: stopped; no output was written")
    assert "Traceback" not in errors
    process = start(command(world, out, "--resume", source="wide.tif"))
    process.communicate(timeout=120)
    assert process.returncode == 0 and names(out) == ["a.tif", "a.tif.aux.xml"]
