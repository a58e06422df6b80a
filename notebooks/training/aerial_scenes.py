"""Train the bundled models ``aerial-scene`` and ``aerial-tags``: what a whole RGB picture shows.

    python notebooks/training/aerial_scenes.py --data ../shared/data/dubai_landcover

rebuilds both packages under ``geodl_lab/zoo``. One net learns both: it begins with the encoder of
the bundled ``aerial-landcover``, which was trained on the same places, and its last layer is cut
in two at the end. Places are kept apart: tiles 4 to 7 train, tile 1 chooses the weights, tile 3 is
looked at once, when all is chosen.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from aerial_landcover import (
    CHOOSE,
    CLASSES,
    IGNORE,
    MEAN,
    STD,
    TEST,
    TRAIN,
    Places,
    Scene,
    load_scene,
)
from common import (
    Ema,
    descend,
    dihedral,
    jitter_rgb,
    learning_rate,
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
from geodl_lab.packages import open_model

ZOO = Path(__file__).parents[2] / "geodl_lab" / "zoo"
SIZE = 128
"""Side in pixels of what the net sees; every picture is squashed to it."""
SIDES = (64, 128, 256, 512)
"""Sides in pixels of the squares that accuracy is measured on, cut side by side."""
DOMINANT, PRESENT = 0.5, 0.05
"""Share of a picture's labelled pixels from which a class is its scene, or one of its tags."""
LABELLED = 0.5
"""Pictures with a smaller share of labelled pixels are not used."""
SCENES = (0, 1, 3, 4)
"""Class values that are scenes; roads cover half of a picture nowhere but in tiny cuts."""
ARCHITECTURE: dict[str, Any] = {
    "in_channels": 3,
    "widths": [32, 64, 112, 160],
    "encoder_convs": [2, 2, 2, 2],
    "patch": 2,
}


@dataclass(frozen=True)
class Settings:
    """What the training does; lengths in pixels."""

    seed: int = 5
    steps: int = 4000
    batch: int = 24
    least: int = 56  # side of the smallest square that is cut out
    most: int = 640  # and of the largest
    stretch: float = 1.2  # of the width alone
    balanced: float = 0.7  # share of squares round a pixel of a class drawn evenly
    peak_rate: float = 1e-3
    weight_decay: float = 5e-2
    ema_decay: float = 0.99
    smoothing: float = 0.05
    colour: float = 0.6  # strength of the colour jitter
    spoilt: float = 0.2  # share of pictures blurred, and as many compressed
    evaluate_every: int = 200


@dataclass(frozen=True)
class Truth:
    """What is right for N pictures.

    Attributes
    ----------
    scenes
        (N,) int64 position in `SCENES`, -1 where no class covers half of the picture.
    tags
        (N, 5) bool: which classes cover a twentieth of it or more.
    """

    scenes: NDArray[np.int64]
    tags: NDArray[np.bool_]


def shares_of(labels: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Share of each class of the labelled pixels of (y, x); None where too few are labelled."""
    count = np.bincount(labels[labels != IGNORE], minlength=len(CLASSES))
    return count / count.sum() if count.sum() >= LABELLED * labels.size else None


def truth_of(shares: Sequence[NDArray[np.float64]]) -> Truth:
    """Turn shares (N, 5) into what is right."""
    stack = np.stack(shares)
    best = stack.argmax(axis=1)
    place = np.array([SCENES.index(v) if v in SCENES else -1 for v in range(len(CLASSES))])
    scenes = np.where(stack.max(axis=1) >= DOMINANT, place[best], -1)
    return Truth(scenes, stack >= PRESENT)


def squares(scene: Scene) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Cut a tile into squares of every size: (side, side, 3) picture and its shares."""
    height, width = scene.labels.shape
    for side in SIDES:
        for y in range(0, height - side + 1, side):
            for x in range(0, width - side + 1, side):
                inside = slice(y, y + side), slice(x, x + side)
                shares = shares_of(scene.labels[inside])
                if shares is not None:
                    yield scene.image[inside], shares


def squash(image: NDArray[np.uint8]) -> Image.Image:
    """Stretch (y, x, 3) to what the net sees."""
    return Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR)


