"""One chip: its place, its label, its pixels, its files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import shapely

from geodl_lab.errors import OptionError
from geodl_lab.exports.chip_files import check_chips, chip_frame, write_chip, write_label
from geodl_lab.exports.classes import check_folders
from geodl_lab.exports.frames import Frame, frame_of
from geodl_lab.exports.labels import (
    FeatureLabels,
    Labels,
    Objects,
    RasterLabels,
    is_vector,
    raster_labels,
    read_areas,
    read_features,
)
from geodl_lab.exports.places import Place, Places, in_rows, round_features
from geodl_lab.exports.plans import Item, Plan
from geodl_lab.exports.readers import ChipReader, Pixels, open_chips
from geodl_lab.exports.records import Chip, Found, band_stats
from geodl_lab.package import LabelClass


@dataclass(frozen=True)
class Marks:
    """The label of a chip.

    Parameters
    ----------
    objects
        What it shows.
    images
        Label images (y, x) by the folder that they belong to.
    label
        Its one class, or None.
    pixels
        Class values (y, x), or None.
    """

    objects: Objects
    images: Mapping[str, np.ndarray] = field(default_factory=dict)
    label: int | None = None
    pixels: np.ndarray | None = None

    def __bool__(self) -> bool:
        """Tell whether there is any label."""
        if self.pixels is not None:
            return bool(self.pixels.any()) or len(self.images) > 1
        return len(self.objects) > 0 or self.label is not None


NOTHING = Objects(np.zeros(0, object), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Cutter:
    """Everything that is open while chips of an item are cut.

    Parameters
    ----------
    plan
        What is exported.
    frame, places
        The pixels that chips are cut from, and where.
    reader, second
        Their pixels; ``second`` may be None.
    labels, instances
        Their labels, or None.
    area
        In pixels of the frame, outside which no chip lies; or None.
    """

    plan: Plan
    frame: Frame
    places: Places
    reader: ChipReader
    second: ChipReader | None
    labels: Labels | None
    instances: Labels | None
    area: shapely.Geometry | None

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Classes that are known beforehand, by value."""
        return () if self.labels is None else self.labels.classes

    @property
    def instance_classes(self) -> tuple[LabelClass, ...]:
        """The same of the instances."""
        return () if self.instances is None else self.instances.classes

    def cut(self, index: int, folder: Path) -> Chip | None:
        """Write the files of a chip into a folder; None if there is none at that place."""
        place, options = self.places[index], self.plan.options
        if self.area is not None and not self.area.covers(place.outline):
            return None
        marks = self._marks(place)
        needed = options.kind.content in ("label", "folder", "names") or not options.all_tiles
        if self.labels is not None and not marks and needed:
            return None
        pixels = self.reader.read(place)
        if not pixels.valid.any():
            return None
        if options.blacken:
            pixels = self._blackened(pixels, marks, place)
        return self._written(index, place, pixels, marks, folder)

    def _marks(self, place: Place) -> Marks:
        labels, content = self.labels, self.plan.options.kind.content
        if labels is None:
            return Marks(NOTHING)
        overlap = self.plan.options.min_overlap
        if content in ("classes", "panoptic"):
            values = labels.pixels(place, overlap)
            found = self._masks(self.instances, "labels2", place) if self.instances else {}
            return Marks(NOTHING, {"labels": values, **found}, pixels=values)
        if content in ("label", "folder"):
            return self._label(place)
        objects = labels.objects(place, overlap)
        if content == "masks":
            images = self._masks(labels, "labels", place)
            return Marks(objects if images else NOTHING, images)
        return Marks(_boxed(objects) if content in ("kitti", "voc") else objects)

    def _label(self, place: Place) -> Marks:
        """Return the one class: of the feature that it is cut round, or of the most pixels."""
        if isinstance(self.labels, FeatureLabels):
            alone = self.labels.alone(place)
            return Marks(alone, label=int(alone.values[0]) if len(alone) else None)
        assert self.labels is not None
        values = self.labels.pixels(place, 0)
        counts = np.bincount(values.ravel())
        counts[0] = 0
        most = int(counts.argmax()) if counts.any() else 0
        height, width = place.shape_yx
        shapes = np.array([shapely.box(0, 0, width, height)], object)
        return Marks(Objects(shapes, np.array([most])) if most else NOTHING, label=most or None)

    def _masks(self, labels: Labels, folder: str, place: Place) -> dict[str, np.ndarray]:
        """Return an image for each class, in which its objects count from 1."""
        objects = labels.objects(place, self.plan.options.min_overlap)
        names = {label.value: label.name for label in labels.classes}
        images = {}
        for value in np.unique(objects.values).tolist():
            of_class = objects.select(objects.values == value)
            drawn = of_class.draw(np.arange(1, len(of_class) + 1), place.shape_yx)
            seen, numbers = np.unique(np.append(drawn.ravel(), 0), return_inverse=True)
            if len(seen) > 1:
                name = names.get(value, str(value))
                images[f"{folder}/{name}"] = numbers[:-1].reshape(drawn.shape)
        return images

    def _blackened(self, pixels: Pixels, marks: Marks, place: Place) -> Pixels:
        if isinstance(self.labels, RasterLabels):
            inside = self.labels.pixels(place, 0) == marks.label
        elif not len(marks.objects) or not marks.objects.areas.any():
            return pixels  # a point has no outside
        else:
            inside = marks.objects.draw(np.ones(len(marks.objects)), place.shape_yx) > 0
        return replace(pixels, values=np.where(inside, pixels.values, pixels.values.dtype.type(0)))

    def _written(
        self, index: int, place: Place, pixels: Pixels, marks: Marks, folder: Path
    ) -> Chip:
        options, files = self.plan.options, {}
        where = chip_frame(self.frame, place, georeferenced=options.reference == "map")
        ending = options.chips.ending
        name = f"{index}{ending}"
        files["images"] = write_chip(
            _place(folder, "images") / name, pixels.values,
            chips=options.chips, reader=self.reader, where=where,
        )  # fmt: skip
        other = None if self.second is None else self.second.read(place)
        if self.second is not None and other is not None:
            files["images2"] = write_chip(
                _place(folder, "images2") / name, other.values,
                chips=options.chips, reader=self.second, where=where,
            )  # fmt: skip
        same = options.kind.content == "panoptic" and ending == ".png"  # its reader wants one kind
        for role, image in marks.images.items():
            path = _place(folder, role) / f"{index}{'.png' if same else '.tif'}"
            files[role] = write_label(path, image, where)
        return Chip(
            index=index,
            shape=(self.reader.bands, *place.shape_yx),
            files={role: [path.name for path in paths] for role, paths in files.items()},
            label=marks.label,
            objects=self._found(marks),
            pixels=None if marks.pixels is None else _counts(marks.pixels),
            stats=band_stats(pixels.values, pixels.valid),
            stats2=() if other is None else band_stats(other.values, other.valid),
        )

    def _found(self, marks: Marks) -> tuple[Found, ...]:
        objects, cell = marks.objects, self.frame.pixel_area
        rows = zip(objects.values.tolist(), objects.boxes.tolist(), objects.areas, strict=True)
        return tuple(
            Found(value, (box[0], box[1], box[2], box[3]), float(area * cell))
            for value, box, area in rows
        )


