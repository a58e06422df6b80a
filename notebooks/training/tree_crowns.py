"""Train the bundled model ``tree-crowns``: boxes round single tree crowns in 0.1 m RGB.

    python notebooks/training/tree_crowns.py --data ../shared/data/neon_tree_crowns

rebuilds ``geodl_lab/zoo/tree-crowns`` (weights, model.json). Sites are kept apart: YELL and TEAK
train, the plot TEAK_057 chooses the weights and the decoder, OSBS and SOAP are looked at once,
when all is chosen.
"""

from __future__ import annotations

import argparse
import copy
import csv
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
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

PACKAGE = Path(__file__).parents[2] / "geodl_lab" / "zoo" / "tree-crowns"
CHOOSE, TEST_SITES = "TEAK_057", ("OSBS", "SOAP")
STRIDE, SIZE_UNIT, MATCH_IOU = 16, 32.0, 0.4
NEAR = 0.3  # height of the Gaussian from which on the size is learned
MEAN, STD = (0.5, 0.5, 0.45), (0.25, 0.25, 0.25)
ARCHITECTURE: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,  # centre logit, log(height / 32 px), log(width / 32 px)
    "widths": [48, 96, 128],
    "encoder_convs": [2, 2, 2],
    "decoder_convs": [1, 1],
    "patch": 4,
}


@dataclass(frozen=True)
class Settings:
    """What the training does; lengths in pixels."""

    seed: int = 5
    steps: int = 2400
    batch: int = 8
    size: int = 224  # side of a training window
    peak_rate: float = 3e-3
    weight_decay: float = 3e-2
    ema_decay: float = 0.998
    zoom: float = 1.75  # scale jitter from 1 / zoom to zoom, log-uniform
    sigma: float = 0.15  # of the Gaussian round a centre, as a share of the box
    around_tree: float = 0.8  # share of windows round a tree
    colour: float = 0.5  # strength of the colour jitter
    spoilt: float = 0.15  # share of windows blurred, and as many compressed
    size_weight: float = 0.5
    evaluate_every: int = 150


@dataclass(frozen=True)
class Plot:
    """One labelled picture.

    Attributes
    ----------
    name
        Site and number.
    image
        (y, x, 3) uint8 red, green, blue.
    boxes
        (N, 4) float32 x0, y0, x1, y1 in pixels.
    """

    name: str
    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]


@dataclass(frozen=True)
class Decoder:
    """How the map becomes boxes: maxima above ``threshold``, ``radius`` pixels apart."""

    threshold: float
    radius: int


@dataclass(frozen=True)
class Score:
    """Boxes matched one to one, greedily by score, at an IoU of 0.4, over all plots."""

    hits: int
    predicted: int
    labelled: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.hits / max(self.predicted + self.labelled, 1)

    def summary(self) -> dict[str, float]:
        """Precision, recall and F with the match threshold, as model.json tells them."""
        return {
            "iou_threshold": MATCH_IOU,
            "precision": round(self.hits / max(self.predicted, 1), 4),
            "recall": round(self.hits / max(self.labelled, 1), 4),
            "f1": round(self.f1, 4),
        }


