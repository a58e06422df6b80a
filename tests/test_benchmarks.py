"""The benchmarks run, small; what they say of speed is not tested."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
fresh = pytest.importorskip("benchmarks.fresh")
scene = pytest.importorskip("benchmarks.scene")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("bench")
    assert "error" not in fresh.run("prepare", folder=place)
    return place


def test_every_painted_object_is_found_once(place):
    source = scene.write_rectangles(place / "rectangles.tif", 2048)
    row = fresh.run(
        "objects", scene=source, model=place / "detector.pickle", target=place / "o.parquet",
        size=2048,
    )  # fmt: skip
    assert row["found"] == row["reported"] == row["true"] > 20


def test_an_endless_raster_is_classified(place):
    source = scene.write_endless(place / "endless.tif", 2048)
    row = fresh.run(
        "ours", mode="file", scene=source, model=place / "onelayer.pickle",
        target=place / "classes.tif", seam_tolerance=None, threads=2,
    )  # fmt: skip
    assert row["peak_mb"] < 2500 and (place / "classes.tif").exists()


def test_the_gpu_script_says_that_there_is_none():
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "no CUDA device: nothing measured" in done.stdout
