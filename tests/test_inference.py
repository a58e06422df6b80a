import numpy as np
import pytest

from geodl_lab import from_torch
from geodl_lab.errors import CancelledError, RunError
from geodl_lab.grid import Tile, Window
from geodl_lab.heads import ClassHead
from geodl_lab.inference import assemble, blocks, prepare
from geodl_lab.package import InputSpec
from geodl_lab.planning import plan
from geodl_lab.raster import as_raster, make_source
from geodl_lab.testing import RandomNet, make_raster, wrap

HEAD = ClassHead((0, 1, 2, 3))


def source_of(raster, model):
    return make_source(as_raster(raster), model.package.inputs)


def test_blocks_come_in_plan_order_and_cover_the_area_once(finite_model):
    raster = make_raster((3, 301, 211))
    planned = plan(finite_model, (301, 211))
    area = Window(40, 50, 200, 100)
    count = np.zeros((301, 211), dtype=int)
    order = []
    for core, block in blocks(planned, source_of(raster, finite_model), area, HEAD):
        assert block.shape == (1, *core.shape_yx)
        count[core.slices_yx] += 1
        order.append((core.y, core.x))
    assert (count[area.slices_yx] == 1).all() and count.max() == 1
    assert order == sorted(order)


def test_windows_without_data_run_no_forward():
    net = RandomNet()
    model = from_torch(net, bands=3, classes=list("abcd"), window=64, fixed_window=True)
    values = np.zeros((3, 400, 400), dtype=np.uint8)
    values[:, 300:310, 300:310] = 77
    raster = wrap(values, nodata=0)
    net.calls = 0
    result = assemble(
        plan(model, (400, 400)), source_of(raster, model), Window(0, 0, 400, 400), HEAD
    )
    assert 1 <= net.calls <= 4
    assert ((result[0] == 255) == (values[0] == 0)).all()


def test_progress_counts_every_window(finite_model):
    seen = []
    planned = plan(finite_model, (301, 211))
    source = source_of(make_raster((3, 301, 211)), finite_model)
    whole = planned.grid.whole
    assemble(planned, source, whole, HEAD, progress=lambda *report: seen.append(report))
    assert [done for done, *_ in seen] == list(range(1, planned.grid.count + 1))
    assert {(total, stage) for _, total, stage, _ in seen} == {(planned.grid.count, "windows")}


def test_cancel_stops_before_the_next_forward():
    net = RandomNet()
    model = from_torch(net, bands=3, classes=list("abcd"), window=64)
    source = source_of(make_raster((3, 500, 500)), model)
    net.calls = 0
    planned = plan(model, (500, 500))
    with pytest.raises(CancelledError, match="cancelled"):
        assemble(planned, source, planned.grid.whole, HEAD, cancelled=lambda: net.calls >= 2)
    assert net.calls < planned.grid.count


class Fails(RandomNet):
    def forward(self, x):
        if float(x.max()) > 0.999:
            raise KeyError("boom\nwith a long story")
        return super().forward(x)


def test_a_failing_window_fails_the_run_and_is_named():
    values = make_raster((3, 300, 300)).values
    values[:, 250, 250] = 255
    model = from_torch(RandomNet(), bands=3, classes=list("abcd"), window=64, name="net")
    broken = type(model)(model.package, Fails())
    planned = plan(broken, (300, 300))
    with pytest.raises(RunError, match=r"'net' failed on the window at row \d+, column \d+ .*boom"):
        assemble(planned, source_of(wrap(values), broken), planned.grid.whole, HEAD)


def test_rim_is_reflected_like_numpy():
    raster = make_raster((1, 20, 30))
    source = make_source(as_raster(raster), from_torch_inputs())
    image, owned = prepare(source, Tile(Window(-4, -4, 32, 48), Window(0, 0, 20, 30)))
    expected = np.pad(raster.values, ((0, 0), (4, 8), (4, 14)), mode="reflect")
    assert (image == expected).all() and owned.all()


def from_torch_inputs():
    return InputSpec(("gray",))
