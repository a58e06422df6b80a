"""The parameters of a task as a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from geodl_lab.errors import GeodlError, OptionError
from geodl_lab.jobs import recipes
from geodl_lab.jobs.recipes import Context, Output, Recipe, Ref
from geodl_lab.server.arcgis import references, values
from geodl_lab.server.arcgis.contexts import context_of
from geodl_lab.server.arcgis.references import Here
from geodl_lab.server.arcgis.tasks import (
    CHIP_FORMATS,
    METADATA_FORMATS,
    REFERENCES,
    Parameter,
    Task,
)

ARGUMENTS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "padding": ("padding", values.whole_of),
    "batch_size": ("batch_size", values.whole_of),
    "tile_size": ("tile_size", values.whole_of),
    "threshold": ("threshold", values.number_of),
    "nms_overlap": ("nms_overlap", values.number_of),
    "test_time_augmentation": ("tta", values.truth_of),
    "exclude_pad_detections": ("exclude_pad_detections", values.truth_of),
    "return_bboxes": ("return_bboxes", values.truth_of),
    "predict_background": ("predict_background", values.truth_of),
}
"""Our names and kinds of the arguments that all models may have; clients send each as text."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a client gave for a task: names as the task tells them, "" counts as absent."""

    task: Task
    texts: Mapping[str, str]
    here: Here

    def text(self, name: str) -> str:
        """Return a parameter as text, "" where it is absent."""
        return self.texts.get(name, "")

    def needed(self, name: str) -> str:
        """Return a parameter as text; raises OptionError where it is absent."""
        if not (text := self.text(name)):
            about = self._parameter(name).about
            raise OptionError(
                f"{name} of {self.task.name} is missing; {about[0].lower()}{about[1:]}"
            )
        return text

    def truth(self, name: str) -> bool:
        """Return a parameter as a truth value, or its default."""
        return values.truth_of(name, self.text(name) or self._parameter(name).default)

    def number(self, name: str, *, least: float, most: float) -> float:
        """Return a parameter as a number, or its default."""
        given = self.text(name) or self._parameter(name).default
        return values.number_of(name, given, least=least, most=most)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return a parameter that is one of some, or its default."""
        return values.choice_of(
            name, self.text(name) or str(self._parameter(name).default), choices
        )

    def rasters(self, name: str) -> tuple[Ref, ...]:
        """Return the rasters that a parameter names."""
        return references.raster_refs(name, self.needed(name), self.here)

    def one(self, name: str) -> Ref | None:
        """Return the one thing that a parameter names, None where it is absent."""
        text = self.text(name)
        return references.single_ref(name, text, self.here) if text else None

    def model(self, name: str = "model") -> Ref:
        """Return the model that a parameter names."""
        return references.model_ref(name, self.needed(name), self.here)

    def output(self, name: str) -> Output:
        """Return the place that a parameter names."""
        return references.output_of(name, self.needed(name), self.here)

    def context_values(self) -> dict[str, Any]:
        """Return what ``context`` says, as plain values; below it, what ``env:`` parameters say."""
        env = {key: text for key in ("outSR", "processSR") if (text := self.text(f"env:{key}"))}
        text = self.text("context")
        given = values.object_of("context", text) if text else {}
        known = {key.lower() for key, value in given.items() if value}
        return given | {key: value for key, value in env.items() if key.lower() not in known}

    def context(self) -> Context:
        """Return where and on what the task runs."""
        return context_of(self.context_values(), self.here)

    def _parameter(self, name: str) -> Parameter:
        found = self.task.input(name)
        assert found, f"{self.task.name} tells no {name}"
        return found


def given_to(task: Task, sent: Mapping[str, str], here: Here) -> Given:
    """Return what a client sent for a task, by the names that the task tells.

    Of a parameter and its alias the parameter wins; what the task does not know is left, but for
    ``env:outSR`` and ``env:processSR``.
    """
    texts: dict[str, str] = {}
    env = {"env:outsr": "env:outSR", "env:processsr": "env:processSR"}
    for name, text in sent.items():
        parameter = task.input(name)
        told = parameter.name if parameter else env.get(name.lower())
        if told and text.strip() and (told not in texts or name.lower() == told.lower()):
            texts[told] = text.strip()
    return Given(task, texts, here)


def recipe_of(given: Given) -> Recipe:
    """Return what a task is to do; where that cannot be told, a recipe that fails and says why."""
    try:
        return _RECIPES[given.task.name](given)
    except GeodlError as error:
        return recipes.Failed(str(error))


def arguments_of(text: str) -> dict[str, Any]:
    """Return the arguments of a model, by our names where we have one; raises OptionError."""
    found: dict[str, Any] = {}
    for name, value in (values.object_of("modelArguments", text) if text else {}).items():
        if value in (None, "", "None"):  # clients send the text of Python's values
            continue
        ours, kind = ARGUMENTS.get(name.lower(), (name, None))
        found[ours] = kind(f"{name} of modelArguments", value) if kind else value
    return found


def _run(given: Given, output: str) -> dict[str, Any]:
    """Return what all runs of a model on rasters have."""
    return {
        "rasters": given.rasters("inputRaster"),
        "model": given.model(),
        "output": given.output(output),
        "arguments": arguments_of(given.text("modelArguments")),
        "each": given.truth("processAllRasterItems"),
        "context": given.context(),
    }


def _classify(given: Given) -> Recipe:
    return recipes.Classify(**_run(given, "outputClassifiedRaster"))


def _detect(given: Given) -> Recipe:
    nms = recipes.Nms(
        score_field=given.text("confidenceScoreField"),
        class_field=given.text("classValueField"),
        max_overlap=given.number("maxOverlapRatio", least=0, most=1),
    )
    return recipes.Detect(
        **_run(given, "outputObjects"), nms=nms if given.truth("runNMS") else None
    )


def _recognize(given: Given) -> Recipe:
    return recipes.Recognize(
        **_run(given, "outputFeatureClass"),
        features=given.one("inputFeatures"),
        label_field=given.text("classLabelField"),
    )


def _change(given: Given) -> Recipe:
    return recipes.Change(
        before=given.rasters("fromRaster"),
        after=given.rasters("toRaster"),
        model=given.model("modelDefinition"),
        output=given.output("outputClassifiedRasterName"),
        arguments=arguments_of(given.text("modelArguments")),
        context=given.context(),
    )


def _export(given: Given) -> Recipe:
    second = given.text("additionalInputRaster")
    return recipes.Export(
        rasters=given.rasters("inputRaster"),
        location=references.location_of(
            "outputLocation", given.needed("outputLocation"), given.here
        ),
        labels=given.one("inputClassData"),
        instances=given.one("inputInstanceData"),
        second=given.rasters("additionalInputRaster") if second else (),
        mask=given.one("inputMaskPolygons"),
        format=given.choice("metadataFormat", METADATA_FORMATS),
        chip_format=given.choice("chipFormat", CHIP_FORMATS),
        options=_export_options(given),
        each=given.truth("processAllRasterItems"),
        context=given.context(),
    )


def _export_options(given: Given) -> dict[str, Any]:
    context = {key.lower(): value for key, value in given.context_values().items()}
    options = {
        "tile_yx": _size_yx(given, "tileSize"),
        "stride_yx": _size_yx(given, "strideSize"),
        "class_field": given.text("classValueField"),
        "instance_class_field": given.text("instanceClassValueField"),
        "buffer": given.number("bufferRadius", least=0, most=1e9),
        "rotation": given.number("rotationAngle", least=0, most=360),
        "reference": given.choice("referenceSystem", REFERENCES).partition("_")[0].lower(),
        "blacken": given.truth("blackenAroundFeature"),
        "fixed_chip": given.truth("fixChipSize"),
        "min_overlap": given.number("minPolygonOverlapRatio", least=0, most=1),
        "all_tiles": values.truth_of("exportAllTiles", context.get("exportalltiles") or False),
        "start_index": values.whole_of("startIndex", context.get("startindex") or 0),
    }
    return {name: value for name, value in options.items() if value not in (None, "")}


def _size_yx(given: Given, name: str) -> list[int] | None:
    """Return a size as rows and columns of pixels, None where it is absent."""
    if not (text := given.text(name)):
        return None
    size = values.json_of(name, text)
    size = size if isinstance(size, dict) else {"x": size, "y": size}
    return [values.whole_of(f"{side} of {name}", size.get(side), least=1) for side in ("y", "x")]


def _list(given: Given) -> Recipe:
    return recipes.ListModels()


def _query(given: Given) -> Recipe:
    return recipes.ModelInfo(given.model())


def _install(given: Given) -> Recipe:
    package = given.needed("modelPackage")
    if references.ITEM.fullmatch(package):
        return recipes.Install(Ref("item", package.lower()))
    return recipes.Install(references.single_ref("modelPackage", package, given.here))


def _uninstall(given: Given) -> Recipe:
    return recipes.Uninstall(given.model("modelItemId"))


_RECIPES: dict[str, Callable[[Given], Recipe]] = {
    "ClassifyPixelsUsingDeepLearning": _classify,
    "DetectObjectsUsingDeepLearning": _detect,
    "ListDeepLearningModels": _list,
    "QueryDeepLearningModelInfo": _query,
    "InstallDeepLearningModel": _install,
    "UninstallDeepLearningModel": _uninstall,
    "ExportTrainingDataforDeepLearning": _export,
    "ClassifyObjectsUsingDeepLearning": _recognize,
    "DetectChangeUsingDeepLearning": _change,
}
