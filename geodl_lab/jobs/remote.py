"""Questions to ArcGIS servers elsewhere, through the one fetcher.

As ArcGIS REST has it: JSON comes with ``f=json``, errors come with HTTP 200, a token stays in the
address that was given (https://developers.arcgis.com/rest/services-reference/enterprise/).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import rasterio.errors
from rasterio.crs import CRS

from geodl_lab.addresses import checked_url, shown
from geodl_lab.errors import AccessError
from geodl_lab.fetch import Fetcher

SERVICE = re.compile(
    r"(?P<base>.*/(?P<kind>ImageServer|FeatureServer|MapServer))(?:/(?P<layer>\d+))?/?", re.I
)

FIRST_ESRI = 37_000
"""Codes from here to 38 000, and from 53 000 on, are Esri's own."""


def kind_of(url: str) -> str:
    """Return ``image``, ``features`` or, for everything else, ``file``."""
    found = SERVICE.fullmatch(checked_url(url).path)
    if not found:
        return "file"
    return "image" if found["kind"].lower() == "imageserver" else "features"


def plain(url: str) -> str:
    """Return a service's address without a final slash."""
    target = checked_url(url)
    return str(target.copy_with(path=target.path.rstrip("/") or "/"))


def below(url: str, path: str) -> str:
    """Return the address of ``path`` below a service's own, with the query that it came with."""
    target = checked_url(url)
    return str(target.copy_with(path=f"{target.path.rstrip('/')}/{path}"))


def ask(fetcher: Fetcher, url: str, parameters: Mapping[str, str], *, post: bool = False) -> Any:
    """Return the JSON object that an address answers.

    Raises
    ------
    AccessError
        If it answers an error, or something else.
    """
    send = fetcher.post if post else fetcher.get
    if post:
        parameters = dict(checked_url(url).params) | dict(parameters)
        url = str(checked_url(url).copy_with(query=None))
    return answered(send(url, {"f": "json", **parameters}), url)


def answered(content: bytes, url: str) -> dict[str, Any]:
    """Return the JSON object of an answer; raises AccessError for errors and other things."""
    place = shown(checked_url(url))
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise AccessError(f"{place} did not answer with JSON; look whether it is an ArcGIS service")
    if "error" in values:
        error = values["error"] if isinstance(values["error"], dict) else {}
        text = " ".join(str(error.get("message") or values["error"]).split())[:300]
        raise AccessError(
            f"{place} answered an error: {text!r}; look whether it may be read, and with which "
            "token (as ?token=... in the address)"
        )
    return values


def crs_of(reference: Any, url: str) -> CRS | None:
    """Return the CRS of a spatial reference as Esri writes it, None where there is none."""
    values = reference if isinstance(reference, dict) else {}
    codes = [values[key] for key in ("latestWkid", "wkid") if isinstance(values.get(key), int)]
    texts = [values[key] for key in ("wkt2", "wkt") if isinstance(values.get(key), str)]
    for read, value in (
        *((_from_code, code) for code in codes),
        *((CRS.from_wkt, t) for t in texts),
    ):
        try:
            return read(value)
        except (rasterio.errors.CRSError, OverflowError):
            continue
    if given := [*codes, *texts]:
        raise AccessError(
            f"{shown(checked_url(url))} is in the spatial reference {str(given[0])[:80]!r}, which "
            "PROJ does not know; give a service in another one"
        )
    return None


def _from_code(code: int) -> CRS:
    esri = FIRST_ESRI <= code < FIRST_ESRI + 1000 or code >= 53_000
    return CRS.from_string(f"{'ESRI' if esri else 'EPSG'}:{code}")
