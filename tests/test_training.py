"""The accuracy on the model cards is measured again, where the labelled data is at hand."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"


@pytest.mark.slow
@pytest.mark.skipif(
    not DATA.exists(), reason="NOT RUN: the labelled data (../shared/data) is not here"
)
def test_cards_state_what_the_script_measures():
    command = [sys.executable, "notebooks/training/evaluate.py", "--data", str(DATA)]
    command += ["--only-cards"]  # the rest is printed only, and takes a minute
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in (
        "aerial-landcover",
        "aerial-scene",
        "aerial-tags",
        "naip-trees",
        "tree-crowns",
    ):
        assert name in done.stdout
