import dask.array
import numpy as np
import pytest

from geodl_lab import settings
from geodl_lab.grid import Window
from geodl_lab.heads import ClassHead
from geodl_lab.inference import DenseWork
from geodl_lab.lazy import lazy_dense
from geodl_lab.planning import plan
from geodl_lab.raster import as_raster
from geodl_lab.sources import make_source
from geodl_lab.testing import make_raster

WORK = DenseWork(ClassHead((0, 1, 2, 3)), 0)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(settings, "CHUNK", 100)


def lazy(model, area=None):
    raster = as_raster(make_raster((3, 411, 333)).chunk(x=100, y=77))
    planned = plan(model, raster.shape_yx)
    source = make_source(raster, model.package.inputs)
    return planned, lazy_dense(planned, source, WORK, area or planned.grid.whole)


def test_chunks_are_whole_cores_of_the_engines_size(finite_model, small_chunks):
    planned, result = lazy(finite_model)
    assert isinstance(result, dask.array.Array) and result.shape == (1, 411, 333)
    edges = np.cumsum(result.chunks[1]).tolist()
    ends = [planned.grid.rows.core(i)[1] for i in range(planned.grid.rows.count)]
    assert set(edges) <= set(ends) and len(edges) > 1


def test_chunk_size_does_not_change_bits(finite_model, small_chunks):
    many = lazy(finite_model)[1]
    settings.CHUNK = 2048
    one = lazy(finite_model)[1]
    assert many.npartitions > one.npartitions == 1
    assert np.array_equal(many.compute(), one.compute())


def test_a_part_of_the_result_needs_a_part_of_the_graph(finite_model, small_chunks):
    net = finite_model.network
    planned, result = lazy(finite_model)
    net.calls = 0
    result[:, :5, :5].compute(scheduler="synchronous")
    assert 0 < net.calls < planned.grid.count


def test_area_has_the_shape_of_the_area(finite_model, small_chunks):
    area = Window(50, 60, 200, 150)
    part = lazy(finite_model, area)[1]
    assert part.shape == (1, 200, 150)
    whole = lazy(finite_model)[1].compute()
    assert np.array_equal(part.compute(), whole[:, *area.slices_yx])


def test_the_model_is_one_key_of_the_graph(finite_model, small_chunks):
    graph = lazy(finite_model)[1].__dask_graph__()
    holders = [key for key in graph if "tuple" in str(key)]
    assert len(holders) == 1
