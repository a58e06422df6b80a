"""The child process that runs one Python raster function, and the messages it is spoken to with.

It imports numpy and the standard library only, and is run by its path, so that nothing of ours
stands in the way of what a function imports. A message is the length of a JSON header (8 bytes, big
endian), the header, and the bytes of the arrays that the header lists; nothing is pickled.

Protocol of functions: Esri, "Anatomy of a Python Raster Function"
(github.com/Esri/raster-functions/wiki/PythonRasterFunction).
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import shutil
import sys
import threading
import time
import traceback
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

LENGTH = 8
METHODS = ("getParameterInfo", "getConfiguration", "updateRasterInfo", "updatePixels", "vectorize")
KINDS = "biuf"
"""Kinds of numpy types that pixels have."""

MOST_RASTERS = 2
"""Rasters that a function may take: one, or the two dates of change detection."""

Message = tuple[dict[str, Any], list[np.ndarray]]


def send(stream: BinaryIO, header: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    """Write one message."""
    listed = [[array.dtype.str, array.shape] for array in arrays]
    text = json.dumps({**header, "arrays": listed}, default=_plain).encode()
    stream.write(len(text).to_bytes(LENGTH, "big") + text)
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def receive(stream: BinaryIO) -> Message:
    """Read one message; its arrays can be written to, as functions do.

    Raises
    ------
    EOFError
        If the stream ends before the message does.
    """
    size = int.from_bytes(_read(stream, LENGTH), "big")
    header = json.loads(_read(stream, size))
    return header, [_read_array(stream, *listed) for listed in header.pop("arrays")]


def _read(stream: BinaryIO, size: int) -> bytearray:
    content, done = bytearray(size), 0
    while done < size:
        count = stream.readinto(memoryview(content)[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        done += count
    return content


def _read_array(stream: BinaryIO, dtype: str, shape: Sequence[int]) -> np.ndarray:
    kind = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(_read(stream, count * kind.itemsize), kind).reshape(shape)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


class AnswerError(Exception):
    """A function answered what the protocol does not know."""


class RasterFunction:
    """The function's object and what was found out about it.

    Parameters
    ----------
    method
        Name of the method that is running, for errors.
    """

    def __init__(self) -> None:
        self.method = "import"
        self._object: Any = None
        self._fixed: dict[str, Any] = {}
        self._rasters = ["raster"]
        self._props: dict[str, Any] = {}

    def load(self, header: dict[str, Any], arrays: Sequence[np.ndarray]) -> Message:
        """Import the file and initialize the object; answer its parameters and methods."""
        self._object = find_class(Path(header["file"]))()
        self._fixed = {"model": header["model"], "device": header["device"]}
        self._call("initialize", **self._fixed, model_as_file=True)
        parameters = self._call("getParameterInfo")
        rasters = [p for p in parameters if str(p.get("dataType")).startswith("raster")]
        named = all(isinstance(p["name"], str) for p in parameters)
        if len(rasters) > MOST_RASTERS or not named:
            raise AnswerError(f"it takes {len(rasters)} rasters, possible are one, or two dates")
        self._rasters = [parameter["name"] for parameter in rasters] or self._rasters
        methods = [name for name in METHODS if callable(getattr(self._object, name, None))]
        return {"parameters": parameters, "methods": methods}, []

    def configure(self, header: dict[str, Any], arrays: Sequence[np.ndarray]) -> Message:
        """Hand over the arguments; answer the configuration and what comes out."""
        scalars = {**header["scalars"], **self._fixed}
        configuration = self._call("getConfiguration", **scalars) or {}
        info = header["raster"]
        one = {**info, "bandCount": info["bandCount"] // len(self._rasters)}
        infos = {f"{name}_info": dict(one) for name in self._rasters} | {"output_info": dict(info)}
        updated = self._call("updateRasterInfo", **infos, **scalars) or infos
        output = updated["output_info"]
        bands, kind = int(output["bandCount"]), np.dtype(output["pixelType"]).str[1:]
        if kind[0] not in KINDS:
            raise AnswerError(f"its output has the pixelType {kind!r}, needed are numbers")
        self._props = {**info, "pixelType": kind, "bandCount": bands}
        found = {"bands": bands, "pixel_type": kind, "geometry": self._call("getGeometryType")}
        self._call("getFields")
        return {"configuration": configuration, **found}, []

    def update_pixels(self, header: dict[str, Any], arrays: Sequence[np.ndarray]) -> Message:
        """Run ``updatePixels`` on one block; answer pixels and, if there is one, their mask."""
        (pixels,) = arrays
        self.method = "updatePixels"
        blocks = self._blocks(pixels, _ones(pixels))
        # Functions get no place: a model answers alike wherever its window lies.
        shape = (self._props["bandCount"], *header["shape_yx"])
        found = self._object.updatePixels((0, 0), shape, self._props, **blocks)
        if isinstance(found, np.ndarray):  # as the classes of a framework do
            found = {"output_pixels": found}
        if not isinstance(found, dict) or "output_pixels" not in found:
            raise AnswerError(f"it answered {_described(found)}, needed is 'output_pixels'")
        kept = [found[k] for k in ("output_pixels", "output_mask") if found.get(k) is not None]
        return {}, [_numbers(array) for array in kept]

    def vectorize(self, header: dict[str, Any], arrays: Sequence[np.ndarray]) -> Message:
        """Run ``vectorize`` on one block, or on chips of objects; answer the feature set."""
        (pixels,) = arrays
        mask = _ones(pixels)
        if rim := header["rim"]:
            mask[:] = 0
            mask[:, rim:-rim, rim:-rim] = 1
        given = ((pixels,), (mask,)) if header["chips"] else (pixels, mask)
        blocks = self._blocks(*given)
        self.method = "vectorize"
        found = self._object.vectorize(**blocks)
        if not isinstance(found, dict) or "output_vectors" not in found:
            raise AnswerError(f"it answered {_described(found)}, needed is 'output_vectors'")
        vectors = found["output_vectors"]
        return {"vectors": json.loads(vectors) if isinstance(vectors, str) else vectors}, []

    def _blocks(self, pixels: Any, mask: Any) -> dict[str, Any]:
        """Return pixels and masks by name; of two dates each gets its half of the bands.

        Masks are there whether asked for (``inputMask``) or not: who wants none does not look.
        They are valid but for an empty rim: the engine has filled what holds no data before.
        """
        count = len(self._rasters)
        if count > 1 and len(pixels) % count:
            raise AnswerError(f"it takes two rasters, and {len(pixels)} bands are no two dates")
        blocks: dict[str, Any] = {}
        for ending, array in (("pixels", pixels), ("mask", mask)):
            parts = np.split(array, count) if count > 1 else [array]
            for name, part in zip(self._rasters, parts, strict=True):
                blocks[f"{name}_{ending}"] = part
        return blocks

    def _call(self, method: str, **given: Any) -> Any:
        """Call a method if there is one, with the arguments that it takes."""
        self.method = method
        called = getattr(self._object, method, None)
        if called is None:
            return None
        taken = inspect.signature(called).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
            given = {name: value for name, value in given.items() if name in taken}
        return called(**given)


def stand_in(name: str) -> types.ModuleType:
    """Return a module with ``env`` alone, in which functions note the device they run on.

    Most functions that import arcpy do no more with it; the first use of anything else fails as
    the import would have.
    """

    def missing(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    module = types.ModuleType(name)
    module.env = types.SimpleNamespace(processorType="CPU", gpuId="0")  # type: ignore[attr-defined]
    module.__getattr__ = missing  # type: ignore[method-assign]
    return module


def find_class(file: Path) -> Any:
    """Import a file; return the class of its name, or else the only raster function in it.

    Raises
    ------
    AnswerError
        If there is no such class, or several.
    """
    sys.path.insert(0, str(file.parent))  # helper modules lie beside the file
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise AnswerError(f"{file.name!r} is no Python file (.py)")
    if importlib.util.find_spec("arcpy") is None:
        sys.modules["arcpy"] = stand_in("arcpy")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    if inspect.isclass(named := getattr(module, file.stem, None)):
        return named
    classes = [value for value in vars(module).values() if inspect.isclass(value)]
    found = [value for value in classes if hasattr(value, "getParameterInfo")]
    if len(found) != 1:
        raise AnswerError(f"{len(found)} classes have getParameterInfo and none is {file.stem!r}")
    return found[0]


def _ones(pixels: np.ndarray) -> np.ndarray:
    return np.ones(pixels.shape, np.uint8)


def _numbers(values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in KINDS:
        raise AnswerError(f"it answered pixels of type {array.dtype}, needed are numbers")
    return array


def _described(answer: Any) -> str:
    if isinstance(answer, dict):
        return f"a dict of {', '.join(map(str, answer)) or 'nothing'}"
    return f"a {type(answer).__name__}"


def failure(function: RasterFunction, error: BaseException, folder: str) -> dict[str, Any]:
    """Return what is told of an exception: method, kind, text, place and a missing module."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{Path(f.filename).name} line {f.lineno}" for f in frames if folder in f.filename]
    kind = "" if isinstance(error, AnswerError) else type(error).__name__
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    return {
        "method": function.method,
        "kind": kind,
        "text": " ".join(str(error).split())[:500],
        "place": places[-1] if places else "",
        "missing": missing,
    }


def serve(requests: BinaryIO, answers: BinaryIO, folder: str) -> None:
    """Answer requests until there are no more."""
    function = RasterFunction()
    while True:
        try:
            header, arrays = receive(requests)
        except EOFError:
            return
        try:
            answer, made = getattr(function, header["do"])(header, arrays)
            send(answers, answer, made)
        except BaseException as error:  # a function is anybody's code, and may call sys.exit
            send(answers, {"error": failure(function, error, folder)})


def _watch(parent: int, folder: str) -> None:
    """End with the parent, however it ended, and leave no files of its behind."""
    while os.getppid() == parent:
        time.sleep(0.5)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def main(parent: str, folder: str) -> None:
    """Serve the process ``parent`` on standard input and output."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What the function reads and prints must not be what we say to each other.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    threading.Thread(target=_watch, args=(int(parent), folder), daemon=True).start()
    serve(requests, answers, folder)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
