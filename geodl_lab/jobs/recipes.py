"""What a job is to do, in our own words: frozen values that go to JSON and back.

References stay as the client gave them; they are resolved when the job runs (`inputs`), so that
what cannot be found fails the job and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

RefKind = Literal["store", "service", "item", "url", "model", "emd", "file"]


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to a raster, to features, to a model or to a place.

    Parameters
    ----------
    kind
        ``store`` (``NAME/path`` below a store), ``service`` (name of a published result), ``item``
        (id), ``url`` (elsewhere, through the fetcher), ``model`` (name of a bundled or installed
        model), ``emd`` (the text of an Esri model definition), ``file`` (name of a file in the
        job's folder, given when it was submitted).
    value
        The reference itself.
    """

    kind: RefKind
    value: str


@dataclass(frozen=True, slots=True)
class Extent:
    """A rectangle in a CRS: what `rasterio.crs.CRS.from_user_input` takes, "" the raster's."""

    left: float
    bottom: float
    right: float
    top: float
    crs: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """Where and on what a job runs.

    Parameters
    ----------
    extent
        What is computed; None is all.
    cell_size
        In units of the processing CRS; None is the raster's own.
    cell_size_of, snap_to, mask
        References to rasters (``mask`` may be features): the cell size is theirs, the grid is
        aligned to theirs, nothing is answered outside.
    process_crs, out_crs
        CRS to compute in and of the output; "" is the raster's.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    share
        Of the machine's workers, 0..1; None is all.
    resampling
        ``nearest``, ``bilinear`` or ``cubic``, for what must be resampled; "" is our own.
    """

    extent: Extent | None = None
    cell_size: float | None = None
    cell_size_of: Ref | None = None
    snap_to: Ref | None = None
    mask: Ref | None = None
    process_crs: str = ""
    out_crs: str = ""
    device: str = "auto"
    share: float | None = None
    resampling: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a result is published.

    Parameters
    ----------
    service
        Name of the service; "" takes the job's id.
    item
        Id of the existing item whose service is filled or replaced; "" makes a new one, and then
        a name that is taken fails the job.
    title, folder
        Of a new item; "" is the name, and no folder.
    """

    service: str = ""
    item: str = ""
    title: str = ""
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Nms:
    """Suppression of overlapping objects after all of a raster is known.

    Parameters
    ----------
    score_field, class_field
        Columns that decide; "" are the usual ones.
    max_overlap
        Largest intersection over union of two objects of a class that are both kept, 0..1.
    """

    score_field: str = ""
    class_field: str = ""
    max_overlap: float = 0.0


@dataclass(frozen=True, slots=True)
class Classify:
    """Classes, or other values, of every pixel.

    Parameters
    ----------
    rasters
        One raster, a folder, or several.
    model
        The model.
    arguments
        Of the model, by our names where we have one (``threshold``, ``padding``, ``batch_size``,
        ``tta``), else as given.
    each
        True runs each raster apart and publishes one mosaic; False mosaics first.
    output, context
        Where to, and how.
    """

    rasters: tuple[Ref, ...]
    model: Ref
    output: Output = Output()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    each: bool = False
    context: Context = Context()
    kind: Literal["classify"] = "classify"


@dataclass(frozen=True, slots=True)
class Detect:
    """Objects; as `Classify`, with ``nms`` or None."""

    rasters: tuple[Ref, ...]
    model: Ref
    output: Output = Output()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    each: bool = False
    nms: Nms | None = None
    context: Context = Context()
    kind: Literal["detect"] = "detect"


@dataclass(frozen=True, slots=True)
class Recognize:
    """A label for each of some features; None labels each whole raster.

    ``label_field`` is the column that gets the label; "" is the usual one.
    """

    rasters: tuple[Ref, ...]
    model: Ref
    features: Ref | None = None
    output: Output = Output()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    label_field: str = ""
    each: bool = False
    context: Context = Context()
    kind: Literal["recognize"] = "recognize"


@dataclass(frozen=True, slots=True)
class Change:
    """What changed between two dates of one place."""

    before: tuple[Ref, ...]
    after: tuple[Ref, ...]
    model: Ref
    output: Output = Output()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    context: Context = Context()
    kind: Literal["change"] = "change"


@dataclass(frozen=True, slots=True)
class Export:
    """Chips and labels to train from.

    Parameters
    ----------
    rasters, second
        What chips are cut of; a second raster is cut at the same places (two dates).
    labels, instances
        Features, or a class raster; instances only where the format wants both.
    location
        Name of the folder that is made.
    format, chip_format
        Names of formats as `exports.FORMATS` and `exports.CHIP_FORMATS` list them.
    options
        ``tile_yx``, ``stride_yx`` (pixels), ``class_field``, ``instance_class_field``,
        ``buffer`` (units of the features' CRS), ``rotation`` (degrees), ``reference``
        (``map``, ``image``, ``pixel``), ``blacken``, ``fixed_chip``, ``min_overlap`` (0..1),
        ``all_tiles``, ``start_index``.
    mask
        Features outside which no chip is cut.
    """

    rasters: tuple[Ref, ...]
    location: str
    labels: Ref | None = None
    instances: Ref | None = None
    second: tuple[Ref, ...] = ()
    mask: Ref | None = None
    format: str = "KITTI_rectangles"
    chip_format: str = "TIFF"
    options: Mapping[str, Any] = field(default_factory=dict)
    each: bool = False
    context: Context = Context()
    kind: Literal["export"] = "export"


@dataclass(frozen=True, slots=True)
class ListModels:
    """The cards of all models."""

    kind: Literal["list_models"] = "list_models"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The card of one model."""

    model: Ref
    kind: Literal["model_info"] = "model_info"


@dataclass(frozen=True, slots=True)
class Install:
    """Install a model package."""

    package: Ref
    kind: Literal["install"] = "install"


@dataclass(frozen=True, slots=True)
class Uninstall:
    """Uninstall a model."""

    model: Ref
    kind: Literal["uninstall"] = "uninstall"


@dataclass(frozen=True, slots=True)
class Look:
    """What a model says of one photo.

    Parameters
    ----------
    model
        Name of a bundled or installed model; or, where ``deployment`` is set, "".
    image
        Name of the file of the photo in the job's folder (given to `Core.submit`), or a URL.
    deployment
        Number of the network's document (`Deploy`) whose model is taken, 0 for none.
    area
        (x0, y0, x1, y1) of the photo, 0..1, y downwards; None is all.
    polygon
        Corners (x, y) 0..1 beyond which the photo is left out; None is none.
    crop_background
        Whether a uniform background round the content is cut off first.
    arguments
        ``most`` (labels or regions at most), ``discarded`` (whether regions below the threshold
        are answered too), ``thresholds``; of a deployment ``outputs`` and ``post_processings``,
        as `packages.deepomatic.make_models` takes them. Or ``output_tensors``, names.

    Notes
    -----
    The job's values are ``answers``: a `PhotoAnswer.as_dict` for each output, one but of
    deployments with several; or ``tensors`` (`photo_tensors.tensors`).
    """

    model: Ref
    image: Ref
    deployment: int = 0
    area: tuple[float, float, float, float] | None = None
    polygon: tuple[tuple[float, float], ...] | None = None
    crop_background: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["look"] = "look"


@dataclass(frozen=True, slots=True)
class Deploy:
    """Whether a network that was uploaded can run.

    ``network`` is the number of its document (`documents`, kind ``network``), whose values say
    ``framework`` and ``preprocessing`` and whose files are the network's.
    """

    network: int
    kind: Literal["deploy"] = "deploy"


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing: what was asked cannot be told, which the job says and so fails at once."""

    message: str
    kind: Literal["failed"] = "failed"


Recipe = (
    Classify
    | Detect
    | Recognize
    | Change
    | Export
    | ListModels
    | ModelInfo
    | Install
    | Uninstall
    | Look
    | Deploy
    | Failed
)

_RECIPES: TypeAdapter[Recipe] = TypeAdapter(Annotated[Recipe, Field(discriminator="kind")])


def to_json(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values."""
    return _RECIPES.dump_python(recipe, mode="json")


def from_json(values: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `to_json` made."""
    return _RECIPES.validate_python(dict(values))
