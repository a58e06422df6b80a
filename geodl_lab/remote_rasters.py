"""Rasters, models and areas as a job server is told of them."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from geodl_lab.errors import BandError, OptionError
from geodl_lab.inputs import InputSpec
from geodl_lab.raster import Raster
from geodl_lab.sources import make_source

SHARES = "/fileShares/"

ARGUMENTS = {
    "threshold": "threshold",
    "padding": "padding",
    "batch_size": "batch_size",
    "tta": "test_time_augmentation",
    "bands": "bands",
    "precision": "precision",
    "seam_tolerance": "seam_tolerance",
}
"""Options of a run, and what ``modelArguments`` calls them."""


@dataclass(frozen=True)
class RemoteRaster:
    """A raster that a server has.

    Parameters
    ----------
    name
        For people: the file's name.
    reference
        How a task names it: ``uri``, ``itemId`` or ``url``, with its value.
    path
        Where its bytes are below the server's address; "" where they are not to be had.
    """

    name: str
    reference: Mapping[str, str]
    path: str = ""

    @property
    def key(self) -> str:
        """Text that stands for it among all rasters of a server."""
        return next(iter(self.reference.values()))


@dataclass(frozen=True)
class RemoteModel:
    """A model that a server has.

    Parameters
    ----------
    card
        What there is to know of it, as `geodl_lab.cards.card` gives it, with its ``reference``.
    """

    card: Mapping[str, Any] = field(repr=False)

    @property
    def reference(self) -> str:
        """The name by which tasks ask for it."""
        return str(self.card.get("reference") or self.card["name"])

    @property
    def task(self) -> str:
        """``classify``, ``detect``, ``regress`` or ``recognize``."""
        return str(self.card["task"])

    @functools.cached_property
    def inputs(self) -> InputSpec:
        """What it wants to see, as far as bands go."""
        card = self.card
        bands = tuple(card.get("bands") or ())
        return InputSpec(
            bands,
            count=int(card.get("count") or len(bands)),
            dtype=card.get("dtype"),
            positions=tuple(card.get("positions") or ()),
            other_names=tuple(card.get("other_names") or ()),
        )

    def misfit(self, raster: Raster) -> str:
        """Return why it cannot run on a raster, in a sentence; "" if it can."""
        if not self.card.get("runnable", True):
            reason = str(self.card.get("reason")).partition("; ")[0]
            return f"It does not run: {reason}."
        try:
            make_source(raster, self.inputs)
        except BandError as error:
            words = str(error).partition("; ")[0]
            return f"{words[:1].upper()}{words[1:]}."
        return ""

    def __repr__(self) -> str:
        return f"<RemoteModel {self.reference}: {self.task}>"

    def _repr_html_(self) -> str:
        """Show its card."""
        from geodl_lab.card_html import html  # noqa: PLC0415  loads torch

        return html(dict(self.card))


def raster_reference(raster: Any) -> dict[str, str]:
    """Return how a task names a raster; raises OptionError for what is none.

    Parameters
    ----------
    raster
        A `RemoteRaster`, an address, or ``/fileShares/STORE/place``.
    """
    if isinstance(raster, RemoteRaster):
        return dict(raster.reference)
    if isinstance(raster, str) and raster.startswith(SHARES):
        return {"uri": raster}
    if isinstance(raster, str) and raster.startswith(("http://", "https://")):
        return {"url": raster}
    raise OptionError(
        f"the server cannot see the raster {str(raster)[:200]!r}; name one of .rasters(), "
        f"{SHARES}STORE/place or an address, or send a file with .upload(path)"
    )


def context_of(area: Any, crs: Any, *, device: str = "auto", cell_size: Any = None) -> str:
    """Return the JSON of a task's ``context``: where, and on what.

    Parameters
    ----------
    area
        None is all; (left, bottom, right, top) or an object with such ``bounds`` or
        ``total_bounds``.
    crs
        Of the area; None is its own (``area.crs``), else the raster's.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    cell_size
        In units of the raster's CRS.
    """
    context: dict[str, Any] = dict(_device(device))
    if cell_size is not None:
        context["cellSize"] = cell_size
    if area is not None:
        sides = _sides(area)
        context["extent"] = dict(zip(("xmin", "ymin", "xmax", "ymax"), sides, strict=True))
        crs = getattr(area, "crs", None) if crs is None else crs
        if crs is not None:
            context["extent"]["spatialReference"] = _spatial_reference(crs)
    return json.dumps(context)


def arguments_of(options: Mapping[str, Any]) -> str:
    """Return the JSON of ``modelArguments`` of a run's options; raises OptionError."""
    if unknown := sorted(options.keys() - ARGUMENTS.keys()):
        raise OptionError(
            f"there is no option {', '.join(unknown)} of a job; there are {', '.join(ARGUMENTS)}, "
            "and area, crs, device, cell_size, name"
        )
    given = {ARGUMENTS[name]: value for name, value in options.items() if value is not None}
    return json.dumps(given)


def _sides(area: Any) -> tuple[float, ...]:
    given = getattr(area, "total_bounds", None)
    given = getattr(area, "bounds", area) if given is None else given
    try:
        left, bottom, right, top = (float(side) for side in given)
    except (TypeError, ValueError):
        raise OptionError(
            f"area {area!r} is not possible; give (left, bottom, right, top), or a geometry"
        ) from None
    return left, bottom, right, top


def _spatial_reference(crs: Any) -> dict[str, Any]:
    from pyproj import CRS  # noqa: PLC0415

    try:
        found = CRS.from_user_input(crs)
    except Exception as error:
        raise OptionError(f"CRS {crs!r} is not known ({error}); write it like EPSG:4326") from None
    code = found.to_epsg()
    return {"wkid": code} if code else {"wkt": found.to_wkt("WKT1_GDAL")}


def _device(device: str) -> dict[str, Any]:
    kind, _, number = device.partition(":")
    if device == "auto":
        return {}
    if device == "cpu":
        return {"processorType": "CPU"}
    if kind != "cuda" or not (number.isdigit() or device == "cuda"):
        raise OptionError(f"device {device!r} is not possible; use auto, cpu, cuda or cuda:N")
    return {"processorType": "GPU"} | ({"gpuId": int(number)} if number else {})
