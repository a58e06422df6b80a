"""Parts: found again, made once, never half."""

import errno
import shutil

import numpy as np
import pytest

from geodl_lab.errors import CancelledError, OutputError, RasterError
from geodl_lab.exports import cutting
from geodl_lab.exports.assemble import assemble
from geodl_lab.exports.options import ExportOptions
from geodl_lab.exports.parts import ChipRange, compute, explained, facts_of, missing
from geodl_lab.exports.plans import Item, Plan
from tests.exports.conftest import write_raster


@pytest.fixture
def plan(scene, features, tmp_path):
    options = ExportOptions(tile_yx=(8, 8), all_tiles=True)
    return Plan((Item((scene,)),), tmp_path / "job", options, (features,))


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_parts_cover_all_places_once(plan):
    parts = missing(plan)
    assert [(part.first, part.count) for part in parts] == [(0, 64), (64, 53)]
    assert facts_of(plan)[0].places == 9 * 13


def test_what_is_done_is_left_and_the_result_is_the_same(plan, tmp_path):
    compute(plan, missing(plan))
    assemble(plan)
    whole = content(plan.target)
    shutil.rmtree(plan.folder)

    first, second = missing(plan)
    assert compute(plan, [second])[0] > 0
    (plan.folder / "export-parts" / "rough-0-0-99").mkdir()  # a process that was killed
    assert missing(plan) == [first]
    assert compute(plan, [second])[0] == 0
    compute(plan, [first])
    assert assemble(plan) == assemble(plan) == len(list(plan.target.glob("images/*")))
    assert content(plan.target) == whole
    assert missing(plan) == []


def test_an_assembly_that_was_killed_is_made_anew(plan):
    compute(plan, missing(plan))
    (plan.folder / "export-rough/images").mkdir(parents=True)
    (plan.folder / "export-rough/images/left.tif").write_text("half")
    assemble(plan)
    assert not (plan.target / "images/left.tif").exists()


def test_cancel_is_asked_before_each_chip(plan):
    asked = iter([False] * 3 + [True])
    with pytest.raises(CancelledError, match="cancelled"):
        compute(plan, missing(plan), cancelled=lambda: next(asked))
    assert len(missing(plan)) == 2
    assert not list(plan.folder.glob("export-parts/*"))


def test_an_input_that_was_replaced_is_told(plan, scene):
    parts = missing(plan)
    compute(plan, parts[:1])
    write_raster(scene, np.ones((4, 70, 100), np.uint8), nodata=0)
    with pytest.raises(RasterError, match=r"'scene.tif' was replaced while the export ran"):
        compute(plan, parts[1:])
    scene.unlink()
    with pytest.raises(RasterError, match=r"scene.tif"):
        missing(plan)


def test_a_full_disk_names_the_bytes(plan, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cutting, "write_chip", full)
    with pytest.raises(
        OutputError, match=r"disk is full\): \d+ bytes are free and about \d+ bytes"
    ):
        compute(plan, missing(plan))
    assert not list(plan.folder.glob("export-parts/*"))


def test_our_own_errors_stay(tmp_path):
    with pytest.raises(RasterError, match="mine"), explained(tmp_path):
        raise RasterError("mine")


def test_a_part_has_its_place(plan):
    assert ChipRange(1, 64, 3).path(plan) == plan.folder / "export-parts" / "1-64"
