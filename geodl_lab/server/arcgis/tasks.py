"""The tasks that are served, one table: their parameters and what they answer.

Clients make Python functions from these pages: a task is callable only with the names that stand
here, so they are what the ArcGIS API for Python 2.4.4 passes, each in the order that it passes it.
Values that are JSON are said to be strings; other kinds would be converted on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from geodl_lab.server.arcgis import words


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a task.

    Parameters
    ----------
    name
        What clients call it.
    about
        One sentence, for people; clients paste it into Python, so no quotes and no backslashes.
    kind
        A data type of `words`.
    required
        Whether a job fails without it.
    default
        What an absent one means; None where that is nothing.
    choices
        What it can be; () is anything.
    aliases
        Other names that are taken, not told.
    """

    name: str
    about: str
    kind: str = words.TEXT
    required: bool = False
    default: str | float | bool | None = None
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    Parameters
    ----------
    name, title, about
        What it is called, by clients and for people.
    inputs
        Its parameters, in order.
    output
        What it answers.
    aliases
        Other names that are taken, not told.
    """

    name: str
    title: str
    about: str
    inputs: tuple[Parameter, ...]
    output: Parameter
    aliases: tuple[str, ...] = ()

    def input(self, name: str) -> Parameter | None:
        """Return the parameter of a name or alias, in any case; None if there is none."""
        low = name.lower()
        return next((p for p in self.inputs if low in map(str.lower, (p.name, *p.aliases))), None)


_RASTER = Parameter(
    "inputRaster",
    "The raster, or several: JSON with itemId, url or uri, a list of those, or a plain url or uri.",
    required=True,
)
_MODEL = Parameter(
    "model",
    "The model: JSON with itemId, url or uri, the text of an .emd file, or a name.",
    required=True,
    aliases=("modelDefinition",),
)
_ARGUMENTS = Parameter(
    "modelArguments", "Arguments of the model as JSON, such as padding, batch_size and threshold."
)
_EACH = Parameter(
    "processAllRasterItems",
    "True runs each raster of a collection by itself, false mosaics them first.",
    words.TRUTH,
    default=False,
)
_CONTEXT = Parameter(
    "context",
    "JSON: extent, cellSize, snapRaster, mask, outSR, processSR, processorType, gpuId, "
    "parallelProcessingFactor, resamplingMethod.",
)
_OUTPUT = (
    "Where the result goes: JSON with itemId, url, uri, or serviceProperties with the name of a "
    "new service."
)
_SERVICE_NOTE = "JSON with the itemId and the url of the service."

_CLASSIFY = Task(
    "ClassifyPixelsUsingDeepLearning",
    "Classify Pixels Using Deep Learning",
    "Gives every pixel a class.",
    (
        _RASTER,
        Parameter(
            "outputClassifiedRaster", _OUTPUT, required=True, aliases=("outputClassifedRaster",)
        ),
        _MODEL,
        _ARGUMENTS,
        _EACH,
        _CONTEXT,
    ),
    Parameter("outRaster", _SERVICE_NOTE),
)

_DETECT = Task(
    "DetectObjectsUsingDeepLearning",
    "Detect Objects Using Deep Learning",
    "Finds objects.",
    (
        _RASTER,
        Parameter("outputObjects", _OUTPUT, required=True),
        _MODEL,
        _ARGUMENTS,
        Parameter(
            "runNMS", "Whether overlapping objects are reduced to one.", words.TRUTH, default=False
        ),
        Parameter("confidenceScoreField", "With runNMS: the field of scores."),
        Parameter("classValueField", "With runNMS: the field of classes."),
        Parameter(
            "maxOverlapRatio",
            "With runNMS: the largest intersection over union, 0 to 1, that leaves both.",
            words.NUMBER,
            default=0,
        ),
        _EACH,
        _CONTEXT,
    ),
    Parameter("outObjects", _SERVICE_NOTE, words.FEATURES),
)

_LIST = Task(
    "ListDeepLearningModels",
    "List Deep Learning Models",
    "Lists the models that this server knows.",
    (),
    Parameter("deepLearningModels", "A list of the models items."),
    aliases=("ListDeepLearningModelInfo",),
)

_QUERY = Task(
    "QueryDeepLearningModelInfo",
    "Query Deep Learning Model Info",
    "Tells what there is to know of a model.",
    (_MODEL,),
    Parameter("outModelInfo", "JSON with modelInfo, the text of its definition."),
)

_INSTALL = Task(
    "InstallDeepLearningModel",
    "Install Deep Learning Model",
    "Installs a model package, so that it can be used by name. Its own code is not trusted.",
    (
        Parameter(
            "modelPackage", "The .dlpk: JSON with itemId, url or uri.", required=True,
            aliases=("model",),
        ),
    ),
    Parameter("installSucceed", "The name under which it is installed."),
)  # fmt: skip

_UNINSTALL = Task(
    "UninstallDeepLearningModel",
    "Uninstall Deep Learning Model",
    "Removes an installed model.",
    (
        Parameter(
            "modelItemId", "The id of its item, or its name.", required=True, aliases=("model",)
        ),
    ),
    Parameter("uninstallSucceed", "The id of its item."),
)  # fmt: skip

METADATA_FORMATS = (
    "KITTI_rectangles", "PASCAL_VOC_rectangles", "Classified_Tiles", "RCNN_Masks", "Labeled_Tiles",
    "MultiLabeled_Tiles", "Export_Tiles", "CycleGAN", "Imagenet", "Panoptic_Segmentation",
)  # fmt: skip
CHIP_FORMATS = ("TIFF", "PNG", "JPEG", "MRF")
REFERENCES = ("MAP_SPACE", "IMAGE_SPACE", "PIXEL_SPACE")

_EXPORT = Task(
    "ExportTrainingDataforDeepLearning",
    "Export Training Data for Deep Learning",
    "Cuts chips of a raster and writes the labels beside them, to train from.",
    (
        _RASTER,
        Parameter(
            "outputLocation",
            "Where to: a new name, as /fileShares/outputs/NAME or alone.",
            required=True,
        ),
        Parameter("inputClassData", "Features or a class raster: JSON with itemId, url or uri."),
        Parameter("chipFormat", "Format of the chips.", default="TIFF", choices=CHIP_FORMATS),
        Parameter("tileSize", "Size of a chip in pixels: JSON with x and y."),
        Parameter("strideSize", "Step from chip to chip in pixels: JSON with x and y."),
        Parameter(
            "metadataFormat", "Format of the labels.", default="KITTI_rectangles",
            choices=METADATA_FORMATS,
        ),
        Parameter("classValueField", "The field of classes."),
        Parameter(
            "bufferRadius", "Radius that makes areas of points and lines.", words.NUMBER, default=0
        ),
        Parameter("inputMaskPolygons", "Polygons outside which no chip is cut."),
        Parameter("rotationAngle", "Degrees; chips are cut again turned by it.", words.NUMBER,
                  default=0),
        Parameter("referenceSystem", "What the chips coordinates are.", default="MAP_SPACE",
                  choices=REFERENCES),
        _EACH,
        Parameter("blackenAroundFeature", "Whether pixels outside a feature are black.",
                  words.TRUTH, default=False),
        Parameter("fixChipSize", "Whether all chips have one size.", words.TRUTH, default=True),
        Parameter("additionalInputRaster", "A second raster, cut at the same places."),
        Parameter("inputInstanceData", "Features of single objects, where the format wants them."),
        Parameter("instanceClassValueField", "The field of their classes."),
        Parameter("minPolygonOverlapRatio", "Least part, 0 to 1, of a feature inside a chip.",
                  words.NUMBER, default=0),
        _CONTEXT,
    ),
    Parameter("outLocation", "JSON with the uri of the folder and the url of its download."),
)  # fmt: skip

_RECOGNIZE = Task(
    "ClassifyObjectsUsingDeepLearning",
    "Classify Objects Using Deep Learning",
    "Gives each feature a label, or each whole raster where there are no features.",
    (
        _RASTER,
        Parameter("inputFeatures", "The features: the url of a layer, or JSON."),
        Parameter("outputFeatureClass", _OUTPUT, required=True),
        _MODEL,
        _ARGUMENTS,
        Parameter("classLabelField", "Name of the field that gets the label."),
        _EACH,
        _CONTEXT,
    ),
    Parameter("outObjects", _SERVICE_NOTE, words.FEATURES),
)

_CHANGE = Task(
    "DetectChangeUsingDeepLearning",
    "Detect Change Using Deep Learning",
    "Gives every pixel what changed between two dates.",
    (
        Parameter("fromRaster", "The earlier raster: JSON with itemId, url or uri.", required=True),
        Parameter("toRaster", "The later raster: JSON with itemId, url or uri.", required=True),
        Parameter("modelDefinition", _MODEL.about, required=True, aliases=("model",)),
        Parameter(
            "outputClassifiedRasterName", _OUTPUT, required=True,
            aliases=("outputClassifiedRaster", "outputClassifedRaster"),
        ),
        _ARGUMENTS,
        _CONTEXT,
    ),
    Parameter("outRaster", _SERVICE_NOTE),
)  # fmt: skip

TASKS = (
    _CLASSIFY, _DETECT, _LIST, _QUERY, _INSTALL, _UNINSTALL, _EXPORT, _RECOGNIZE, _CHANGE,
)  # fmt: skip


def find_task(name: str) -> Task | None:
    """Return a task by name or alias, in any case; None if it is not served."""
    low = name.lower()
    return next((t for t in TASKS if low in map(str.lower, (t.name, *t.aliases))), None)


def task_page(task: Task) -> dict[str, Any]:
    """Return a task as its page tells it."""
    inputs = [
        _described(one, words.INPUT, words.REQUIRED if one.required else words.OPTIONAL)
        for one in task.inputs
    ]
    return {
        "name": task.name,
        "displayName": task.title,
        "description": task.about,
        "category": "",
        "helpUrl": "",
        "executionType": words.ASYNCHRONOUS,
        "parameters": [*inputs, _described(task.output, words.OUTPUT, words.DERIVED)],
    }


def _described(one: Parameter, direction: str, kind: str) -> dict[str, Any]:
    values = {
        "name": one.name,
        "dataType": one.kind,
        "displayName": one.name,
        "description": one.about,
        "direction": direction,
        "defaultValue": one.default,
        "parameterType": kind,
        "category": "",
    }
    return values | ({"choiceList": list(one.choices)} if one.choices else {})
