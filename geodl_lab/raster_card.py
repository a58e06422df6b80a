"""What a raster or a result is: how ``da.dl`` shows itself; nothing lazy is computed."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import numpy as np
import pyproj
import xarray as xr

from geodl_lab import html_pieces
from geodl_lab.cards import one_line
from geodl_lab.errors import GeodlError
from geodl_lab.raster import Raster, as_raster
from geodl_lab.styles import Bar, is_result, known_classes, style_of
from geodl_lab.thinning import thinned
from geodl_lab.totals import class_areas
from geodl_lab.windowed import needs_model

SIDE = 320
"""Pixels a side of a thumbnail; it is shown at half of it, for sharp screens."""

MEASURED = 2**22
"""Pixels of a class raster in memory of which shares are taken; a larger one is thinned to it."""

Rows = list[tuple[str, str]]
"""Labels and words."""


def text(data: xr.DataArray | xr.Dataset) -> str:
    """Return what a raster is as lines for a terminal."""
    try:
        raster = as_raster(data)
    except GeodlError as error:
        return f"no raster: {error}"
    rows = _rows(raster)
    if swatches := _swatches(raster):
        rows.append(("classes", one_line(", ".join(name for name, _ in swatches))))
    lines = [f"  {label:<9} {words}" for label, words in rows]
    return "\n".join([f"{_kind(raster)}: {_state(raster)}", *lines])


def html(data: xr.DataArray | xr.Dataset) -> str:
    """Return what a raster is as HTML for a notebook; every text of the raster is escaped."""
    try:
        raster = as_raster(data)
    except GeodlError as error:
        return html_pieces.panel(html_pieces.table([("no raster", str(error))]))
    body = html_pieces.table(_rows(raster)) + _legend(raster)
    recipe = _recipe_rows(raster)
    parts = [
        html_pieces.headline(_kind(raster), _state(raster)),
        html_pieces.beside(_picture(raster), body) if raster.in_memory else body,
        html_pieces.folded("how it was made", html_pieces.table(recipe)) if recipe else "",
    ]
    return html_pieces.panel(*parts)


def _kind(raster: Raster) -> str:
    if known_classes(raster):
        return "Class raster"
    if is_result(raster):
        return _name(raster).capitalize() or "Result"
    return "Photo" if raster.crs is None and raster.transform.is_identity else "Raster"


def _name(raster: Raster) -> str:
    return "" if raster.array.name is None else one_line(str(raster.array.name))


def _state(raster: Raster) -> str:
    if raster.in_memory:
        return "in memory"
    if not raster.lazy:
        return "in a file"
    blocks = raster.array.chunks or ()
    count = int(np.prod([len(sizes) for sizes in blocks[1:]]))
    runs = "the model has not run" if needs_model(raster.array) else "nothing is read"
    return f"lazy, {count} chunks, {runs} yet"


def _rows(raster: Raster) -> Rows:
    """Return labels and words of what is known without looking at pixels."""
    array, (height, width) = raster.array, raster.shape_yx
    attrs = array.attrs
    nodata = "" if raster.nodata is None else f", no data {raster.nodata:g}"
    made = " ".join(str(attrs.get(f"geodl_model{key}", "")) for key in ("", "_version"))
    found: Rows = [
        ("size", f"{height} x {width} px, {len(array)} x {array.dtype}{nodata}"),
        ("bands", ", ".join(_channels(raster))),
        ("place", _place(raster)),
        ("extent", _extent(raster)),
        ("model", made.strip()),
    ]
    return [(label, one_line(words)) for label, words in found if words]


def _channels(raster: Raster) -> list[str]:
    dim, coords = raster.array.dims[0], raster.array.coords
    if dim in coords and coords[dim].dtype.kind in "UO":
        return [str(name) for name in coords[dim].values]
    return [name for name in raster.band_names if name]


def _place(raster: Raster) -> str:
    """Return CRS and size of a pixel in words."""
    if raster.crs is None:
        return ""
    crs, t = pyproj.CRS(raster.crs), raster.transform
    unit = "°" if crs.is_geographic else f" {crs.axis_info[0].unit_name}" if crs.axis_info else ""
    unit = {" metre": " m", " foot": " ft", " US survey foot": " US ft"}.get(unit, unit)
    across, down = float(np.hypot(t.a, t.d)), float(np.hypot(t.b, t.e))
    alike = abs(across - down) < 1e-6 * across
    pixel = f"{across:.6g}" if alike else f"{across:.6g} x {down:.6g}"
    authority = ":".join(crs.to_authority() or ())
    return f"{authority} {crs.name}; pixels of {pixel}{unit}"


def _extent(raster: Raster) -> str:
    if raster.crs is None:
        return ""
    digits = 5 if pyproj.CRS(raster.crs).is_geographic else 1
    sides = zip(("west", "south", "east", "north"), raster.bounds, strict=True)
    return ", ".join(f"{name} {side:.{digits}f}" for name, side in sides)


def _swatches(raster: Raster) -> list[tuple[str, str]]:
    return [(one_line(label.name), label.color) for label in known_classes(raster)]


def _legend(raster: Raster) -> str:
    """Return the classes, with their share of the ground where that costs nothing."""
    if swatches := _swatches(raster):
        return _shares(raster) if raster.in_memory else html_pieces.swatches(swatches)
    if is_result(raster) and raster.in_memory:
        bar = style_of(raster.array, bands=[1]).legend
        if isinstance(bar, Bar):
            label = one_line(bar.label) if len(raster.array) == 1 else _name(raster)
            return html_pieces.color_bar(bar.colors, f"{bar.low:.4g}", f"{bar.high:.4g}", label)
    return ""


def _shares(raster: Raster) -> str:
    step = math.ceil((raster.array.size / MEASURED) ** 0.5)
    seen = raster.array[:, step // 2 :: step, step // 2 :: step] if step > 1 else raster.array
    table = class_areas(seen).sort_values("share", ascending=False, kind="stable")
    return html_pieces.shares(
        [
            (one_line(row.name), row.color, row.share, _share_words(row, exact=step <= 1))
            for row in table.itertuples(index=False)
        ]
    )


def _share_words(row: Any, *, exact: bool) -> str:
    percent = f"{100 * row.share:.1f} %" if row.share >= 0.0005 else "< 0.1 %"
    if not exact:
        return f"about {percent}" if row.share >= 0.0005 else percent
    return percent if np.isnan(row.hectares) else f"{percent} · {row.hectares:,.4g} ha"


def _picture(raster: Raster) -> str:
    """Return a thumbnail; of a result of several channels, of the first."""
    values = thinned(raster, SIDE)
    rgba = style_of(raster.array).rgba(values)
    return html_pieces.thumbnail(rgba, f"{_kind(raster)}, thinned", side=SIDE // 2)


def _recipe_rows(raster: Raster) -> Rows:
    """Return how a result was made: hash of the model, and what else decided its bits."""
    attrs: Any = raster.array.attrs
    recipe: Any = None
    with contextlib.suppress(ValueError, RecursionError):  # of another's making
        recipe = json.loads(str(attrs.get("geodl_recipe", "")))
    known = {"sha256": attrs.get("geodl_model_sha256")}
    known |= recipe if isinstance(recipe, dict) else {}
    known["geodl version"] = attrs.get("geodl_version")
    return [
        (one_line(key.replace("_", " ")), one_line(_said(value)))
        for key, value in known.items()
        if value not in (None, "")
    ]


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
