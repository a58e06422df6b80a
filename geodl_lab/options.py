"""The options of a run: one name and one default for each, wherever it is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from geodl_lab.bands import Bands
from geodl_lab.checks import is_number, is_whole
from geodl_lab.errors import OptionError, UnknownOptionError

Progress = Callable[[int, int, str, float], None]
"""Called with windows done, windows in all, the stage's name and seconds left."""


@dataclass(frozen=True, slots=True, repr=False)
class Options:
    """What a run may be told, beside raster and model.

    Parameters
    ----------
    area
        (left, bottom, right, top) in CRS units to compute only those pixels, or the objects whose
        middle lies there. The answer is the same bits as that part of the whole raster's; but of
        a model that sees a whole image at once it is the image.
    bands
        Which raster band is which, as in ``{"nir": 4}`` (from 1); needed only if names do not say.
    cell_size
        Cell size in CRS units to resample to before the model runs, or ``"model"`` for the one
        that the model was trained at. None takes the raster's pixels as they are.
    snap
        With ``cell_size``: True gives pixels back on the raster's own grid (nearest); False on
        the grid that the model saw.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    precision
        ``auto`` (fp32 on CPU, bf16 on CUDA), ``fp32``, ``bf16`` or ``fp16``.
    seam_tolerance
        Largest error of a score at seams for which a smaller halo, and so less work, is taken.
        None is exact wherever the model's receptive field is finite.
    seam_error
        True measures how far the scores of neighbouring windows differ at their seams and adds
        it to the result's attributes.
    padding
        Context in pixels on each side of a window's core instead of the model's own halo; rounded
        up to its stride. None takes what the model needs. An answer with less is not exact, and
        the recipe says so.
    batch_size
        Windows a forward on a GPU, a hint; on a CPU it is one. None takes what memory holds.
    tta
        True averages the scores over the eight turns and mirrors of each window (test-time
        augmentation); eight times the work.
    compile
        True runs ``torch.compile`` on the network first.
    progress
        Called with windows done, windows in all, stage, seconds left (not for dask input).
    cancelled
        Asked before each forward; True ends the run with a `CancelledError`.
    """

    area: Any = None
    bands: Bands | None = None
    cell_size: float | str | None = None
    snap: bool = False
    device: str = "auto"
    precision: str = "auto"
    seam_tolerance: float | None = None
    seam_error: bool = False
    padding: int | None = None
    batch_size: int | None = None
    tta: bool = False
    compile: bool = False
    progress: Progress | None = None
    cancelled: Callable[[], bool] | None = None

    def __repr__(self) -> str:
        """Say what was chosen; the rest is as it is by default."""
        chosen = (
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) is not field.default
        )
        return f"Options({', '.join(chosen)})"

    def __post_init__(self) -> None:
        tolerance = self.seam_tolerance
        if tolerance is not None and not (is_number(tolerance) and tolerance > 0):
            raise OptionError(f"seam_tolerance {tolerance!r} is not possible; give a score above 0")
        for name, least in (("padding", 0), ("batch_size", 1)):
            value = getattr(self, name)
            if value is not None and not (is_whole(value) and value >= least):
                raise OptionError(
                    f"{name} {value!r} is not possible; give a whole number, from {least}"
                )
        for name in ("progress", "cancelled"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise OptionError(f"{name} {value!r} is not possible; give a function, or None")
        if self.cell_size is not None and self.cell_size != "model":
            _check_cell_size(self.cell_size)
        if self.snap and self.cell_size is None:
            raise OptionError("snap=True needs a cell_size; without one the grid stays as it is")


def make_options(given: Mapping[str, Any]) -> Options:
    """Return options by name.

    Raises
    ------
    OptionError
        If a name is none of ours (also a `TypeError`), or a value is not possible.
    """
    possible = [field.name for field in dataclasses.fields(Options)]
    unknown = sorted(set(given) - set(possible))
    if unknown:
        raise UnknownOptionError(
            f"there is no option {', '.join(map(repr, unknown))}; possible are "
            f"{', '.join(possible)}"
        )
    return Options(**given)


def counting_on(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Return a callback that counts windows after ``before`` others, of ``total``."""
    if progress is None:
        return None

    def report(done: int, here: int, stage: str, left: float) -> None:
        rest = total - before - done
        progress(before + done, total, stage, left * rest / max(here - done, 1))

    return report


class Passes:
    """Makes one progress of several passes over a raster whose number nobody knows.

    Parameters
    ----------
    progress
        What is told; the count never goes back, and the end is told once.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._before = progress, 0
        self._last = (0, 0, "windows")

    def report(self, done: int, total: int, stage: str, left: float) -> None:
        """Take what one pass says."""
        self._last = self._before + done, self._before + total, stage
        if self._progress is not None and done < total:
            self._progress(*self._last, left)

    def again(self) -> None:
        """Begin another pass."""
        self._before = self._last[0]

    def finish(self) -> None:
        """Say that the last pass is over."""
        if self._progress is not None and self._last[1]:
            self._progress(self._last[1], self._last[1], self._last[2], 0.0)


def check_threshold(threshold: Any) -> None:
    """Refuse what is no score.

    Raises
    ------
    OptionError
        If it is no number from 0 to 1.
    """
    if not (is_number(threshold) and 0 <= threshold <= 1):
        raise OptionError(f"threshold {threshold!r} is not possible; give a number from 0 to 1")


def _check_cell_size(cell_size: Any) -> None:
    if not (is_number(cell_size) and cell_size > 0):
        raise OptionError(
            f"cell_size {cell_size!r} is not possible; give a positive number of CRS units, or "
            "'model' for the model's own"
        )
