"""Bodies of requests: how large they may be, and the token that a form carries."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from geodl_lab.server.deepomatic.errors import MOST_BODY, is_inference
from geodl_lab.server.errors import refuse
from geodl_lab.server.limits import Buckets
from geodl_lab.server.pekat.errors import MOST_BYTES, is_analysis

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"

LOOKED_AT = 2**20
"""Bytes at the start of an upload in which its token must stand, as nothing after it is kept."""

READ_ON, READ_ON_SECONDS = 2**23, 2.0
"""Bytes that are still read of a body after it was refused, and for how long."""


class BodyLimits:
    """Refuses bodies that are too large, before they are read where they say how large they are.

    Parameters
    ----------
    app
        What reads the bodies.
    max_form, max_upload
        Largest form, and largest other body, bytes.
    """

    def __init__(self, app: ASGIApp, *, max_form: int, max_upload: int) -> None:
        self.app, self.max_form, self.max_upload = app, max_form, max_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app with a body that ends in a refusal where it becomes too large."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        most = self._most(scope, content_type(headers))
        said = headers.get("content-length", "0")
        if said.isdigit() and int(said) <= most:
            counted = Counted(receive, most)
            try:
                return await self.app(scope, counted, send)
            except TooLargeError:
                pass  # which a route saw no answer for
        await answer_early(refuse(scope, 413, too_large(most)), scope, receive, send)

    def _most(self, scope: Scope, kind: str) -> int:
        if is_analysis(scope):
            return min(self.max_upload, MOST_BYTES)
        if is_inference(scope) and kind != URLENCODED:  # an image, which JSON holds as base64
            return min(self.max_upload, MOST_BODY)
        return self.max_upload if kind == MULTIPART else self.max_form


class TooLargeError(HTTPException):
    """A body became larger than it may be."""


class Counted:
    """A body whose bytes are counted as they come; raises TooLargeError beyond ``most``."""

    def __init__(self, receive: Receive, most: int) -> None:
        self.receive, self.most, self.bytes = receive, most, 0

    async def __call__(self) -> Message:
        """Return the next message."""
        message = await self.receive()
        self.bytes += len(message.get("body", b""))
        if self.bytes > self.most:
            raise TooLargeError(413, too_large(self.most))
        return message


class Replayed:
    """A body of which a part was already read: that part again, then the rest."""

    def __init__(self, messages: list[Message], receive: Receive) -> None:
        self.messages, self.receive = messages[::-1], receive

    async def __call__(self) -> Message:
        """Return the next message."""
        return self.messages.pop() if self.messages else await self.receive()


class Quota:
    """Counts what a key uploads; raises TooLargeError when its day is used up."""

    def __init__(self, receive: Receive, buckets: Buckets, owner: str) -> None:
        self.receive, self.buckets, self.owner = receive, buckets, owner

    async def __call__(self) -> Message:
        """Return the next message."""
        message = await self.receive()
        if not self.buckets.take(self.owner, len(message.get("body", b""))):
            raise TooLargeError(413, "This key has uploaded as much as it may in a day; wait.")
        return message


async def form_token(scope: Scope, receive: Receive) -> tuple[str, list[Message]]:
    """Return the ``token`` of a form ("" for none), and what was read of the body to find it.

    A urlencoded form is read whole; of a multipart one the first `LOOKED_AT` bytes, token or not.
    """
    headers = Headers(scope=scope)
    kind = content_type(headers)
    if kind not in (URLENCODED, MULTIPART):
        return "", []
    messages: list[Message] = []
    size, more = 0, True
    while more and (kind == URLENCODED or size < LOOKED_AT):
        messages.append(await receive())
        size += len(messages[-1].get("body", b""))
        more = messages[-1].get("more_body", False)
    body = b"".join(message.get("body", b"") for message in messages)
    find = _urlencoded_token if kind == URLENCODED else _multipart_token
    return find(body, headers), messages


async def answer_early(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer before a body was read, then read on for a while.

    A connection that is closed with bytes unread is reset, and the client sees no answer.
    """

    async def held_open(message: Message) -> None:
        more = {"more_body": True} if message["type"] == "http.response.body" else {}
        await send({**message, **more})

    await response(scope, receive, held_open)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READ_ON_SECONDS):
            size, more = 0, True
            while more and size < READ_ON:
                message = await receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)
    await send({"type": "http.response.body", "body": b""})


def content_type(headers: Headers) -> str:
    """Return the type of a body, without what follows it."""
    return headers.get("content-type", "").split(";")[0].strip().lower()


def too_large(most: int) -> str:
    """Return the sentence for a body that is too large."""
    return f"The request is larger than the {most} bytes that this server takes; send less."


def _urlencoded_token(body: bytes, headers: Headers) -> str:
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=1000)
    except ValueError:
        return ""
    values = [value for name in fields if name.lower() == "token" for value in fields[name]]
    return next((value.strip() for value in values if value.strip()), "")


def _multipart_token(body: bytes, headers: Headers) -> str:
    _, options = parse_options_header(headers.get("content-type", ""))
    parts = _Parts()
    try:
        parser = MultipartParser(options.get(b"boundary", b""), parts.callbacks())
        parser.write(body)
    except (FormParserError, ValueError):
        return ""
    return parts.token.decode("utf-8", "replace").strip()


class _Parts:
    """Collects the part named ``token`` of a multipart body, and no other."""

    def __init__(self) -> None:
        self.token, self._name, self._value, self._is_token = b"", b"", b"", False

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._part_data,
        }

    def _part_begin(self) -> None:
        self._is_token, self._name, self._value = False, b"", b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._is_token = options.get(b"name", b"").lower() == b"token"
        self._name, self._value = b"", b""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_token and len(self.token) < 10_000:
            self.token += data[start:end]
