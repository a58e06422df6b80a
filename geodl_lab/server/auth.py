"""Who asks: a key or token is looked for wherever clients put it, before any route is called.

QGIS sends ``X-Esri-Authorization: Bearer TOKEN`` with a blank after it, web maps ``token=`` in the
query, arcgis-rest-js ``token=`` in a form.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from geodl_lab.jobs.job import Caller
from geodl_lab.server.bodies import Quota, Replayed, answer_early, form_token
from geodl_lab.server.errors import is_deepomatic, refuse, refuse_token
from geodl_lab.server.limits import Buckets
from geodl_lab.server.pekat.errors import is_pekat
from geodl_lab.server.tokens import Tokens

OPEN = frozenset(
    {
        "/health",
        "/metrics",
        "/openapi.json",
        "/ping",
        "/stop",
        "/version",
        "/arcgis/rest/info",
        "/arcgis/sharing/rest",
        "/arcgis/sharing/rest/info",
        "/arcgis/sharing/rest/generateToken",
        "/arcgis/tokens",
        "/arcgis/tokens/generateToken",
    }
)
"""What answers without a key, and with a wrong one."""

OPTIONAL = frozenset(["/", "/arcgis/sharing/rest/portals/self"])
"""What answers without a key, but not with a wrong one."""


SMALL, LARGE_FORMS, SECONDS = 2**16, 16, 60.0
"""Forms of more bytes than this, of who has not said who they are yet, are read only so many at
one time, as they are kept in memory; and any of them for so long."""

PATIENCE = 5.0
"""Seconds for which requests of Deepomatic's clients are held back, in their order, where they come
too quickly: those clients give up at a 429, and after 8 s."""

SLOW = "The form did not come in time; send it again, with the key in a header."


class Authentication:
    """Lets in who has a key or a token, each at the pace that is allowed.

    ``scope["state"]["caller"]`` is then a `Caller`; None where no key is needed and none came.

    Parameters
    ----------
    app
        What is called for those who may come in.
    tokens
        What keys and tokens there are.
    buckets
        The pace of keys, and of addresses for who has none.
    quota
        Bytes that keys may send.
    pekat
        What keys there are for PEKAT's paths; None are the same.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens,
        buckets: Buckets,
        quota: Buckets,
        pekat: Tokens | None = None,
    ) -> None:
        self.app, self.tokens, self.buckets, self.quota = app, tokens, buckets, quota
        self.pekat = pekat or tokens
        self._large = asyncio.Semaphore(LARGE_FORMS)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app, or refuse."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        photos = is_pekat(scope)
        tokens = self.pekat if photos else self.tokens
        names = ("token", "api_key") if photos else ("token",)
        given = [*header_tokens(Headers(scope=scope)), *query_tokens(scope, names)]
        if not (given or tokens.anybody or photos):
            try:
                token, messages = await self._form_token(scope, receive)
            except TimeoutError:
                return await refuse(scope, 408, SLOW)(scope, receive, send)
            given, receive = [token] if token else [], Replayed(messages, receive)
        caller = _caller(tokens, given)
        if not await self._paced(scope, caller):
            response = refuse(scope, 429, self.buckets.words)
            return await answer_early(response, scope, receive, send)
        if caller is None and not _is_open(scope["path"], given=bool(given)):
            response = refuse_token(scope, given=bool(given))
            return await answer_early(response, scope, receive, send)
        scope.setdefault("state", {})["caller"] = caller
        if caller and not photos:  # which are not kept: a camera may go on all day
            receive = Quota(receive, self.quota, caller.owner)
        return await self.app(scope, receive, send)

    async def _paced(self, scope: Scope, caller: Caller | None) -> bool:
        """Tell whether a request may go on, when it may: programs that cannot wait are held."""
        if caller is None or not is_deepomatic(scope):
            return self.buckets.take(caller.owner if caller else _address(scope))
        turn = self._turns[caller.owner]
        if not turn.locked() and self.buckets.take(caller.owner):
            return True
        try:
            async with asyncio.timeout(PATIENCE), turn:
                while not self.buckets.take(caller.owner):
                    await asyncio.sleep(1 / self.buckets.rate)
        except TimeoutError:
            return False
        return True

    async def _form_token(self, scope: Scope, receive: Receive) -> tuple[str, list[Message]]:
        said = Headers(scope=scope).get("content-length", "")
        small = said.isdigit() and int(said) <= SMALL
        async with asyncio.timeout(SECONDS), contextlib.nullcontext() if small else self._large:
            return await form_token(scope, receive)


def header_tokens(headers: Headers) -> Iterator[str]:
    """Yield what headers carry as keys or tokens."""
    for name in ("x-esri-authorization", "authorization"):
        for value in headers.getlist(name):
            if found := re.fullmatch(r"\s*bearer\s+(\S+)\s*", value, re.IGNORECASE):
                yield found[1]
    yield from (value.strip() for value in headers.getlist("x-api-key") if value.strip())


def query_tokens(scope: Scope, names: Collection[str] = ("token",)) -> Iterator[str]:
    """Yield what the query carries as tokens, under some names in lower case."""
    try:
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=1000)
    except ValueError:
        return
    for name, values in query.items():
        if name.lower() in names:
            yield from (value.strip() for value in values if value.strip())


def _caller(tokens: Tokens, given: list[str]) -> Caller | None:
    if tokens.anybody:
        return tokens.anybody
    return next((caller for one in given if (caller := tokens.check(one))), None)


def _is_open(path: str, *, given: bool) -> bool:
    return path in OPEN or (path in OPTIONAL and not given)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return f"address {client[0] if client else 'unknown'}"
