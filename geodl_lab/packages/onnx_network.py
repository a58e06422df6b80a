"""ONNX networks: run by onnxruntime, from bytes that were checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from geodl_lab.errors import ModelError
from geodl_lab.packages.archives import Files, hash_bytes
from geodl_lab.packages.onnx_graph import (
    LARGEST,
    ImageInput,
    image_input,
    import_onnx,
    join_images,
    read_graph,
    told,
)
from geodl_lab.packages.onnx_means import split_means
from geodl_lab.packages.onnx_memory import peak_bytes
from geodl_lab.packages.onnx_sessions import open_session, run_bound, run_on_cpu


def load_onnx(
    files: Files, name: str, *, channels_first: bool | None = None, output: str = ""
) -> OnnxNetwork:
    """Make a network of an ONNX file, once it is sure that onnxruntime runs it.

    Parameters
    ----------
    files
        The package.
    name
        Its ``.onnx``.
    channels_first
        Whether the graph takes (N, C, H, W) rather than (N, H, W, C); None takes what its shape
        says, see `geodl_lab.packages.onnx_graph.image_input`.
    output
        Name of the one output that is the answer; "" takes all.

    Raises
    ------
    ModelError
        If onnx or onnxruntime is not installed, or the file cannot or must not be run.
    """
    import_onnx("onnxruntime")
    model, sides = read_graph(files, name)
    join_images(model, channels_first=channels_first)
    split_means(model)
    image = image_input(model, name, channels_first=channels_first)
    outputs = {one.name: told(one) for one in model.graph.output}
    if output and output not in outputs:
        raise ModelError(f"{name!r} has no output {output!r}; possible are {', '.join(outputs)}")
    if model.ByteSize() > LARGEST:
        raise ModelError(
            f"{name!r} holds more than 2 GiB; possible is less: export it in half precision"
        )
    content = model.SerializeToString(deterministic=True)
    network = OnnxNetwork(
        content,
        hash_bytes(content),
        name,
        image,
        picked=(output,) if output else tuple(outputs),
        outputs=tuple(outputs.items()),
        sides=sides,
    )
    network.placed("cpu", 1)
    return network


@dataclass(frozen=True)
class OnnxNetwork:
    """A checked ONNX graph; a `geodl_lab.runtime.Network`.

    Parameters
    ----------
    content
        The graph with its weights.
    sha256
        Hash of ``content``: equal graphs share their sessions.
    name
        The file, for errors.
    image
        What the graph takes.
    picked
        Names of the outputs that are the answer: a tensor if it is one, else a dict by name.
    outputs
        Name and description of every output.
    sides
        Names of the files beside it that held some of its tensors.
    maps_last
        Whether maps that it answers are (N, H, W, K); None is "if its image is (N, H, W, C)".
    """

    content: bytes = field(repr=False, compare=False)
    sha256: str
    name: str
    image: ImageInput
    picked: tuple[str, ...]
    outputs: tuple[tuple[str, str], ...] = ()
    sides: tuple[str, ...] = ()
    maps_last: bool | None = None

    @property
    def channels(self) -> int | None:
        """Bands that the graph takes, None if it takes any number."""
        return self.image.shape[1]

    @property
    def fixed_yx(self) -> tuple[int, int] | None:
        """Height and width in pixels that the graph takes, None if it takes any."""
        _, _, height, width = self.image.shape
        return (height, width) if height and width else None

    def placed(self, device: str, threads: int) -> PlacedOnnx:
        """Return what runs batches on a device.

        Parameters
        ----------
        device
            ``cpu`` or ``cuda:N``.
        threads
            Threads of a forward on the CPU.

        Raises
        ------
        ModelError
            If onnxruntime refuses the graph, or has nothing for this device.
        """
        return PlacedOnnx(self, open_session(self, device, threads), device)


@dataclass(frozen=True)
class PlacedOnnx:
    """An ONNX graph with its session on a device."""

    network: OnnxNetwork
    session: Any = field(repr=False)
    device: str

    def __call__(self, x: torch.Tensor) -> Any:
        """Map (N, C, H, W) to a tensor, a dict of tensors, or one such dict an image."""
        image = self.network.image
        _check_shape(self.network, tuple(x.shape))
        if not image.one_by_one or (len(x) == 1 and image.shape[0]):
            return self._answer(_cast(x, image.dtype))
        batch = _cast(x, image.dtype)
        return _joined([self._answer(batch[i : i + 1]) for i in range(len(batch))])

    def memory(self, shape: tuple[int, ...]) -> int:
        """Return the peak bytes of a forward of a batch (N, C, H, W), without the weights."""
        return peak_bytes(self.network.content, self.network.image, shape)

    def _answer(self, x: torch.Tensor) -> Any:
        image, names = self.network.image, self.network.picked
        fed = x if image.channels_first else x.permute(0, 2, 3, 1)  # (N, H, W, C)
        fed = fed if image.shape[0] != 0 else fed[0]  # without N
        run = run_on_cpu if self.device == "cpu" else run_bound
        found = run(self.session, image.name, fed.contiguous(), names, self.device)
        if len(names) > 1:
            return dict(zip(names, found, strict=True))
        return _with_bands_first(found[0], self.network)


def _with_bands_first(answer: torch.Tensor, network: OnnxNetwork) -> torch.Tensor:
    """Return a map of a graph with bands last, or without batches, as (N, K, H, W)."""
    image, last = network.image, network.maps_last
    if image.shape[0] == 0 and answer.ndim < 4:
        answer = answer[None]
    if answer.ndim != 4 or not (last or (last is None and not image.channels_first)):
        return answer
    return answer.permute(0, 3, 1, 2).contiguous()


def _cast(x: torch.Tensor, dtype: str) -> torch.Tensor:
    """Return numbers of the graph's type; whole ones are rounded and cut to what it can hold."""
    if not dtype.startswith(("int", "uint")):
        return x.to(getattr(torch, dtype))
    limits = np.iinfo(dtype)
    # As float64, whose 53 bits hold the limits of all but 64-bit numbers.
    whole = x.double().round().clamp(max(limits.min, -(2**53)), min(limits.max, 2**53))
    return whole.to(getattr(torch, dtype))


def _joined(answers: list[Any]) -> Any:
    """Return the answers of several images as one: batched, or one dict an image."""
    first = answers[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(answers)
    boxes = any(part.ndim == 2 and part.shape[1] in (4, 5) for part in first.values())
    if boxes:  # those of one image: the others have another number of them
        return answers
    return {name: torch.cat([answer[name] for answer in answers]) for name in first}


def _check_shape(network: OnnxNetwork, shape: tuple[int, ...]) -> None:
    """Refuse what the graph does not take, sooner and clearer than onnxruntime."""
    axes = zip(network.image.shape[1:], shape[1:], strict=True)
    if any(want is not None and want != got for want, got in axes):
        wanted = ", ".join(str(side or "any") for side in network.image.shape[1:])
        raise ModelError(
            f"{network.name!r} takes (bands, height, width) = ({wanted}), not {shape[1:]}"
        )


def describe(network: OnnxNetwork) -> str:
    """Tell what a graph takes and gives, as it says it itself."""
    sides = ", ".join(str(side or "?") for side in network.image.shape[1:])
    gives = "; ".join(f"{name} {what}" for name, what in network.outputs)
    return f"it takes (bands, height, width) = ({sides}) and gives {gives}"