@contextlib.contextmanager
def open_item(plan: Plan, item: Item) -> Iterator[Cutter]:
    """Open what chips of an item are cut from.

    Raises
    ------
    GeodlError
        If an input or an option is not usable.
    """
    options = plan.options
    frame = frame_of(item.rasters, reference=options.reference, wanted=plan.wanted)
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        reader = enter(open_chips(item.rasters, frame, resampling=plan.resampling))
        check_chips(options.chips, reader, item.rasters[0])
        second = None
        if item.second:
            second = enter(open_chips(item.second, frame, resampling=plan.resampling))
            check_chips(options.chips, second, item.second[0])
        labels = _labels(plan, plan.labels, options.class_field, frame, stack)
        instances = _labels(plan, plan.instances, options.instance_class_field, frame, stack)
        _check_labels(plan, labels, instances)
        area = read_areas(plan.masks, frame) if plan.masks else None
        places = _places(plan, frame, labels)
        yield Cutter(plan, frame, places, reader, second, labels, instances, area)


def _labels(
    plan: Plan, paths: tuple[Path, ...], field: str, frame: Frame, stack: contextlib.ExitStack
) -> Labels | None:
    if not paths:
        return None
    if is_vector(paths[0]):
        return read_features(paths[0], frame, field=field, buffer=plan.options.buffer)
    return raster_labels(stack.enter_context(open_chips(paths, frame)), paths[0])


def _places(plan: Plan, frame: Frame, labels: Labels | None) -> Places:
    options = plan.options
    if options.kind.centred and isinstance(labels, FeatureLabels):
        return round_features(
            labels.shapes, options.tile_yx, options.angles,
            fixed=options.fixed_chip, shape_yx=frame.shape_yx,
        )  # fmt: skip
    assert options.stride_yx is not None
    return in_rows(frame.shape_yx, options.tile_yx, options.stride_yx, options.angles)


def _check_labels(plan: Plan, labels: Labels | None, instances: Labels | None) -> None:
    kind = plan.options.kind
    outlined = instances if kind.content == "panoptic" else labels
    if kind.content in ("kitti", "voc", "masks", "panoptic"):
        _check_areas(outlined, kind.name)
    if kind.pixels and isinstance(labels, FeatureLabels) and (labels.values == 0).any():
        raise OptionError(
            f"a feature has the class value 0, which in {kind.name} is no class; count from 1"
        )
    if kind.folders and kind.content != "panoptic" and labels is not None:
        check_folders(labels.classes, kind.name)
    if instances is not None:
        check_folders(instances.classes, kind.name)
    if kind.content == "names" and labels is not None:
        commas = [label.name for label in labels.classes if "," in label.name]
        if commas:
            raise OptionError(
                f"{kind.name} has commas between names of classes, and {commas[0]!r} holds one; "
                "rename the class"
            )


def _check_areas(labels: Labels | None, format: str) -> None:
    if isinstance(labels, FeatureLabels) and (shapely.area(labels.shapes) == 0).any():
        raise OptionError(
            f"{format} wants objects with an area, and the features hold points or lines; give a "
            "buffer radius above 0 (bufferRadius, buffer)"
        )


def _boxed(objects: Objects) -> Objects:
    """Leave out objects whose box has no pixels when its edges are rounded as they are written."""
    boxes = np.round(objects.boxes, 2)
    return objects.select((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))


def _counts(values: np.ndarray) -> dict[int, int]:
    seen, counts = np.unique(values, return_counts=True)
    return dict(zip(seen.tolist(), counts.tolist(), strict=True))


def _place(folder: Path, role: str) -> Path:
    (folder / role).mkdir(parents=True, exist_ok=True)
    return folder / role
