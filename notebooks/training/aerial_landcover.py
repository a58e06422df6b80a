"""Train the bundled model ``aerial-landcover``: five classes in very high resolution RGB.

    python notebooks/training/aerial_landcover.py --data ../shared/data/dubai_landcover

rebuilds ``geodl_lab/zoo/aerial-landcover`` (weights, model.json). Places are kept apart: tiles
4 to 7 train, tile 1 chooses the weights, tile 3 is looked at once, when all is chosen.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import (
    Ema,
    descend,
    dihedral,
    jitter_rgb,
    learning_rate,
    mirror_to,
    normalize,
    save_package,
    spoil_jpeg,
    spoil_sharpness,
    to_batch,
)
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn import functional

from geodl_lab.nets import build

PACKAGE = Path(__file__).parents[2] / "geodl_lab" / "zoo" / "aerial-landcover"
TRAIN, CHOOSE, TEST = ("tile_4", "tile_5", "tile_6", "tile_7"), "tile_1", "tile_3"
STRIDE, IGNORE = 16, 255
MEAN, STD = (0.45, 0.45, 0.42), (0.25, 0.25, 0.25)
CLASSES = (
    {"value": 0, "name": "building", "color": "#e4572e"},
    {"value": 1, "name": "land", "color": "#e8d8a8"},
    {"value": 2, "name": "road", "color": "#6c6f7d"},
    {"value": 3, "name": "vegetation", "color": "#4c9f50"},
    {"value": 4, "name": "water", "color": "#3d85c6"},
)
LABEL_COLORS = (0x3C1098, 0x8429F6, 0x6EC1E4, 0xFEDD3A, 0xE2A929)  # class values 0 to 4
ARCHITECTURE: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": len(CLASSES),
    "widths": [32, 64, 112, 160],
    "encoder_convs": [2, 2, 2, 2],
    "decoder_convs": [1, 1, 1],
    "patch": 2,
}


@dataclass(frozen=True)
class Settings:
    """What the training does; lengths in pixels."""

    seed: int = 3
    steps: int = 4800
    batch: int = 4
    size: int = 256  # side of a training window
    peak_rate: float = 2e-3
    weight_decay: float = 3e-2
    ema_decay: float = 0.997
    zoom: float = 2.0  # scale jitter from 1 / zoom to zoom, log-uniform
    stretch: float = 1.15  # of the width alone
    native: float = 0.3  # share of windows neither zoomed nor stretched
    balanced: float = 0.6  # share of windows round a pixel of a class drawn evenly
    smoothing: float = 0.02
    colour: float = 0.5  # strength of the colour jitter
    spoilt: float = 0.15  # share of windows blurred, and as many compressed
    evaluate_every: int = 200


@dataclass(frozen=True)
class Scene:
    """One stitched tile.

    Attributes
    ----------
    image
        (y, x, 3) uint8 red, green, blue.
    labels
        (y, x) uint8 class values, `IGNORE` where unlabelled.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def stitch(paths: Sequence[Path]) -> NDArray[np.uint8]:
    """Join a row-major 3x3 cut whose parts differ by a pixel in size: (y, x, 3) uint8."""
    parts = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    rows = []
    for row in (parts[:3], parts[3:6], parts[6:]):
        height = min(part.shape[0] for part in row)
        rows.append(np.hstack([part[:height] for part in row]))
    width = min(row.shape[1] for row in rows)
    return np.vstack([row[:, :width] for row in rows])


def load_scene(data: Path, tile: str) -> Scene:
    """Read one tile and turn the exact label colours into class values."""
    image = stitch(sorted((data / tile / "images").glob("*.jpg")))
    red, green, blue = stitch(sorted((data / tile / "masks").glob("*.png"))).transpose(2, 0, 1)
    code = (red.astype(np.int32) << 16) | (green.astype(np.int32) << 8) | blue
    labels = np.full(code.shape, IGNORE, np.uint8)
    for value, color in enumerate(LABEL_COLORS):
        labels[code == color] = value
    return Scene(image, labels)


