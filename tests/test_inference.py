import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
import torch

from geodl_lab import from_torch, settings
from geodl_lab.errors import CancelledError, RunError
from geodl_lab.grid import Tile, Window
from geodl_lab.heads import ClassHead
from geodl_lab.inference import DenseWork, chunk_lattice, in_order, prepare, run_chunk, run_chunks
from geodl_lab.inputs import InputSpec
from geodl_lab.planning import plan
from geodl_lab.raster import as_raster
from geodl_lab.sources import make_source
from geodl_lab.testing import RandomNet, make_raster, wrap

WORK = DenseWork(ClassHead((0, 1, 2, 3)), 0)


def source_of(raster, model):
    return make_source(as_raster(raster), model.package.inputs)


def test_chunks_come_in_order_and_hold_the_pixels_of_the_whole(finite_model, monkeypatch):
    monkeypatch.setattr(settings, "CHUNK", 60)
    raster = make_raster((3, 301, 211))
    planned = plan(finite_model, (301, 211))
    source = source_of(raster, finite_model)
    whole = run_chunk(planned, source, planned.grid.whole, WORK)
    area = Window(40, 50, 200, 100)
    chunks = [chunk for row in chunk_lattice(planned.grid, area) for chunk in row]
    assert len(chunks) > 3
    done = []
    for chunk, block in run_chunks(planned, source, chunks, WORK):
        assert np.array_equal(block, whole[:, *chunk.slices_yx])
        done.append(chunk)
    assert done == chunks
    assert sum(c.height * c.width for c in chunks) == area.height * area.width


def test_chunks_of_overlapping_areas_agree(finite_model, monkeypatch):
    monkeypatch.setattr(settings, "CHUNK", 60)
    grid = plan(finite_model, (600, 500)).grid
    many = {c for row in chunk_lattice(grid, Window(0, 0, 600, 500)) for c in row}
    few = {c for row in chunk_lattice(grid, Window(10, 20, 560, 470)) for c in row}
    inner = {c for c in few if c.y > 10 and c.x > 20 and c.bottom < 570 and c.right < 490}
    assert inner and inner <= many


def test_windows_without_data_run_no_forward():
    net = RandomNet()
    model = from_torch(net, bands=3, classes=list("abcd"), window=64, fixed_window=True)
    values = np.zeros((3, 400, 400), dtype=np.uint8)
    values[:, 300:310, 300:310] = 77
    raster = wrap(values, nodata=0)
    net.calls = 0
    planned = plan(model, (400, 400))
    result = run_chunk(planned, source_of(raster, model), planned.grid.whole, WORK)
    assert 1 <= net.calls <= 4
    assert ((result[0] == 255) == (values[0] == 0)).all()


def test_progress_counts_every_window(finite_model):
    seen = []
    planned = plan(finite_model, (301, 211))
    source = source_of(make_raster((3, 301, 211)), finite_model)
    whole = planned.grid.whole
    run_chunk(planned, source, whole, WORK, progress=lambda *report: seen.append(report))
    assert [done for done, *_ in seen] == list(range(1, planned.grid.count + 1))
    assert {(total, stage) for _, total, stage, _ in seen} == {(planned.grid.count, "windows")}


def test_cancel_stops_before_the_next_forward():
    net = RandomNet()
    model = from_torch(net, bands=3, classes=list("abcd"), window=64, fixed_window=True)
    source = source_of(make_raster((3, 500, 500)), model)
    net.calls = 0
    planned = plan(model, (500, 500))
    with pytest.raises(CancelledError, match="cancelled"):
        run_chunk(planned, source, planned.grid.whole, WORK, cancelled=lambda: net.calls >= 2)
    assert net.calls <= 2 + planned.session().workers < planned.grid.count


def test_at_once_limits_the_forwards_under_way():
    net = Watched()
    model = from_torch(net, bands=3, classes=list("abcd"), window=64, fixed_window=True)
    planned = plan(model, (400, 400))
    source = source_of(make_raster((3, 400, 400)), model)
    free = run_chunk(planned, source, planned.grid.whole, WORK)
    net.most = 0
    single = run_chunk(planned, source, planned.grid.whole, WORK, at_once=1)
    assert net.most == 1
    assert np.array_equal(free, single)


class Watched(RandomNet):
    """Counts how many forwards run at one time, and may have room for one only."""

    def __init__(self, room=99):
        self.lock, self.now, self.most, self.room = threading.Lock(), 0, 0, room
        self.together = threading.Barrier(2) if room == 1 else None
        super().__init__()

    def forward(self, x):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            if self.together is not None:
                self._allocate()
            return super().forward(x)
        finally:
            with self.lock:
                self.now -= 1

    def _allocate(self):
        """Fail if another forward comes within a moment."""
        try:
            self.together.wait(0.2)
        except threading.BrokenBarrierError:
            self.together.reset()
            return
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")


def test_without_memory_for_two_windows_one_runs_alone(monkeypatch):
    monkeypatch.setattr(settings, "cores", lambda: 2)
    monkeypatch.setattr(settings, "MEMORY_BUDGET", 2**31)
    reference = RandomNet()
    model = from_torch(reference, bands=3, classes=list("abcd"), window=64, fixed_window=True)
    planned = plan(model, (150, 150))
    assert planned.session().workers == 2
    source = source_of(make_raster((3, 150, 150)), model)
    expected = run_chunk(planned, source, planned.grid.whole, WORK)
    tight = plan(type(model)(model.package, Watched(room=1)), (150, 150))
    assert np.array_equal(run_chunk(tight, source, tight.grid.whole, WORK), expected)


class NoRoom(RandomNet):
    def forward(self, x):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")


def test_without_memory_for_one_window_the_error_names_the_way_out(finite_model):
    broken = type(finite_model)(finite_model.package, NoRoom.__new__(NoRoom))
    torch.nn.Module.__init__(broken.network)
    planned = plan(broken, (300, 300))
    with pytest.raises(RunError, match=r"row \d+.*too little memory.*smaller window="):
        run_chunk(planned, source_of(make_raster((3, 300, 300)), broken), Window(0, 0, 9, 9), WORK)


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
        run_chunk(planned, source_of(wrap(values), broken), planned.grid.whole, WORK)


def test_rim_is_reflected_like_numpy():
    raster = make_raster((1, 20, 30))
    source = make_source(as_raster(raster), InputSpec(("gray",)))
    image, owned = prepare(source, Tile(Window(-4, -4, 32, 48), Window(0, 0, 20, 30)))
    expected = np.pad(raster.values, ((0, 0), (4, 8), (4, 14)), mode="reflect")
    assert (image == expected).all() and owned.all()


def test_results_come_in_order_with_a_few_more_under_way():
    submitted = []

    def submit(item):
        submitted.append(item)
        future = Future()
        future.set_result(item * 10)
        return future

    results = in_order(submit, range(6), 2)
    assert next(results) == 0 and submitted == [0, 1, 2]
    assert list(results) == [10, 20, 30, 40, 50] and submitted == list(range(6))


def test_what_waits_is_cancelled_when_nobody_asks_any_more():
    gate, ran = threading.Event(), []
    with ThreadPoolExecutor(1) as pool:

        def work(item):
            gate.wait(5)
            ran.append(item)

        results = in_order(lambda item: pool.submit(work, item), range(9), 3)
        threading.Timer(0.1, gate.set).start()
        next(results)
        gate.clear()
        results.close()
        gate.set()
    assert len(ran) < 5
