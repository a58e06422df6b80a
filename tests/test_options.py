import numpy as np
import pytest

from geodl_lab.errors import OptionError
from geodl_lab.options import Options, Passes, check_threshold, make_options


def test_options_are_known_by_name():
    assert make_options({"device": "cpu"}) == Options(device="cpu")
    with pytest.raises(OptionError, match="no option 'halo', 'windw'; possible are area, bands"):
        make_options({"windw": 3, "halo": 4})
    with pytest.raises(TypeError):
        make_options({"windw": 3})


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf"), "big", True])
def test_cell_sizes_that_are_none_are_refused(size):
    with pytest.raises(OptionError, match=r"cell_size .* is not possible; give a positive number"):
        Options(cell_size=size)


def test_options_that_do_not_belong_together_are_refused():
    with pytest.raises(OptionError, match="snap=True needs a cell_size"):
        Options(snap=True)
    with pytest.raises(OptionError, match="seam_tolerance -1 is not possible"):
        Options(seam_tolerance=-1)
    assert Options(cell_size="model", snap=True).snap


@pytest.mark.parametrize("options", [{"seam_tolerance": "a"}, {"progress": 3}, {"cancelled": "no"}])
def test_options_of_a_wrong_kind_are_refused(options):
    with pytest.raises(OptionError, match="is not possible; give a"):
        Options(**options)


def test_numbers_of_numpy_are_numbers():
    assert Options(cell_size=np.float32(2), seam_tolerance=np.float64(0.1)).cell_size == 2
    with pytest.raises(OptionError, match=r"threshold '0.5' is not possible"):
        check_threshold("0.5")


def test_passes_are_one_progress():
    seen = []
    passes = Passes(lambda *report: seen.append(report[:2]))
    for total in (2, 3):
        for done in range(1, total + 1):
            passes.report(done, total, "windows", 0.0)
        passes.again()
    passes.finish()
    assert seen == [(1, 2), (3, 5), (4, 5), (5, 5)]


def test_they_say_what_was_chosen():
    assert repr(Options()) == "Options()"
    assert repr(Options(device="cpu", tta=True)) == "Options(device='cpu', tta=True)"
