"""Train the bundled model ``naip-trees``: trees as points in 4-band 0.6 m NAIP.

    python notebooks/training/naip_trees.py --data ../shared/data/urban_trees_naip

rebuilds ``geodl_lab/zoo/naip-trees`` (weights, model.json) in about half an hour on one CPU thread.
All crops of Santa Monica are the test: no weight and no setting is chosen on them.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from common import Ema, save_package
from torch.nn import functional

from geodl_lab.nets import Unet

TEST_PLACE = "santa_monica"
MATCH_RADIUS = 10.0  # pixels: 6 m
ATTRIBUTION = (
    "Tree labels: Ventura et al. 2024, Int. J. Appl. Earth Obs. Geoinf. 130, 103848, CC BY 4.0. "
    "Imagery: USDA NAIP 2020."
)
LEAST_SCORE = 0.1  # maxima below are never trees
PACKAGE = Path(__file__).parents[2] / "geodl_lab" / "zoo" / "naip-trees"
ARCHITECTURE: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 1,
    "widths": [32, 64, 128],
    "encoder_convs": [2, 2, 2],
    "decoder_convs": [2, 2],
    "differences": [[3, 0]],
    "patch": 2,
}


@dataclass(frozen=True)
class Settings:
    """What the training does; lengths in pixels of 0.6 m."""

    seed: int = 7
    steps: int = 4500
    batch: int = 8
    size: int = 192  # side of a training window
    learning_rate: float = 3e-3  # at the top of the one cycle
    weight_decay: float = 2e-2
    ema_decay: float = 0.998
    sigma: float = 3.0  # of the Gaussian round a tree
    zoom: float = 1.25  # scale jitter from 1 / zoom to zoom
    evaluations: int = 8  # over the last half of the steps
    threads: int = 1


@dataclass(frozen=True)
class Crop:
    """One labelled image.

    Attributes
    ----------
    name
        Place, year and number.
    image
        (4, H, W) float32, red, green, blue, near infrared in 0..1.
    points
        (N, 2) float32, x and y of the trees in pixels; a pixel's centre is at .5.
    """

    name: str
    image: torch.Tensor
    points: torch.Tensor


@dataclass(frozen=True)
class Decoder:
    """How the heat map becomes points: maxima above ``threshold``, ``radius`` pixels apart."""

    threshold: float
    radius: int


@dataclass(frozen=True)
class Score:
    """Trees matched one to one within the match radius, over all crops of a split."""

    hits: int
    predicted: int
    labelled: int

    @property
    def precision(self) -> float:
        """Share of the predicted trees that match a label."""
        return self.hits / max(self.predicted, 1)

    @property
    def recall(self) -> float:
        """Share of the labelled trees that match a prediction."""
        return self.hits / max(self.labelled, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.hits / max(self.predicted + self.labelled, 1)

    def __str__(self) -> str:
        return f"P {self.precision:.3f} R {self.recall:.3f} F {self.f1:.3f}"


@dataclass(frozen=True)
class Chosen:
    """A trained net with the decoder that suits it best, and their score."""

    model: Unet
    decoder: Decoder
    score: Score


def load_crop(data: Path, name: str) -> Crop:
    """Read one image and its points; a crop without a label file has no tree."""
    with rasterio.open(data / "images" / f"{name}.tif") as source:
        image = source.read()  # (4, 256, 256) uint8
    table = data / "csv" / f"{name}.csv"
    rows = np.loadtxt(table, delimiter=",", skiprows=1, ndmin=2) if table.exists() else []
    points = np.asarray(rows, dtype=np.float32).reshape(-1, 2) + 0.5  # labels are pixel indices
    return Crop(name, torch.from_numpy(image) / 255, torch.from_numpy(points))


def load_splits(data: Path) -> dict[str, list[Crop]]:
    """Read the crops as ``train``, ``choose`` and ``test``; the test is one whole city."""
    names = {split: (data / f"{split}.txt").read_text().split() for split in ("train", "val")}
    crops = {split: [load_crop(data, name) for name in names[split]] for split in names}
    return {
        "train": [crop for crop in crops["train"] if not crop.name.startswith(TEST_PLACE)],
        "choose": [crop for crop in crops["val"] if not crop.name.startswith(TEST_PLACE)],
        "test": [
            crop for split in crops.values() for crop in split if crop.name.startswith(TEST_PLACE)
        ],
    }


def random_view(side: int, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Draw a window of a crop, zoomed, turned and mirrored: (2, 3) from view to crop.

    Coordinates run from -1 to 1 over the view and over the crop, x first. Half of the views
    are not zoomed and start on whole pixels, so that they are not resampled.
    """
    zoom = settings.zoom ** rng.uniform(-1, 1) if rng.random() < 0.5 else 1.0
    extent = min(settings.size / zoom, side)
    corner = rng.uniform(0, side - extent, 2)
    corner = np.round(corner) if zoom == 1.0 else corner
    turn = np.diag(rng.choice([-1.0, 1.0], 2))
    turn = turn[::-1] if rng.random() < 0.5 else turn
    centre = (2 * corner + extent) / side - 1
    return np.column_stack([turn * extent / side, centre])


