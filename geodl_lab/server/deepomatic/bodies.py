"""Bodies of requests as nested plain values: JSON, multipart in both encodings, flat forms.

The docs' curl sends nested values as one JSON text; the Python client flattens them as Django REST
does, ``inputs[0]image.bbox.xmin``. Both are read, as is ``inputs[0].image.bbox``.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from geodl_lab.server.bodies import MULTIPART, URLENCODED, content_type
from geodl_lab.server.deepomatic.errors import MOST_BODY, FieldError, is_inference

JSON = "application/json"
MOST_FIELDS, MOST_FILES = 20_000, 100
LONGEST = 1000
"""Characters of the name of a field."""

MOST_COMMAS = 1_000_000
"""Of a text of JSON: values take time and memory that base64, which has none, does not."""

DEEPEST = 20
"""Levels of nested values."""

_NAME = re.compile(r"\[(\d{1,5})\]|\.?([^.\[\]]+)")
_STRUCTURED = ("{", "[")


@dataclass(frozen=True)
class Body:
    """What came with a request.

    Parameters
    ----------
    values
        Plain values by name; uploads that stand for a value below ``inputs`` are in it.
    files
        Other uploads by the name of their field, open as long as the request.
    """

    values: Mapping[str, Any]
    files: Mapping[str, UploadFile] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def received(request: Request) -> AsyncIterator[Body]:
    """Give the body of a request; raises FieldError for what is none."""
    try:
        yield await _read(request)
    finally:
        await request.close()


def structured(value: Any, where: str) -> Any:
    """Return a value that may be written as a text of JSON; "" is None."""
    if isinstance(value, str) and value.lstrip().startswith(_STRUCTURED):
        return parse_json(value, where)
    return None if value == "" else value


def parse_json(text: str | bytes, where: str) -> Any:
    """Return the plain values of a text; raises FieldError, also for what cannot be kept."""
    if (text.count(",") if isinstance(text, str) else text.count(b",")) > MOST_COMMAS:
        raise FieldError(f"{where} has more than {MOST_COMMAS} values; send fewer", field=where)
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        words = str(error)[:200] or "it is nested too deeply"
        raise FieldError(f"{where} is no JSON ({words}); send valid JSON", field=where) from None
    _check_plain(values, where)
    return values


def nested(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return flat fields such as ``inputs[0]image.source`` as nested values.

    Raises
    ------
    FieldError
        If a name is not possible, comes twice, or leaves out a place of a list.
    """
    root: dict[Any, Any] = {}
    for name, value in fields:
        *steps, last = _steps(name)
        place = root
        for step in steps:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise _twice(name)
        if last in place:
            raise _twice(name)
        place[last] = value
    return {str(name): _listed(value, str(name)) for name, value in root.items()}


async def _read(request: Request) -> Body:
    kind = content_type(request.headers)
    if kind == MULTIPART:
        return await _form(request)
    if kind and kind not in (JSON, URLENCODED) and not kind.endswith("+json"):
        async for _ in request.stream():  # who still writes would see a reset, no answer
            pass
        raise FieldError(
            f"the body is {kind[:100]!r}; possible are {JSON}, {MULTIPART} and {URLENCODED}",
            status=415,
        )
    content = await request.body()
    if kind == URLENCODED:
        return await run_in_threadpool(_flat, content)
    if not content.strip():
        return Body({})
    values = await run_in_threadpool(parse_json, content, "the body")
    if not isinstance(values, dict):
        raise FieldError(f"the body is a JSON {type(values).__name__}; send an object")
    return Body(values)


async def _form(request: Request) -> Body:
    most = MOST_BODY if is_inference(request.scope) else request.app.state.options.max_form
    form = await request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=most)
    texts, files = [], {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) and not name.startswith("inputs"):
            files[name] = value
        else:
            texts.append((name, value))
    values = nested(texts)
    _check_plain(values, "the form")
    return Body(values, files)


def _flat(content: bytes) -> Body:
    """Return a urlencoded form, in which bytes that are no UTF-8 stay what they are."""
    try:
        fields = parse_qsl(
            content.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_FIELDS,
            encoding="latin-1",
        )  # fmt: skip
    except ValueError:
        raise FieldError(f"the form has more than {MOST_FIELDS} fields; send fewer") from None
    return Body(nested((_text(name), _text(value)) for name, value in fields))


def _text(latin: str) -> str:
    try:
        return latin.encode("latin-1").decode()
    except UnicodeDecodeError:
        return latin


def _steps(name: str) -> list[Any]:
    found = list(_NAME.finditer(name[:LONGEST]))  # of a longer one this is not the whole
    if not found or "".join(one[0] for one in found) != name or len(found) > DEEPEST:
        raise FieldError(
            f"the field {name[:100]!r} is not possible; write it like inputs[0]image.source"
        )
    return [one[2] if one[1] is None else int(one[1]) for one in found]


def _twice(name: str) -> FieldError:
    return FieldError(f"the field {name[:100]!r} was sent twice; send it once")


def _listed(value: Any, where: str) -> Any:
    """Return dicts whose keys are places as lists."""
    if not isinstance(value, dict):
        return value
    places = [key for key in value if isinstance(key, int)]
    if not places:
        return {key: _listed(one, f"{where}.{key}") for key, one in value.items()}
    if sorted(map(str, value)) != sorted(map(str, range(len(value)))):
        raise FieldError(
            f"{where} has the places {list(value)[:10]}; send them from 0 on, without gaps",
            field=where,
        )
    return [_listed(value[place], f"{where}[{place}]") for place in range(len(value))]


def _check_plain(values: Any, where: str, depth: int = 0) -> None:
    """Refuse what no database or answer can hold."""
    if depth > DEEPEST:
        raise FieldError(f"{where} is nested more than {DEEPEST} levels deep; nest it less")
    if isinstance(values, dict):
        for key, one in values.items():
            _check_plain(key, where)
            _check_plain(one, where, depth + 1)
    elif isinstance(values, list):
        for one in values:
            _check_plain(one, where, depth + 1)
    elif isinstance(values, str) and not _storable(values):
        raise FieldError(f"{where} holds half characters; send whole ones", field=where)
    elif isinstance(values, float) and not math.isfinite(values):
        raise FieldError(f"{where} holds a number that is not finite; leave it out", field=where)


def _storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
