"""Pictures of rasters, results and objects with matplotlib: no display needed.

Colours and legends are those of the live map (`styles`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Patch
from matplotlib.transforms import Affine2D

from geodl_lab.bands import common_name
from geodl_lab.errors import OptionError
from geodl_lab.plot_axes import add_scale_bar, aspect_of, label_axes
from geodl_lab.plot_objects import bounds_of, draw_objects, swatches_of
from geodl_lab.raster import Raster, area_window, as_raster
from geodl_lab.styles import Bar, Style, Swatch, is_result, style_of
from geodl_lab.thinning import thinned
from geodl_lab.windowed import needs_model

if TYPE_CHECKING:
    import geopandas
    from matplotlib.axes import Axes

LARGEST = 2000
"""Most pixels a side that are drawn; larger rasters are thinned."""

SIDE = 7.0
"""Longer side of a picture in inches, where the figure is ours."""

COLUMN = 28
"""Lines of a legend in one column."""

MOST = 84
"""Lines of a legend in all."""

LONG = 32
"""Characters of a name in a legend."""


@dataclass(frozen=True)
class Picture:
    """What is drawn of a raster.

    Parameters
    ----------
    raster
        Where it lies.
    values
        Stored values (band, y, x), thinned.
    style
        How they become colours.
    """

    raster: Raster
    values: np.ndarray
    style: Style

    @property
    def legend(self) -> tuple[Swatch, ...] | Bar | None:
        """The legend, of classes those that occur."""
        legend = self.style.legend
        if not isinstance(legend, tuple):
            return legend
        present = set(np.unique(self.values[0]).tolist())
        return tuple(line for line in legend if line.value in present)


def plot(
    data: xr.DataArray | xr.Dataset | geopandas.GeoDataFrame,
    *,
    ax: Axes | None = None,
    objects: geopandas.GeoDataFrame | None = None,
    bands: Sequence[int | str] | int | str | None = None,
    stretch: tuple[float, float] | None = None,
    area: Any = None,
    legend: bool = True,
    scores: bool = False,
) -> Any:
    """Draw a raster, a result or objects, with legend, scale bar and coordinates.

    Parameters
    ----------
    data
        Raster (band, y, x), class raster (y, x), probabilities, entropy, values, a Dataset of
        bands, or objects alone. A large raster is thinned to what a screen shows.
    ax
        Axes to draw on; a new figure by default.
    objects
        Objects to draw on top; they are brought to the raster's CRS.
    bands
        Bands, by number (from 1) or name, shown as red, green and blue, or the one that is shown:
        ``(4, 1, 2)``, ``("nir", "red", "green")``, ``"water"``. None shows the first three bands
        of an image, and of probabilities each class in a panel of its own.
    stretch
        Stored values that become the darkest and the brightest; None takes percentiles 2 and 98
        of each band over the whole raster (of a photo in bytes 0 and 255, of a result its range).
    area
        (left, bottom, right, top) in CRS units, or an object with such ``bounds``: only that part
        is drawn, and of a lazy result only that is computed.
    legend
        False leaves legend and colour bar out.
    scores
        True writes its score at each object.

    Returns
    -------
    matplotlib.axes.Axes or numpy.ndarray
        In the raster's CRS units; an array of them where several classes have a panel each.

    Raises
    ------
    OptionError
        If bands, stretch or area are not possible, or a model would have to run for more pixels
        than are drawn: a lazy result is computed only where each of its pixels is shown.
    RasterError
        If ``data`` is no raster, as with a dimension of time.
    """
    if hasattr(data, "geom_type"):
        return _plot_alone(data, ax=ax, legend=legend, scores=scores)
    raster = as_raster(data)
    if bands is None and is_result(raster) and len(raster.array) > 1:
        if ax is not None:
            raise OptionError(_one_of(raster))
        pictures = _channel_pictures(raster, stretch=stretch, area=area)
        axes = _draw_side_by_side(pictures, columns=3, legend=legend)
        axes[0].figure.suptitle(_title(raster))
    else:
        picture = make_picture(raster, bands=bands, stretch=stretch, area=area)
        lines = picture.legend or swatches_of(objects, least=2) if legend else None
        axes = np.array([_new_axes(_ratio(picture), lines) if ax is None else ax])
        draw_picture(axes[0], picture)
        axes[0].set_title(_title(raster))
        if legend and picture.legend:
            draw_legend(axes, picture.legend)
    if objects is not None:
        _draw_on_top(axes, objects, raster, legend=legend, scores=scores)
    return axes if len(axes) > 1 else axes[0]


def plot_side_by_side(
    rasters: Mapping[str, xr.DataArray | xr.Dataset],
    *,
    columns: int = 3,
    objects: geopandas.GeoDataFrame | None = None,
    legend: bool = True,
    **options: Any,
) -> np.ndarray:
    """Draw several rasters side by side, with one legend where they share it.

    Parameters
    ----------
    rasters
        Titles, and rasters as `plot` takes them.
    columns
        Pictures in a row.
    objects, legend
        As of `plot`, for each of them.
    options
        ``bands``, ``stretch`` and ``area``, as of `plot`.

    Returns
    -------
    numpy.ndarray
        The axes, (raster,).

    Raises
    ------
    OptionError, RasterError
        As `plot`; also if there are no rasters.
    """
    if not rasters:
        raise OptionError("there is no raster to draw; give some, as in {'before': one}")
    pictures = {
        title: make_picture(as_raster(raster), **options) for title, raster in rasters.items()
    }
    axes = _draw_side_by_side(pictures, columns=columns, legend=legend)
    for ax, picture in zip(axes, pictures.values(), strict=True):
        if objects is not None:
            draw_objects(ax, objects, crs=picture.raster.crs)
    return axes


def make_picture(
    raster: Raster,
    *,
    bands: Sequence[int | str] | int | str | None = None,
    stretch: tuple[float, float] | None = None,
    area: Any = None,
) -> Picture:
    """Read what is drawn of a raster, and choose its colours; parameters as in `plot`.

    Raises
    ------
    OptionError
        As `plot`.
    """
    numbers = _numbers(raster, bands)
    part = raster
    if area is not None:
        part = Raster(raster.array[:, *area_window(raster, area).slices_yx])
    if not needs_model(raster.array):
        style = style_of(raster.array, bands=numbers, stretch=stretch)
        return Picture(part, thinned(part, LARGEST), style)
    _refuse_large_run(part)
    part = Raster(part.array.compute())
    return Picture(part, part.array.values, style_of(part.array, bands=numbers, stretch=stretch))


def draw_picture(ax: Axes, picture: Picture, *, labels: bool = True) -> None:
    """Draw a picture where it lies, with a scale bar; ``labels`` False leaves numbers out."""
    raster, image = picture.raster, picture.style.rgba(picture.values)
    height, width = raster.shape_yx
    left, bottom, right, top = bounds = raster.bounds
    t = raster.transform
    if t.b or t.d:
        to_crs = Affine2D.from_values(t.a, t.d, t.b, t.e, t.c, t.f)
        drawn = ax.imshow(image, extent=(0, width, height, 0), interpolation="nearest")
        drawn.set_transform(to_crs + ax.transData)
    else:
        ends = (t.c, t.c + t.a * width, t.f + t.e * height, t.f)
        ax.imshow(image, extent=ends, interpolation="nearest")
    photo = raster.crs is None and (t.a, t.e) == (1, 1) and not _is_latitude(raster)
    ax.set(xlim=(left, right), ylim=(top, bottom) if photo else (bottom, top))
    ax.set_aspect(aspect_of(bounds, raster.crs))
    label_axes(ax, raster.crs)
    if raster.crs is None and not photo:
        ax.set(xlabel=str(raster.array.dims[2]), ylabel=str(raster.array.dims[1]))
    if not labels:
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    add_scale_bar(ax, bounds, raster.crs)
    if not image[..., 3].any():
        ax.text(0.5, 0.5, "no data", transform=ax.transAxes, ha="center", alpha=0.6)


def draw_legend(axes: np.ndarray, legend: tuple[Swatch, ...] | Bar) -> None:
    """Draw the legend of classes, or a colour bar, to the right of axes (axes,)."""
    if isinstance(legend, Bar):
        colors = LinearSegmentedColormap.from_list("bar", legend.colors)
        bar = ScalarMappable(Normalize(legend.low, legend.high), colors)
        made = axes[0].figure.colorbar(bar, ax=list(axes), shrink=0.75, aspect=25, pad=0.02)
        made.set_label(_short(legend.label))
        made.outline.set_linewidth(0.5)
        return
    shown = legend[: MOST - 1] if len(legend) > MOST else legend
    patches = [_patch(line.color, _short(line.name)) for line in shown]
    if rest := len(legend) - len(shown):
        patches.append(_patch("none", f"... and {rest} more"))
    axes[-1].legend(
        handles=patches, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0,
        frameon=False, ncols=-(-len(patches) // COLUMN), fontsize="small" if len(patches) > 12
        else "medium",
    )  # fmt: skip


def _is_latitude(raster: Raster) -> bool:
    return str(raster.array.dims[1]).lower().startswith("lat")


def _patch(color: str, label: str) -> Patch:
    edge = "none" if color == "none" else "#777777"
    return Patch(facecolor=color, edgecolor=edge, linewidth=0.5, label=label)


def _draw_side_by_side(
    pictures: Mapping[str, Picture], *, columns: int, legend: bool
) -> np.ndarray:
    axes = _many_axes(list(pictures.values()), columns)
    for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
        draw_picture(ax, picture, labels=False)
        ax.set_title(_short(title))
    legends = [picture.legend for picture in pictures.values()]
    if legend and (shared := _shared(legends)):
        last = min(columns, len(axes)) - 1
        draw_legend(axes if isinstance(shared, Bar) else axes[[last]], shared)
    elif legend:
        for ax, one in zip(axes, legends, strict=True):
            if one:
                draw_legend(np.array([ax]), one)
    return axes


def _shared(
    legends: Sequence[tuple[Swatch, ...] | Bar | None],
) -> tuple[Swatch, ...] | Bar | None:
    """Return the one legend that says what several say; None where they differ."""
    bars = [legend for legend in legends if isinstance(legend, Bar)]
    lists = [legend for legend in legends if isinstance(legend, tuple)]
    if len(bars) == len(legends) and len({(bar.low, bar.high, bar.colors) for bar in bars}) == 1:
        labels = {bar.label for bar in bars}
        alike = labels if len(labels) == 1 else {label.partition(" of ")[0] for label in labels}
        return dataclasses.replace(bars[0], label=alike.pop()) if len(alike) == 1 else None
    lines = {line for legend in lists for line in legend}
    if len(lists) == len(legends) and len({line.value for line in lines}) == len(lines):
        return tuple(sorted(lines, key=lambda line: line.value))
    return None


def _channel_pictures(raster: Raster, **options: Any) -> dict[str, Picture]:
    """Return a picture of each class of probabilities, or of each quantity, by name."""
    first = make_picture(raster, bands=1, **options)
    source = first.raster if needs_model(raster.array) else raster
    return {
        name: dataclasses.replace(
            first, style=style_of(source.array, bands=[number], stretch=options["stretch"])
        )
        for number, name in enumerate(_channel_names(raster), 1)
    }


def _draw_on_top(
    axes: np.ndarray,
    objects: geopandas.GeoDataFrame,
    raster: Raster,
    *,
    legend: bool,
    scores: bool,
) -> None:
    """Draw objects on each of some axes, and their legend where the axes have none."""
    lines = swatches_of(objects, least=2)
    for ax in axes:
        draw_objects(ax, objects, crs=raster.crs, scores=scores)
        if legend and lines and ax.get_legend() is None:
            draw_legend(np.array([ax]), lines)


def _plot_alone(
    objects: geopandas.GeoDataFrame, *, ax: Axes | None, legend: bool, scores: bool
) -> Axes:
    """Draw objects without a raster; without a CRS they are those of a photo, from the top down."""
    left, bottom, right, top = bounds = bounds_of(objects)
    crs = objects.crs
    ratio = (top - bottom) / (right - left) * aspect_of(bounds, crs)
    lines = swatches_of(objects, least=2)
    ax = _new_axes(ratio, lines if legend else None) if ax is None else ax
    ax.set(xlim=(left, right), ylim=(bottom, top) if crs is not None else (top, bottom))
    ax.set_aspect(aspect_of(bounds, crs))
    label_axes(ax, crs)
    if len(objects):
        add_scale_bar(ax, bounds, crs)
    draw_objects(ax, objects, crs=crs, scores=scores)
    one = swatches_of(objects)
    ax.set_title(_short(one[0].name) if len(one) == 1 else f"{len(objects)} objects")
    if legend and lines:
        draw_legend(np.array([ax]), lines)
    return ax


def _numbers(raster: Raster, bands: Sequence[int | str] | int | str | None) -> list[int] | None:
    """Return bands by number from 1."""
    if bands is None:
        return None
    listed = [bands] if isinstance(bands, int | str) else list(bands)
    return [_number(raster, band) for band in listed]


def _number(raster: Raster, band: int | str) -> int:
    if not isinstance(band, str):
        return band
    names = _channel_names(raster)
    wanted = {band.strip().lower(), common_name(band)} - {""}
    found = [number for number, name in enumerate(names, 1) if name.lower() in wanted]
    if not found:
        raise OptionError(
            f"there is no band {band!r}; the raster has "
            f"{', '.join(name or str(number) for number, name in enumerate(names, 1))}"
        )
    return found[0]


def _channel_names(raster: Raster) -> list[str]:
    """Return what the channels are called: classes as they are, bands by their common names."""
    dim = raster.array.dims[0]
    if dim in raster.array.coords and raster.array.coords[dim].dtype.kind in "UO":
        return [str(name) for name in raster.array.coords[dim].values]
    return list(raster.band_names)


def _one_of(raster: Raster) -> str:
    names = [name or str(number) for number, name in enumerate(_channel_names(raster), 1)]
    return (
        f"the axes hold one picture, and the result has {len(names)}: {', '.join(names[:12])}; say "
        f"which, as in bands={names[0]!r}, or leave ax out for a panel of each"
    )


def _refuse_large_run(raster: Raster) -> None:
    height, width = raster.shape_yx
    if max(height, width) > LARGEST:
        raise OptionError(
            f"the result is not computed yet, and the model would run on {height} x {width} pixels "
            f"for a picture of at most {LARGEST} a side; call .compute() first, look at it live "
            "with .dl.map(), or draw a part with area=(left, bottom, right, top)"
        )


def _title(raster: Raster) -> str:
    """Return what a result is and of which model; nothing of an image."""
    model, name = raster.array.attrs.get("geodl_model", ""), raster.array.name
    known = "" if name is None or not model else str(name)
    return _short(" · ".join(part for part in (known, str(model)) if part))


def _short(name: str) -> str:
    """Return a name on one line, without what matplotlib takes for mathematics."""
    flat = " ".join(str(name).split())
    return (flat if len(flat) <= LONG else f"{flat[: LONG - 1]}…").replace("$", r"\$")


def _new_axes(ratio: float, legend: tuple[Swatch, ...] | Bar | None) -> Axes:
    return plt.subplots(figsize=_figure_size(ratio, legend), layout="compressed")[1]


def _many_axes(pictures: Sequence[Picture], columns: int) -> np.ndarray:
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    ratio = float(np.clip(max(map(_ratio, pictures)), 0.3, 3))
    side = 11 / max(columns, 2)
    size = columns * side + 1.6, rows * (side * ratio + 0.35)
    grid = plt.subplots(rows, columns, figsize=size, layout="compressed", squeeze=False)[1]
    for unused in grid.flat[len(pictures) :]:
        unused.set_axis_off()
    axes: np.ndarray = grid.ravel()[: len(pictures)]
    return axes


def _ratio(picture: Picture) -> float:
    """Return how high a picture is for its width."""
    left, bottom, right, top = picture.raster.bounds
    return (top - bottom) / (right - left) * aspect_of(picture.raster.bounds, picture.raster.crs)


def _figure_size(ratio: float, legend: tuple[Swatch, ...] | Bar | None) -> tuple[float, float]:
    """Return width and height in inches of a figure for one picture with its legend."""
    width = max(min(SIDE, SIDE / ratio), 3.0)
    height = max(min(SIDE, SIDE * ratio), 2.4)
    if isinstance(legend, Bar):
        width += 0.9
    elif legend:
        longest = max(len(_short(line.name)) for line in legend)
        width += -(-min(len(legend), MOST) // COLUMN) * (0.6 + 0.085 * longest)
    return width + 0.9, height + 0.7
