"""The keys of an Esri model definition: what each does here, and their values, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geodl_lab.checks import number_of
from geodl_lab.errors import ModelError

KEYS: Mapping[str, str] = {
    "ModelType": "used, required: task of the model",
    "ModelFile": "used, required unless a Python function of the package runs it: the weights",
    "InferenceFunction": "used: a Python file of the package runs under trust; one that is built "
    "into ArcGIS is replaced by running its weights here, where they are TorchScript or ONNX",
    "Framework": "used: TensorFlow, Keras and CNTK are refused with the way out",
    "ModelConfiguration": "used: with ModelParameters, the architecture of .safetensors",
    "ModelParameters": "used with ModelConfiguration; else kept",
    "ModelFormat": "used: NCHW (default) or NHWC, the order of the network's axes",
    "ModelName": "used: name; default the file's",
    "Version": "used: version",
    "Description": "used: about['description']",
    "ImageHeight": "used: height of a window in pixels; one of both sides is enough",
    "ImageWidth": "used: width of a window in pixels",
    "SupportsVariableTileSize": "used: windows may be larger; default false",
    "ExtractBands": "used: bands by name, or from 0 by position in rasters whose bands have no "
    "names; required unless a Python function runs, which may extract others",
    "WellKnownBandNames": "used: names of the bands, where there is one for each",
    "Bands": "used: names of the training raster's bands, which ExtractBands counts",
    "InputRastersProps": "used: BandNames as Bands; PixelType is the type that the scaling is for",
    "AllTilesStats": "used: BandName as Bands; a Max above 255 says that pixels are no bytes",
    "DataRange": "used: what the range of the pixel type (default 8 bit) is brought to; a Python "
    "function may ask for another, or for none",
    "NormalizationStats": "used before DataRange: bands to 0..1 between band_min and band_max, "
    "then minus scaled_mean, by scaled_std; nothing is cut",
    "NormalizationStats_b": "used: the same for the second image of change detection",
    "NormalizationStats_c": "kept",
    "DoNormalize": "used: false leaves scaled_mean and scaled_std out",
    "IsMultispectral": "used: true needs NormalizationStats",
    "IsImageNetNormalization": "used: by 255, then ImageNet's mean and deviation; the default of "
    "packages of arcgis.learn that name no other scaling",
    "ImageNetNormalization": "used as IsImageNetNormalization",
    "ImageryType": "kept",
    "MinCellSize": "used: with MaxCellSize, their geometric mean in metres is the cell size; both "
    "are in about['cell_size_range']; degrees are only kept",
    "MaxCellSize": "used with MinCellSize",
    "CellSize": "used before Min- and MaxCellSize: metres (ours)",
    "ModelPadding": "used: context in pixels on each side where it cannot be measured",
    "Padding": "used before ModelPadding: the same; 0 is none said",
    "Threshold": "used: least score of objects, 0..1",
    "Classes": "used: Value, Name and Color; a missing Color gets a default, alpha is left out",
    "CropSizeFixed": "used: chips of the model's size around objects, or their bounds resized",
    "BlackenAroundFeature": "used: pixels outside an object's outline are 0",
    "ignore_mapped_class": "used: refused unless empty",
    "per_class_metrics": "used: about['accuracy']",
    "monitored_metrics": "used: about['accuracy'] where there are no per_class_metrics",
    "License": "used: about['license'] (ours)",
    "Attribution": "used: about['attribution'] (ours)",
    "GeodlLab": "used: what the other keys cannot say; where both speak, the other key wins",
    "BatchSize": "kept: any batch gives the same answer here",
    "TilesPerBatch": "kept, as BatchSize",
    "fixedTileSize": "kept",
    "ImageSpaceUsed": "kept",
    "resize_to": "kept",
    "LearningRate": "kept",
    "backend": "kept",
    "ArcGISLearnVersion": "used: tells packages of arcgis.learn",
    "monitored_metric": "kept",
    "Kwargs": "kept",
    "MaskRCNNkwargs": "kept",
}
"""What the reader does with each key; all others are kept. about["emd"] holds the whole object."""

TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


@dataclass(frozen=True)
class Emd:
    """An Esri model definition whose values are checked as they are asked for.

    Parameters
    ----------
    name
        The file, as messages name it.
    text
        Its keys; ``null`` and ``""`` are as good as absent.
    """

    name: str
    text: Mapping[str, Any]

    def get(self, key: str) -> Any:
        """Return a value as it stands, None where it is absent."""
        value = self.text.get(key)
        return None if _is_blank(value) else value

    def required(self, key: str, use: str) -> Any:
        """Return a value that must be there.

        Raises
        ------
        ModelError
            If it is absent; the message says what it is for.
        """
        value = self.get(key)
        if value is None:
            raise ModelError(f"{self.name!r} lacks the key {key!r}: {use}; add it")
        return value

    def word(self, key: str) -> str | None:
        """Return a text; a number is taken as one."""
        value = self.get(key)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "a text")
        return str(value)

    def number(self, key: str) -> float | None:
        """Return a finite number; one that is written as a text is taken."""
        value = self.get(key)
        return None if value is None else self._finite(key, value)

    def whole(self, key: str) -> int | None:
        """Return a whole number; ``3.0`` and ``"3"`` are taken."""
        number = self.number(key)
        if number is None:
            return None
        if number != int(number):
            raise self.wrong(key, "a whole number")
        return int(number)

    def flag(self, key: str) -> bool | None:
        """Return true or false, which may also be written as 1 and 0 or as a text."""
        value = self.get(key)
        if value is None:
            return None
        word = str(value).lower()
        if isinstance(value, list | dict) or word not in (*TRUE, *FALSE):
            raise self.wrong(key, "true or false")
        return word in TRUE

    def numbers(self, key: str) -> tuple[float, ...] | None:
        """Return a list of finite numbers."""
        values = self.items(key)
        return None if values is None else tuple(self._finite(key, value) for value in values)

    def items(self, key: str) -> list[Any] | None:
        """Return a list."""
        value = self.get(key)
        if value is not None and not isinstance(value, list):
            raise self.wrong(key, "a list")
        return value

    def section(self, key: str) -> Emd:
        """Return an object's own keys; none where it is absent."""
        value = self.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, "an object {...}")
        return Emd(f"{key} of {self.name}", value or {})

    def sections(self, key: str) -> list[Emd] | None:
        """Return a list of objects."""
        values = self.items(key)
        if values is None:
            return None
        if not all(isinstance(value, dict) for value in values):
            raise self.wrong(key, "a list of objects [{...}]")
        return [Emd(f"{key}[{index}] of {self.name}", value) for index, value in enumerate(values)]

    def wrong(self, key: str, needs: str) -> ModelError:
        """Return the error of a value of a wrong kind."""
        shown = json.dumps(self.text.get(key), default=str)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        return ModelError(f"{self.name!r} has {key} {shown}; {needs} is needed")

    def _finite(self, key: str, value: Any) -> float:
        number = number_of(value)
        if number is None:
            raise self.wrong(key, "a number")
        return number


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
