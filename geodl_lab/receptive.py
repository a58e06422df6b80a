"""Measure what a network sees: stride, halo, crop, memory, and whether its field is finite.

Method: on a thin strip, mark a block of the input (NaN, and noise for nets that swallow NaN) and
look how far the marks spread in the output. A spread that reaches the ends of every strip is
unbounded. The stride is the smallest shift that the net's answer follows exactly; it is found in
double precision, where rounding (1e-15) cannot be taken for a difference. After Luo et al. 2016,
"Understanding the effective receptive field", but for the theoretical field.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from geodl_lab.errors import ModelError
from geodl_lab.package import Field
from geodl_lab.runtime import on_one_thread

BLOCK = 64
"""Pixels marked; every common stride divides it."""

STRIDES = (1, 2, 4, 8, 16, 32, 64)
OTHER_STRIDES = (3, 5, 6, 7, 9, 10, 12, 14, 20, 24, 28, 40, 48, 56)
LONGEST = 2560
"""A field that fills a strip of this many pixels counts as unbounded."""


@dataclass(frozen=True)
class Probe:
    """A network made ready to be measured, in the most exact number type it accepts.

    Parameters
    ----------
    network
        Maps (1, C, H, W) to (1, K, H, W).
    channels
        C, the number of bands.
    dtype
        float64, or float32 where the network holds constants of that type.
    breadth
        Least number of pixels across a strip that the network accepts.
    """

    network: Callable[[torch.Tensor], Any]
    channels: int
    dtype: torch.dtype
    breadth: int = BLOCK

    @property
    def tolerance(self) -> float:
        """Relative difference that is rounding."""
        return 1e-9 if self.dtype == torch.float64 else 2e-5

    def strip(self, length: int, seed: int = 0) -> torch.Tensor:
        """Return random bands 0..1, shape (1, C, breadth, length)."""
        generator = torch.Generator().manual_seed(seed)
        shape = (1, self.channels, self.breadth, length)
        return torch.rand(shape, generator=generator, dtype=self.dtype)

    def run(self, strip: torch.Tensor, axis: int) -> torch.Tensor:
        """Return scores with the strip's long side last, shape (1, K, across, along)."""
        x = strip if axis == 3 else strip.transpose(2, 3)
        with torch.inference_mode():
            y = self.network(x.contiguous())
        return y if axis == 3 else y.transpose(2, 3)


def measure_field(network: Any, channels: int, *, window: int) -> Field:
    """Measure the receptive field of a fully convolutional or any other network.

    Parameters
    ----------
    network
        Maps float tensors (N, C, H, W) to scores (N, K, H, W).
    channels
        C, the number of bands.
    window
        Side in pixels used for what is not finite, and known to work.

    Returns
    -------
    Field
        Stride, halo and crop in pixels; ``halo`` of an unbounded field is a quarter window.

    Raises
    ------
    ModelError
        If the output is neither as large as the input nor smaller by a constant.
    """
    return on_one_thread(_measure, network, channels, window)


