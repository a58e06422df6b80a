"""Plans check themselves, and know their inputs."""

from pathlib import Path

import pytest

from geodl_lab.errors import OptionError
from geodl_lab.exports.options import ExportOptions
from geodl_lab.exports.plans import Item, Plan, items_of

A, B, C = Path("a.tif"), Path("b.tif"), Path("c.tif")


ONE = (Item((A,)),)


def plan(format="Export_Tiles", items=ONE, **kwargs):
    options = {name: kwargs.pop(name) for name in ("blacken",) if name in kwargs}
    return Plan(items, Path("job"), ExportOptions(format=format, **options), **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"items": ()}, "no raster"),
        ({"format": "RCNN_Masks"}, "RCNN_Masks needs labels"),
        ({"format": "Panoptic_Segmentation", "labels": (B,)}, "needs instances"),
        ({"format": "RCNN_Masks", "labels": (B,), "instances": (B,)}, "has no instances"),
        ({"format": "RCNN_Masks", "labels": (B,), "items": (Item((A,), (B,)),)}, "no second"),
        ({"blacken": True}, "Labeled_Tiles and Imagenet"),
    ],
)
def test_what_does_not_go_together_is_refused(kwargs, match):
    with pytest.raises(OptionError, match=match):
        plan(**kwargs)


def test_rasters_are_cut_as_one_or_apart():
    assert items_of((A, B), (), format="Export_Tiles", each=False) == (Item((A, B)),)
    assert items_of((A, B), (C,), format="Export_Tiles", each=True) == (
        Item((A,), (C,)), Item((B,), (C,)),
    )  # fmt: skip
    assert items_of((A,), (B, C), format="CycleGAN", each=True) == (
        Item((A,), group="A"), Item((B,), group="B"), Item((C,), group="B"),
    )  # fmt: skip
    with pytest.raises(OptionError, match="3 rasters are cut apart and there are 2"):
        items_of((A, B, C), (A, B), format="Export_Tiles", each=True)
    with pytest.raises(OptionError, match="CycleGAN needs a second"):
        items_of((A,), (), format="CycleGAN", each=False)


def test_all_inputs_are_known():
    made = plan(items=(Item((A,), (B,)),), labels=(C,), masks=(Path("m"),))
    assert list(made.inputs) == [A, B, C, Path("m")]
    assert hash(made) == hash(plan(items=(Item((A,), (B,)),), labels=(C,), masks=(Path("m"),)))