def move_points(points: torch.Tensor, view: torch.Tensor, side: int, size: int) -> torch.Tensor:
    """Map (N, 2) points of a crop of ``side`` pixels to a view of ``size`` pixels."""
    unit = points * 2 / side - 1
    return ((unit - view[:, 2]) @ torch.linalg.inv(view[:, :2]).T + 1) * size / 2


def heat_map(points: torch.Tensor, size: int, sigma: float) -> torch.Tensor:
    """Gaussians of height 1 at the pixels of the (N, 2) points, joined by maximum: (1, H, W)."""
    axis = torch.arange(size)
    near = points[((points > -4 * sigma) & (points < size + 4 * sigma)).all(dim=1)].floor()
    if not len(near):
        return torch.zeros(1, size, size)
    bells = torch.exp(-((axis - near[..., None]) ** 2) / (2 * sigma**2))  # (N, 2, size)
    return (bells[:, 1, :, None] * bells[:, 0, None, :]).amax(dim=0, keepdim=True)


def jitter_colours(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Change gamma, contrast, brightness and the gain of each band of (N, 4, H, W) in 0..1."""
    count = len(images)

    def draw(spread: float, bands: int = 1) -> torch.Tensor:
        values = rng.uniform(-spread, spread, (count, bands, 1, 1))
        return torch.from_numpy(values).to(images)

    images = images.clamp_min(1e-3) ** draw(0.25).exp()
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * draw(0.2).exp() + mean + draw(0.06)
    return (images * draw(0.08, bands=4).exp()).clamp(0, 1)


def draw_batch(
    crops: Sequence[Crop], settings: Settings, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw augmented windows (N, 4, H, W) and their heat maps (N, 1, H, W)."""
    side, size = crops[0].image.shape[-1], settings.size
    views = torch.from_numpy(np.stack([random_view(side, settings, rng) for _ in crops])).float()
    grid = functional.affine_grid(views, [len(crops), 4, size, size], align_corners=False)
    images = functional.grid_sample(
        torch.stack([crop.image for crop in crops]), grid, align_corners=False
    )
    heat = [
        heat_map(move_points(crop.points, view, side, size), size, settings.sigma)
        for crop, view in zip(crops, views, strict=True)
    ]
    return jitter_colours(images, rng), torch.stack(heat)


def focal_loss(logits: torch.Tensor, heat: torch.Tensor) -> torch.Tensor:
    """Penalty-reduced focal loss a tree (CornerNet, Law and Deng 2018); both (N, 1, H, W)."""
    score = torch.sigmoid(logits)
    tree = (heat == 1).float()
    hit = tree * (1 - score) ** 2 * functional.logsigmoid(logits)
    miss = (1 - tree) * (1 - heat) ** 4 * score**2 * functional.logsigmoid(-logits)
    return -(hit + miss).sum() / tree.sum().clamp_min(1)


def draw_batches(
    crops: Sequence[Crop], settings: Settings
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield ``settings.steps`` batches, each crop equally often."""
    rng = np.random.default_rng(settings.seed)
    order: list[int] = []
    for _ in range(settings.steps):
        while len(order) < settings.batch:
            order += rng.permutation(len(crops)).tolist()
        chosen, order = order[: settings.batch], order[settings.batch :]
        yield draw_batch([crops[index] for index in chosen], settings, rng)


def predict(model: torch.nn.Module, crops: Sequence[Crop]) -> list[torch.Tensor]:
    """Probabilities (1, H, W) a crop, in float32 as the package computes them."""
    model.eval()
    with torch.inference_mode():
        return [torch.sigmoid(model(crop.image[None])[0]) for crop in crops]


def find_maxima(score: torch.Tensor, radius: int) -> np.ndarray:
    """(N, 3) x, y (pixel centres) and score of the first maxima of their squares in (1, H, W)."""
    _, first = functional.max_pool2d(score, 2 * radius + 1, 1, radius, return_indices=True)
    own = torch.arange(first.numel()).reshape(first.shape)
    _, row, column = torch.nonzero((first == own) & (score > LEAST_SCORE), as_tuple=True)
    return torch.stack([column + 0.5, row + 0.5, score[0, row, column]], dim=1).numpy()


def find_all(scores: Sequence[torch.Tensor], radius: int) -> list[np.ndarray]:
    """Find the maxima (N, 3) of each heat map (1, H, W)."""
    return [find_maxima(score, radius) for score in scores]


def count_matches(points: np.ndarray, labels: np.ndarray, radius: float) -> int:
    """Size of the largest one-to-one matching of (N, 2) and (M, 2) within ``radius``."""
    distance = np.linalg.norm(points[:, None] - labels[None], axis=2)  # (N, M)
    near = [[int(j) for j in np.argsort(row) if row[j] <= radius] for row in distance]
    owner: dict[int, int] = {}

    def place(point: int, seen: set[int]) -> bool:
        for label in near[point]:
            if label not in seen:
                seen.add(label)
                if label not in owner or place(owner[label], seen):
                    owner[label] = point
                    return True
        return False

    return sum(place(point, set()) for point in range(len(points)))


def score_points(maxima: Sequence[np.ndarray], crops: Sequence[Crop], threshold: float) -> Score:
    """Pool the matches of all crops; the maxima are (N, 3) x, y, score."""
    found = [points[points[:, 2] > threshold, :2] for points in maxima]
    pairs = zip(found, crops, strict=True)
    hits = sum(count_matches(points, crop.points.numpy(), MATCH_RADIUS) for points, crop in pairs)
    return Score(hits, sum(map(len, found)), sum(len(crop.points) for crop in crops))


def choose(model: Unet, crops: Sequence[Crop]) -> Chosen:
    """Find the threshold and radius of the best F on these crops."""
    scores = predict(model, crops)
    tried: list[tuple[Decoder, Score]] = []
    for radius in range(3, 9):
        maxima = find_all(scores, radius)
        for threshold in np.arange(LEAST_SCORE, 0.61, 0.02).round(2).tolist():
            tried.append((Decoder(threshold, radius), score_points(maxima, crops, threshold)))
    return Chosen(model, *max(tried, key=lambda pair: pair[1].f1))


def start_model(settings: Settings) -> Unet:
    """Make an untrained net that begins with hardly any tree."""
    torch.manual_seed(settings.seed)
    model = Unet(**ARCHITECTURE).to(memory_format=torch.channels_last)
    torch.nn.init.constant_(model.head.bias, -3.0)
    return model


def take_steps(
    model: Unet, crops: Sequence[Crop], settings: Settings
) -> Iterator[tuple[int, float]]:
    """Train ``model`` in place; yield the step's number and loss after each."""
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, settings.steps, pct_start=0.2
    )
    for step, (images, heat) in enumerate(draw_batches(crops, settings), start=1):
        model.train()
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images.contiguous(memory_format=torch.channels_last))
        loss = focal_loss(logits.float(), heat)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        yield step, loss.item()