def load_plots(data: Path) -> dict[str, list[Plot]]:
    """Read all pictures as ``train``, ``choose`` and ``test``, split by site."""
    boxes = defaultdict(list)
    with (data / "boxes.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            boxes[row["image_path"]].append(
                [float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")]
            )
    plots: dict[str, list[Plot]] = {"train": [], "choose": [], "test": []}
    for path in sorted(boxes):
        name = Path(path).stem
        with rasterio.open(data / "images" / path) as source:
            image = np.ascontiguousarray(source.read([1, 2, 3]).transpose(1, 2, 0))
        split = "choose" if name == CHOOSE else "train"
        split = "test" if name.startswith(TEST_SITES) else split
        plots[split].append(Plot(name, image, np.array(boxes[path], np.float32)))
    return plots


def draw_targets(boxes: NDArray[np.float32], size: int, sigma: float) -> NDArray[np.float32]:
    """Paint Gaussians round the centres of (N, 4) boxes.

    Returns
    -------
    numpy.ndarray
        (3, size, size): the highest Gaussian of a pixel, and the log of its box's height and
        width in units of 32 pixels.
    """
    target = np.zeros((3, size, size), np.float32)
    for x0, y0, x1, y1 in boxes:
        side = np.array([y1 - y0, x1 - x0])
        middle = np.array([y0 + y1, x0 + x1]) / 2
        spread = np.maximum(sigma * side, 1.5)
        first = np.maximum(np.floor(middle - 3 * spread), 0).astype(int)
        last = np.minimum(np.ceil(middle + 3 * spread), size).astype(int)
        if (first >= last).any():
            continue
        rows, columns = (np.arange(a, b) + 0.5 for a, b in zip(first, last, strict=True))
        bell = np.exp(-(((rows - middle[0]) / spread[0]) ** 2) / 2)[:, None] * np.exp(
            -(((columns - middle[1]) / spread[1]) ** 2) / 2
        )
        part = target[:, first[0] : last[0], first[1] : last[1]]
        values = np.stack([bell, *np.broadcast_arrays(*np.log(side / SIZE_UNIT), bell)[:2]])
        np.copyto(part, values.astype(np.float32), where=bell > part[0])
    return target


class Sampler:
    """Draws augmented windows, half of them from the one big picture.

    Parameters
    ----------
    plots
        The training pictures.
    settings
        Sizes and shares.
    rng
        Source of all chance.
    """

    def __init__(self, plots: Sequence[Plot], settings: Settings, rng: np.random.Generator) -> None:
        self.plots, self.settings, self.rng = plots, settings, rng
        areas = np.sqrt([plot.image.shape[0] * plot.image.shape[1] for plot in plots])
        self.shares = areas / areas.sum()

    def window(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Cut, zoom, turn and spoil one window: (size, size, 3) image, (3, size, size) target."""
        settings, rng = self.settings, self.rng
        plot = self.plots[rng.choice(len(self.plots), p=self.shares)]
        shape = np.array(plot.image.shape[:2])
        middle = rng.uniform(0, shape)
        if rng.random() < settings.around_tree:
            x0, y0, x1, y1 = plot.boxes[rng.integers(len(plot.boxes))]
            middle = np.array([y0 + y1, x0 + x1]) / 2
        zoom = settings.zoom ** rng.uniform(-1, 1)
        extent = round(settings.size / zoom)
        corner = middle + rng.uniform(-0.9, -0.1, 2) * extent
        top, left = np.clip(corner, 0, shape - extent).astype(int)
        cut = plot.image[top : top + extent, left : left + extent]
        image = Image.fromarray(cut).resize((settings.size,) * 2, Image.Resampling.BILINEAR)
        for spoil in (spoil_sharpness, spoil_jpeg):
            image = spoil(image, rng) if rng.random() < settings.spoilt else image
        boxes = (plot.boxes - [left, top, left, top]) * settings.size / extent
        boxes = boxes[(boxes[:, 2:] > 0).all(1) & (boxes[:, :2] < settings.size).all(1)]
        turn = int(rng.integers(8))
        boxes = turned_boxes(boxes, turn, settings.size)
        target = draw_targets(boxes, settings.size, settings.sigma)
        return dihedral(np.asarray(image), turn), target

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw (N, 3, H, W) float32 normalized bands and (N, 3, H, W) float32 targets."""
        images, targets = zip(*(self.window() for _ in range(self.settings.batch)), strict=True)
        x = jitter_rgb(to_batch(images), self.rng, self.settings.colour)
        return normalize(x, MEAN, STD), torch.from_numpy(np.stack(targets))


def turned_boxes(boxes: NDArray[Any], turn: int, size: int) -> NDArray[np.float32]:
    """Turn (N, 4) boxes as `dihedral` turns a picture of ``size`` pixels a side."""
    x0, y0, x1, y1 = boxes.T
    for _ in range(turn % 4):  # a quarter to the left: x becomes y upside down
        x0, y0, x1, y1 = y0, size - x1, y1, size - x0
    if turn >= 4:
        x0, x1 = size - x1, size - x0
    return np.stack([x0, y0, x1, y1], axis=1).astype(np.float32)


@torch.inference_mode()
def predict(net: nn.Module, image: NDArray[np.uint8]) -> torch.Tensor:
    """Run a whole (y, x, 3) picture at once: (3, y, x) probability and log sizes."""
    height, width = image.shape[:2]
    out = net(normalize(to_batch([mirror_to(image, STRIDE)]), MEAN, STD))[0]
    out = out[:, :height, :width].contiguous()
    return torch.cat([out[:1].sigmoid(), out[1:]])  # (3, y, x)


def decode(maps: torch.Tensor, decoder: Decoder) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read boxes (N, 4) in pixels and scores (N), best first, from maps (3, y, x)."""
    side, radius = 2 * decoder.radius + 1, decoder.radius
    score = maps[:1]
    _, first = functional.max_pool2d(score, side, 1, radius, return_indices=True)
    own = torch.arange(first.numel()).reshape(first.shape)
    _, row, column = torch.nonzero((first == own) & (score > decoder.threshold), as_tuple=True)
    found = maps[:, row, column].numpy()  # (3, N)
    half_height, half_width = SIZE_UNIT * np.exp(found[1:]) / 2
    x, y = column.numpy() + 0.5, row.numpy() + 0.5
    boxes = np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1)
    order = np.argsort(-found[0], kind="stable")
    return boxes[order].astype(np.float32), found[0][order]


def box_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of each of (N, 4) with each of (M, 4) boxes: (N, M)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(box[:, 2:] - box[:, :2]).prod(axis=1) for box in (a, b)]
    return both / (areas[0][:, None] + areas[1][None] - both)


def count_matches(boxes: NDArray[np.float32], labels: NDArray[np.float32]) -> int:
    """Match (N, 4) boxes, best score first, each to the free label of the highest IoU."""
    iou = box_iou(boxes, labels)
    hits = 0
    for row in iou:
        best = row.argmax()
        if row[best] >= MATCH_IOU:
            iou[:, best] = 0
            hits += 1
    return hits


def evaluate(maps: Sequence[torch.Tensor], plots: Sequence[Plot], decoder: Decoder) -> Score:
    """Pool the matches of all plots."""
    found = [decode(one, decoder)[0] for one in maps]
    hits = sum(count_matches(a, plot.boxes) for a, plot in zip(found, plots, strict=True))
    return Score(hits, sum(map(len, found)), sum(len(plot.boxes) for plot in plots))


def choose_decoder(maps: Sequence[torch.Tensor], plots: Sequence[Plot]) -> tuple[Decoder, Score]:
    """Find the threshold and radius of the best F; of equals, the widest radius: fewest doubles."""
    tried = [
        (decoder, evaluate(maps, plots, decoder))
        for radius in (12, 10, 8, 6)
        for decoder in (Decoder(round(float(t), 3), radius) for t in np.arange(0.15, 0.61, 0.025))
    ]
    return max(tried, key=lambda pair: pair[1].f1)


def loss_of(out: torch.Tensor, target: torch.Tensor, size_weight: float) -> torch.Tensor:
    """Quality focal loss of the centres (Li et al. 2020) plus L1 of the log sizes near them."""
    heat, near = target[:, 0], target[:, 0] * (target[:, 0] > NEAR)
    entropy = functional.binary_cross_entropy_with_logits(out[:, 0], heat, reduction="none")
    centre = ((heat - out[:, 0].sigmoid()) ** 2 * entropy).sum() / heat.sum().clamp(min=1)
    error = (out[:, 1:] - target[:, 1:]).abs().sum(1)
    return 10 * centre + size_weight * (near * error).sum() / near.sum().clamp(min=1)


def train(plots: dict[str, list[Plot]], settings: Settings) -> tuple[nn.Module, Decoder, Score]:
    """Train; return the averaged weights and the decoder of the best F on ``choose``."""
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    net = build("unet", ARCHITECTURE).to(memory_format=torch.channels_last)
    nn.init.constant_(net.head.bias[: ARCHITECTURE["patch"] ** 2], -3.0)
    average = Ema(net, settings.ema_decay)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=settings.weight_decay)
    sampler = Sampler(plots["train"], settings, np.random.default_rng(settings.seed))
    choose, best, best_net = plots["choose"], (Decoder(0.3, 8), Score(0, 0, 1)), net
    start = time.perf_counter()
    for step in range(settings.steps):
        bands, target = sampler.batch()
        with torch.autocast("cpu", torch.bfloat16):
            out = net(bands)
        loss = loss_of(out.float(), target, settings.size_weight)
        rate = learning_rate(step, settings.steps, settings.peak_rate)
        descend(net, optimizer, loss, rate)
        average.update(net)
        if (step + 1) % settings.evaluate_every == 0:
            maps = [predict(average.model, plot.image) for plot in choose]
            found = choose_decoder(maps, choose)
            seconds = time.perf_counter() - start
            report = f"{step + 1} loss {loss.item():.3f} choose {found[0]} {found[1].summary()}"
            print(f"{report} {seconds:.0f} s", flush=True)
            if found[1].f1 > best[1].f1:
                best, best_net = found, copy.deepcopy(average.model)
    return best_net, *best


def describe(decoder: Decoder, choose: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    """Build the text of model.json."""
    return {
        "format": "geodl-model",
        "format_version": 1,
        "name": "tree-crowns",
        "version": "1.0.0",
        "title": "Tree crowns in RGB",
        "description": "Boxes round single tree crowns in red, green and blue of 0.1 m.",
        "task": "detect",
        "architecture": {"name": "unet", "arguments": ARCHITECTURE},
        "weights": "weights.safetensors",
        "input": {
            "bands": ["red", "green", "blue"],
            "dtype": "uint8",
            "scale": 1 / 255,
            "mean": list(MEAN),
            "std": list(STD),
            "cell_size": 0.1,
        },
        "window": 512,
        "classes": [{"value": 1, "name": "tree", "color": "#f5d33f"}],
        "decoder": {"name": "heatmap"} | asdict(decoder) | {"size_unit": SIZE_UNIT},
        "license": "MIT",
        "attribution": "Trained on tree crowns of the DeepForest repository ((c) Weecology, MIT; "
        "Weinstein et al. 2021) over NEON camera imagery (CC0 1.0).",
        "accuracy": {"choose": {"place": CHOOSE} | choose, "test": test},
    }


def main() -> None:
    """Train, measure on the test sites, and write the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--output", type=Path, default=PACKAGE)
    arguments = parser.parse_args()
    start = time.perf_counter()
    plots = load_plots(arguments.data)
    net, decoder, chosen = train(plots, Settings(steps=arguments.steps))
    maps = [predict(net, plot.image) for plot in plots["test"]]
    score = evaluate(maps, plots["test"], decoder)
    test = {"place": " and ".join(TEST_SITES)} | score.summary()
    test |= {"images": len(maps), "boxes": score.labelled}
    save_package(arguments.output, net, describe(decoder, chosen.summary(), test))
    print(f"choose {chosen} {decoder}\ntest {score} {test}\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
