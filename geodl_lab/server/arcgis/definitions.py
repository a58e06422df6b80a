"""What there is to know of a model as the JSON of an .emd file tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TYPES = {
    "classify": "ImageClassification",
    "detect": "ObjectDetection",
    "recognize": "ObjectClassification",
    "regress": "PixelRegression",
}
OUTLINES = ("masks", "regions")
"""Decoders whose objects are outlines."""


def definition(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's card (`geodl_lab.cards.card`) with the keys of an .emd file.

    Colours are [red, green, blue], 0..255; image sides are pixels. ``Card`` is the whole card and
    ``ModelArguments`` what ``modelArguments`` may hold.
    """
    window = card["window"]
    height, width = window if isinstance(window, list) else (window, window)
    return {
        "ModelName": card["name"],
        "Version": card["version"],
        "Description": card["description"] or card["title"],
        "ModelType": _type(card),
        "Framework": card["framework"],
        "ImageHeight": height,
        "ImageWidth": width,
        "ExtractBands": list(range(len(card["bands"]) or card.get("count") or 0)),
        "WellKnownBandNames": list(card["bands"]),
        "Classes": [_class(one) for one in card["classes"]],
        "ModelArguments": arguments(card),
        "Card": dict(card),
    }


def arguments(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the arguments that a model takes: name, kind, what an absent one means."""
    found = []
    if card["task"] in ("classify", "detect", "regress"):
        found.append(_argument("padding", "GPLong", card["halo"]))
    found.append(_argument("batch_size", "GPLong", 1))
    if decoder := card["decoder"]:
        found.append(_argument("threshold", "GPDouble", decoder["threshold"]))
        if decoder["nms"] is not None:
            found.append(_argument("nms_overlap", "GPDouble", decoder["nms"]))
    if card["task"] == "classify":
        found.append(_argument("test_time_augmentation", "GPBoolean", False))
    return found


def _type(card: Mapping[str, Any]) -> str:
    decoder = card["decoder"]
    if decoder and decoder["name"] in OUTLINES:
        return "InstanceDetection"
    return TYPES[card["task"]]


def _class(one: Mapping[str, Any]) -> dict[str, Any]:
    color = one["color"]
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return {"Value": one["value"], "Name": one["name"], "Color": rgb}


def _argument(name: str, kind: str, value: Any) -> dict[str, Any]:
    return {"name": name, "dataType": kind, "value": value, "required": False, "displayName": name}
