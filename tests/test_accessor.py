"""Each ``.dl`` method is the public function of its name."""

import inspect

import numpy as np
import pytest
import xarray as xr

import geodl_lab
from geodl_lab.accessor import DeepLearningAccessor
from geodl_lab.errors import OptionError, RasterError
from geodl_lab.testing import RegionDetector, make_raster, paint

METHODS = [name for name in vars(DeepLearningAccessor) if not name.startswith("_")]
NAMES = {"map": "explore"}  # a function of the name `map` would hide Python's
RASTER = make_raster((3, 80, 70))


def test_both_kinds_of_objects_have_it():
    assert isinstance(RASTER.dl, DeepLearningAccessor)
    assert isinstance(RASTER.to_dataset("band").dl, DeepLearningAccessor)
    assert RASTER.dl is RASTER.dl


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_doors_not_rooms(name):
    method, public = getattr(DeepLearningAccessor, name), NAMES.get(name, name)
    function = getattr(geodl_lab, public)
    assert method.__doc__ and f"`geodl_lab.{public}`" in method.__doc__
    assert len(inspect.getsource(method).splitlines()) <= 7
    first = next(iter(inspect.signature(function).parameters))
    assert first in ("data", "result", "before")


def test_methods_answer_as_the_functions_do(finite_model, tmp_path):
    classes = RASTER.dl.classify(finite_model)
    assert classes.identical(geodl_lab.classify(RASTER, finite_model))
    assert RASTER.dl.probabilities(finite_model).identical(
        geodl_lab.probabilities(RASTER, finite_model)
    )
    path = classes.dl.save(tmp_path / "a.tif")
    assert np.array_equal(geodl_lab.open_raster(path)[0], classes)
    detector = geodl_lab.from_torch(
        RegionDetector(), task="detect", bands=["gray"], classes=["lamp"], window=64
    )
    lamps = paint((80, 70), [(5, 5, 20, 20)])
    assert lamps.dl.detect(detector).equals(geodl_lab.detect(lamps, detector))


def test_options_and_errors_pass_through(finite_model):
    with pytest.raises(OptionError, match="threshold 7"):
        RASTER.dl.classify(finite_model, threshold=7)
    with pytest.raises(TypeError, match="no option 'colour'; possible are area"):
        RASTER.dl.classify(finite_model, colour=7)


def test_public_names_are_all_there():
    assert set(geodl_lab.__all__) <= set(dir(geodl_lab))
    for name in geodl_lab.__all__:
        assert getattr(geodl_lab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'clasify'"):
        geodl_lab.clasify  # noqa: B018


def test_arrays_without_space_are_refused(finite_model):
    with pytest.raises(RasterError, match="possible are band, y, x"):
        xr.DataArray(np.zeros((3, 4)), dims=("time", "depth")).dl.classify(finite_model)


def test_a_dataset_saves_as_one_file_with_a_band_a_variable(tmp_path):
    raster = make_raster((2, 30, 40)).assign_coords(band=["red", "nir"])
    path = raster.to_dataset("band").dl.save(tmp_path / "bands.tif")
    again = geodl_lab.open_raster(path)
    assert (again.values == raster.values).all() and again.rio.crs == raster.rio.crs
