"""What there is to know of a model: as plain values, and in words for people."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from geodl_lab._version import __version__
from geodl_lab.decoders import EXCLUSIVE_THRESHOLD, TAG_THRESHOLD, Decoder
from geodl_lab.html_pieces import FOLDED
from geodl_lab.package import ModelPackage
from geodl_lab.planning import choose_window
from geodl_lab.runtime import VIEWS, Closed, Model

TASKS = {
    "classify": "a class for every pixel",
    "detect": "objects",
    "regress": "a value for every pixel",
    "recognize": "labels of a whole image",
}
SHAPES = {"boxes": "boxes", "yolo": "boxes", "masks": "outlines", "regions": "outlines"}
FITS = {
    "squash": "the whole image, stretched to",
    "crop": "the middle of the image, scaled to",
    "fill": "the whole image, scaled into",
    "network": "the whole image, scaled to the longer side of",
}

FRAMEWORKS = {"OnnxNetwork": "onnxruntime", "FunctionNetwork": "a Python raster function"}
"""What runs networks that are no modules of torch, by the name of their class."""

LONGEST = 600
"""Characters of one value that people are shown."""

DEEPEST = 6
"""Levels of a package's own JSON that are kept."""

Card = dict[str, Any]
"""Plain values by name, ready for JSON: numbers, texts, lists and None."""


def card(model: Model, **origin: Any) -> Card:
    """Return what there is to know of a model.

    Parameters
    ----------
    model
        The model.
    origin
        What only its finder knows, as in ``format="Esri model"`` or ``installed="2026-11-20"``.

    Returns
    -------
    dict
        Plain values. ``window`` is a side, or [height, width], and like ``halo`` and ``stride`` in
        pixels; ``cell_size`` is in metres; what the net is fed is
        ``(clip(value, low, high) * scale - mean) / std``.
    """
    package, network = model.package, model.network
    about, inputs = package.about, package.inputs
    reason = str(network.reason) if isinstance(network, Closed) else None
    return {
        "name": package.name,
        "version": package.version,
        "title": str(about.get("title") or ""),
        "description": str(about.get("description") or ""),
        "task": package.task,
        "framework": _framework(network),
        "runnable": reason is None,
        "reason": reason,
        "bands": list(inputs.bands),
        **{k: v for k, v in _plain(dataclasses.asdict(inputs)).items() if k != "bands"},
        "classes": [{"value": c.value, "name": c.name, "color": c.color} for c in package.classes],
        "decoder": _decoder(package.decoder),
        "recognizer": _plain(package.recognizer and dataclasses.asdict(package.recognizer)),
        **_windows(package),
        "sha256": package.sha256,
        "license": str(about.get("license") or ""),
        "attribution": str(about.get("attribution") or ""),
        "accuracy": _plain(about.get("accuracy") or {}),
        "geodl_version": __version__,
        **origin,
    }


def headline(card: Card) -> str:
    """Return name, version and title of a model as one line."""
    title = f": {card['title']}" if card["title"] else ""
    return one_line(f"{card['name']} {card['version']}{title}")


def rows(card: Card) -> list[tuple[str, str]]:
    """Return what people read of a model, but for its classes: labels and words."""
    said = [
        ("about", card["description"]),
        ("gives", _gives(card)),
        ("wants", _wants(card)),
        ("scaling", scaling_words(card)),
        ("fit", _fit_words(card["fit"])),
        ("scores", _score_words(card)),
        ("windows", _window_words(card)),
        ("runs", _runs(card)),
        ("accuracy", _said(card["accuracy"])),
        ("licence", card["license"]),
        ("credit", card["attribution"]),
        ("sha256", card["sha256"]),
        *((key, _said(card[key])) for key in list(card)[list(card).index("geodl_version") + 1 :]),
    ]
    return [(label, one_line(words)) for label, words in said if words]


