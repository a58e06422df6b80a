import pytest

from geodl_lab.errors import ModelError
from geodl_lab.inputs import Fit, InputSpec


def test_bands_are_counted_by_their_names():
    assert InputSpec(("red", "nir")).count == 2 and InputSpec(count=3).bands == ()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InputSpec(("red",), positions=(0, 1)), "2 positions for 1 bands"),
        (lambda: InputSpec(("red",), positions=(-1,)), "they count from 0"),
        (lambda: InputSpec(()), "at least one band"),
        (lambda: InputSpec(("a", "b"), 3), "2 band names for 3 bands"),
        (lambda: InputSpec(("a", "a")), "band names repeat"),
        (lambda: InputSpec(("a", "b"), mean=(1.0,)), "mean has 1 numbers for 2 bands"),
        (lambda: InputSpec(("a",), std=(0.0,)), "std holds a 0"),
        (lambda: InputSpec(("a",), dtype="bogus"), "dtype 'bogus' is no pixel type"),
        (lambda: InputSpec(("a",), dtype="complex64"), "'complex64' is no pixel type"),
        (lambda: InputSpec(("a",), cell_size="x"), "cell_size 'x' is none; give metres"),
        (lambda: InputSpec(("a",), cell_size=0), "cell_size 0 is none; give metres"),
        (lambda: Fit("stretch", 8, 8), "'stretch' is not one of squash, crop, fill, network"),
        (lambda: Fit("squash", 0, 8), "fit to 0 x 8 is not possible"),
    ],
)
def test_impossible_values_are_refused(make, message):
    with pytest.raises(ModelError, match=message):
        make()
