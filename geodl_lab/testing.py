"""Small rasters and nets whose right answers are known, for tests here and elsewhere."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  the .rio accessor
import safetensors.torch
import shapely
import torch
import xarray as xr
from affine import Affine
from scipy import ndimage
from torch import nn

from geodl_lab import nets

CRS = "EPSG:26911"


def make_raster(
    shape: tuple[int, int, int] = (3, 90, 70),
    *,
    seed: int = 0,
    names: tuple[str, ...] = (),
    nodata: int | None = None,
    cell_size: float = 0.6,
    crs: str | None = CRS,
) -> xr.DataArray:
    """Make a uint8 raster of smooth random texture.

    Parameters
    ----------
    shape
        (band, y, x).
    seed
        Other numbers give other textures.
    names
        Band names, stored where rioxarray stores them.
    nodata
        Value that means no data; none of the pixels has it by chance.
    cell_size, crs
        Georeference; None leaves the raster without a CRS.
    """
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = ndimage.gaussian_filter(noise, (0, 2, 2), mode="wrap") * 400 + 128
    values = np.clip(smooth, 1, 254).astype(np.uint8)
    return wrap(values, names=names, nodata=nodata, cell_size=cell_size, crs=crs)


def wrap(
    values: np.ndarray,
    *,
    names: tuple[str, ...] = (),
    nodata: float | None = None,
    cell_size: float = 0.6,
    crs: str | None = CRS,
) -> xr.DataArray:
    """Make a georeferenced DataArray of values (band, y, x)."""
    _, height, width = values.shape
    transform = Affine(cell_size, 0, 400_000, 0, -cell_size, 3_700_000)
    coords = {
        "y": transform.f + transform.e * (np.arange(height) + 0.5),
        "x": transform.c + transform.a * (np.arange(width) + 0.5),
    }
    raster = xr.DataArray(values, dims=("band", "y", "x"), coords=coords)
    if crs is not None:
        raster = raster.rio.write_crs(crs).rio.write_transform(transform)
    if nodata is not None:
        raster = raster.rio.write_nodata(nodata)
    if names:
        raster.attrs["long_name"] = names
    return raster


class RandomNet(nn.Module):
    """A small random encoder-decoder whose every path matters, so that seams would show.

    Parameters
    ----------
    bands, classes
        Channels in and out.
    stride
        Power of two: how often the net halves its input.
    norm
        ``batch`` (finite receptive field) or ``group`` (statistics of the whole window).
    seed
        Other numbers give other weights.
    """

    def __init__(
        self,
        bands: int = 3,
        classes: int = 4,
        *,
        stride: int = 4,
        norm: str = "batch",
        seed: int = 0,
        width: int = 8,
    ) -> None:
        super().__init__()
        self.calls = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.levels = stride.bit_length() - 1
            self.down = nn.ModuleList(
                _block(bands if level == 0 else width, width, norm)
                for level in range(self.levels + 1)
            )
            self.up = nn.ModuleList(_block(2 * width, width, norm) for _ in range(self.levels))
            self.head = nn.Conv2d(width, classes, 1)
            self._settle(bands, max(64, 2 * stride))
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, K, H, W)."""
        self.calls += 1
        skips = []
        for level, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        x = skips.pop()
        for block in self.up:
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            x = block(torch.cat([x, skips.pop()], dim=1))
        return self.head(x)

    def _settle(self, bands: int, size: int) -> None:
        """Set BatchNorm's statistics from texture, so that all classes occur."""
        texture = make_raster((bands, 2 * size, 2 * size)).values.astype(np.float32) / 255
        self.train()
        with torch.no_grad():
            for _ in range(20):
                self(torch.from_numpy(texture)[None])
            scores = self.eval()(torch.from_numpy(texture)[None])
            self.head.bias -= scores.mean(dim=(0, 2, 3))
        self.calls = 0


class RegionDetector(nn.Module):
    """Answers the boxes of bright connected regions of band 1, as seen in the window alone.

    Parameters
    ----------
    level
        Input value above which a pixel is bright.
    """

    def __init__(self, level: float = 0.5) -> None:
        super().__init__()
        self.level = level

    def forward(self, x: torch.Tensor) -> Any:
        """Map (N, C, H, W) to one dict of boxes, labels and scores an image."""
        return [self.answer(image[0].cpu().numpy() > self.level) for image in x]

    def answer(self, bright: np.ndarray) -> Any:
        """Answer one image, of which the bright pixels (y, x) are given."""
        return _listed(boxes=torch.tensor(_region_boxes(bright)))