class Sampler(Places):
    """Draws augmented pictures with what is right for them; parameters as of `Places`."""

    def picture(self) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Cut, squash, turn and spoil one picture: (SIZE, SIZE, 3), and its shares."""
        settings, rng = self.settings, self.rng
        while True:
            scene, middle = self.middle()
            side = settings.least * (settings.most / settings.least) ** rng.random()
            extent = np.round(side * np.array([1, settings.stretch ** rng.uniform(-1, 1)]))
            extent = extent.astype(int)
            corner = middle + rng.uniform(-0.4, 0.4, 2) * extent - extent / 2
            corner = np.clip(corner, 0, scene.labels.shape - extent).astype(int)
            inside = tuple(slice(a, a + n) for a, n in zip(corner, extent, strict=True))
            shares = shares_of(scene.labels[inside])
            if shares is not None:
                break
        image = squash(scene.image[inside])
        for spoil in (spoil_sharpness, spoil_jpeg):
            image = spoil(image, rng) if rng.random() < settings.spoilt else image
        return dihedral(np.asarray(image), int(rng.integers(8))), shares

    def batch(self) -> tuple[torch.Tensor, Truth]:
        """Draw (N, 3, SIZE, SIZE) float32 normalized bands and what is right."""
        images, shares = zip(*(self.picture() for _ in range(self.settings.batch)), strict=True)
        x = jitter_rgb(to_batch(images), self.rng, self.settings.colour)
        return normalize(x, MEAN, STD), truth_of(shares)


@torch.inference_mode()
def predict(net: nn.Module, images: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the best scene (N,) and the tags (N, 5) of squashed pictures (N, SIZE, SIZE, 3)."""
    parts = [
        net(normalize(to_batch(images[start : start + 64]), MEAN, STD))
        for start in range(0, len(images), 64)
    ]
    scores = torch.cat(parts)
    scenes, tags = scores[:, : len(SCENES)], scores[:, len(SCENES) :]
    return scenes.argmax(dim=1).numpy(), (tags > 0).numpy()


def rates(found: NDArray[np.bool_], right: NDArray[np.bool_]) -> dict[str, Any]:
    """Precision, recall and F of one label over pictures (N,); 0 where there is none."""
    hits, said, true = int((found & right).sum()), int(found.sum()), int(right.sum())
    return {
        "precision": round(hits / max(said, 1), 4),
        "recall": round(hits / max(true, 1), 4),
        "f1": round(2 * hits / max(said + true, 1), 4),
        "patches": true,
    }


def score_scenes(found: NDArray[np.int64], right: NDArray[np.int64]) -> dict[str, Any]:
    """Accuracy of scenes (N,) over the pictures that are one."""
    found, right = found[right >= 0], right[right >= 0]
    labels = {
        str(CLASSES[value]["name"]): rates(found == index, right == index)
        for index, value in enumerate(SCENES)
    }
    majority = np.bincount(right).max() / len(right)
    return _summary(float((found == right).mean()), float(majority), len(right), labels)


def score_tags(found: NDArray[np.bool_], right: NDArray[np.bool_]) -> dict[str, Any]:
    """Accuracy of tags (N, 5): the share of right yes and no over all labels."""
    labels = {
        str(label["name"]): rates(found[:, index], right[:, index])
        for index, label in enumerate(CLASSES)
    }
    present = right.mean(axis=0)
    majority = float(np.maximum(present, 1 - present).mean())
    return _summary(float((found == right).mean()), majority, len(right), labels)


def _summary(
    accuracy: float, majority: float, patches: int, labels: dict[str, Any]
) -> dict[str, Any]:
    return {
        "accuracy": round(accuracy, 4),
        "macro_f1": round(float(np.mean([label["f1"] for label in labels.values()])), 4),
        "majority_accuracy": round(majority, 4),
        "patches": patches,
        "labels": labels,
    }


def evaluate(net: nn.Module, scene: Scene) -> tuple[dict[str, Any], dict[str, Any]]:
    """Accuracy of scenes and of tags on the squares of one tile."""
    images, shares = zip(*((squash(image), s) for image, s in squares(scene)), strict=True)
    truth = truth_of(shares)
    scenes, tags = predict(net.eval(), np.stack([np.asarray(image) for image in images]))
    return score_scenes(scenes, truth.scenes), score_tags(tags, truth.tags)


def loss_of(scores: torch.Tensor, truth: Truth, smoothing: float) -> torch.Tensor:
    """Cross entropy of the scenes, where there is one, plus that of each tag by itself."""
    scenes, tags = scores[:, : len(SCENES)], scores[:, len(SCENES) :]
    right = torch.from_numpy(truth.tags).float() * (1 - smoothing) + smoothing / 2
    entropy = functional.cross_entropy(
        scenes, torch.from_numpy(truth.scenes), ignore_index=-1, label_smoothing=smoothing
    )
    return entropy + functional.binary_cross_entropy_with_logits(tags, right)


