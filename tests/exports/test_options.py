"""Options check themselves."""

import numpy as np
import pytest

from geodl_lab.errors import OptionError, UnknownOptionError
from geodl_lab.exports.options import ExportOptions, export_options


def test_the_stride_is_the_tile_and_lists_are_fine():
    assert ExportOptions(tile_yx=[64, np.int64(32)]).stride_yx == (64, 32)
    assert ExportOptions(tile_yx=(64, 64), stride_yx=[8, 9]).stride_yx == (8, 9)


def test_angles_go_round_once():
    assert ExportOptions().angles == (0,)
    assert ExportOptions(rotation=120).angles == (0, 120, 240)
    assert ExportOptions(rotation=150.0).angles == (0, 150, 300)


@pytest.mark.parametrize(
    ("name", "value", "possible"),
    [
        ("format", "YOLO", "KITTI_rectangles"), ("chip_format", "GIF", "TIFF, PNG"),
        ("chip_format", ["TIFF"], "TIFF, PNG"), ("tile_yx", (0, 5), "1 to 8192"),
        ("tile_yx", 256, "height and width"), ("tile_yx", (2.5, 3), "whole pixels"),
        ("stride_yx", (10**9, 1), "1 to 8192"), ("rotation", 360, "numbers from 0"),
        ("rotation", 0.1, "0, or 1"), ("rotation", float("nan"), "numbers"),
        ("buffer", -1, "0 or more"), ("buffer", float("inf"), "0 or more"),
        ("min_overlap", 1.01, "from 0 to 1"), ("reference", "sky", "map, image, pixel"),
        ("all_tiles", "yes", "true, false"), ("start_index", -1, "whole number"),
        ("class_field", 3, "a text"),
    ],
)  # fmt: skip
def test_what_is_not_possible_is_refused_and_what_is_is_said(name, value, possible):
    with pytest.raises(OptionError, match=f"{name} is .*{possible}"):
        export_options({name: value})


def test_unknown_options_are_refused():
    with pytest.raises(UnknownOptionError, match="no option 'tilesize'; possible: format"):
        export_options({"tilesize": 3})
