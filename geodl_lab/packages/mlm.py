"""STAC items of the Machine Learning Model extension (MLM), v1.0 to v1.4, read as plain JSON.

Keys as in https://github.com/stac-extensions/mlm (Apache-2.0). No expression of an item is ever
run: `refuse_code` names it and says what to do instead.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import torch

from geodl_lab import nets
from geodl_lab.decoders import Recognizer
from geodl_lab.devices import on_one_thread
from geodl_lab.errors import GeodlError, ModelError, first_line
from geodl_lab.inputs import InputSpec
from geodl_lab.packages.archives import Files, hash_bytes
from geodl_lab.packages.axes import channels_first
from geodl_lab.packages.mlm_assets import Asset, model_asset
from geodl_lab.packages.mlm_input import (
    FREE_WINDOW,
    LARGEST,
    band_definitions,
    read_input,
    read_shape,
    window_of,
)
from geodl_lab.packages.mlm_ours import OURS, exact_inputs, read_name, read_ours, with_ours
from geodl_lab.packages.mlm_output import read_classes, read_output, read_task
from geodl_lab.packages.mlm_values import number, objects, only, short, typed
from geodl_lab.packages.weights import load_network
from geodl_lab.packages.wrap import Facts, wrap
from geodl_lab.runtime import Model

KEYS: Mapping[str, str] = {
    "type": "must be Feature (an Item); a Collection is refused",
    "mlm:name": "name of the model",
    "mlm:tasks": "the task, where the output names none; tasks without a counterpart are refused",
    "mlm:architecture": "names the network of a file of tensors: U-Net, smp.Unet ...; else shown",
    "mlm:hyperparameters": "arguments of that network; others are shown",
    "mlm:input": "exactly one entry, of images",
    "mlm:input name, description": "shown",
    "mlm:input bands": "bands in order; [] or ['*'] is any; made by an expression: refused",
    "mlm:input variables": "refused: variables of data cubes are no bands",
    "mlm:input input.shape, dim_order": "window size (-1: free) and axis order, (N, C, H, W) or "
    "(N, H, W, C)",
    "mlm:input input.data_type": "shown; networks are fed float32",
    "mlm:input value_scaling": "carried out; expressions are refused",
    "mlm:input norm_type, norm_clip, statistics": "carried out (v1.0 to v1.3): min-max, z-score, "
    "clip; others are refused",
    "mlm:input norm_by_channel": "ignored: the number of statistics says it",
    "mlm:input resize_type": "whole images: crop scales the shorter side and cuts, interpolation-* "
    "squashes with our resampler, others are refused; windows of rasters: null, crop and pad "
    "change nothing, others are refused",
    "mlm:input pre_processing_function": "refused unless null: code is never run",
    "mlm:output": "exactly one entry, or several of one detector",
    "mlm:output tasks": "the task",
    "mlm:output result.shape, dim_order": "tells pixels from whole images; (N, H, W, K) is turned",
    "mlm:output classification:classes": "classes in channel order: value, title or name, "
    "color_hint",
    "mlm:output post_processing_function": "refused unless null: code is never run",
    "mlm:framework, mlm:framework_version": "shown",
    "mlm:pretrained, mlm:pretrained_source": "shown",
    "mlm:batch_size_suggestion": "shown",
    "mlm:accelerator, mlm:accelerator_*": "shown; a run chooses its device by itself",
    "mlm:memory_size, mlm:total_parameters": "ignored: measured here",
    "mlm:artifact_type": "the kind of the file, which its ending must fit",
    "mlm:compile_method, mlm:entrypoint": "ignored",
    "assets": "the first with the role mlm:model whose file is here and can be run",
    "file:size, file:checksum": "checked (multihash of sha1, sha256 or sha512)",
    "bands, eo:bands, raster:bands": "common names (beside the own ones), pixel type and cell size "
    "of the bands; scale and offset are not used: value_scaling is of stored values",
    "gsd": "cell size in metres, where the bands do not agree on one",
    "title, description, license, providers, version, sci:citation": "shown",
    OURS: "what MLM cannot say: measured field, decoder, recognizer, exact numbers",
}
"""Keys of an item, and what is done with each."""

SMP_TAKES: tuple[str, ...] = (
    "encoder_name", "encoder_depth", "encoder_output_stride", "decoder_channels",
    "decoder_pyramid_channels", "decoder_segmentation_channels", "decoder_use_batchnorm",
    "decoder_use_norm", "decoder_attention_type", "decoder_interpolation", "in_channels", "classes",
    "activation",
)  # fmt: skip
"""Hyperparameters that make a network of segmentation-models-pytorch; others are of training."""

_SHOWN = {
    "title": "title", "description": "description", "license": "license",
    "sci:citation": "citation",
    "mlm:architecture": "architecture", "mlm:framework": "framework",
    "mlm:framework_version": "framework_version", "mlm:pretrained": "pretrained",
    "mlm:pretrained_source": "pretrained_source", "mlm:accelerator": "accelerator",
    "mlm:accelerator_summary": "accelerator_summary",
    "mlm:batch_size_suggestion": "batch_size_suggestion",
    "mlm:hyperparameters": "hyperparameters",
}  # fmt: skip


def read_mlm(files: Files, name: str, *, trust: bool = False) -> Model:
    """Open a STAC MLM item and the model file it names.

    Parameters
    ----------
    files
        The package.
    name
        Its item.
    trust
        True lets the model file's own code run.

    Raises
    ------
    ModelError
        If the item is damaged, or of a kind that cannot be run rightly.
    TrustError
        If the model file is a program that nobody trusted.
    """
    item = files.read_json(name)
    if item.get("type") != "Feature":
        raise ModelError(
            f"{name!r} is of type {short(item.get('type'))}; a STAC item (Feature) with mlm: keys "
            "is needed"
        )
    properties = typed(item.get("properties"), dict, "properties")
    entry = only(objects(properties.get("mlm:input"), "mlm:input"), "mlm:input")
    output = read_output(properties)
    shape = read_shape(entry.get("input"), "input of mlm:input")
    result = read_shape(output.get("result"), "result of mlm:output")
    task, window = read_task(properties, output, result), window_of(shape)
    asset = model_asset(files, item, beside=name)
    sha256 = hash_bytes(files.read(asset.file))
    ours = read_ours(properties, sha256)
    definitions = band_definitions(properties, asset.text)
    inputs = _with_gsd(read_input(entry, shape, definitions, task=task), properties)
    facts = Facts(
        name=read_name(properties, ours),
        task=task,
        inputs=exact_inputs(inputs, ours),
        classes=read_classes(output, result, task, ours),
        window=FREE_WINDOW,
        version=str(properties.get("version", "1.0.0")),
        sha256=sha256,
        about=_about(properties, asset, ours),
    )
    facts = _with_window(with_ours(facts, output, ours), window, ours)
    network = channels_first(
        _network(files, asset, properties, trust),
        last_in=shape.axes == "nhwc",
        last_out=result.axes == "nhwc",
    )
    return _wrapped(network, facts if "recognizer" in ours else _with_activation(network, facts))


def _with_gsd(inputs: InputSpec, properties: Mapping[str, Any]) -> InputSpec:
    gsd = number(properties.get("gsd"))
    if inputs.cell_size is None and gsd is not None and gsd > 0:
        return dataclasses.replace(inputs, cell_size=gsd)
    return inputs


def _about(properties: Mapping[str, Any], asset: Asset, ours: Mapping[str, Any]) -> dict[str, Any]:
    about = {key: properties[told] for told, key in _SHOWN.items() if properties.get(told)}
    if about.get("license") == "other":  # STAC's word for what is no SPDX name
        del about["license"]
    providers = properties.get("providers")
    names = [
        str(one["name"])
        for one in (providers if isinstance(providers, list) else [])
        if isinstance(one, dict) and one.get("name")
    ]
    attribution = {"attribution": ", ".join(names)} if names else {}
    told = typed(ours.get("about", {}), dict, f"about of {OURS}")
    return {**told, **about, **attribution, "asset": f"{asset.key} ({asset.file})"}


def _with_window(facts: Facts, fixed: tuple[int, int] | None, ours: Mapping[str, Any]) -> Facts:
    """Add the window: as the item fixes it, else as we measured, else a common one."""
    sides = fixed or ours.get("window", (FREE_WINDOW, FREE_WINDOW))
    whole = isinstance(sides, list | tuple) and len(sides) == 2
    if not whole or not all(type(side) is int and 0 < side <= 2**16 for side in sides):
        raise ModelError(f"window {short(sides)} of {OURS} is not possible; give height and width")
    height, width = sides
    measured = facts.field if list(sides) == ours.get("window") else None
    if height * width * facts.inputs.count > LARGEST:
        raise ModelError(f"a window of {height} x {width} pixels is too large to run")
    return dataclasses.replace(
        facts,
        window=height,
        width=None if width == height else width,
        fixed_window=fixed is not None,
        field=measured,
    )


def _network(files: Files, asset: Asset, properties: Mapping[str, Any], trust: bool) -> Any:
    try:
        return load_network(files, asset.file, trust=trust, architecture=_architecture(properties))
    except GeodlError:
        raise
    except (ArithmeticError, AttributeError, IndexError, MemoryError, ValueError) as error:
        raise ModelError(
            f"the weights {asset.file!r} do not open ({first_line(error)}); compare "
            "mlm:hyperparameters with those of the network"
        ) from error


def _architecture(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the network that tensors belong to, with those hyperparameters that it takes."""
    told = typed(properties.get("mlm:architecture", ""), str, "mlm:architecture")
    given = typed(properties.get("mlm:hyperparameters", {}), dict, "mlm:hyperparameters")
    if told.startswith(("segmentation_models_pytorch.", "smp.")):  # also by the path of its module
        name, takes = f"smp.{told.rpartition('.')[2]}", SMP_TAKES
    else:
        name = "".join(c for c in told.lower() if c.isalnum())
        if name not in nets.ARCHITECTURES:
            return {"name": told}
        takes = tuple(inspect.signature(nets.ARCHITECTURES[name]).parameters)
    return {"name": name, "arguments": {k: v for k, v in given.items() if k in takes}}


def _wrapped(network: Any, facts: Facts) -> Model:
    try:
        return wrap(network, facts)
    except ModelError as error:
        if facts.task != "detect" or facts.decoder not in ("auto", "masks"):
            raise
        raise ModelError(
            f"{error}; MLM cannot say how objects are read: say it in the properties, as in "
            f'"{OURS}": {{"decoder": {{"name": "yolo"}}}}'
        ) from error


def _with_activation(network: Any, facts: Facts) -> Facts:
    """Leave scores of a whole image as they are where they already are shares of 1."""
    if facts.task != "recognize":
        return facts
    noise = torch.rand(facts.shape, generator=torch.Generator().manual_seed(0))
    with contextlib.suppress(Exception):  # `wrap` says why a network does not run
        scores = on_one_thread(_forward, network, noise).flatten(1)
        shares = bool((scores >= 0).all()) and bool(((scores.sum(1) - 1).abs() < 1e-4).all())
        if shares and scores.shape[1] > 1:
            return dataclasses.replace(facts, recognizer=Recognizer(activation="none"))
    return facts


def _forward(network: Any, x: torch.Tensor) -> Any:
    forward = network.placed("cpu", 1) if hasattr(network, "placed") else network
    with torch.inference_mode():
        return forward(x)
