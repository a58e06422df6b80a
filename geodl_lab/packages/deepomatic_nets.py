"""A network of Deepomatic between the engine's pixels and its objects: fed by name, read by name.

The engine scales pixels and takes means of bands off; what is left to do here is the order of the
dimensions, the number type, a mean image, constants, and what the tensors mean. What comes out is
what any model of the engine answers: scores (N, K), or a list of dicts of boxes.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from geodl_lab.deepomatic_spec import (
    ConstantInput,
    ImageInput,
    Labels,
    Preprocessing,
    Reading,
)
from geodl_lab.dense_boxes import LARGEST
from geodl_lab.detections import Detections
from geodl_lab.errors import ModelError
from geodl_lab.overlaps import suppress

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601), as PIL and OpenCV have them."""

Named = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Feed:
    """Turns bands into the tensors that a network takes.

    Parameters
    ----------
    preprocessing
        What the network wants.
    mean
        (channel, y, x) float32 that is taken off here; None where the engine does it.
    bands_first
        True where the network's own runtime puts bands last by itself.
    """

    preprocessing: Preprocessing
    mean: np.ndarray | None = None
    bands_first: bool = False

    @property
    def order(self) -> str:
        """Order of the dimensions that the network is fed and answers grids in."""
        order = self.preprocessing.image.order
        if not self.bands_first:
            return order
        return "NCHW" if order.index("H") < order.index("W") else "NCWH"

    def __call__(self, x: torch.Tensor) -> Named:
        """Map (N, C, H, W) float32 to tensors by name, in the order of the inputs."""
        image = self.prepared(x)
        return {
            one.tensor_name: image if isinstance(one, ImageInput) else self.constant(one, image)
            for one in self.preprocessing.inputs
        }

    def prepared(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the image as the network takes it."""
        image = self.preprocessing.image
        if image.colors == "L":
            shares = torch.tensor(LUMA, dtype=x.dtype, device=x.device)
            x = torch.einsum("nchw,c->nhw", x, shares)[:, None]  # (N, 1, H, W)
        if self.mean is not None:
            x = x - torch.from_numpy(self.mean).to(x.device)
        if image.data_type == "UINT8":
            x = x.round().clamp(0, 255).to(torch.uint8)
        return x.permute(*("NCHW".index(side) for side in self.order)).contiguous()

    def constant(self, one: ConstantInput, image: torch.Tensor) -> torch.Tensor:
        """Return a constant as (N, *shape), float32; named sides are those of ``image``."""
        sides = image.shape[1:]  # of the tensor, without the batch
        numbers = [
            float(sides[int(n.rpartition(".")[2])]) if isinstance(n, str) else n for n in one.data
        ]
        row = torch.tensor(numbers, dtype=torch.float32, device=image.device)
        return row.reshape(1, *one.shape).expand(len(image), *one.shape)


@dataclass(frozen=True)
class Read:
    """Turns the tensors that a network answers into what the engine reads.

    Parameters
    ----------
    labels
        What is told apart.
    reading
        What the tensors mean.
    names
        All tensors that are asked for, in the order in which the post-processings name them.
    batched
        Whether the first side of an output is the batch.
    order
        Order of the dimensions of grids.
    """

    labels: Labels
    reading: Reading
    names: tuple[str, ...]
    batched: bool
    order: str

    def __call__(self, answer: Any, fed: Named, x: torch.Tensor) -> Any:
        """Map a network's answer to scores (N, K), or to one dict of boxes an image."""
        tensors = self._named(answer)
        images = [self._one(tensors, fed, i, x) for i in range(len(x))]
        return torch.stack(images) if self.reading.kind == "classification" else images

    def _named(self, answer: Any) -> Named:
        """Return tensors by name; without names they are those asked for, in order."""
        if isinstance(answer, torch.Tensor):
            answer = [answer]
        if isinstance(answer, Mapping):
            found = {str(name): value for name, value in answer.items()}
        elif isinstance(answer, Sequence) and len(answer) == len(self.names):
            found = dict(zip(self.names, answer, strict=True))
        else:
            count = len(answer) if isinstance(answer, Sequence) else type(answer).__name__
            raise ModelError(
                f"the network answers {count} tensors without names, and the post-processings name "
                f"{len(self.names)}: {', '.join(self.names)}; let it answer these, in this order, "
                "or a dict of them"
            )
        return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}

    def _pick(self, tensors: Named, name: str) -> torch.Tensor:
        """Return a tensor; TensorFlow's ``:0`` and slashes may have got lost on the way."""
        for key in (name, name.removesuffix(":0"), name.removesuffix(":0").replace("/", "_")):
            if key in tensors:
                return tensors[key]
        raise ModelError(
            f"the network answers {', '.join(map(repr, tensors)) or 'no tensors'}, not {name!r}; "
            "name its outputs in the post-processing"
        )

    def _one(self, tensors: Named, fed: Named, index: int, x: torch.Tensor) -> Any:
        """Read one image of a batch."""
        parts = [self._of_image(self._pick(tensors, name), index) for name in self.reading.tensors]
        count = len(self.labels.names)
        if self.reading.kind == "classification":
            if parts[0].numel() != count:
                raise ModelError(
                    f"the tensor {self.reading.tensors[0]!r} is {tuple(parts[0].shape)} an image "
                    f"and the specification has {count} labels; possible is one score a label"
                )
            return parts[0].reshape(count)
        read = {"direct_output": direct, "anchored_output": anchored, "yolo_output": yolo}
        try:
            rows = read[self.reading.kind](parts, self)
        except (RuntimeError, ValueError, IndexError):
            shapes = ", ".join(str(tuple(part.shape)) for part in parts)
            raise ModelError(
                f"the tensors {', '.join(self.reading.tensors)} are {shapes} an image, which does "
                f"not fit {self.reading.kind} with {count} labels"
            ) from None  # how torch says it helps nobody
        height, width = x.shape[2:]
        scale = self._unit(tensors, fed, index)
        return self._kept(*rows, np.array([width, height, width, height]) / scale)

    def _of_image(self, tensor: torch.Tensor, index: int) -> torch.Tensor:
        return tensor[index].float() if self.batched else tensor.float()

    def _unit(self, tensors: Named, fed: Named, index: int) -> np.ndarray:
        """Return what x, y, x, y are divided by to be 0..1."""
        name = self.reading.normalize
        if not name or self.reading.kind == "yolo_output":
            return np.ones(4)
        known = (
            fed[name][index] if name in fed else self._of_image(self._pick(tensors, name), index)
        )
        height, width = (float(side) for side in known.flatten()[:2])
        if not (height > 0 and width > 0):
            raise ModelError(
                f"the tensor {name!r} of normalize_wrt_tensor holds {height:g} x {width:g}; "
                "possible are the image's height and width"
            )
        return np.array([width, height, width, height])

    def _kept(
        self, boxes: torch.Tensor, scores: torch.Tensor, k: torch.Tensor, scale: np.ndarray
    ) -> Named:
        """Return candidates above the discard threshold, each object once a label.

        Parameters
        ----------
        boxes, scores, k
            x0, y0, x1, y1 (n, 4), (n,) and positions of labels (n,).
        scale
            Of x, y, x, y to pixels of the network's input.
        """
        kept = scores > self.reading.discard
        rows, labels = boxes[kept].double().cpu().numpy() * scale, k[kept].cpu().numpy()
        fine = np.isfinite(rows).all(axis=1) & (rows[:, :2] <= rows[:, 2:]).all(axis=1)
        if not fine.all():
            raise ModelError(
                f"{int((~fine).sum())} boxes of {self.reading.kind} are none; corners must be "
                "numbers with xmin <= xmax and ymin <= ymax: check the tensors and box_order"
            )
        found = Detections(rows, labels.astype(np.int64), scores[kept].double().cpu().numpy())
        if self.reading.nms < 1:
            found = suppress(found, self.reading.nms) if self.reading.nms > 0 else found
        return {
            "boxes": torch.from_numpy(found.boxes),
            "labels": torch.from_numpy(found.label_ids) + 1,  # from 1 for the decoder
            "scores": torch.from_numpy(found.scores),
        }


