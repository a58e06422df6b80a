"""The measured field against nets whose field follows from their layers."""

import warnings

import pytest
import torch
from torch import nn

from geodl_lab.errors import ModelError
from geodl_lab.package import Field
from geodl_lab.receptive import measure_field
from geodl_lab.testing import RandomNet


def convs(count, *, padding=1, dilation=1, mode="zeros"):
    layers = []
    for index in range(count):
        layers += [
            nn.Conv2d(
                2 if index == 0 else 4, 4, 3, padding=padding, dilation=dilation, padding_mode=mode
            ),
            nn.ReLU(),
        ]
    torch.manual_seed(0)
    return nn.Sequential(*layers).eval()


def summary(field):
    return field.finite, field.stride, field.halo, field.crop


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (convs(3), (True, 1, 3, 0)),
        (convs(2, dilation=4, padding=4), (True, 1, 8, 0)),
        (convs(2, mode="reflect"), (True, 1, 2, 0)),
        (convs(3, padding=0), (True, 1, 3, 3)),
        (convs(1, dilation=350, padding=350), (True, 1, 350, 0)),  # taps jump over a short strip
        (nn.Conv2d(2, 3, 1), (True, 1, 0, 0)),
        (
            nn.Sequential(nn.AvgPool2d(3), nn.Upsample(scale_factor=3)),
            (True, 3, 3, 0),
        ),  # safe: measured at every phase
    ],
    ids=["3 convs", "dilated", "reflect", "valid", "gaps", "pointwise", "stride 3"],
)
def test_field_of_known_layers(net, expected):
    window = 66 if expected[1] == 3 else 64
    assert summary(measure_field(net, 2, window=window)) == expected


@pytest.mark.parametrize("stride", [2, 8, 32])
def test_stride_of_a_unet_is_its_pooling(stride):
    field = measure_field(RandomNet(bands=2, stride=stride), 2, window=64)
    assert field.finite and field.stride == stride and field.halo % stride == 0


class ChipMean(nn.Module):
    def forward(self, x):
        return x - x.mean(dim=(2, 3), keepdim=True)


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        return y * torch.sigmoid(nn.functional.adaptive_avg_pool2d(y, 1))


class Coordinates(nn.Module):
    def forward(self, x):
        return x + torch.arange(x.shape[-1], dtype=x.dtype)


class SizeAware(nn.Module):
    def forward(self, x):
        return x * x.shape[-1]


class Picky(nn.Module):
    """Takes only multiples of 96 and raises what no one expects."""

    def __init__(self):
        super().__init__()
        self.net = RandomNet(2)

    def forward(self, x):
        if x.shape[-1] % 96 or x.shape[-2] % 96:
            raise KeyError("96")
        return self.net(x)


def test_a_net_that_takes_only_some_sizes_is_measured_at_those():
    field = measure_field(Picky(), 2, window=96)
    assert field.finite and field.stride == 96 and field.halo == 96


class FixedSize(nn.Module):
    def forward(self, x):
        if x.shape[-2:] != (64, 64):
            raise ValueError("64 x 64 only")
        return x


@pytest.mark.parametrize(
    "net", [ChipMean(), SqueezeExcite(), Coordinates(), FixedSize(), RandomNet(2, norm="group"),
            SizeAware(), convs(2, mode="circular")],
    ids=["chip mean", "squeeze-excite", "coordinates", "fixed size", "group norm", "size aware",
         "circular"],
)  # fmt: skip
def test_what_depends_on_the_whole_window_is_unbounded(net):
    field = measure_field(net, 2, window=64)
    assert not field.finite
    assert field.halo == 16


class Refuses(nn.Module):
    """Runs on some sizes, and fails on others that the measure comes to later."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls > 12:
            raise ValueError("sizes do not match")
        return x[:, :1]


def test_a_net_that_fails_during_the_measure_is_unbounded():
    assert not measure_field(Refuses(), 1, window=64).finite


class SwallowsNan(nn.Module):
    """Hides NaN from anything that looks for it, but sees 5 px far."""

    def forward(self, x):
        x = torch.nan_to_num(x)
        return nn.functional.max_pool2d(x, 11, stride=1, padding=5)


def test_a_net_that_hides_nan_is_still_seen():
    assert summary(measure_field(SwallowsNan(), 2, window=64)) == (True, 1, 5, 0)


def test_float32_constants_do_not_stop_the_measure():
    traced = torch.jit.trace(RandomNet(bands=2), torch.rand(1, 2, 64, 64))
    eager = measure_field(RandomNet(bands=2), 2, window=64)
    assert measure_field(traced, 2, window=64).halo == eager.halo


def test_seam_errors_fall_to_rounding_at_the_full_halo():
    field = measure_field(RandomNet(bands=2, stride=8), 2, window=64)
    assert len(field.seams) == field.halo // field.stride + 1
    assert list(field.seams) == sorted(field.seams, reverse=True)
    assert field.seams[0] > 1e-3 and field.seams[-1] < 1e-5


def test_memory_is_counted():
    field = measure_field(nn.Conv2d(2, 16, 1), 2, window=64)
    assert 64 <= field.memory < 200


def test_outputs_of_other_sizes_are_refused():
    with pytest.raises(ModelError, match="upsample its output"):
        measure_field(nn.Sequential(nn.Conv2d(2, 3, 1), nn.AvgPool2d(4)), 2, window=64)
    with pytest.raises(ModelError, match="does not run"):
        measure_field(nn.Conv2d(5, 3, 1), 2, window=64)
    with pytest.raises(ModelError, match="possible is a tensor"):
        measure_field(nn.Sequential(nn.Flatten()), 2, window=64)


def test_field_is_a_plain_value():
    assert Field(finite=True) == Field(finite=True, stride=1, halo=0)


def test_a_field_is_measured_through_onnx_too(tmp_path):
    """Nothing of torch is left in what is called: only numbers in, numbers out."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    net = RandomNet()
    names = {"input_names": ["x"], "output_names": ["y"]}
    axes = {"x": {2: "h", 3: "w"}, "y": {2: "h", 3: "w"}}
    path = str(tmp_path / "net.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, torch.zeros(1, 3, 64, 64), path, dynamo=False, dynamic_axes=axes, **names
        )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def through_onnx(x):
        return torch.from_numpy(session.run(["y"], {"x": x.numpy()})[0])

    expected = measure_field(net, 3, window=64)
    found = measure_field(through_onnx, 3, window=64)
    assert (found.finite, found.stride, found.halo) == (True, expected.stride, expected.halo)
