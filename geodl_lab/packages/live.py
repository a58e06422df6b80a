"""A live `torch.nn.Module` as a model."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import torch

from geodl_lab.decoders import DEFAULT_THRESHOLD
from geodl_lab.errors import ModelError
from geodl_lab.package import LabelClass
from geodl_lab.packages.facts import Said
from geodl_lab.packages.wrap import wrap
from geodl_lab.runtime import Model, fingerprint, hash_network


def from_torch(  # noqa: PLR0913  the public contract: each is one fact about the module
    module: torch.nn.Module,
    task: str = "classify",
    *,
    bands: Sequence[str] | int,
    classes: Sequence[str | LabelClass | tuple[int, str, str]] = (),
    window: int = 512,
    scale: float = 1 / 255,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    dtype: str | None = None,
    cell_size: float | None = None,
    fixed_window: bool = False,
    padding: int | None = None,
    max_object: int | None = None,
    decoder: str = "auto",
    threshold: float = DEFAULT_THRESHOLD,
    radius: int = 2,
    box_size: float | None = None,
    size_unit: float = 1.0,
    activation: str | None = None,
    nms: float | None = None,
    anchors: Sequence[Sequence[float]] = (),
    box_unit: str = "pixels",
    labels_from: int | None = None,
    thresholds: Sequence[float] = (),
    exclusive: bool = True,
    fit: str | None = None,
    fixed_chip: bool = False,
    blacken: bool = False,
    name: str = "",
) -> Model:
    """Wrap a module that maps float bands (N, C, H, W) to scores or boxes.

    The receptive field is measured here, once; the module is put into evaluation mode and is not
    copied, so train it before you wrap it.

    Parameters
    ----------
    module
        For ``classify``: answers scores (N, K, H, W); for ``regress``: values (N, K, H, W); for
        ``recognize``: scores (N, K) of whole images. For ``detect``: see ``decoder``.
    task
        ``classify``, ``detect``, ``regress`` or ``recognize``.
    bands
        Names of the input bands in order, or their number.
    classes
        Names in channel order, or (value, name, ``#rrggbb``). Values count from 0 for
        ``classify``, from 1 for ``detect``; for ``regress`` names of the quantities, ``value`` if
        none is given.
    window
        Least side in pixels of what the module sees; a finite net may take a larger one.
    scale, mean, std
        Input is ``(value * scale - mean) / std``.
    dtype
        Pixel type the scaling is meant for; None accepts any.
    cell_size
        Cell size in metres that the module was trained at.
    fixed_window
        True if the module takes no other size than ``window``.
    padding
        Context in pixels on each side where the field is unbounded; default a quarter window.
    max_object
        Where the module answers objects: length in pixels up to which some window sees an object
        whole; longer ones are stitched. It is the context on each side, default a quarter window;
        ``padding`` says the same there.
    decoder
        ``auto`` takes a list of dicts, or a pair or dict of tensors, as ``boxes`` and a score map
        as connected regions.

        ``boxes``
            A list of dicts, one an image, with ``boxes`` (x0, y0, x1, y1 in window pixels; or
            rotated: cx, cy, w, h and the angle in radians by which x turns towards y; or x, y of
            four corners), ``labels`` (from 1, 0 is background) and ``scores`` (0..1). Or dense:
            boxes (N, A, 4) and scores (N, A, K), as a pair or a dict of ``boxes`` and ``scores``;
            K may be one more with the background first. Or a tensor (N, n, 6) of x0, y0, x1, y1,
            score and label, which needs ``labels_from``. Of one image, as exported and scripted
            modules answer: one such dict, the same tensors in a row (labels are whole numbers), or
            ``(losses, list of dicts)``.
        ``masks``
            The same list with ``masks`` (n, H, W) or (n, 1, H, W), booleans or 0..1 of which more
            than a half is inside; ``boxes`` may be left out.
        ``yolo``
            A tensor (N, 4 + K, A) or (N, A, 4 + K) of cx, cy, w, h in window pixels and K class
            scores, or (N, A, 5 + K) with an objectness before them.
        ``heatmap``
            Logits (N, K, H, W) with a peak at each object's centre; two more channels are log
            height and log width.
        ``regions``, only by ``auto``
            Logits (N, K, H, W), one map a class; K may be one more with the background first.
    threshold
        Least score 0..1 of an object.
    radius, box_size, size_unit
        Of heat maps, see `geodl_lab.decoders.Decoder`.
    activation
        What makes 0..1 of the scores of dense boxes, YOLO and labels: ``none``, ``sigmoid`` or
        ``softmax``. Default for labels ``softmax`` if ``exclusive``, else ``sigmoid``; for others
        ``none``.
    anchors
        (cx, cy, w, h) in window pixels for dense boxes that are offsets.
    nms
        IoU above which two boxes of one class of one window are one object; default 0.5 for dense
        boxes and YOLO, none for lists of dicts, whose modules have done it themselves.
    box_unit
        ``pixels``, or ``window`` where boxes are shares 0..1 of the window's width and height.
    labels_from
        Label of the first class where objects come with labels: 1 (the default), with 0 for the
        background, or 0.
    thresholds
        Least score of each class, in their order: of labels, and of objects that the module
        answers itself. Empty is ``threshold`` for objects; for labels 0.025 if ``exclusive``,
        else 0.5.
    exclusive
        Of labels: True if one is right, False if each may be by itself.
    fit
        How a whole image is brought to ``window`` (``squash``, ``crop``, ``fill``, ``network``;
        see `geodl_lab.inputs.Fit`); for ``recognize`` and ``detect``. None takes its pixels as
        they are.
    fixed_chip, blacken
        Of labels of features, see `geodl_lab.decoders.Recognizer`.
    name
        Name in results; default the class of the module.

    Returns
    -------
    Model
        For ``da.dl.classify``, ``da.dl.detect``, ``da.dl.regress`` or ``da.dl.recognize``.

    Raises
    ------
    ModelError
        If the module does not run, or its answer does not fit classes and task.
    """
    said = dict(locals())  # the parameters, which are the fields of `Said`
    del said["module"]
    if not _is_module(module):
        raise ModelError(f"a {type(module).__name__} is no torch.nn.Module; wrap it in one first")
    module.eval()
    said["name"] = name or type(module).__name__
    facts = Said(**said, sha256=hash_network(module)).facts
    # Modules may differ in more than their tensors, so each wrapping gets a name of its own.
    return wrap(module, facts, token=uuid.uuid4().hex, state=fingerprint(module))


def _is_module(module: Any) -> bool:
    return isinstance(module, torch.nn.Module)