@dataclass(frozen=True)
class Raw:
    """Gives what a network answers as it is; one image at a time.

    Parameters
    ----------
    batched, order
        As of `Read`.
    """

    batched: bool
    order: str

    def __call__(self, answer: Any, fed: Named, x: torch.Tensor) -> Any:
        """Return the answer, with the batch first."""
        if self.batched:
            return answer
        if isinstance(answer, Mapping):
            return {name: one[None] for name, one in answer.items()}
        rows = answer if isinstance(answer, Sequence) else [answer]
        return [one[None] for one in rows]


Rows = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Boxes x0, y0, x1, y1 (n, 4), scores (n,) and positions of labels (n,)."""


def direct(parts: Sequence[torch.Tensor], read: Read) -> Rows:
    """Read scores (n,) or (n, L), class ids of the same shape, and boxes (n, 4) or (n, L, 4).

    Ids that the specification does not have are not its labels, and are left out.
    """
    scores, ids, boxes = parts
    if boxes.ndim not in (2, 3) or boxes.shape[-1] != 4 or len(boxes) != len(scores):
        raise ValueError("boxes are (n, 4) or (n, L, 4)")  # else they would be spread silently
    boxes = boxes[:, None] if boxes.ndim == 2 else boxes  # (n, 1 or L, 4)
    scores, ids = (part[:, None] if part.ndim == 1 else part for part in (scores, ids))
    boxes = boxes.expand(*scores.shape, 4).reshape(-1, 4)
    if read.reading.box_order == "yxyx":
        boxes = boxes[:, [1, 0, 3, 2]]
    known = torch.tensor(read.labels.ids, device=ids.device)
    same = ids.expand(scores.shape).reshape(-1, 1).round().long() == known  # (n * L, label)
    own = same.any(dim=1)
    return boxes[own], scores.reshape(-1)[own], same[own].long().argmax(dim=1)


def anchored(parts: Sequence[torch.Tensor], read: Read) -> Rows:
    """Read scores (n, 1 + L), anchors (n, 5) and offsets (n, (1 + L) * 4), background first.

    Anchors are a score, the upper left corner, width and height; offsets those of Faster R-CNN
    (Ren et al. 2015): of the centre in shares of the size, and logarithms of the size.
    """
    count = len(read.labels.names)
    scores = parts[0].reshape(-1, 1 + count)[:, 1:]  # (n, L)
    anchors = parts[1].reshape(-1, 5)[:, None, 1:]  # (n, 1, 4)
    offsets = parts[2].reshape(len(scores), 1 + count, 4)[:, 1:]  # (n, L, 4)
    corner, size = anchors[..., :2], anchors[..., 2:]
    centre = corner + size / 2 + offsets[..., :2] * size
    half = offsets[..., 2:].clamp(max=LARGEST).exp() * size / 2
    boxes = torch.cat([centre - half, centre + half], dim=-1)  # (n, L, 4)
    return boxes.reshape(-1, 4), scores.reshape(-1), _positions(scores)


def yolo(parts: Sequence[torch.Tensor], read: Read) -> Rows:
    """Read a grid of A * (5 + L) numbers a cell (Redmon and Farhadi 2017, "YOLO9000").

    For each anchor x, y, w, h, objectness and L class scores; boxes are 0..1 of the image.
    """
    sides = read.order.replace("N", "")
    grid = parts[0].permute(*(sides.index(side) for side in "HWC"))  # (rows, columns, numbers)
    rows, columns = grid.shape[:2]
    anchors = torch.tensor(read.reading.anchors, dtype=grid.dtype, device=grid.device)
    cells = grid.reshape(rows, columns, len(anchors), 5 + len(read.labels.names))
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    corner = torch.stack([x, y], dim=-1)[:, :, None].to(cells)  # (rows, columns, 1, 2)
    extent = torch.tensor([columns, rows]).to(cells)
    centre = (cells[..., :2].sigmoid() + corner) / extent
    half = cells[..., 2:4].clamp(max=LARGEST).exp() * anchors / extent / 2
    boxes = torch.cat([centre - half, centre + half], dim=-1)  # (rows, columns, A, 4)
    scores = cells[..., 4:5].sigmoid() * cells[..., 5:].softmax(dim=-1)  # (rows, columns, A, L)
    scores = scores.reshape(-1, scores.shape[-1])
    boxes = boxes.reshape(-1, 1, 4).expand(*scores.shape, 4)
    return boxes.reshape(-1, 4), scores.reshape(-1), _positions(scores)


def _positions(scores: torch.Tensor) -> torch.Tensor:
    """Return the label of each number of scores (n, L), shape (n * L,)."""
    return torch.arange(scores.shape[1], device=scores.device).repeat(len(scores))


class Chain(nn.Module):
    """A module of torch with what is done before and after it.

    Parameters
    ----------
    network
        TorchScript, or another module.
    feed, read
        What is done.
    """

    def __init__(self, network: Any, feed: Feed, read: Read | Raw) -> None:
        super().__init__()
        self.training = False  # as the network already is; an exported program refuses eval()
        self.network, self.feed, self.read = network, feed, read
        self.by_name = _takes(network, [one.tensor_name for one in feed.preprocessing.inputs])

    def forward(self, x: torch.Tensor) -> Any:
        """Map (N, C, H, W) to what the engine reads."""
        return _run(self._call, self.feed, self.read, x)

    def _call(self, fed: Named) -> Any:
        return self.network(**fed) if self.by_name else self.network(*fed.values())

    def __getstate__(self) -> dict[str, Any]:
        """Pickle TorchScript as its archive: it knows no other way."""
        state = dict(self.__dict__)
        if isinstance(self.network, torch.jit.ScriptModule):
            buffer = io.BytesIO()
            torch.jit.save(self.network, buffer)
            others = {key: value for key, value in self._modules.items() if key != "network"}
            state |= {"_modules": others, "_archive": buffer.getvalue()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read what `__getstate__` wrote."""
        archive = state.pop("_archive", None)
        nn.Module.__setstate__(self, state)
        if archive is not None:
            self.network = torch.jit.load(io.BytesIO(archive), map_location="cpu").eval()