class Places:
    """Chooses where to cut, a share of the times with each class equally often.

    Parameters
    ----------
    scenes
        The training tiles.
    settings
        Sizes and shares; here ``balanced`` counts, the share of cuts round a class drawn evenly.
    rng
        Source of all chance.
    """

    def __init__(self, scenes: Sequence[Scene], settings: Any, rng: np.random.Generator) -> None:
        self.scenes, self.settings, self.rng = scenes, settings, rng
        areas = np.sqrt([scene.labels.size for scene in scenes])
        self.any_share = areas / areas.sum()
        # places[class][scene]: (N, 2) y, x of every 16th pixel of that class
        self.places = [
            [np.argwhere(scene.labels[::4, ::4] == value) * 4 for scene in scenes]
            for value in range(len(CLASSES))
        ]

    def middle(self) -> tuple[Scene, NDArray[np.int64]]:
        """Choose a scene and the (y, x) pixel near the middle of a cut."""
        rng = self.rng
        if rng.random() >= self.settings.balanced:
            scene = self.scenes[int(rng.choice(len(self.scenes), p=self.any_share))]
            return scene, rng.integers(0, scene.labels.shape)
        places = self.places[rng.integers(len(CLASSES))]
        shares = np.sqrt([len(found) for found in places])
        index = int(rng.choice(len(places), p=shares / shares.sum()))
        return self.scenes[index], places[index][rng.integers(len(places[index]))]