class MaskDetector(RegionDetector):
    """Answers the pixels of bright regions, as probabilities."""

    def answer(self, bright: np.ndarray) -> dict[str, torch.Tensor]:
        """Answer one image with masks (n, 1, H, W)."""
        labels, count = ndimage.label(bright, np.ones((3, 3)))
        masks = labels == np.arange(1, count + 1)[:, None, None]  # (n, H, W)
        soft = np.where(masks[:, None], 0.8, 0.1).astype(np.float32)
        return _listed(boxes=torch.tensor(_region_boxes(bright)), masks=torch.from_numpy(soft))


class RotatedDetector(RegionDetector):
    """Answers the smallest rectangle around each bright region: cx, cy, w, h, angle."""

    def answer(self, bright: np.ndarray) -> dict[str, torch.Tensor]:
        """Answer one image with boxes (n, 5)."""
        labels, _ = ndimage.label(bright, np.ones((3, 3)))
        rows = [
            _rotated(labels[place] == number, place[0].start, place[1].start)
            for number, place in enumerate(ndimage.find_objects(labels), 1)
        ]
        return _listed(boxes=torch.tensor(rows).reshape(-1, 5))


class YoloDetector(RegionDetector):
    """Answers every bright region twice, a bit aside and less sure, among boxes of nothing.

    Parameters
    ----------
    arrange
        Makes the answer of cx, cy, w, h (N, A, 4) and scores (N, A, 1).
    """

    def __init__(self, arrange: Callable[[torch.Tensor, torch.Tensor], Any]) -> None:
        super().__init__()
        self.arrange = arrange

    def forward(self, x: torch.Tensor) -> Any:
        """Map (N, C, H, W) to what ``arrange`` makes of 500 boxes an image."""
        boxes, scores = torch.zeros(len(x), 500, 4), torch.zeros(len(x), 500, 1)
        for index, image in enumerate(x):
            found = torch.tensor(_region_boxes(image[0].cpu().numpy() > self.level)[:250])
            size, count = found[:, 2:] - found[:, :2], len(found)
            boxes[index, :count] = torch.hstack([(found[:, :2] + found[:, 2:]) / 2, size])
            boxes[index, 250 : 250 + count] = boxes[index, :count]
            boxes[index, 250 : 250 + count, 0] += size[:, 0] / 10
            scores[index, :count], scores[index, 250 : 250 + count] = 0.9, 0.8
        return self.arrange(boxes, scores)


class ScoreNet(nn.Module):
    """Answers a logit map a class: band k scaled so that bright is likely."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, K, H, W) in 0..1 to logits (N, K, H, W)."""
        return (x - 0.5) * 20


