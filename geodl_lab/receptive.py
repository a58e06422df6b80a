"""Measure what a network sees: stride, halo, crop, memory, and whether its field is finite.

Method: on a thin strip, mark a block of the input (NaN, and noise for nets that swallow NaN) and
look how far the marks spread in the output. A spread that reaches the ends of every strip is
unbounded. The stride is the smallest shift that the net's answer follows exactly; it is found in
double precision, where rounding (1e-15) cannot be taken for a difference. After Luo et al. 2016,
"Understanding the effective receptive field", but for the theoretical field.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from geodl_lab.devices import on_one_thread
from geodl_lab.errors import ModelError, first_line
from geodl_lab.package import Field

BLOCK = 64
"""Pixels marked; every common stride divides it."""

STRIDES = (1, 2, 4, 8, 16, 32, 64)
OTHER_STRIDES = (3, 5, 6, 7, 9, 10, 12, 14, 20, 24, 28, 40, 48, 56)
LENGTHS = (576, 1600, 2624)
"""Pixels along the strips; a field that reaches the ends of all of them counts as unbounded."""


@dataclass(frozen=True)
class Probe:
    """A network made ready to be measured.

    Parameters
    ----------
    network
        Maps (1, C, H, W) to (1, K, H, W) in ``dtype``.
    channels
        C, the number of bands.
    dtype
        float32, quick; or float64, in which rounding cannot be taken for a difference.
    exact
        The same network in float64, or None where it holds what cannot be cast.
    axis
        Direction of the strips: 2 down, 3 across.
    breadth
        Pixels across a strip.
    unit
        Strips are as long as a multiple of this many pixels.
    """

    network: Callable[[torch.Tensor], Any]
    channels: int
    dtype: torch.dtype = torch.float32
    exact: Any = None
    axis: int = 3
    breadth: int = BLOCK
    unit: int = BLOCK

    @property
    def tolerance(self) -> float:
        """Relative difference that is rounding."""
        return 1e-9 if self.dtype == torch.float64 else 2e-5

    def strip(self, length: int, seed: int = 0) -> torch.Tensor:
        """Return random bands 0..1, shape (1, C, breadth, length)."""
        generator = torch.Generator().manual_seed(seed)
        shape = (1, self.channels, self.breadth, length)
        return torch.rand(shape, generator=generator, dtype=self.dtype)

    def run(self, strip: torch.Tensor) -> torch.Tensor:
        """Return scores with the strip's long side last, shape (1, K, across, along)."""
        x = strip if self.axis == 3 else strip.transpose(2, 3)
        with torch.inference_mode():
            y = self.network(x.contiguous())
        return y if self.axis == 3 else y.transpose(2, 3)

    def accepts(self, length: int, crop: int) -> bool:
        """Tell whether the network takes a strip of this length and answers at every pixel."""
        try:
            answer = self.run(self.strip(length))
        except Exception:  # a network is anybody's code; a size it refuses may raise anything
            return False
        shape = (self.breadth - 2 * crop, length - 2 * crop)
        return answer.shape[-2:] == shape and bool(torch.isfinite(answer).all())

    def exactly(self) -> Probe:
        """Return the probe of the float64 network, or itself where there is none."""
        if self.exact is None:
            return self
        return replace(self, network=self.exact, dtype=torch.float64)


def measure_field(network: Any, channels: int, *, window: int, width: int | None = None) -> Field:
    """Measure the receptive field of a fully convolutional or any other network.

    Parameters
    ----------
    network
        Maps float tensors (N, C, H, W) to scores (N, K, H, W).
    channels
        C, the number of bands.
    window
        Side in pixels used for what is not finite, and known to work.
    width
        The other side where the network takes no squares; ``window`` then is the height.

    Returns
    -------
    Field
        Stride, halo and crop in pixels; ``halo`` of an unbounded field is a quarter window.

    Raises
    ------
    ModelError
        If the output is neither as large as the input nor smaller by a constant.
    """
    return on_one_thread(_measure, network, channels, window, width or window)


