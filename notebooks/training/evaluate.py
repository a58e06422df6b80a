"""Measure the bundled models on their test places, through the package's own API.

    python notebooks/training/evaluate.py --data ../shared/data

Prints the figures that the model cards state, from places that were never trained or chosen on,
and ends with status 1 where a card says something else. The first three models are those trained
here; for ``naip-landcover``, which came trained, it prints what its classes are at labelled trees.
The last two see whole pictures: squares of tile 3.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import aerial_landcover
import aerial_scenes
import naip_trees
import numpy as np
import tree_crowns
import xarray as xr

import geodl_lab

CLOSE = 0.005
"""Most that a figure may differ from the card's: the whole picture is not cut into crops there."""


def photo(image: np.ndarray) -> xr.DataArray:
    """Wrap a (y, x, 3) uint8 picture as a raster (band, y, x)."""
    return xr.DataArray(np.moveaxis(image, -1, 0), dims=("band", "y", "x"))


def measure_aerial_landcover(data: Path) -> dict[str, float]:
    """Overall accuracy and mean IoU on tile 3."""
    scene = aerial_landcover.load_scene(data / "dubai_landcover", "tile_3")
    classes = photo(scene.image).dl.classify("aerial-landcover").values
    figures = aerial_landcover.accuracy(classes, scene.labels)
    return {key: figures[key] for key in ("overall_accuracy", "miou")}


def measure_aerial_scene(data: Path) -> dict[str, float]:
    """Accuracy and mean F of the scenes on squares of tile 3 that are one."""
    pictures, shares = _squares(data)
    model = geodl_lab.open_model("aerial-scene")
    values = [int(picture.dl.recognize(model).label_id[0]) for picture in pictures]
    found = np.array([aerial_scenes.SCENES.index(value) for value in values])
    return _close(aerial_scenes.score_scenes(found, aerial_scenes.truth_of(shares).scenes))


def measure_aerial_tags(data: Path) -> dict[str, float]:
    """Accuracy and mean F of the tags on squares of tile 3."""
    pictures, shares = _squares(data)
    model = geodl_lab.open_model("aerial-tags")
    tables = [picture.dl.recognize(model).sort_values("label_id") for picture in pictures]
    found = np.stack([table.predicted.to_numpy() for table in tables])
    return _close(aerial_scenes.score_tags(found, aerial_scenes.truth_of(shares).tags))


def _squares(data: Path) -> tuple[list[xr.DataArray], list[np.ndarray]]:
    scene = aerial_landcover.load_scene(data / "dubai_landcover", aerial_scenes.TEST)
    images, shares = zip(*aerial_scenes.squares(scene), strict=True)
    return [photo(image) for image in images], list(shares)


def _close(figures: dict[str, Any]) -> dict[str, float]:
    return {key: figures[key] for key in ("accuracy", "macro_f1")}


def measure_naip_trees(data: Path) -> dict[str, float]:
    """Precision, recall and F of points within 6 m on all Santa Monica crops."""
    hits = found = labelled = 0
    for crop in naip_trees.load_splits(data / "urban_trees_naip")["test"]:
        raster = photo((crop.image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
        trees = raster.dl.detect("naip-trees").geometry
        points = np.stack([trees.x, trees.y], axis=1)
        labels = crop.points.numpy()
        hits += naip_trees.count_matches(points, labels, naip_trees.MATCH_RADIUS)
        found, labelled = found + len(points), labelled + len(labels)
    return _rates(hits, found, labelled)


def measure_tree_crowns(data: Path) -> dict[str, float]:
    """Precision, recall and F of boxes at IoU 0.4 on the sites OSBS and SOAP."""
    hits = found = labelled = 0
    for plot in tree_crowns.load_plots(data / "neon_tree_crowns")["test"]:
        crowns = photo(plot.image).dl.detect("tree-crowns").sort_values("score", ascending=False)
        boxes = crowns.bounds.to_numpy().astype(np.float32)
        if len(boxes):
            hits += tree_crowns.count_matches(boxes, plot.boxes)
        found, labelled = found + len(boxes), labelled + len(plot.boxes)
    return _rates(hits, found, labelled)


def classes_at_trees(data: Path) -> dict[str, float]:
    """Share of the labelled Santa Monica trees that `naip-landcover` gives each class."""
    model = geodl_lab.open_model("naip-landcover")
    names = {label.value: label.name for label in model.package.classes}
    count: Counter[str] = Counter()
    for crop in naip_trees.load_splits(data / "urban_trees_naip")["test"]:
        raster = photo((crop.image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
        classes = raster.dl.classify(model).values
        columns, rows = np.clip(crop.points.numpy().astype(int), 0, 255).T
        count.update(names[value] for value in classes[rows, columns].tolist())
    return {name: round(number / count.total(), 3) for name, number in count.most_common()}


def _rates(hits: int, found: int, labelled: int) -> dict[str, float]:
    return {
        "precision": hits / max(found, 1),
        "recall": hits / max(labelled, 1),
        "f1": 2 * hits / max(found + labelled, 1),
    }


MEASURES = {
    "aerial-landcover": measure_aerial_landcover,
    "aerial-scene": measure_aerial_scene,
    "aerial-tags": measure_aerial_tags,
    "naip-trees": measure_naip_trees,
    "tree-crowns": measure_tree_crowns,
}


def main() -> None:
    """Measure, print, and compare with the cards."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only-cards", action="store_true", help="no naip-landcover")
    arguments = parser.parse_args()
    data = arguments.data
    logging.getLogger("geodl_lab").setLevel(logging.ERROR)  # photos have no CRS: known here
    off = []
    for name, measure in MEASURES.items():
        stated = geodl_lab.open_model(name).package.about["accuracy"]["test"]
        for key, value in measure(data).items():
            print(f"{name:<18}{key:<18}{value:.4f}   card {stated[key]:.4f}")
            off += [name] * (abs(value - stated[key]) > CLOSE)
    if not arguments.only_cards:
        print("naip-landcover     classes at labelled trees:", classes_at_trees(data))
    sys.exit(f"cards that say something else: {sorted(set(off))}" if off else 0)


if __name__ == "__main__":
    main()
