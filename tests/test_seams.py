import json

import numpy as np
import pytest

from geodl_lab import from_torch
from geodl_lab.errors import OptionError
from geodl_lab.planning import plan
from geodl_lab.raster import as_raster
from geodl_lab.seams import measure_seams
from geodl_lab.sources import make_source
from geodl_lab.testing import RandomNet, RegionDetector, make_raster, wrap

RASTER = make_raster((3, 300, 260))


def measured(model, **options):
    planned = plan(model, RASTER.shape[1:], **options)
    return measure_seams(planned, make_source(as_raster(RASTER), model.package.inputs))


def test_a_finite_field_has_rounding_at_its_seams(finite_model):
    error = measured(finite_model)
    assert error.scores < 1e-5 and error.classes == 0 and error.pixels > 1000


def test_an_unbounded_field_differs_at_its_seams():
    net = RandomNet(norm="group")
    model = from_torch(net, bands=3, classes=list("abcd"), window=64)
    error = measured(model)
    assert error.scores > 1e-3 and 0 < error.classes < 1


def test_a_tolerated_error_is_what_is_found(finite_model):
    tolerance = finite_model.package.field.seams[1]
    error = measured(finite_model, seam_tolerance=tolerance)
    assert 1e-6 < error.scores < 2 * tolerance


def test_it_is_in_the_result_where_it_was_asked_for(finite_model):
    assert "geodl_seam_error" not in RASTER.dl.classify(finite_model).attrs
    attrs = RASTER.dl.probabilities(finite_model, seam_error=True).attrs
    assert json.loads(attrs["geodl_seam_error"])["scores"] < 1e-5


def test_a_raster_of_one_window_has_no_seam(finite_model):
    attrs = RASTER[:, :40, :40].dl.classify(finite_model, seam_error=True).attrs
    nothing = {"scores": 0, "classes": 0, "pixels": 0}
    assert json.loads(attrs["geodl_seam_error"]) == nothing


def test_boxes_have_no_scores_at_seams():
    model = from_torch(RegionDetector(), task="detect", bands=1, classes=["a"], window=64)
    with pytest.raises(OptionError, match=r"answers boxes.*leave seam_error out"):
        RASTER[:1].dl.detect(model, seam_error=True)


def test_pixels_without_data_do_not_count(finite_model):
    values = RASTER.values.copy()
    values[:, :, 60:] = 0
    values[:, 100:, :] = 0
    raster = wrap(values, nodata=0)
    planned = plan(finite_model, raster.shape[1:])
    error = measure_seams(planned, make_source(as_raster(raster), finite_model.package.inputs))
    assert error.pixels < measured(finite_model).pixels and np.isfinite(error.scores)


def test_a_lazy_result_computes_nothing_so_it_measures_nothing(finite_model):
    with pytest.raises(OptionError, match="has to run the model now"):
        RASTER.chunk(x=50).dl.classify(finite_model, seam_error=True)