def text(card: Card, *, fold: int | None = None) -> str:
    """Return a model's card as lines for a terminal, with up to ``fold`` classes (None: all)."""
    lines = [headline(card)]
    for label, words in rows(card):
        gap = f"  {label.replace('_', ' '):<11} "
        lines += textwrap.wrap(
            words,
            100,
            initial_indent=gap,
            subsequent_indent=" " * len(gap),
            break_long_words=False,
            break_on_hyphens=False,
        )
        if label == "gives":
            lines += [f"{' ' * 14}{line}" for line in _class_lines(card["classes"], fold)]
    return "\n".join(lines)


def names(classes: Sequence[Mapping[str, Any]], most: int = 4) -> str:
    """Return the names of classes on one line, the first ``most`` of many."""
    more = f", ... ({len(classes)})" if len(classes) > most else ""
    return one_line(", ".join(label["name"] for label in classes[:most]) + more)


def scaling_words(card: Mapping[str, Any]) -> str:
    """Return what is done to a stored value before the net sees it, as a formula with numbers."""
    value, said = "value", []
    low, high = card["low"], card["high"]
    if low is not None or high is not None:
        value = f"clip(value, {_numbers(low) or 'none'}, {_numbers(high) or 'none'})"
    if card["scale"] != 1:
        value += _factor(card["scale"])
    if card["mean"] is not None:
        value, said = f"{value} - mean", [f"mean {_numbers(card['mean'])}"]
    if card["std"] is not None:
        value = f"({value}) / std" if card["mean"] is not None else f"{value} / std"
        said.append(f"std {_numbers(card['std'])}")
    return "; ".join([value if value != "value" else "values as they are stored", *said])


def _windows(package: ModelPackage) -> Card:
    (height, width), halo = choose_window(package)
    core = (height - 2 * halo) * (width - 2 * halo)
    fits = min(height, width) > 2 * halo
    return {
        "window": height if height == width else [height, width],
        "fixed_window": package.fixed_window,
        "halo": halo,
        "stride": package.field.stride,
        "field": "finite" if package.field.finite else "unbounded",
        "exact": package.field.finite and halo >= package.field.halo,
        "recompute": round(height * width / core, 2) if fits else None,
    }


def _decoder(decoder: Decoder | None) -> Card | None:
    if decoder is None:
        return None
    return _plain({**dataclasses.asdict(decoder), "anchors": len(decoder.anchors)})


def _framework(network: Any) -> str:
    """Name what runs a network, by where its class is from."""
    homes = [kind.__module__ for kind in type(network).__mro__]
    if any(home.startswith("torch.jit") for home in homes):
        return "TorchScript"
    if any(home.startswith("torch.") for home in homes):
        return "PyTorch"
    if network is None or isinstance(network, Closed):
        return ""
    return FRAMEWORKS.get(type(network).__name__, type(network).__name__)


def _gives(card: Card) -> str:
    decoder, number = card["decoder"], len(card["classes"])
    what = TASKS[card["task"]]
    if decoder:
        point = decoder["box_size"] is not None
        what = f"objects as {'points' if point else SHAPES.get(decoder['name'], 'boxes')}"
    if card["recognizer"]:
        what += ", one is right" if card["recognizer"]["exclusive"] else ", each by itself"
    noun = {"regress": "quantity quantities", "recognize": "label labels"}
    one, many = noun.get(card["task"], "class classes").split()
    return f"{card['task']}: {what}; {number} {one if number == 1 else many}"


def _wants(card: Card) -> str:
    also = card.get("other_names") or card["bands"]
    both = zip(card["bands"], also, strict=True)
    named = [name if name == own else f"{name} ({own})" for name, own in both]
    bands = ", ".join(named) or f"{card['count']} bands of any name"
    cell = card["cell_size"]
    kind, cells = card["dtype"] or "any pixel type", cell and f"cells of {cell:g} m"
    return "; ".join(filter(None, (bands, kind, cells)))