def _measure(network: Any, channels: int, window: int, width: int) -> Field:
    crop, memory = _crop(network, (1, channels, window, width))
    halo = max(min(window, width) // 4, crop)
    unbounded = Field(finite=False, halo=halo, crop=crop, memory=memory)
    probe = _probe(network, channels, window, crop)
    if probe is None:
        return unbounded
    try:
        return _finite(probe, crop, memory) or unbounded
    except Exception:  # a network is anybody's code: one that refuses a length is known at one only
        return unbounded


def _finite(probe: Probe, crop: int, memory: float) -> Field | None:
    """Return the field by strips of several lengths; None if it has no end."""
    across = _measure_axis(probe, crop, _strides(probe))
    if across is None:
        return None
    # The other direction mostly has the same stride: try that one and its divisors only.
    guess = [s for s in _strides(probe) if across[0] % s == 0]
    probe = replace(probe, axis=2)
    down = _measure_axis(probe, crop, guess) or _measure_axis(probe, crop, _strides(probe))
    if down is None:
        return None
    stride = math.lcm(across[0], down[0])
    halo = _ceil(max(across[1], down[1], crop), stride)
    seams = _seams(probe, stride, halo, crop)
    return Field(True, stride=stride, halo=halo, crop=crop, memory=memory, seams=seams)


def measure_memory(network: Any, x: torch.Tensor) -> float:
    """Return the peak bytes of tensors alive during a forward, at least ``x``'s, per pixel.

    A network with a runtime of its own, whose tensors torch does not see, may say them itself by
    ``memory(shape)``.
    """
    if hasattr(network, "memory") and not isinstance(network, torch.nn.Module):
        return network.memory(tuple(x.shape)) / (x.shape[-1] * x.shape[-2])
    with torch.inference_mode(), _LiveBytes() as counter:
        network(x)
    return max(counter.peak, x.nbytes) / (x.shape[-1] * x.shape[-2])


def _measure_axis(probe: Probe, crop: int, strides: Sequence[int]) -> tuple[int, int] | None:
    """Return stride and reach in pixels along one direction; None if the field has no end."""
    reach = _reach(probe, crop)
    if reach is None:
        return None
    stride = _stride(probe, reach, crop, strides)
    if stride is None:
        return None
    if BLOCK % stride:  # the block's edges were not in phase with the windows that will be cut
        reach = max(reach, _reach(probe, crop, stride) or 0)
    return stride, reach


def _reach(probe: Probe, crop: int, phase: int = BLOCK) -> int | None:
    """Return how many pixels a marked block spreads to either side; None if without end.

    A field with gaps can jump over the end of a strip, so what one length shows the next confirms.
    """
    before: int | None = None
    for length in LENGTHS:
        start = _ceil((length - BLOCK) // 2, phase)
        spread = _spread(probe, _ceil(length, probe.unit), start, crop)
        if spread is not None and before is not None and spread <= before + BLOCK:
            return max(spread, before)
        before = spread
    return None


def _spread(probe: Probe, length: int, start: int, crop: int) -> int | None:
    """Return the reach that a strip of one length shows; None if marks touch its ends."""
    marked = _marked(probe, length, start).nonzero()[:, 0] + crop
    if not len(marked):
        return 0
    first, last = int(marked[0]), int(marked[-1])
    if first <= crop or last >= length - 1 - crop:
        return None
    return max(start - first, last + 1 - start - BLOCK, 0)


def _marked(probe: Probe, length: int, start: int) -> torch.Tensor:
    """Return which outputs along a strip depend on the block at ``start``, shape (along,)."""
    base = probe.strip(length)
    answer = probe.run(base)
    limit = probe.tolerance * float(answer.abs().max())
    spread = torch.zeros(answer.shape[-1], dtype=torch.bool)
    for fill in (torch.tensor(torch.nan), 4 * probe.strip(BLOCK, seed=1) - 2):
        strip = base.clone()
        strip[..., start : start + BLOCK] = fill
        difference = (probe.run(strip) - answer).abs()
        spread |= ~(difference <= limit).all(dim=(0, 1, 2))  # NaN compares false
    return spread


def _stride(probe: Probe, reach: int, crop: int, strides: Sequence[int]) -> int | None:
    """Return the smallest shift that the answer follows; None if there is none.

    The answer must not depend on the strip's length either, but for its last ``reach`` pixels;
    that also refuses circular padding, which shows the strip's end at its beginning.
    """
    length = _ceil(2 * reach + 2 * BLOCK, probe.unit)
    quick, exact = _follower(probe, length, reach), _follower(probe.exactly(), length, reach)
    if not quick(0, probe.unit):
        return None
    for shift in strides:  # most are refused by the quick look
        if quick(shift, 0) and exact(shift, 0) and probe.accepts(length + shift, crop):
            return shift
    return None


def _follower(probe: Probe, length: int, reach: int) -> Callable[[int, int], bool]:
    """Return a check whether the answer follows a strip that is shifted or longer."""
    strip = probe.strip(length + 2 * max(BLOCK, probe.unit))
    answer = functools.cache(lambda: probe.run(strip[..., :length]))

    def follows(shift: int, more: int) -> bool:
        stop = answer().shape[-1] - reach
        moved = probe.run(strip[..., shift : shift + length + more])[..., : stop - shift]
        still = answer()[..., shift:stop]
        start = reach if shift else 0
        difference = (still - moved)[..., start:].abs()
        return bool((difference <= probe.tolerance * answer().abs().max()).all())

    return follows


def _seams(probe: Probe, stride: int, halo: int, crop: int) -> tuple[float, ...]:
    """Return the largest error that a window's edge leaves 0, 1, 2, ... strides inside it."""
    length = _ceil(2 * halo + 2 * BLOCK, math.lcm(probe.unit, stride))
    errors = torch.zeros(halo + stride)
    for axis in (2, 3):
        along = replace(probe, axis=axis)
        strip = along.strip(2 * length)
        whole = along.run(strip)
        cut = along.run(strip[..., length:]), along.run(strip[..., :length])
        near = (cut[0] - whole[..., length:]).abs(), (cut[1] - whole[..., : cut[1].shape[-1]]).abs()
        for difference in (near[0], near[1].flip(-1)):  # from the edge inwards
            error = difference.amax(dim=(0, 1, 2))[: len(errors)]
            errors[crop : crop + len(error)].clamp_(min=error[: len(errors) - crop])
    inner = errors.flip(0).cummax(0).values.flip(0)  # the largest from here on
    return tuple(float(f"{error:.2g}") for error in inner[::stride][: halo // stride + 1])


def _strides(probe: Probe) -> list[int]:
    """Return the shifts that are tried, smallest first."""
    divisors = [s for s in range(1, probe.unit + 1) if probe.unit % s == 0]
    return sorted({*STRIDES, *OTHER_STRIDES, *divisors})


def _probe(network: Any, channels: int, window: int, crop: int) -> Probe | None:
    """Find number type and strip sizes that the network accepts; None if it takes no strip."""
    sizes = ((BLOCK, BLOCK), (2 * BLOCK, BLOCK), (4 * BLOCK, BLOCK), (window, window))
    for index, (breadth, unit) in enumerate(sizes):
        probe = Probe(network, channels, breadth=breadth, unit=unit)
        length = _ceil(LENGTHS[0], unit)
        if all(replace(probe, axis=axis).accepts(length, crop) for axis in (3, 2)):
            return replace(probe, exact=_cast(probe, length, crop))
        if not index and _is_of_one_size(network, channels, window, crop):
            return None
    return None


def _is_of_one_size(network: Any, channels: int, window: int, crop: int) -> bool:
    """Tell whether a network cuts a larger input to the one size that it was made for."""
    try:
        with torch.inference_mode():
            answer = network(torch.zeros(1, channels, window, 2 * window))
    except Exception:  # a network is anybody's code; a size it refuses may raise anything
        return False
    return bool(answer.shape[-1] <= window - 2 * crop)


def _cast(probe: Probe, length: int, crop: int) -> Any:
    """Return the network in float64; None where it holds what cannot be copied or cast."""
    with contextlib.suppress(Exception):  # whatever a network of unknown make raises
        exact: Any = copy.deepcopy(probe.network)
        exact = exact.double()
        if replace(probe, network=exact, dtype=torch.float64).accepts(length, crop):
            return exact
    return None


def _crop(network: Any, shape: tuple[int, int, int, int]) -> tuple[int, float]:
    """Return pixels lacking on each side of the output, and bytes per pixel of a forward."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(shape, generator=generator, dtype=torch.float32)
    try:
        with torch.inference_mode():
            answer = network(x)
    except Exception as error:  # a network is anybody's code: whatever it raises is told
        raise ModelError(
            f"the model does not run on {shape} float32: {first_line(error)}; check bands= and "
            "window="
        ) from error
    if not isinstance(answer, torch.Tensor) or answer.ndim != 4:
        raise ModelError(
            f"the model answers {_describe(answer)}; possible is a tensor (N, K, H, W) of scores"
        )
    rest = [side - got for side, got in zip(shape[2:], answer.shape[2:], strict=True)]
    if rest[0] != rest[1] or rest[0] < 0 or rest[0] % 2 or rest[0] > min(shape[2:]) // 2:
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
