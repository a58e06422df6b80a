"""Colours that wait for values: no call waits for them, and no model runs for them."""

import threading

import numpy as np
import pytest
from dask import array as dask_array
from torch import nn

from geodl_lab import from_torch, regress
from geodl_lab.maps.late_styles import SEEN_FIRST
from geodl_lab.maps.places import Place
from geodl_lab.maps.rasters import READING
from geodl_lab.maps.tiles import TileId
from geodl_lab.styles import Ramp, TrueColor, Unstretched, style_of
from geodl_lab.testing import make_raster

WAIT_S = 20


class Heights(nn.Module):
    """Answers band 1, and counts."""

    def __init__(self):
        super().__init__()
        self.calls, self.conv = 0, nn.Conv2d(1, 1, 1).eval()

    def forward(self, x):
        self.calls += 1
        return 100 * x + 0 * self.conv(x)


def until(explorer, true):
    """Wait for a change of the layers."""
    done = threading.Event()
    explorer.stack._changed = lambda layers: true(layers) and done.set()
    assert true(explorer.stack.all()) or done.wait(WAIT_S)
    return explorer.stack.all()[0]


def styled(layers):
    return not isinstance(layers[0].view.style, Unstretched)


def test_a_lazy_image_gets_the_stretch_of_the_whole_later(explorer):
    raster, gate = make_raster((3, 100, 120)), threading.Event()

    def slowly(part):
        assert gate.wait(WAIT_S)
        return part

    lazy = raster.chunk()
    lazy.data = lazy.data.map_blocks(slowly, meta=np.empty((0, 0, 0), raster.dtype))
    explorer.add(lazy)  # does not wait
    (layer,) = explorer.stack.all()
    assert isinstance(layer.view.style, Unstretched) and layer.hint == READING
    gate.set()
    layer = until(explorer, styled)
    assert layer.view.style == style_of(raster) and isinstance(layer.view.style, TrueColor)
    assert layer.hint == "" and layer.version == 1


def test_no_model_runs_for_a_stretch(explorer):
    net = Heights()
    model = from_torch(net, bands=1, classes=["height"], task="regress", window=64)
    raster, net.calls = make_raster((1, 200, 200)), 0
    lazy = regress(raster.chunk(), model)
    explorer.add(lazy)
    layer = explorer.stack.all()[0]
    assert isinstance(layer.view.style, Unstretched) and net.calls == 0
    zoom = layer.view.frame.native_zoom
    x, y = (float(v) for v in layer.view.frame.places(100, 100))
    place = Place((x, y), zoom + 1, (60, 60))
    left, top = place.corner
    tile = TileId(layer.id, zoom + 1, int(left // 256), int(top // 256))
    explorer.feed.pictures(place, [tile], limit_s=WAIT_S)
    style = until(explorer, styled).view.style
    seen = net.calls
    assert isinstance(style, Ramp) and style.label == f"height, {SEEN_FIRST}" and 0 < seen < 9
    part = np.concatenate([one.ravel() for one in explorer.feed.painter.finished(layer.id)])
    until(explorer, lambda _: not explorer.late._waiting)
    style = explorer.stack.all()[0].view.style
    assert (style.low, style.high) == pytest.approx(tuple(np.percentile(part, [2, 98])))
    assert net.calls == seen


def test_what_fails_is_said(explorer):
    def broken(part):
        raise OSError("the disk is gone")

    lazy = make_raster((3, 50, 50)).chunk()
    lazy.data = dask_array.map_blocks(broken, lazy.data, meta=lazy.data._meta)
    explorer.add(lazy)
    explorer._worker.shutdown(wait=True)
    said = [content["text"] for kind, _, content in explorer.sent if kind == "problem"]
    assert said == ["the map could not choose colours: the disk is gone"]