@dataclass(frozen=True)
class OwnChain:
    """A network with its own runtime, such as onnxruntime, with what is done before and after it.

    Parameters
    ----------
    network
        A `geodl_lab.runtime.Network` of one input.
    feed, read
        What is done.
    """

    network: Any
    feed: Feed
    read: Read | Raw

    def placed(self, device: str, threads: int) -> Callable[[torch.Tensor], Any]:
        """Return what maps (N, C, H, W) on ``device`` to what the engine reads."""
        forward = self.network.placed(device, threads)
        outputs: tuple[str, ...] = getattr(self.network, "picked", ())

        def call(fed: Named) -> Any:
            answer = forward(next(iter(fed.values())))
            # ONNX answers one tensor without the name that it has in the graph.
            return {outputs[0]: answer} if len(outputs) == 1 else answer

        return lambda x: _run(call, self.feed, self.read, x)


def chain(network: Any, feed: Feed, read: Read | Raw) -> Chain | OwnChain:
    """Put a network between what is done before and after it.

    Raises
    ------
    ModelError
        If it has its own runtime and wants more than an image.
    """
    if not hasattr(network, "placed"):
        return Chain(network, feed, read)
    if len(feed.preprocessing.inputs) > 1:
        raise ModelError(
            "preprocessing.inputs has constants, which only TorchScript networks take here; write "
            "them into the network"
        )
    feed = dataclasses.replace(feed, bands_first=True)
    return OwnChain(network, feed, dataclasses.replace(read, order=feed.order))


def _run(call: Callable[[Named], Any], feed: Feed, read: Read | Raw, x: torch.Tensor) -> Any:
    """Feed a batch; image by image where a network answers without a batch."""
    if read.batched or len(x) == 1:
        fed = feed(x)
        return read(call(fed), fed, x)
    answers = [_run(call, feed, read, x[i : i + 1]) for i in range(len(x))]
    if isinstance(answers[0], torch.Tensor):
        return torch.cat(answers)
    return [image for answer in answers for image in answer]


def _takes(network: Any, names: Sequence[str]) -> bool:
    """Tell whether TorchScript names its inputs as they are named here."""
    schema = getattr(getattr(network, "forward", None), "schema", None)
    if schema is None:
        return False
    return set(names) <= {argument.name for argument in schema.arguments[1:]}