def _fit_words(fit: Mapping[str, Any] | None) -> str:
    return f"{FITS[fit['kind']]} {fit['height']} x {fit['width']} px" if fit else ""


def _score_words(card: Card) -> str:
    decoder = card["decoder"]
    if recognizer := card["recognizer"]:
        usual = EXCLUSIVE_THRESHOLD if recognizer["exclusive"] else TAG_THRESHOLD
        return f"{recognizer['activation']}, {_least(recognizer['thresholds'], usual)}"
    if not decoder:
        return ""
    radius = f"radius {decoder['radius']} px" if decoder["name"] == "heatmap" else ""
    nms = f"nms {decoder['nms']:g}" if decoder["nms"] is not None else ""
    least = _least(decoder.get("thresholds"), decoder["threshold"])
    return ", ".join(filter(None, (decoder["name"], least, radius, nms)))


def _least(each: Sequence[float] | None, usual: float) -> str:
    """Return the least score, or that of each class where they differ."""
    return f"least score {_numbers(each) or f'{usual:g}'}"


def _window_words(card: Card) -> str:
    sides = card["window"] if isinstance(card["window"], list) else [card["window"]] * 2
    cut = f"{sides[0]} x {sides[1]} px, halo {card['halo']} px, stride {card['stride']} px"
    if card["task"] == "recognize":
        return "" if card["fit"] else f"the whole image at once, from {sides[0]} x {sides[1]} px"
    if card["exact"]:
        seams = "seams are exact"
    elif card["field"] == "finite":
        seams = "the halo is less than the receptive field, so seams are not exact"
    else:
        seams = "the receptive field is unbounded, so seams are not exact"
    again = card["recompute"]
    return f"{cut}; {seams}" + (f"; {again:g} pixels computed for one kept" if again else "")


def _runs(card: Card) -> str:
    return f"with {card['framework']}" if card["runnable"] else f"no: {card['reason']}"


def _factor(scale: float) -> str:
    """Return a factor as people write it: 1/255 is a division."""
    inverse = 1 / scale if scale else 0.0
    if abs(inverse) > 1 and abs(inverse - round(inverse)) < 1e-6 * abs(inverse):
        return f" / {round(inverse)}"
    return f" * {scale:g}"


def _numbers(values: Sequence[float | None] | None) -> str:
    """Return one number a band, or the one number of all of them; None is no bound."""
    said = ["none" if value is None else f"{value:g}" for value in values or ()]
    return said[0] if len(set(said)) == 1 else f"({', '.join(said)})" if said else ""


def _said(value: Any) -> str:
    """Return JSON as people read it: ``test: place tile_3, miou 0.51; ...``."""
    if isinstance(value, dict):
        deep = any(isinstance(one, dict) for one in value.values())
        pairs = (f"{k}: {_inner(v)}" if deep else f"{k} {_said(v)}" for k, v in value.items())
        return ("; " if deep else ", ").join(pairs)
    if isinstance(value, list):
        return ", ".join(map(_inner, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _inner(value: Any) -> str:
    nested = isinstance(value, dict) and any(isinstance(one, dict) for one in value.values())
    return f"({_said(value)})" if nested else _said(value)


def _plain(value: Any, depth: int = 0) -> Any:
    """Return anything as JSON can hold it; infinite numbers are None."""
    if depth > DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {str(key): _plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


def one_line(words: str) -> str:
    """Return text on one line, without what could steer a terminal, and not without end."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return flat if len(flat) <= LONGEST else f"{flat[:LONGEST]} ..."


def _class_lines(classes: list[Card], fold: int | None) -> list[str]:
    shown = classes[: len(classes) if fold is None else fold]
    lines = [f"{c['value']:>3}  {c['color']}  {one_line(c['name'])}" for c in shown]
    rest = len(classes) - len(shown)
    return lines + [f"... and {rest} more"] * bool(rest)


VIEWS["text"] = lambda model: text(card(model), fold=FOLDED)