def save_unet(
    folder: Path, *, bands: Sequence[str], classes: Sequence[str], seed: int = 0, **said: Any
) -> Path:
    """Write a tiny random U-Net as a package that opens at once; ``said`` goes to its JSON."""
    arguments = {
        "in_channels": len(bands), "out_channels": len(classes), "widths": [4, 4],
        "encoder_convs": [1, 1], "decoder_convs": [1],
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nets.build("unet", arguments).eval()
    _centre(net, len(bands))
    tensors = net.state_dict()
    folder.mkdir(parents=True)
    safetensors.torch.save_file(tensors, folder / "weights.safetensors")
    text = {
        "format": "geodl-model", "format_version": 1, "name": folder.name, "version": "1.0",
        "task": "classify", "architecture": {"name": "unet", "arguments": arguments},
        "weights": "weights.safetensors", "input": {"bands": [*bands], "scale": 1 / 255},
        "window": 64, "field": {"finite": True, "stride": 2, "halo": 6},
        "classes": [
            {"value": value, "name": name, "color": f"#{40 * value + 15:02x}aa00"}
            for value, name in enumerate(classes)
        ],
        **said,
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(text))
    return folder


def paint(
    shape_yx: tuple[int, int], boxes: list[tuple[int, int, int, int]], *, value: int = 230
) -> xr.DataArray:
    """Make a dark one-band raster with bright rectangles x0, y0, x1, y1 in pixels."""
    values = np.full((1, *shape_yx), 10, dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        values[0, y0:y1, x0:x1] = value
    return wrap(values)


def paint_turned(
    shape_yx: tuple[int, int], boxes: list[tuple[float, float, float, float, float]]
) -> xr.DataArray:
    """Make a dark one-band raster with bright rectangles cx, cy, w, h, angle (radians, x to y)."""
    values, (y, x) = np.full((1, *shape_yx), 10, dtype=np.uint8), np.indices(shape_yx) + 0.5
    for cx, cy, width, height, angle in boxes:
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        values[0, (np.abs(along) < width / 2) & (np.abs(across) < height / 2)] = 230
    return wrap(values)


def pixel_boxes(frame: Any, raster: xr.DataArray) -> list[tuple[int, int, int, int]]:
    """Return the boxes of detections in pixels, x0, y0, x1, y1, sorted."""
    inverse = ~raster.rio.transform()
    found = []
    for west, south, east, north in frame.bounds.to_numpy():
        x0, y0 = inverse * (west, north)
        x1, y1 = inverse * (east, south)
        found.append((round(x0), round(y0), round(x1), round(y1)))
    return sorted(found)


def save_onnx(
    net: nn.Module,
    path: str | Path,
    shape: tuple[int, int, int, int] = (1, 3, 64, 64),
    *,
    free: Sequence[int] = (0, 2, 3),
    outputs: Sequence[str] = ("scores",),
) -> Path:
    """Write a net as ONNX.

    Parameters
    ----------
    net
        Maps (N, C, H, W) to a tensor, or to as many as there are ``outputs``.
    path
        The file.
    shape
        Of the input, called ``image``.
    free
        Axes of input and outputs whose size stays open.
    outputs
        Names of the outputs.
    """
    names = ["image", *outputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of this exporter, which needs the least of packages
        torch.onnx.export(
            net,
            (torch.zeros(shape),),
            str(path),
            dynamo=False,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {axis: f"{name}_{axis}" for axis in free} for name in names},
        )
    return Path(path)


def _region_boxes(bright: np.ndarray) -> np.ndarray:
    """Return the boxes x0, y0, x1, y1 of connected regions of pixels, (region, 4), float32."""
    labels, _ = ndimage.label(bright, np.ones((3, 3)))
    found = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)]
    return np.array(found, dtype=np.float32).reshape(-1, 4)


def _rotated(pixels: np.ndarray, top: int, left: int) -> list[float]:
    """Return the smallest rectangle around the pixels of a crop as cx, cy, w, h, angle."""
    y, x = np.nonzero(pixels)
    squares = shapely.MultiPoint(np.vstack([np.column_stack([x + left + i, y + top + j])
                                            for i in (0, 1) for j in (0, 1)]))  # fmt: skip
    corners = shapely.get_coordinates(shapely.oriented_envelope(squares))
    along, across = corners[1] - corners[0], corners[2] - corners[1]
    sides = np.hypot(*along), np.hypot(*across)
    return [*corners[:4].mean(axis=0), *sides, np.arctan2(along[1], along[0])]


def _listed(**answer: torch.Tensor) -> dict[str, torch.Tensor]:
    """Add labels and scores to the objects of one image."""
    count = len(answer["boxes"])
    return {
        **answer,
        "labels": torch.ones(count, dtype=torch.int64),
        "scores": torch.full((count,), 0.9),
    }


def _centre(net: nn.Module, bands: int) -> None:
    """Shift and stretch the scores so that all classes occur."""
    head = [module for module in net.modules() if isinstance(module, nn.Conv2d)][-1]
    texture = make_raster((bands, 128, 128)).values.astype(np.float32) / 255
    with torch.no_grad():
        scores = net(torch.from_numpy(texture)[None])
        spread = 3 / scores.std(dim=(0, 2, 3))
        head.weight *= spread[:, None, None, None]
        assert head.bias is not None
        head.bias.copy_((head.bias - scores.mean(dim=(0, 2, 3))) * spread)


def _block(source: int, width: int, norm: str) -> nn.Sequential:
    layer = nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(2, width)
    return nn.Sequential(nn.Conv2d(source, width, 3, padding=1), layer, nn.ReLU())