def _measure(network: Any, channels: int, window: int) -> Field:
    crop, memory = _crop(network, channels, window)
    unbounded = Field(finite=False, halo=max(window // 4, crop), crop=crop, memory=memory)
    probe = _probe(network, channels)
    if probe is None:
        return unbounded
    fields = [_measure_axis(probe, axis, crop) for axis in (2, 3)]
    if not all(field.finite for field in fields):
        return unbounded
    stride = max(field.stride for field in fields)
    halo = _ceil(max(field.halo for field in fields), stride)
    return Field(finite=True, stride=stride, halo=halo, crop=crop, memory=memory)


def measure_memory(network: Any, x: torch.Tensor) -> float:
    """Return the peak bytes of tensors alive during a forward, per pixel of ``x``."""
    with torch.inference_mode(), _LiveBytes() as counter:
        network(x)
    return counter.peak / (x.shape[-1] * x.shape[-2])


def _measure_axis(probe: Probe, axis: int, crop: int) -> Field:
    reach = _reach(probe, axis, crop)
    stride = None if reach is None else _stride(probe, axis, reach, crop)
    if reach is None or stride is None:
        return Field(finite=False)
    if stride not in STRIDES:  # the block's edges were not in phase: measure at every phase
        reaches = [_reach(probe, axis, crop, phase) for phase in range(stride)]
        reach = max(r for r in reaches if r is not None)
    return Field(finite=True, stride=stride, halo=_ceil(reach, stride))


def _reach(probe: Probe, axis: int, crop: int, phase: int = 0) -> int | None:
    """Return how many pixels a marked block spreads to either side; None if without end."""
    length = 512 + BLOCK
    while length <= LONGEST:
        start = _ceil((length - BLOCK) // 2, BLOCK) + phase
        marked = _marked(probe, axis, length, start).nonzero()[:, 0] + crop
        if not len(marked):
            return 0
        first, last = int(marked[0]), int(marked[-1])
        if first > crop and last < length - 1 - crop:
            return max(start - first, last + 1 - start - BLOCK, 0)
        length += 2 * (length - BLOCK)
    return None


def _marked(probe: Probe, axis: int, length: int, start: int) -> torch.Tensor:
    """Return which outputs along a strip depend on the block at ``start``, shape (along,)."""
    base = probe.strip(length)
    answer = probe.run(base, axis)
    limit = probe.tolerance * float(answer.abs().max())
    spread = torch.zeros(answer.shape[-1], dtype=torch.bool)
    fills = (torch.tensor(torch.nan), 4 * probe.strip(BLOCK, seed=1) - 2)
    for fill in fills:
        strip = base.clone()
        strip[..., start : start + BLOCK] = fill
        difference = (probe.run(strip, axis) - answer).abs()
        spread |= ~(difference <= limit).all(dim=(0, 1, 2))  # NaN compares false
    return spread


def _stride(probe: Probe, axis: int, reach: int, crop: int) -> int | None:
    """Return the smallest shift that the answer follows; None if there is none up to 64."""
    length = _ceil(2 * reach + 2 * BLOCK, BLOCK)
    strip = probe.strip(length + BLOCK)
    answer = probe.run(strip[..., :length], axis)
    limit = probe.tolerance * float(answer.abs().max())
    for shift in (*STRIDES, *OTHER_STRIDES):
        moved = probe.run(strip[..., shift : shift + length], axis)
        inner = slice(reach + shift, answer.shape[-1] - reach)
        same = moved[..., reach : answer.shape[-1] - reach - shift]
        follows = bool(((answer[..., inner] - same).abs() <= limit).all())
        if follows and _accepts(probe, axis, length + shift, crop):
            return shift
    return None


def _accepts(probe: Probe, axis: int, length: int, crop: int) -> bool:
    """Tell whether the network takes a strip of this length and answers at every pixel."""
    try:
        return probe.run(probe.strip(length), axis).shape[-1] == length - 2 * crop
    except (RuntimeError, ValueError, AssertionError):
        return False


def _probe(network: Any, channels: int) -> Probe | None:
    """Find number type and strip breadth that the network accepts; None if it takes no strip."""
    for probe in _candidates(network, channels):
        for breadth in (BLOCK, 2 * BLOCK, 4 * BLOCK):
            ready = replace(probe, breadth=breadth)
            if all(_runs(ready, axis) for axis in (2, 3)):
                return ready
    return None


def _candidates(network: Any, channels: int) -> Iterator[Probe]:
    try:
        exact = copy.deepcopy(network).double()
    except (RuntimeError, TypeError, AttributeError):
        pass  # holds something that cannot be copied or cast: measured as it is, in float32
    else:
        yield Probe(exact, channels, torch.float64)
    yield Probe(network, channels, torch.float32)


def _runs(probe: Probe, axis: int) -> bool:
    try:
        answer = probe.run(probe.strip(512 + BLOCK), axis)
    except (RuntimeError, ValueError, AssertionError):
        return False
    return bool(torch.isfinite(answer).all())


def _crop(network: Any, channels: int, window: int) -> tuple[int, float]:
    """Return pixels lacking on each side of the output, and bytes per pixel of a forward."""
    x = torch.rand((1, channels, window, window), generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            answer = network(x)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ModelError(
            f"the model does not run on (1, {channels}, {window}, {window}) float32: {error}; "
            "check bands= and window="
        ) from error
    if not isinstance(answer, torch.Tensor) or answer.ndim != 4:
        raise ModelError(
            f"the model answers {_describe(answer)}; possible is a tensor (N, K, H, W) of scores"
        )
    rest = [window - side for side in answer.shape[-2:]]
    if rest[0] != rest[1] or rest[0] < 0 or rest[0] % 2 or rest[0] > window // 2:
        raise ModelError(
            f"the model answers {tuple(answer.shape)} to {tuple(x.shape)}; height and width must "
            "be those of the input, or smaller by the same border on every side; upsample its "
            "output to the input's size"
        )
    return rest[0] // 2, measure_memory(network, x)


def _describe(answer: Any) -> str:
    if isinstance(answer, torch.Tensor):
        return f"a tensor of shape {tuple(answer.shape)}"
    return f"a {type(answer).__name__}"


def _ceil(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that operators make, while they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        for item in answer if isinstance(answer, tuple | list) else [answer]:
            if isinstance(item, torch.Tensor):
                self._watch(item.untyped_storage())
        return answer

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key, size = storage.data_ptr(), storage.nbytes()
        if key in self._known or not size:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size
