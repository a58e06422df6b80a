"""What is said of all chips: stats.txt, esri_accumulated_stats.json, esri_model_definition.emd.

The keys are those that Esri documents under "Deep learning training data contents" and that
`arcgis.learn.prepare_data` reads: ``M1`` is a mean, ``M2`` a sum of squared differences from it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterio.crs import CRS

from geodl_lab.bands import common_name
from geodl_lab.checkpoints import sync
from geodl_lab.exports.parts import Facts
from geodl_lab.exports.plans import Plan
from geodl_lab.exports.records import BandStats, Chip, add_stats
from geodl_lab.package import LabelClass

SPACES = {"map": "MAP_SPACE", "image": "IMAGE_SPACE", "pixel": "PIXEL_SPACE"}


@dataclass(frozen=True)
class Summary:
    """All chips of a folder.

    Parameters
    ----------
    plan
        What was exported.
    chips
        In order.
    facts
        Of its items.
    classes, instance_classes
        By value.
    """

    plan: Plan
    chips: Sequence[Chip]
    facts: Sequence[Facts]
    classes: tuple[LabelClass, ...]
    instance_classes: tuple[LabelClass, ...]


def write_summary(folder: Path, summary: Summary) -> None:
    """Write the three files."""
    stats = accumulated(summary)
    for name, text in (
        ("stats.txt", stats_text(summary, stats)),
        ("esri_accumulated_stats.json", json.dumps(stats, indent=2)),
        ("esri_model_definition.emd", json.dumps(definition(summary), indent=2)),
    ):
        path = folder / name
        path.write_text(text, encoding="utf-8")
        sync(path)


def accumulated(summary: Summary) -> dict[str, Any]:
    """Return the statistics of chips and labels."""
    options, chips = summary.plan.options, summary.chips
    bands = add_stats([chip.stats for chip in chips])
    height, width = options.tile_yx
    pixels = options.kind.pixels
    about = _pixel_stats(summary) if pixels else _feature_stats(summary)
    return {
        "Version": 1,
        "NumBands": len(bands),
        "TileSizeX": width,
        "TileSizeY": height,
        "NumClasses": len(summary.classes),
        "NumTiles": len(chips),
        "OutputFeatures": options.kind.labelled and not pixels,
        "MetaDataMode": options.format,
        "Classes": [{"ClassValue": c.value, "ClassName": c.name} for c in summary.classes],
        "ClassPixelStats" if pixels else "FeatureStats": about,
        "BandStatsState": [
            {"Num": s.count, "Min": _finite(s.min), "Max": _finite(s.max), "M1": s.mean, "M2": s.m2}
            for s in bands
        ],
        **_cells(summary.facts),
    }


def definition(summary: Summary) -> dict[str, Any]:
    """Return the model definition that a training tool completes."""
    options, facts = summary.plan.options, summary.facts[0]
    height, width = options.tile_yx
    first = add_stats([chip.stats for chip in summary.chips])
    second = add_stats([chip.stats2 for chip in summary.chips if chip.stats2])
    names, names2 = _band_names(facts.bands), _band_names(facts.bands2)
    fixed = options.fixed_chip or not options.kind.centred
    values = {
        "ImageHeight": height,
        "ImageWidth": width,
        "ExtractBands": list(range(len(first))),
        "MetaDataMode": options.format,
        "ImageSpaceUsed": SPACES[options.reference],
        "CropTileMode": "Fixed_Size" if fixed else "Variable_Size",
        "BlackenAroundFeature": options.blacken,
        "IsMultidimensional": False,
        **_cells(summary.facts),
        "Classes": _classes(summary.classes),
        "InputRastersProps": {
            "RasterCount": sum(len(item.rasters) for item in summary.plan.items),
            "SensorName": "",
            "BandNames": names,
        },
        "AllTilesStats": _tile_stats(names, first),
    }
    if second:
        values["AllTilesStats2"] = _tile_stats(names2, second)
    if options.kind.content == "panoptic":
        values["Panoptic_Segmentation_Instance_Classes"] = _classes(summary.instance_classes)
    return values


def stats_text(summary: Summary, stats: dict[str, Any]) -> str:
    """Return the statistics for people."""
    bands, height, width = stats["NumBands"], stats["TileSizeY"], stats["TileSizeX"]
    lines = [f"images = {stats['NumTiles']} *{bands}*{height}*{width}"]
    if "ClassPixelStats" in stats:
        about, word, sizes = stats["ClassPixelStats"], "pixels", "PixelsPerClass"
        counts, each = about["NumPixelsPerClass"], about["NumClassesPerImage"]
        lines += [f"classes = {stats['NumClasses']}", f"classes per image = {_span(each)}"]
    else:
        about, word, sizes = stats["FeatureStats"], "features", "FeatureAreaPerClass"
        counts, each = about["NumFeaturesPerClass"], about["NumFeaturesPerImage"]
        lines += [f"features = {about['NumFeaturesTotal']}", f"features per image = {_span(each)}"]
        lines += [f"classes = {stats['NumClasses']}"]
    head = ("cls name", "cls value", "images", word, "min size", "mean size", "max size")
    lines.append(_row(*head))
    for label, images, count, size in zip(
        summary.classes, about["NumImagesPerClass"], counts, about[sizes], strict=True
    ):
        numbers = (f"{size[key]:.2f}" for key in ("Min", "Mean", "Max"))
        lines.append(_row(label.name, label.value, images, count, *numbers))
    return "\n".join(lines) + "\n"


def _pixel_stats(summary: Summary) -> dict[str, Any]:
    counts = [
        [(chip.pixels or {}).get(c.value, 0) for chip in summary.chips] for c in summary.classes
    ]
    seen = [sum(bool(column) for column in row) for row in zip(*counts, strict=True)]
    return {
        "NumClasses": len(summary.classes),
        "NumImagesTotal": len(summary.chips),
        "NumImagesPerClass": [sum(bool(n) for n in row) for row in counts],
        "NumPixelsPerClass": [sum(row) for row in counts],
        "NumClassesPerImage": _spread(seen),
        "PixelsPerClass": [_spread(row) for row in counts],
    }


def _feature_stats(summary: Summary) -> dict[str, Any]:
    values = [c.value for c in summary.classes]
    found = [[f for f in chip.objects] for chip in summary.chips]
    areas = {v: [f.area for some in found for f in some if f.value == v] for v in values}
    images = {v: sum(any(f.value == v for f in some) for some in found) for v in values}
    return {
        "NumClasses": len(values),
        "NumImagesTotal": len(found),
        "NumFeaturesTotal": sum(map(len, found)),
        "NumImagesPerClass": [images[v] for v in values],
        "NumFeaturesPerClass": [len(areas[v]) for v in values],
        "NumFeaturesPerImage": _spread([len(some) for some in found]),
        "FeatureAreaPerClass": [_spread(areas[v]) for v in values],
    }


def _spread(numbers: Sequence[float]) -> dict[str, float]:
    total, count = sum(numbers), len(numbers)
    low, high = (min(numbers), max(numbers)) if numbers else (0, 0)
    mean = total / count if count else 0
    return {"Min": low, "Max": high, "Mean": mean, "Sum": total, "Count": count}


def _cells(facts: Sequence[Facts]) -> dict[str, Any]:
    """Return the smallest and the largest pixel of all rasters."""
    cells = sorted((item.cell_yx[1], item.cell_yx[0], item.crs) for item in facts)
    return {
        name: {"x": x, "y": y, "spatialReference": _reference(crs)}
        for name, (x, y, crs) in (("MinCellSize", cells[0]), ("MaxCellSize", cells[-1]))
    }


def _reference(crs: str) -> dict[str, Any]:
    if not crs:
        return {}
    code = CRS.from_user_input(crs).to_epsg()
    return {"wkt": crs} if code is None else {"wkid": code, "latestWkid": code}


def _classes(classes: tuple[LabelClass, ...]) -> list[dict[str, Any]]:
    return [{"Value": c.value, "Name": c.name, "Color": list(c.rgb)} for c in classes]


def _band_names(names: Sequence[str]) -> list[str]:
    """Return names of bands as Esri writes them where they are well known, else as they are."""
    known = {"red": "Red", "green": "Green", "blue": "Blue", "nir": "NearInfrared"}
    plain = [known.get(common_name(name), name) for name in names]
    if not any(plain) and len(plain) == 3:
        return ["Red", "Green", "Blue"]
    return [name or f"Band_{index}" for index, name in enumerate(plain, 1)]


def _tile_stats(names: Sequence[str], stats: Sequence[BandStats]) -> list[dict[str, Any]]:
    return [
        {"BandName": name, "Min": _finite(s.min), "Max": _finite(s.max), "Mean": s.mean,
         "StdDev": s.std}
        for name, s in zip(names, stats, strict=True)
    ]  # fmt: skip


def _finite(number: float) -> float:
    return number if abs(number) != float("inf") else 0.0


def _span(spread: dict[str, float]) -> str:
    return f"[min = {spread['Min']}, mean = {spread['Mean']:.2f}, max = {spread['Max']}]"


def _row(*cells: Any) -> str:
    widths = (10, 10, 10, 12, 12, 12)
    rest = (f"{cell:>{width}}" for cell, width in zip(cells[1:], widths, strict=True))
    return " ".join((f"{cells[0]:<20}", *rest))
