"""Requests for inference: the image, what of it, and how much is to be answered."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile

from geodl_lab.jobs.core import Core
from geodl_lab.jobs.job import Caller, Job
from geodl_lab.jobs.recipes import Look, Ref
from geodl_lab.json_fields import flag, number, plain_list, text, whole
from geodl_lab.server.deepomatic.bodies import Body, structured
from geodl_lab.server.deepomatic.errors import FieldError, about

PRIORITY = 10
"""Of images: above jobs of rasters."""

MOST_PREDICTIONS = 100
"""Labels that are answered where a request does not say how many."""

MOST_BYTES = 256 * 2**20
"""Bytes of an image."""

LONGEST_URL = 4000
IMAGE = ("source", "bbox", "polygon", "crop_uniform_background")
SIDES = ("xmin", "ymin", "xmax", "ymax")
POSSIBLE = "an http(s) address, data:image/*;base64,..., data:image/*;binary,... or a file"

Box = tuple[float, float, float, float]
Corners = tuple[tuple[float, float], ...]

BLANKS = b" \t\r\n\v\f"
_DATA = re.compile(rb"data:image/[\w.+*-]{1,40};(base64|binary),")


@dataclass(frozen=True)
class Photo:
    """An image of a request.

    Parameters
    ----------
    source
        Its bytes, or its address.
    area
        (x0, y0, x1, y1), 0..1, y downwards; None is all.
    polygon
        Corners (x, y), 0..1; None is none.
    crop_background
        Whether a uniform border is cut off.
    """

    source: bytes | str
    area: Box | None = None
    polygon: Corners | None = None
    crop_background: bool = False


@dataclass(frozen=True)
class Asked:
    """A request for inference.

    Parameters
    ----------
    photo
        What is looked at.
    most
        Labels, predicted and discarded, at most.
    discarded
        Whether labels up to their threshold are answered too.
    """

    photo: Photo
    most: int = MOST_PREDICTIONS
    discarded: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """As `Look` has them."""
        return {"most": self.most, "discarded": self.discarded}


@dataclass(frozen=True)
class Target:
    """What looks at an image.

    Parameters
    ----------
    model
        Name of a model, "" where a network does.
    network
        Number of its document, 0 for none.
    arguments
        What a version, or a request to a network, says beside that.
    """

    model: str = ""
    network: int = 0
    arguments: Mapping[str, Any] | None = None


Find = Callable[[Core, Caller, Body, str], Target]
"""Returns what looks at images, by the id of an address."""


def parse(body: Body) -> Asked:
    """Return what a body asks for; reads its upload, so not on the event loop. FieldError."""
    values = body.values
    with about("max_predictions"):
        most = values.get("max_predictions")
        most = MOST_PREDICTIONS if most in (None, "") else whole(most, "max_predictions", 1)
    discarded = truth(values.get("show_discarded"), "show_discarded")
    return Asked(_photo(values.get("inputs")), most, discarded)


def tensors_of(body: Body) -> list[str]:
    """Return the names of the tensors that a request to a network asks for; FieldError."""
    with about("output_tensors"):
        given = structured(body.values.get("output_tensors"), "output_tensors")
        rows = plain_list([given] if isinstance(given, str) else given, "output_tensors")
        return [text(one, "output_tensors") for one in rows]


def infer(core: Core, caller: Caller, body: Body, find: Find, id: str) -> dict[str, Any]:
    """Queue what a body asks for; return the answer. FieldError, AccessError, BusyError."""
    target = find(core, caller, body, id)
    return {"task_id": submit(core, caller, parse(body), target).id}


def submit(core: Core, caller: Caller, asked: Asked, target: Target) -> Job:
    """Queue an image; it is on the disk when this returns."""
    photo, arguments = asked.photo, {**asked.arguments, **(target.arguments or {})}
    if isinstance(photo.source, str):
        image, files = Ref("url", photo.source), {}
    else:
        image, files = Ref("file", "image"), {"image": photo.source}
    recipe = Look(
        Ref("model", target.model),
        image,
        deployment=target.network,
        area=photo.area,
        polygon=photo.polygon,
        crop_background=photo.crop_background,
        arguments=arguments,
    )
    request = {"protocol": "deepomatic", "task": "inference", "parameters": asked.arguments}
    return core.submit(recipe, caller, request=request, priority=PRIORITY, files=files)


def truth(given: Any, where: str) -> bool:
    """Return a truth value, also as text or number; None is false. FieldError."""
    with about(where):
        if isinstance(given, str):
            given = {"1": True, "0": False, "": False}.get(given, given)
        if given is None or given in (0, 1):
            return bool(given)
        return flag(given, where)


def _photo(given: Any) -> Photo:
    given = structured(given, "inputs")
    if not isinstance(given, list) or not given:
        raise FieldError(
            "inputs is empty or no list; send one input, such as "
            '[{"image": {"source": "https://..."}}]',
            field="inputs",
        )
    if len(given) > 1:
        raise FieldError(
            f"inputs has {len(given)} entries, and the model takes one image; send a request for "
            "each image and ask for their tasks together",
            field="inputs",
        )
    entry = structured(given[0], "inputs[0]")
    if not isinstance(entry, Mapping) or "image" not in entry:
        raise FieldError("inputs[0] has no image; videos are not taken", field="inputs")
    image = structured(entry["image"], "inputs[0].image")
    if not isinstance(image, Mapping):
        image = {"source": image}
    # Clients before 0.7.6 sent the crops beside the image.
    return _cropped({**{key: entry[key] for key in IMAGE[1:] if key in entry}, **image})


def _cropped(image: Mapping[str, Any]) -> Photo:
    if unknown := sorted(set(image) - set(IMAGE)):
        raise FieldError(
            f"inputs[0].image has the unknown key {unknown[0][:80]!r}; possible are "
            f"{', '.join(IMAGE)}",
            field="inputs",
        )
    with about("inputs"):
        return Photo(
            _source(image.get("source")),
            _area(structured(image.get("bbox"), "inputs[0].image.bbox")),
            _polygon(structured(image.get("polygon"), "inputs[0].image.polygon")),
            truth(image.get("crop_uniform_background"), "crop_uniform_background"),
        )


def _source(given: Any) -> bytes | str:
    if isinstance(given, UploadFile):
        given = _content(given)
    elif isinstance(given, str) and re.match(r"https?://", given, re.IGNORECASE):
        if len(given) > LONGEST_URL:
            raise FieldError(
                f"the source has {len(given)} characters; an address has {LONGEST_URL} at most",
                field="inputs",
            )
        return given
    elif isinstance(given, str) and given.startswith("data:"):
        given = _as_bytes(given)
    elif not isinstance(given, bytes):
        raise FieldError(
            f"inputs[0].image.source is {_shown(given)}; possible are {POSSIBLE}", field="inputs"
        )
    image = _decoded(given)
    if not image:
        raise FieldError("the image has no bytes; send a picture", field="inputs")
    return image


def _content(upload: UploadFile) -> bytes:
    if (upload.size or 0) > MOST_BYTES:
        raise FieldError(
            f"the image has {upload.size} bytes; {MOST_BYTES} are taken: send a smaller one",
            field="inputs",
            status=413,
        )
    return upload.file.read()


def _as_bytes(given: str) -> bytes:
    """Return the bytes that a text stands for: forms decode as UTF-8, and else as Latin-1."""
    try:
        return given.encode("latin-1")
    except UnicodeEncodeError:
        return given.encode()


def _decoded(given: bytes) -> bytes:
    """Return the bytes of an image without what was written before them."""
    if not given.startswith(b"data:"):
        return given
    if (found := _DATA.match(given)) is None:
        shown = given[:60].decode("ascii", "replace")
        raise FieldError(
            f"inputs[0].image.source begins with {shown!r}; possible are {POSSIBLE}",
            field="inputs",
        )
    rest = given[found.end() :]
    if found[1] == b"binary":
        return rest
    try:
        return base64.b64decode(rest.translate(None, BLANKS), validate=True)
    except (binascii.Error, ValueError) as error:
        raise FieldError(
            f"the source is no base64 ({error}); encode it again", field="inputs"
        ) from None


def _area(given: Any) -> Box | None:
    if given is None:
        return None
    where = "inputs[0].image.bbox"
    if not isinstance(given, Mapping) or set(given) != set(SIDES):
        raise FieldError(
            f"{where} is {_shown(given)}; possible is an object of {', '.join(SIDES)}",
            field="inputs",
        )
    x0, y0, x1, y1 = (_share(given[side], f"{where}.{side}") for side in SIDES)
    if not (x0 < x1 and y0 < y1):
        raise FieldError(
            f"{where} is empty; xmin must be less than xmax, and ymin less than ymax",
            field="inputs",
        )
    return x0, y0, x1, y1


def _polygon(given: Any) -> Corners | None:
    if given is None:
        return None
    where = "inputs[0].image.polygon"
    if not isinstance(given, list) or not 3 <= len(given) <= 10_000:
        raise FieldError(f"{where} is {_shown(given)}; give three corners or more", field="inputs")
    return tuple(_corner(one, f"{where}[{i}]") for i, one in enumerate(given))


def _corner(given: Any, where: str) -> tuple[float, float]:
    given = structured(given, where)
    if not isinstance(given, Mapping) or set(given) != {"x", "y"}:
        raise FieldError(f"{where} is {_shown(given)}; give x and y", field="inputs")
    return _share(given["x"], f"{where}.x"), _share(given["y"], f"{where}.y")


def _share(given: Any, where: str) -> float:
    found = number(given, where)
    if not 0 <= found <= 1:
        raise FieldError(
            f"{where} is {found:g}; give a share of the image from 0 to 1", field="inputs"
        )
    return found


def _shown(given: Any) -> str:
    return repr(given)[:80]