def train(train_crops: Sequence[Crop], choose_crops: Sequence[Crop], settings: Settings) -> Chosen:
    """Train, and keep the averaged weights that do best on the crops to choose on."""
    model = start_model(settings)
    average = Ema(model, settings.ema_decay)
    steps = settings.steps
    marks = np.linspace(steps * 0.5, steps, settings.evaluations, dtype=int).tolist()
    best: Chosen | None = None
    start = time.perf_counter()
    for step, loss in take_steps(model, train_crops, settings):
        average.update(model)
        if step not in marks:
            continue
        chosen = choose(copy.deepcopy(average.model), choose_crops)
        seconds = time.perf_counter() - start
        print(f"{step}: loss {loss:.3f}, {chosen.decoder}, {chosen.score}, {seconds:.0f} s")
        if best is None or chosen.score.f1 > best.score.f1:
            best = chosen
    assert best is not None  # the last step is a mark
    return best


def describe(
    chosen: Chosen, choose_crops: Sequence[Crop], test: Score, crops: int
) -> dict[str, Any]:
    """Compose the package's ``model.json``."""
    return {
        "format": "geodl-model",
        "format_version": 1,
        "name": "naip-trees",
        "version": "1.0.0",
        "title": "Individual trees in NAIP",
        "description": "Finds single trees as points in 4-band 0.6 m aerial images (USDA NAIP).",
        "task": "detect",
        "architecture": {"name": "unet", "arguments": ARCHITECTURE},
        "weights": "weights.safetensors",
        "input": {
            "bands": ["red", "green", "blue", "nir"],
            "dtype": "uint8",
            "scale": 1 / 255,
            "mean": None,
            "std": None,
            "cell_size": 0.6,
        },
        "window": 512,
        "classes": [{"value": 1, "name": "tree", "color": "#2e9e4f"}],
        "decoder": {"name": "heatmap", **asdict(chosen.decoder), "box_size": MATCH_RADIUS},
        "license": "CC-BY-4.0 (labels: Ventura et al. 2024; imagery: USDA NAIP, public domain)",
        "attribution": ATTRIBUTION,
        "accuracy": {
            "choose": {
                "place": "Claremont, Long Beach, Palm Springs, Riverside",
                **figures(chosen.score, len(choose_crops)),
            },
            "test": {"place": "Santa Monica", **figures(test, crops)},
        },
    }


def figures(score: Score, crops: int) -> dict[str, float | int]:
    """Round a score for ``model.json``."""
    return {
        "precision": round(score.precision, 3),
        "recall": round(score.recall, 3),
        "f1": round(score.f1, 3),
        "match_radius_m": 6,
        "crops": crops,
        "trees": score.labelled,
    }


def main() -> None:
    """Train, choose, look at the test once and write the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder urban_trees_naip")
    parser.add_argument("--output", type=Path, default=PACKAGE, help="folder of the package")
    options = parser.parse_args()
    settings = Settings()
    torch.set_num_threads(settings.threads)
    start = time.perf_counter()
    splits = load_splits(options.data)
    chosen = train(splits["train"], splits["choose"], settings)
    maxima = find_all(predict(chosen.model, splits["test"]), chosen.decoder.radius)
    test = score_points(maxima, splits["test"], chosen.decoder.threshold)
    print(f"Santa Monica: {test}")
    description = describe(chosen, splits["choose"], test, len(splits["test"]))
    save_package(options.output, chosen.model, description)
    print(f"{options.output}: made in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
