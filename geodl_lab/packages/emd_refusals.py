"""Esri model definitions whose weights cannot be run here, and the way out of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from geodl_lab.errors import ModelError
from geodl_lab.packages import torchscript
from geodl_lab.packages.archives import Files
from geodl_lab.packages.emd_keys import Emd
from geodl_lab.packages.emd_outputs import TYPES, model_type
from geodl_lab.packages.zips import Zip

CONVERT = (
    "; convert the weights to ONNX with {tool}, name the new file in ModelFile and set Framework "
    "to 'Onnx'"
)
WAYS_OUT: Mapping[str, str] = {
    "tensorflow": "TensorFlow is not run here" + CONVERT.format(tool="tf2onnx"),
    "keras": "Keras is not run here" + CONVERT.format(tool="tf2onnx"),
    "cntk": "CNTK is not run here"
    + CONVERT.format(tool="CNTK's own Function.save(..., format=ModelFormat.ONNX)"),
}
ENDINGS = {
    ".pb": "tensorflow",
    ".tflite": "tensorflow",
    ".h5": "keras",
    ".hdf5": "keras",
    ".keras": "keras",
    ".model": "cntk",
    ".cntk": "cntk",
    ".dnn": "cntk",
}
PICKLED = (
    "the weights {name!r} are a pickle, which needs the code that made them; save them as "
    "TorchScript or ONNX{how}, and name that file in ModelFile"
)
ANCHORED = ("singleshotdetector", "retinanet", "yolov3", "mmdetection", "detreg")
"""Detectors of arcgis.learn whose networks answer offsets of anchors that no key of theirs says."""

IN_ARCGIS = "[functions]"
"""What the InferenceFunction begins with that is built into ArcGIS."""


def is_learn(emd: Emd) -> bool:
    """Tell whether arcgis.learn wrote the description: it fixes what some missing keys mean."""
    function = emd.word("InferenceFunction") or ""
    return (
        emd.get("ArcGISLearnVersion") is not None
        or (emd.word("Framework") or "").lower().startswith("arcgis.learn")
        or function.lower().startswith(IN_ARCGIS)
        or PurePosixPath(function.replace("\\", "/")).name.startswith("ArcGIS")
    )


def runnable_weights(files: Files, name: str) -> str:
    """Return the weights to run: those of ``name``, or the same in TorchScript or ONNX beside."""
    path = PurePosixPath(name)
    if path.suffix.lower() not in (".pth", ".pt") or is_torchscript(files, name):
        return name
    for ending in (".onnx", ".pt", "-cpu.pt", "_cpu.pt"):
        other = str(path.with_name(path.stem + ending))
        if other in files.names and (ending == ".onnx" or is_torchscript(files, other)):
            return other
    return name


def is_torchscript(files: Files, name: str) -> bool:
    """Tell whether weights are an archive of TorchScript, from its list of entries alone."""
    try:
        return torchscript.is_torchscript(Zip(files.read(name), name))
    except ModelError:  # it is no archive, or one that is refused when it is opened
        return False


def refusal(emd: Emd, files: Files, name: str) -> ModelError | None:
    """Return why a model cannot be run here, with the way out; None where it can be tried.

    Parameters
    ----------
    emd
        The description.
    files
        The package.
    name
        The weights to run.
    """
    text = _pickled(emd, files, name) or _undecodable(emd)
    return foreign(emd, name) or (_refused(emd, text) if text else None)


def foreign(emd: Emd, name: str) -> ModelError | None:
    """Return why a model of this type and framework cannot be run, whatever its weights hold."""
    text = unknown_type(emd) or _foreign(emd, name)
    return _refused(emd, text) if text else None


def elsewhere(emd: Emd) -> bool:
    """Tell whether the framework is one that is not run here."""
    return (emd.word("Framework") or "").lower() in WAYS_OUT


def _refused(emd: Emd, text: str) -> ModelError:
    return ModelError(f"{emd.name!r} cannot be run here: {text}")


def unknown_type(emd: Emd) -> str:
    """Return what is wrong with the model type, "" where it is one that runs here."""
    given = model_type(emd)
    if given in TYPES:
        return ""
    return f"its ModelType is {given!r}; possible are {', '.join(TYPES)}"


def _foreign(emd: Emd, name: str) -> str:
    """Return the way out of another framework, "" where it is none."""
    framework = (emd.word("Framework") or "").lower()
    suffix = PurePosixPath(name).suffix.lower()
    if elsewhere(emd) and suffix != ".onnx":
        return WAYS_OUT[framework]
    if suffix in ENDINGS and framework != "pytorch":
        return WAYS_OUT[ENDINGS[suffix]]
    return PICKLED.format(name=name, how="") if suffix in ENDINGS else ""


def _pickled(emd: Emd, files: Files, name: str) -> str:
    """Return the way out of arcgis.learn's own pickles, "" where the weights are none of them."""
    suffix = PurePosixPath(name).suffix.lower()
    if not is_learn(emd) or suffix not in (".pth", ".pt") or is_torchscript(files, name):
        return ""
    how = " in arcgis.learn, with model.save(..., framework='torchscript')"
    return PICKLED.format(name=name, how=how)


def _undecodable(emd: Emd) -> str:
    if emd.items("ignore_mapped_class"):
        return (
            "it ignores classes (ignore_mapped_class), which its own code does after the network; "
            "save it with a network that never answers them, and without the key"
        )
    words = {
        str(emd.get(key)).lower().replace("_", "") for key in ("ModelName", "ModelConfiguration")
    }
    if is_learn(emd) and words & set(ANCHORED):
        return (
            "its network answers offsets of anchors that the description does not name; save one "
            "that answers boxes, labels and scores, or put a Python function into the package"
        )
    return ""
