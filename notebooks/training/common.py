"""What the training scripts of the bundled models share."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save

from geodl_lab.package import Field
from geodl_lab.receptive import measure_field, measure_memory


class Ema:
    """Exponential moving average of a model's weights and BatchNorm statistics.

    Parameters
    ----------
    model
        The model in training.
    decay
        Share of the average that a step keeps; less in the first steps.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval()
        self.decay = decay
        self.steps = 0

    def update(self, model: torch.nn.Module) -> None:
        """Take in the weights of ``model`` after an optimizer step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            pairs = zip(self.model.state_dict().values(), model.state_dict().values(), strict=True)
            for mean, new in pairs:
                if mean.is_floating_point():
                    mean.lerp_(new, 1 - decay)
                else:
                    mean.copy_(new)


def save_package(folder: Path, model: torch.nn.Module, description: dict[str, Any]) -> None:
    """Write ``weights.safetensors`` and ``model.json`` with the measured field.

    Kernels are stored as float16, half the size; the package computes with them in float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: (value.half() if value.ndim == 4 else value).contiguous()
        for name, value in model.state_dict().items()
    }
    (folder / "weights.safetensors").write_bytes(save(weights))
    bands, window = len(description["input"]["bands"]), description["window"]
    if description["task"] == "recognize":
        memory = measure_memory(model.eval(), torch.zeros(1, bands, window, window))
        field = Field(finite=False, memory=memory)
    else:
        field = measure_field(model.eval(), bands, window=window)
    described = {**description, "field": dataclasses.asdict(field)}
    text = json.dumps(described, indent=2, ensure_ascii=False)
    (folder / "model.json").write_text(text + "\n", encoding="utf-8")


def learning_rate(step: int, steps: int, peak: float, warm_up: int = 100) -> float:
    """Linear warm-up, then half a cosine down to zero at the last step."""
    return peak * min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


def descend(
    net: torch.nn.Module, optimizer: torch.optim.Optimizer, loss: torch.Tensor, rate: float
) -> None:
    """Make one optimizer step at a learning rate, with the gradient's norm cut at 5."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimizer.step()


def spoil_jpeg(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Compress an RGB picture as a JPEG of random quality and read it back."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(25, 85)))
    return Image.open(buffer).convert("RGB")


def spoil_sharpness(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Blur a picture by making it smaller and large again."""
    factor = rng.uniform(1.2, 3.0)
    small = image.resize((round(image.width / factor), round(image.height / factor)))
    return small.resize(image.size, Image.Resampling.BILINEAR)


def hue_and_saturation(turn: float, saturation: float) -> NDArray[np.float32]:
    """Build the 3x3 matrix that turns RGB round the grey axis by ``turn`` radians."""
    grey = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    around = math.cos(turn) * (np.eye(3) - grey) + math.sin(turn) * cross
    return (grey + saturation * around).astype(np.float32)


def jitter_rgb(x: torch.Tensor, rng: np.random.Generator, strength: float) -> torch.Tensor:
    """Change light, colour, contrast, haze and noise, each picture in its own way.

    Parameters
    ----------
    x
        (N, 3, H, W) float32 red, green, blue, 0..1.
    rng
        Source of all chance.
    strength
        1 takes gamma and contrast to between 0.6 and 1.65, 0 changes little.
    """
    count = len(x)

    def draw(low: float, high: float, channels: int = 1) -> torch.Tensor:
        values = strength * rng.uniform(low, high, (count, channels, 1, 1))
        return torch.from_numpy(values.astype(np.float32))

    turns, saturations = rng.normal(0, 0.2, count), rng.uniform(-0.7, 0.7, count)
    mixes = map(hue_and_saturation, strength * turns, 1 + strength * saturations)
    x = torch.einsum("nij,njhw->nihw", torch.from_numpy(np.stack(list(mixes))), x).clamp(1e-4, 1)
    x = x ** draw(-0.5, 0.5).exp()
    middle = x.mean(dim=(1, 2, 3), keepdim=True)
    x = (x - middle) * draw(-0.5, 0.5).exp() + middle + draw(-0.15, 0.15)
    x = x * draw(-0.2, 0.2, 3).exp() + draw(-0.05, 0.05, 3)
    haze = draw(-0.8, 0.4).clamp(min=0)  # a third of the pictures are hazy
    x = x * (1 - haze) + haze * (0.8 + draw(-0.15, 0.15, 3))
    noise = draw(-0.04, 0.04).clamp(min=0)
    return (x + noise * torch.randn_like(x)).clamp(0, 1)


def dihedral(array: NDArray[Any], turn: int) -> NDArray[Any]:
    """Rotate by ``turn % 4`` quarters and, from 4 on, mirror: (y, x, ...) to (y, x, ...)."""
    turned = np.rot90(array, turn % 4)
    return turned[:, ::-1] if turn >= 4 else turned


def normalize(x: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Apply a package's mean and std to (N, 3, H, W) of 0..1; the result is channels-last."""
    shift, divisor = (torch.tensor(values).reshape(3, 1, 1) for values in (mean, std))
    return ((x - shift) / divisor).contiguous(memory_format=torch.channels_last)


def to_batch(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Stack (y, x, 3) uint8 pictures to (N, 3, H, W) float32 of 0..1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def mirror_to(image: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    """Mirror the lower and right edge of (y, x, 3) until both sides are multiples of ``stride``."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, -height % stride), (0, -width % stride), (0, 0)), mode="reflect")
