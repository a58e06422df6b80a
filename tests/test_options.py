import pytest

from geodl_lab.errors import OptionError
from geodl_lab.options import Options, make_options


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
