"""Every error is ours, says whether the caller's value was wrong, and is documented."""

import inspect

import pytest

from geodl_lab import errors

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_our_base_and_a_line_of_its_own(kind):
    assert issubclass(kind, errors.GeodlError)
    assert kind.__module__ == "geodl_lab.errors"
    assert kind.__doc__ and "\n" not in kind.__doc__


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.RasterError, ValueError),
        (errors.BandError, ValueError),
        (errors.ModelError, ValueError),
        (errors.TrustError, ValueError),
        (errors.OptionError, ValueError),
        (errors.OutputError, OSError),
        (errors.RunError, RuntimeError),
    ],
)
def test_each_is_also_what_python_would_raise(kind, builtin):
    with pytest.raises(builtin, match=r"^some words$"):
        raise kind("some words")


def test_a_band_error_is_a_raster_error():
    assert issubclass(errors.BandError, errors.RasterError)