def fresh_net() -> nn.Module:
    """Build the net with the encoder of ``aerial-landcover``."""
    net = build("classifier", ARCHITECTURE | {"out_channels": len(SCENES) + len(CLASSES)})
    trained = open_model("aerial-landcover").network.encoder.state_dict()
    net.encoder.load_state_dict(trained)  # type: ignore[union-attr]
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def train(scenes: Sequence[Scene], choose: Scene, settings: Settings) -> tuple[nn.Module, Any]:
    """Train; return the averaged weights of the best F on ``choose``, and that accuracy."""
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    net = fresh_net()
    average = Ema(net, settings.ema_decay)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=settings.weight_decay)
    sampler = Sampler(scenes, settings, np.random.default_rng(settings.seed))
    best, best_net, chosen = -1.0, average.model, None
    start = time.perf_counter()
    for step in range(settings.steps):
        bands, truth = sampler.batch()
        with torch.autocast("cpu", torch.bfloat16):
            scores = net(bands)
        loss = loss_of(scores.float(), truth, settings.smoothing)
        descend(net, optimizer, loss, learning_rate(step, settings.steps, settings.peak_rate))
        average.update(net)
        if (step + 1) % settings.evaluate_every == 0:
            found = evaluate(average.model, choose)
            f1 = found[0]["macro_f1"] + found[1]["macro_f1"]
            seconds = time.perf_counter() - start
            short = [(one["accuracy"], one["macro_f1"]) for one in found]
            print(f"{step + 1} loss {loss.item():.3f} choose {short} {seconds:.0f} s", flush=True)
            if f1 > best:
                best, best_net, chosen = f1, copy.deepcopy(average.model), found
    return best_net, chosen


def part_of(net: nn.Module, labels: slice) -> nn.Module:
    """Return the net with the last layer's rows of some labels alone."""
    weights = net.state_dict()
    for name in ("head.weight", "head.bias"):
        weights[name] = weights[name][labels]
    part = build("classifier", ARCHITECTURE | {"out_channels": len(weights["head.bias"])})
    part.load_state_dict(weights)
    return part.eval()


WORDS: dict[str, dict[str, Any]] = {
    "aerial-scene": {
        "title": "What an aerial or satellite picture mostly shows",
        "description": "Which of four scenes (building, land, vegetation, water) covers most of a "
        "very high resolution red, green and blue picture.",
        "recognizer": {"exclusive": True, "activation": "softmax"},
    },
    "aerial-tags": {
        "title": "What can be seen in an aerial or satellite picture",
        "description": "Which of five land covers (building, land, road, vegetation, water) a very "
        "high resolution red, green and blue picture shows; each may be, by itself.",
        "recognizer": {"exclusive": False, "activation": "sigmoid"},
    },
}


def describe(
    name: str, values: Sequence[int], choose: dict[str, Any], test: dict[str, Any]
) -> dict[str, Any]:
    """Build the text of model.json."""
    arguments = ARCHITECTURE | {"out_channels": len(values)}
    return {
        "format": "geodl-model",
        "format_version": 1,
        "name": name,
        "version": "1.0.0",
        "title": WORDS[name]["title"],
        "description": WORDS[name]["description"],
        "task": "recognize",
        "architecture": {"name": "classifier", "arguments": arguments},
        "weights": "weights.safetensors",
        "input": {
            "bands": ["red", "green", "blue"],
            "dtype": "uint8",
            "scale": 1 / 255,
            "mean": list(MEAN),
            "std": list(STD),
            "cell_size": None,
            "fit": {"kind": "squash", "height": SIZE, "width": SIZE},
        },
        "window": SIZE,
        "classes": [CLASSES[value] for value in values],
        "decoder": None,
        "recognizer": WORDS[name]["recognizer"],
        "license": "CC0-1.0",
        "attribution": "Trained on Semantic segmentation of aerial imagery (MBRSC and Humans in "
        "the Loop, CC0 1.0).",
        "accuracy": {"choose": {"place": CHOOSE} | choose, "test": {"place": TEST} | test},
    }


def main() -> None:
    """Train, measure on the test place, and write both packages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--output", type=Path, default=ZOO)
    arguments = parser.parse_args()
    start = time.perf_counter()
    scenes = [load_scene(arguments.data, tile) for tile in TRAIN]
    choose = load_scene(arguments.data, CHOOSE)
    net, chosen = train(scenes, choose, Settings(steps=arguments.steps))
    test = evaluate(net, load_scene(arguments.data, TEST))
    rows = slice(0, len(SCENES)), slice(len(SCENES), None)
    values = SCENES, tuple(range(len(CLASSES)))
    for index, name in enumerate(WORDS):
        text = describe(name, values[index], chosen[index], test[index])
        save_package(arguments.output / name, part_of(net, rows[index]), text)
        print(name, "choose", chosen[index], "\ntest", test[index])
    print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
