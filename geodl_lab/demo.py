"""The main job on the bundled scene: land cover, trees, a preview and a few numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from geodl_lab.errors import OutputError
from geodl_lab.files import classify_file, detect_file
from geodl_lab.grid import Window
from geodl_lab.nodata import valid_pixels
from geodl_lab.options import Progress
from geodl_lab.outputs import classes_of
from geodl_lab.plot_objects import draw_objects
from geodl_lab.raster import Raster, as_raster, open_raster
from geodl_lab.staging import staged
from geodl_lab.styles import style_of
from geodl_lab.totals import class_areas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLUSTER = 256
"""Side in pixels of the clusters that the preview shows close up: that of a crop of the scene."""

EMPTY = "#b7bec6"
"""Colour of no data: unlike that of any class."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Parameters
    ----------
    landcover, trees, preview
        Files.
    hectares
        Area of each class that occurs.
    tree_count
        Number of trees.
    pixels
        Pixels with data.
    """

    landcover: Path
    trees: Path
    preview: Path
    hectares: dict[str, float]
    tree_count: int
    pixels: int


def demo_scene() -> Path:
    """Return the bundled scene: NAIP over Santa Monica, 0.6 m, bands red, green, blue, nir."""
    return Path(__file__).parent / "data" / "santa_monica_naip.tif"


def run_demo(folder: Path, *, progress: Callable[[str], Progress]) -> DemoResult:
    """Classify the scene, detect its trees, draw both; outputs of an earlier run are replaced.

    Parameters
    ----------
    folder
        Where the three files go; made if missing.
    progress
        Gives a progress callback for a stage's name.

    Raises
    ------
    OutputError
        If the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {str(folder)!r} cannot be made: {error.strerror}") from error
    landcover, trees = folder / "landcover.tif", folder / "trees.parquet"
    preview = folder / "preview.png"
    classify_file(demo_scene(), landcover, "naip-landcover", progress=progress("land cover"))
    detect_file(demo_scene(), trees, "naip-trees", progress=progress("trees"))
    frame = geopandas.read_parquet(trees)
    classes = open_raster(landcover)
    draw_preview(open_raster(demo_scene()), classes, frame, preview)
    areas = class_areas(classes)
    hectares = dict(zip(areas["name"], areas["hectares"].tolist(), strict=True))
    pixels = int(areas["pixels"].sum())
    return DemoResult(landcover, trees, preview, hectares, len(frame), pixels)


def draw_preview(
    scene: xr.DataArray, classes: xr.DataArray, trees: geopandas.GeoDataFrame, target: Path
) -> None:
    """Draw an overview and the three densest clusters close up: scene, classes, trees."""
    raster, labels = as_raster(scene), as_raster(classes)
    legend = classes_of(classes.attrs)
    picture = style_of(scene.load()).rgba(raster.array.values)
    colors = style_of(classes).rgba(labels.array.values)
    clusters = list(densest(density(raster, trees), 3))
    figure = Figure(figsize=(19, 15), layout="constrained", dpi=100)
    parts: Any = figure.subfigures(1, 2, width_ratios=(5, 13))
    left, right = parts
    _draw_overview(left, picture, colors, raster, clusters, legend)
    _draw_clusters(right, picture, colors, raster, trees, clusters)
    with staged(target, overwrite=True) as path:
        figure.savefig(path)


def density(raster: Raster, trees: geopandas.GeoDataFrame) -> np.ndarray:
    """Return 1 a pixel with data, and 1 more a tree on it (y, x): trees decide between equals."""
    count = valid_pixels(raster.array.values, raster.nodata).astype(np.int64)
    columns, rows = ~raster.transform @ (trees.geometry.x.values, trees.geometry.y.values)
    inside = (rows >= 0) & (rows < count.shape[0]) & (columns >= 0) & (columns < count.shape[1])
    np.add.at(count, (rows[inside].astype(int), columns[inside].astype(int)), 1)
    return count


def densest(count: np.ndarray, squares: int) -> Iterator[Window]:
    """Yield the squares of `CLUSTER` pixels that hold most of ``count`` (y, x), apart."""
    step = CLUSTER // 8
    height, width = (size // step for size in count.shape)
    cells = count[: height * step, : width * step].reshape(height, step, width, step).sum((1, 3))
    view = np.lib.stride_tricks.sliding_window_view(cells, (8, 8)).sum((2, 3))
    view = view.astype(np.int64)
    for _ in range(squares):
        row, column = np.unravel_index(view.argmax(), view.shape)
        yield Window(int(row) * step, int(column) * step, CLUSTER, CLUSTER)
        view[max(0, row - 7) : row + 8, max(0, column - 7) : column + 8] = -1


def _draw_overview(
    figure: Any,
    picture: np.ndarray,
    colors: np.ndarray,
    raster: Raster,
    clusters: list[Window],
    legend: tuple[Any, ...],
) -> None:
    axes = figure.subplots(2, 1)
    extent = _extent(raster, Window(0, 0, *raster.shape_yx))
    for ax, image, title in zip(
        axes, (picture, colors), ("NAIP, 0.6 m", "land cover"), strict=True
    ):
        ax.imshow(image[::4, ::4], extent=extent, interpolation="nearest")
        ax.set(xticks=[], yticks=[], facecolor=EMPTY)
        ax.set_title(title, fontsize=15)
        for number, window in enumerate(clusters, 1):
            _draw_frame(ax, _extent(raster, window), str(number))
    patches = [
        Patch(facecolor=label.color, edgecolor="#666666", label=label.name) for label in legend
    ]
    patches.append(Patch(facecolor=EMPTY, edgecolor="#666666", label="no data"))
    axes[1].legend(
        handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, frameon=False,
        fontsize=12,
    )  # fmt: skip


def _draw_clusters(
    figure: Any,
    picture: np.ndarray,
    colors: np.ndarray,
    raster: Raster,
    trees: geopandas.GeoDataFrame,
    clusters: list[Window],
) -> None:
    grid = figure.subplots(len(clusters), 3, squeeze=False)
    for number, (axes, window) in enumerate(zip(grid, clusters, strict=True), 1):
        extent = _extent(raster, window)
        for ax, image in zip(axes, (picture, colors, picture), strict=True):
            ax.imshow(image[window.slices_yx], extent=extent, interpolation="nearest")
            ax.set(xticks=[], yticks=[], facecolor=EMPTY)
        west, east, south, north = extent
        inside = trees.cx[west:east, south:north]
        draw_objects(axes[2], inside, size=90, width=1.6)
        axes[0].set_ylabel(f"crop {number}", fontsize=15)
        axes[2].set_xlabel(f"{len(inside)} trees", fontsize=13)
    for ax, title in zip(grid[0], ("scene", "land cover", "trees"), strict=True):
        ax.set_title(title, fontsize=15)


def _draw_frame(ax: Axes, extent: tuple[float, float, float, float], text: str) -> None:
    west, east, south, north = extent
    ax.plot([west, east, east, west, west], [south, south, north, north, south], color="#d1006c")
    ax.text(west, north, text, color="white", backgroundcolor="#d1006c", fontsize=9, va="bottom")


def _extent(raster: Raster, window: Window) -> tuple[float, float, float, float]:
    """Return west, east, south, north of a window in CRS units."""
    west, north = raster.transform * (window.x, window.y)
    east, south = raster.transform * (window.right, window.bottom)
    return west, east, south, north
