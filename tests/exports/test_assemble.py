"""The finished folder: names and numbers."""

import json

import numpy as np
import pytest

from geodl_lab.errors import OptionError
from geodl_lab.exports.assemble import assemble
from geodl_lab.exports.options import ExportOptions
from geodl_lab.exports.parts import compute, missing
from geodl_lab.exports.plans import Item, Plan
from tests.exports.conftest import write_raster


def made(folder, rasters, labels, **options):
    items = tuple(Item((raster,)) for raster in rasters)
    plan = Plan(items, folder / "job", ExportOptions(tile_yx=(32, 32), **options), (labels,))
    compute(plan, missing(plan))
    return plan


def test_numbers_go_on_from_one_raster_to_the_next(scene, features, tmp_path):
    plan = made(tmp_path, [scene, scene], features, start_index=7)
    assert assemble(plan) == 4
    assert (plan.target / "map.txt").read_text() == "".join(
        f"images/{n:09d}.tif labels/{n:09d}.txt\n" for n in range(7, 11)
    )
    assert not (plan.folder / "export-parts").exists()


def test_several_names_are_one_object_with_commas(scene, features, tmp_path):
    plan = made(tmp_path, [scene], features, format="MultiLabeled_Tiles")
    assemble(plan)
    text = (plan.target / "labels/000000000.xml").read_text()
    assert "<name>house,barn</name>" in text
    assert text.count("<object>") == 1


def test_classes_of_a_class_raster_are_those_that_chips_hold(scene, tmp_path):

    values = np.zeros((1, 70, 100), np.uint16)
    values[0, 3, 3:5], values[0, 60, 90] = (300, 8), 9
    labels = write_raster(tmp_path / "c.tif", values, nodata=8)
    plan = made(tmp_path, [scene], labels, format="Classified_Tiles")
    assemble(plan)
    emd = json.loads((plan.target / "esri_model_definition.emd").read_text())
    assert [(c["Value"], c["Name"]) for c in emd["Classes"]] == [(9, "9"), (300, "300")]


def test_nothing_to_export_says_why(scene, features, tmp_path):
    plan = made(tmp_path, [scene], features, min_overlap=1, class_field="Classname")
    assert assemble(plan) == 1
    empty = made(tmp_path / "b", [scene], features, format="Export_Tiles", min_overlap=0)
    assert assemble(empty) == 2
    far = write_raster(tmp_path / "far.tif", np.zeros((1, 70, 100), np.uint8))
    plan = made(tmp_path / "c", [scene], far, format="Classified_Tiles")
    with pytest.raises(OptionError, match="exportAllTiles"):
        assemble(plan)
    assert not plan.target.exists()
