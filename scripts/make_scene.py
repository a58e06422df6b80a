"""Make the bundled scene from the crops of urban_trees_naip.

    python scripts/make_scene.py PATH/TO/urban_trees_naip [--target geodl_lab/data]

Every crop is 256 x 256 px of NAIP 2020 at 0.6 m, and all of them lie on one grid with offsets that
are multiples of 256 px. The scene is the smallest box on that grid which holds 31 Santa Monica
crops, each at its true place, as one cloud-optimised GeoTIFF; the ground between them is no data.
Beside it go the tree centres of those crops. Both files are read back and compared with the crops.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window

CITY = "santa_monica"
CROPS_WANTED = 31
SIDE = 256  # pixels of a crop, and of a block of the COG: one crop is one block
CELL = 0.6  # metres
EPSG = 26911
BANDS = ("Red", "Green", "Blue", "NIR")
COLORS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined)
CREDIT = (
    "Imagery: USDA NAIP 2020, public domain. Arrangement and labels: "
    "Ventura et al. 2024, urban-tree-detection-data, CC BY 4.0."
)
SCENE = "santa_monica_naip.tif"
TREES = "santa_monica_trees.geojson"


@dataclass(frozen=True, slots=True)
class Crop:
    """One crop of the origin; ``left`` and ``top`` in metres, ``pixels`` as (band, y, x)."""

    name: str
    split: str
    left: float
    top: float
    pixels: np.ndarray


@dataclass(frozen=True, slots=True)
class Box:
    """A box on the grid of crops: first column and row, then its size, all counted in crops."""

    column: int
    row: int
    columns: int
    rows: int

    def holds(self, cell: tuple[int, int]) -> bool:
        """Whether the (column, row) of a crop lies inside."""
        column, row = cell[0] - self.column, cell[1] - self.row
        return 0 <= column < self.columns and 0 <= row < self.rows


def read_crops(origin: Path) -> list[Crop]:
    """Read every crop of the city that the train and val lists name."""
    crops = []
    for split in ("train", "val"):
        names = (origin / f"{split}.txt").read_text().split()
        crops += [read_crop(origin, name, split) for name in names if name.startswith(CITY)]
    return crops


def read_crop(origin: Path, name: str, split: str) -> Crop:
    """Read one crop and check what the scene takes for granted."""
    with rasterio.open(origin / "images" / f"{name}.tif") as source:
        pixels = source.read()
        facts = (source.crs.to_epsg(), pixels.dtype.name, pixels.shape, source.res)
        left, top = source.bounds.left, source.bounds.top
    expected = (EPSG, "uint8", (len(BANDS), SIDE, SIDE))
    if facts[:3] != expected or not np.allclose(facts[3], CELL, rtol=0, atol=1e-9):
        raise SystemExit(f"{name}: found {facts}, expected {expected} at {CELL} m")
    if not pixels.any(axis=0).all():
        raise SystemExit(f"{name}: a pixel is 0 in every band and would read as no data")
    return Crop(name, split, left, top, pixels)


def grid_cells(crops: list[Crop]) -> tuple[Affine, dict[tuple[int, int], Crop]]:
    """Place the crops on their common grid: its transform and the crop at each (column, row)."""
    left, top = min(crop.left for crop in crops), max(crop.top for crop in crops)
    step = SIDE * CELL
    cells = {}
    for crop in crops:
        column, row = (crop.left - left) / step, (top - crop.top) / step
        cell = (round(column), round(row))
        if max(abs(column - cell[0]), abs(row - cell[1])) > 1e-6 or cell in cells:
            raise SystemExit(f"{crop.name} is not alone on the grid: column {column}, row {row}")
        cells[cell] = crop
    # Six decimals: the origin carries 3768203.39999999 for 3768203.4.
    return Affine(CELL, 0, round(left, 6), 0, -CELL, round(top, 6)), cells


def densest_box(cells: set[tuple[int, int]], crops_wanted: int) -> Box:
    """Find the smallest box with that many crops; of equals the one where most crops touch."""
    columns, rows = sorted({x for x, _ in cells}), sorted({y for _, y in cells})
    boxes = [
        Box(x0, y0, x1 - x0 + 1, y1 - y0 + 1)
        for x0, x1 in itertools.combinations(columns, 2)
        for y0, y1 in itertools.combinations(rows, 2)
    ]
    full = [box for box in boxes if sum(map(box.holds, cells)) == crops_wanted]
    return min(full, key=lambda box: (box.columns * box.rows, -touching(cells, box), box.column))


def touching(cells: set[tuple[int, int]], box: Box) -> int:
    """Count the pairs of crops inside the box that share an edge."""
    inside = {cell for cell in cells if box.holds(cell)}
    return sum(((x + 1, y) in inside) + ((x, y + 1) in inside) for x, y in inside)


def write_scene(
    path: Path, transform: Affine, shape_yx: tuple[int, int], placed: list[tuple[Window, Crop]]
) -> None:
    """Write the crops into one COG; blocks without a crop are left out of the file."""
    height, width = shape_yx
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": len(BANDS),
        "dtype": "uint8", "crs": f"EPSG:{EPSG}", "transform": transform, "nodata": 0,
        "tiled": True, "blockxsize": SIDE, "blockysize": SIDE, "sparse_ok": True,
        # GDAL would call a fourth band alpha, and readers then take NIR = 0 for no data.
        "photometric": "RGB", "alpha": "NO",
    }  # fmt: skip
    with MemoryFile() as memory:
        with memory.open(**profile) as scene:
            scene.descriptions = BANDS
            scene.colorinterp = COLORS
            scene.update_tags(TIFFTAG_IMAGEDESCRIPTION=CREDIT, TIFFTAG_DATETIME="2020")
            for window, crop in placed:
                scene.write(crop.pixels, window=window)
        copy_raster(
            memory.name, path, driver="COG", compress="DEFLATE", level=9, predictor="YES",
            blocksize=SIDE, sparse_ok=True, overview_resampling="AVERAGE",
        )  # fmt: skip


def write_trees(path: Path, origin: Path, crops: list[Crop]) -> int:
    """Write the tree centres of the crops, in CRS units to the centimetre; return their number."""
    features = []
    for crop in crops:
        labels = origin / "json" / f"{crop.name}.json"
        # A crop without a file has no tree.
        for feature in json.loads(labels.read_text())["features"] if labels.exists() else []:
            x, y = feature["geometry"]["coordinates"][:2]
            point = {"type": "Point", "coordinates": [round(x, 2), round(y, 2)]}
            properties = {"label": "tree", "crop": crop.name, "split": crop.split}
            features.append({"type": "Feature", "properties": properties, "geometry": point})
    crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{EPSG}"}}
    head = {"type": "FeatureCollection", "name": "trees", "credit": CREDIT, "crs": crs}
    lines = ",\n".join(json.dumps(feature, separators=(",", ":")) for feature in features)
    path.write_text(json.dumps(head)[:-1] + ', "features": [\n' + lines + "\n]}\n")
    return len(features)


def check_scene(path: Path, placed: list[tuple[Window, Crop]]) -> float:
    """Read the scene back and compare it with the crops; return the share of valid pixels."""
    with rasterio.open(path) as scene:
        whole = scene.read()
        if scene.descriptions != BANDS or ColorInterp.alpha in scene.colorinterp:
            raise SystemExit(f"bands came out as {scene.descriptions}, {scene.colorinterp}")
        for window, crop in placed:
            corner = scene.transform @ (window.col_off, window.row_off)
            if not np.allclose(corner, (crop.left, crop.top), rtol=0, atol=1e-6):
                raise SystemExit(f"{crop.name} lies at {corner}, not ({crop.left}, {crop.top})")
            if not np.array_equal(whole[(slice(None), *window.toslices())], crop.pixels):
                raise SystemExit(f"{crop.name} has other pixels than the origin")
    return float(whole.any(axis=0).mean())


def main() -> None:
    """Make both files and say what they hold."""
    parser = argparse.ArgumentParser(description="Make the bundled scene from urban_trees_naip.")
    parser.add_argument("origin", type=Path, help="folder with images/, json/, train.txt, val.txt")
    parser.add_argument("--target", type=Path, default=Path("geodl_lab/data"))
    options = parser.parse_args()

    grid, cells = grid_cells(read_crops(options.origin))
    box = densest_box(set(cells), CROPS_WANTED)
    placed = [
        (Window((x - box.column) * SIDE, (y - box.row) * SIDE, SIDE, SIDE), crop)
        for (x, y), crop in sorted(cells.items(), key=lambda item: item[1].name)
        if box.holds((x, y))
    ]
    shape_yx = (box.rows * SIDE, box.columns * SIDE)
    corner = grid @ (box.column * SIDE, box.row * SIDE)
    transform = Affine(CELL, 0, round(corner[0], 6), 0, -CELL, round(corner[1], 6))

    scene, trees = options.target / SCENE, options.target / TREES
    write_scene(scene, transform, shape_yx, placed)
    valid = check_scene(scene, placed)
    count = write_trees(trees, options.origin, [crop for _, crop in placed])
    print(f"{scene}: {shape_yx[0]} x {shape_yx[1]} px (y, x), {len(placed)} crops, ")
    print(f"  {valid:.2%} valid, {scene.stat().st_size / 1e6:.2f} MB, identical with the crops")
    print(f"{trees}: {count} trees, {trees.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
