"""What is public: bundled models that a photo with red, green and blue can feed.

Specifications are what answers labels or boxes, the scene classifier first; networks are all of
them. Their ids are the names of the models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geodl_lab.decoders import EXCLUSIVE_THRESHOLD, TAG_THRESHOLD
from geodl_lab.jobs.core import Core
from geodl_lab.jobs.job import Caller
from geodl_lab.server.deepomatic.bodies import Body
from geodl_lab.server.deepomatic.errors import FieldError
from geodl_lab.server.deepomatic.inference import Target, tensors_of
from geodl_lab.server.deepomatic.words import date

FIRST = ("aerial-scene", "aerial-tags", "tree-crowns")
BANDS = ("red", "green", "blue")
RELEASED = 1_795_132_800.0
"""When the bundled models were last changed, seconds since 1970."""

INPUT, OUTPUT = "image", "output"
"""Tensors of a public network."""

Card = Mapping[str, Any]


def specs(core: Core) -> list[dict[str, Any]]:
    """Return all public specifications, with ``outputs``; blocks while a worker makes cards."""
    return [_spec(card) for card in _cards(core) if _speaks(card)]


def spec(core: Core, slug: str) -> dict[str, Any]:
    """Return a public specification; raises FieldError where there is none."""
    return _named(specs(core), slug, "specification")


def networks(core: Core) -> list[dict[str, Any]]:
    """Return all public networks."""
    return [_network(card) for card in _cards(core)]


def network(core: Core, slug: str) -> dict[str, Any]:
    """Return a public network; raises FieldError where there is none."""
    return _named(networks(core), slug, "network")


def target_of_spec(core: Core, caller: Caller, body: Body, slug: str) -> Target:
    """Return what a public specification looks at images with; raises FieldError."""
    # Cards need a worker, for which who sends an image is not to wait.
    return Target(model=slug if slug in FIRST else spec(core, slug)["id"])


def target_of_network(core: Core, caller: Caller, body: Body, slug: str) -> Target:
    """Return what a public network looks at images with; raises FieldError."""
    name, tensors = network(core, slug)["id"], tensors_of(body)
    if tensors != [OUTPUT]:
        raise FieldError(
            f"output_tensors is {str(tensors)[:100]}; public networks answer ['{OUTPUT}']",
            field="output_tensors",
        )
    return Target(model=name, arguments={"output_tensors": tensors})


def _named(rows: list[dict[str, Any]], slug: str, what: str) -> dict[str, Any]:
    for one in rows:
        if one["id"] == slug:
            return one
    known = ", ".join(one["id"] for one in rows)
    raise FieldError(f"there is no public {what} {slug[:100]!r}; there are {known}", status=404)


def _cards(core: Core) -> list[Card]:
    """Return the cards of the models that are public, in their order."""
    found = [card for card in core.model_cards() if _is_public(card)]
    places = {name: place for place, name in enumerate(FIRST)}
    return sorted(found, key=lambda card: (places.get(card["name"], len(FIRST)), card["name"]))


def _is_public(card: Card) -> bool:
    # An installed model is named with its version, a bundled one by its name alone.
    return card["reference"] == card["name"] and tuple(card["bands"]) == BANDS


def _speaks(card: Card) -> bool:
    return card["task"] in ("recognize", "detect")


def _spec(card: Card) -> dict[str, Any]:
    labels = [{"id": one["value"], "name": one["name"]} for one in card["classes"]]
    boxes = card["task"] == "detect"
    exclusive = boxes or bool(card["recognizer"]["exclusive"])
    output = {"labels": labels, "exclusive": exclusive, "roi": "BBOX" if boxes else "NONE"}
    return {**_common(card), "outputs": [{"labels": output}]}


def _common(card: Card) -> dict[str, Any]:
    metadata = {key: card[key] for key in ("task", "version", "license", "attribution")}
    return {
        "id": card["name"],
        "name": card["title"] or card["name"],
        "description": card["description"],
        "update_date": date(RELEASED),
        "metadata": {**metadata, "thresholds": _thresholds(card)},
    }


def _thresholds(card: Card) -> list[float]:
    """Return the least score of each label, strictly."""
    how, count = card["recognizer"] or card["decoder"] or {}, len(card["classes"])
    if own := how.get("thresholds"):
        return list(own)
    if card["recognizer"]:
        return [EXCLUSIVE_THRESHOLD if how["exclusive"] else TAG_THRESHOLD] * count
    return [how["threshold"]] * count if how else []


def _network(card: Card) -> dict[str, Any]:
    fit = card["fit"] or {"kind": "network", "height": card["window"], "width": card["window"]}
    size = f"{fit['width']}x{fit['height']}" if card["fit"] else str(fit["width"])
    image = {
        "dimension_order": "NCHW",
        "target_size": size,
        "resize_type": str(fit["kind"]).upper(),
        "color_channels": "RGB",
        "pixel_scaling": 255.0,
        "mean_file": "",
        "data_type": "UINT8",
    }
    inputs = [{"tensor_name": INPUT, "image": image}]
    return {
        **_common(card),
        "create_date": date(RELEASED),
        "framework": "pytorch-2.x",
        "preprocessing": {"inputs": inputs, "batched_output": True},
        "postprocessings": [{"tensors_output": {"tensors": [OUTPUT]}}],
        "task_id": None,
    }
