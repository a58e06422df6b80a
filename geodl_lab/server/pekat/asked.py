"""What a request asks: its query, and the image in its body.

Source: PEKAT VISION's page "Send image", and what its clients send. Parameters that nobody knows
are left alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import UploadFile

from geodl_lab.errors import BusyError, OptionError
from geodl_lab.server.bodies import MULTIPART, content_type
from geodl_lab.server.pekat.inspection import CONTEXT, RESPONSE_TYPES, Sent

MOST_HELD = 2 * 2**30
"""Bytes of all images that are under way."""

LONGEST_DATA = 100_000
"""Characters of ``data``."""

_Given = tuple[bytes, Mapping[str, str]]


@dataclass(frozen=True)
class Asked:
    """What shall be answered.

    Parameters
    ----------
    response_type
        One of `inspection.RESPONSE_TYPES`.
    in_body
        Whether the context follows the picture in the body.
    data
        For the context.
    """

    response_type: str = CONTEXT
    in_body: bool = False
    data: str = ""


class Room:
    """Counts the bytes of images that are under way; raises BusyError when there are too many."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self.most, self.held = most, 0

    def take(self, count: int) -> None:
        """Count bytes that came."""
        if self.held + count > self.most:
            raise BusyError("too many images are under way; send this one again later")
        self.held += count

    def give(self, count: int) -> None:
        """Forget bytes that were taken."""
        self.held -= count


def asked(query: Mapping[str, str]) -> Asked:
    """Return what a query asks; raises OptionError for an unknown ``response_type``."""
    kind = query.get("response_type") or CONTEXT
    if kind not in RESPONSE_TYPES:
        raise OptionError(
            f"response_type {kind[:100]!r} is not possible; use {', '.join(RESPONSE_TYPES)}"
        )
    data = query.get("data", "")
    if len(data) > LONGEST_DATA:
        raise OptionError(f"data has {len(data)} characters; send {LONGEST_DATA} at most")
    # pekat-vision-sdk 2 writes None when there is nothing.
    return Asked(kind, "context_in_body" in query, "" if data == "None" else data)


def side(query: Mapping[str, str], name: str) -> int:
    """Return ``width`` or ``height`` in pixels; raises OptionError."""
    text = query.get(name, "").strip()
    if not text:
        raise OptionError(f"{name} is missing; say how large the raw image is, as in {name}=640")
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 9 and int(text)):
        raise OptionError(f"{name} {text[:50]!r} is not possible; give pixels, 1 or more")
    return int(text)


@contextlib.asynccontextmanager
async def encoded_image(request: Request, room: Room) -> AsyncIterator[Sent]:
    """Give the image file that a body is, as long as it is used."""
    async with _body(request, room) as data:
        yield Sent(data)


@contextlib.asynccontextmanager
async def raw_image(request: Request, room: Room) -> AsyncIterator[Sent]:
    """Give the pixels that a body is, as long as they are used.

    Old clients send a form with ``width``, ``height`` and the file ``array``.
    """
    opened = _form if content_type(request.headers) == MULTIPART else _pixels
    async with opened(request, room) as (data, given):
        yield Sent(data, side(given, "width"), side(given, "height"), "bayer" in given)


@contextlib.asynccontextmanager
async def _pixels(request: Request, room: Room) -> AsyncIterator[_Given]:
    async with _body(request, room) as data:
        yield data, request.query_params


@contextlib.asynccontextmanager
async def _form(request: Request, room: Room) -> AsyncIterator[_Given]:
    async with request.form(max_files=4, max_fields=100) as form:
        texts = {name: value for name, value in form.items() if isinstance(value, str)}
        file = next((value for value in form.values() if isinstance(value, UploadFile)), None)
        if file is None:
            raise OptionError("the form holds no file; send the pixels as the file 'array'")
        size = file.size or 0
        room.take(size)
        try:
            yield await file.read(), {**request.query_params, **texts}
        finally:
            room.give(size)


@contextlib.asynccontextmanager
async def _body(request: Request, room: Room) -> AsyncIterator[bytes]:
    """Give a body, read before anything is said of it: clients send it all before they listen."""
    pieces: list[bytes] = []
    held = 0
    try:
        async for piece in request.stream():
            room.take(len(piece))
            held += len(piece)
            pieces.append(piece)
        whole = b"".join(pieces)
        pieces.clear()
        yield whole
    finally:
        room.give(held)