class Sampler(Places):
    """Draws augmented windows; parameters as of `Places`."""

    def window(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Cut, zoom, turn and spoil one window: (size, size, 3) image, (size, size) labels."""
        settings, rng = self.settings, self.rng
        scene, middle = self.middle()
        if rng.random() < settings.native:
            zoom, stretch = 1.0, 1.0
        else:
            zoom = settings.zoom ** rng.uniform(-1, 1)
            stretch = settings.stretch ** rng.uniform(-1, 1)
        extent = np.round(settings.size / zoom / np.array([1, stretch])).astype(int)
        shift = rng.uniform(-0.4, 0.4, 2) * extent
        corner = np.clip(middle + shift - extent / 2, 0, scene.labels.shape - extent).astype(int)
        inside = tuple(slice(a, a + n) for a, n in zip(corner, extent, strict=True))
        target = (settings.size, settings.size)
        image = Image.fromarray(scene.image[inside]).resize(target, Image.Resampling.BILINEAR)
        labels = Image.fromarray(scene.labels[inside]).resize(target, Image.Resampling.NEAREST)
        for spoil in (spoil_sharpness, spoil_jpeg):
            image = spoil(image, rng) if rng.random() < settings.spoilt else image
        turn = int(rng.integers(8))
        return dihedral(np.asarray(image), turn), dihedral(np.asarray(labels), turn)

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw (N, 3, H, W) float32 normalized bands and (N, H, W) int64 class values."""
        images, labels = zip(*(self.window() for _ in range(self.settings.batch)), strict=True)
        x = jitter_rgb(to_batch(images), self.rng, self.settings.colour)
        return normalize(x, MEAN, STD), torch.from_numpy(np.stack(labels)).long()


@torch.inference_mode()
def predict(net: nn.Module, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Classify a whole (y, x, 3) picture at once, mirrored to a multiple of the stride."""
    height, width = image.shape[:2]
    x = normalize(to_batch([mirror_to(image, STRIDE)]), MEAN, STD)
    return net(x)[0, :, :height, :width].argmax(0).byte().numpy()


def accuracy(predicted: NDArray[np.uint8], labels: NDArray[np.uint8]) -> dict[str, Any]:
    """Overall accuracy, IoU a class and their mean over the labelled pixels of (y, x) maps."""
    count, valid = len(CLASSES), labels != IGNORE
    pairs = labels[valid].astype(np.int64) * count + predicted[valid]
    confusion = np.bincount(pairs, minlength=count**2).reshape(count, count)
    hits = confusion.diagonal()
    iou = hits / (confusion.sum(0) + confusion.sum(1) - hits)
    return {
        "overall_accuracy": round(float(hits.sum() / confusion.sum()), 4),
        "miou": round(float(iou.mean()), 4),
        "iou": {str(c["name"]): round(float(v), 4) for c, v in zip(CLASSES, iou, strict=True)},
    }


def evaluate(net: nn.Module, scene: Scene) -> dict[str, Any]:
    """Accuracy of a net on one scene at its own scale."""
    return accuracy(predict(net.eval(), scene.image), scene.labels)


def loss_of(scores: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Cross entropy plus half a soft Dice loss over the classes; ignored pixels count nowhere."""
    entropy = functional.cross_entropy(
        scores, labels, ignore_index=IGNORE, label_smoothing=smoothing
    )
    valid = labels != IGNORE
    truth = functional.one_hot(labels.where(valid, 0), len(CLASSES)).permute(0, 3, 1, 2)
    truth, share = truth * valid[:, None], scores.softmax(1) * valid[:, None]
    both, sums = (truth * share).sum((0, 2, 3)), (truth + share).sum((0, 2, 3))
    return entropy + 0.5 * (1 - (2 * both + 1) / (sums + 1)).mean()


def train(scenes: Sequence[Scene], choose: Scene, settings: Settings) -> tuple[nn.Module, Any]:
    """Train; return the averaged weights of the best mean IoU on ``choose``, and that accuracy."""
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    net = build("unet", ARCHITECTURE).to(memory_format=torch.channels_last)
    average = Ema(net, settings.ema_decay)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=settings.weight_decay)
    sampler = Sampler(scenes, settings, np.random.default_rng(settings.seed))
    best, best_net = {"miou": -1.0}, copy.deepcopy(average.model)
    start = time.perf_counter()
    for step in range(settings.steps):
        bands, labels = sampler.batch()
        with torch.autocast("cpu", torch.bfloat16):
            scores = net(bands)
        loss = loss_of(scores.float(), labels, settings.smoothing)
        rate = learning_rate(step, settings.steps, settings.peak_rate)
        descend(net, optimizer, loss, rate)
        average.update(net)
        if (step + 1) % settings.evaluate_every == 0:
            found = evaluate(average.model, choose)
            seconds = time.perf_counter() - start
            print(f"{step + 1} loss {loss.item():.3f} choose {found} {seconds:.0f} s", flush=True)
            if found["miou"] > best["miou"]:
                best, best_net = found, copy.deepcopy(average.model)
    return best_net, best


def describe(choose: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    """Build the text of model.json."""
    return {
        "format": "geodl-model",
        "format_version": 1,
        "name": "aerial-landcover",
        "version": "1.0.0",
        "title": "Land cover in aerial and satellite RGB",
        "description": "Five land cover classes (building, land, road, vegetation, water) in "
        "very high resolution red, green and blue.",
        "task": "classify",
        "architecture": {"name": "unet", "arguments": ARCHITECTURE},
        "weights": "weights.safetensors",
        "input": {
            "bands": ["red", "green", "blue"],
            "dtype": "uint8",
            "scale": 1 / 255,
            "mean": list(MEAN),
            "std": list(STD),
            "cell_size": None,
        },
        "window": 512,
        "classes": list(CLASSES),
        "decoder": None,
        "license": "CC0-1.0",
        "attribution": "Trained on Semantic segmentation of aerial imagery (MBRSC and Humans in "
        "the Loop, CC0 1.0).",
        "accuracy": {"choose": {"place": CHOOSE} | choose, "test": {"place": TEST} | test},
    }


def main() -> None:
    """Train, measure on the test place, and write the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--output", type=Path, default=PACKAGE)
    arguments = parser.parse_args()
    start = time.perf_counter()
    scenes = [load_scene(arguments.data, tile) for tile in TRAIN]
    choose = load_scene(arguments.data, CHOOSE)
    net, chosen = train(scenes, choose, Settings(steps=arguments.steps))
    test = evaluate(net, load_scene(arguments.data, TEST))
    save_package(arguments.output, net, describe(chosen, test))
    print(f"choose {chosen}\ntest {test}\n{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
