"""Items of the portal as clients read them, and searched by simple queries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from geodl_lab.errors import GeodlError
from geodl_lab.jobs.catalog import Item
from geodl_lab.server.arcgis.values import json_of, object_of

SHARED = "geodl"
"""The user to whom belongs what is everybody's: models, and rasters of stores."""

FOLDER = "Folder"
"""Type of the items that stand for folders; no list of items has them."""

IMAGES, FEATURES, PACKAGE = "Image Service", "Feature Service", "Deep Learning Package"
KEYWORDS = {
    IMAGES: ["ArcGIS Server", "Data", "Image Service", "Service"],
    FEATURES: ["ArcGIS Server", "Data", "Feature Access", "Feature Service", "Hosted Service"],
    PACKAGE: ["Deep Learning", "Raster", "Deep Learning Package"],
}
TEXTS = ("description", "snippet", "accessInformation", "licenseInfo", "culture", "access")
LISTS = ("tags", "typeKeywords", "categories")
LONGEST_TITLE = 250

_TERM = re.compile(r'(?P<no>-|NOT\s+)?(?:(?P<field>\w+):)?(?P<words>"[^"]*"|[^\s()"]+)')
_FIELDS = ("id", "title", "type", "owner", "tags", "description", "snippet", "typekeywords")


def user_name(owner: str) -> str:
    """Return the name of the user that an owner (`Caller.owner`) is."""
    return owner or SHARED


def is_listed(item: Item) -> bool:
    """Tell whether an item is one that clients are told of."""
    return item.type != FOLDER


def item_url(item: Item, base: str) -> str | None:
    """Return where the service of an item is, None if it has none."""
    if item.store:
        return f"{base}/arcgis/rest/services/Stores/{item.id}/ImageServer"
    kind = {IMAGES: "ImageServer", FEATURES: "FeatureServer"}.get(item.type)
    if not item.service or kind is None:
        return None
    return f"{base}/arcgis/rest/services/Hosted/{item.service}/{kind}"


def item_answer(item: Item, base: str) -> dict[str, Any]:
    """Return an item as the portal tells it; times are milliseconds since 1970."""
    said = dict(item.properties)
    name = item.service or item.model or Path(item.file or item.store).name or item.title
    return {
        "id": item.id,
        "owner": user_name(item.owner),
        "created": round(item.created * 1000),
        "modified": round(item.modified * 1000),
        "title": item.title,
        "name": name,
        "type": item.type,
        "typeKeywords": said.get("typeKeywords") or KEYWORDS.get(item.type, []),
        "tags": said.get("tags") or [],
        "categories": said.get("categories") or [],
        **{key: said.get(key) for key in TEXTS},
        "access": "private" if item.owner else "public",
        "extent": [],
        "thumbnail": None,
        "spatialReference": None,
        "properties": said.get("properties"),
        "url": item_url(item, base),
        "ownerFolder": item.folder or None,
        "size": -1,
        "numViews": 0,
        "itemControl": "admin" if item.owner else "view",
    }


def title_of(text: str, usual: str) -> str:
    """Return a title on one line and not without end."""
    return " ".join(text.split())[:LONGEST_TITLE] or usual


def properties_of(given: Mapping[str, str]) -> dict[str, Any]:
    """Return what a client says of an item; names in lower case, as `web.Parameters` has them.

    Raises
    ------
    OptionError
        If ``properties`` is no JSON object.
    """
    found: dict[str, Any] = {key: given[key.lower()] for key in TEXTS if key.lower() in given}
    found |= {key: _list(given[key.lower()]) for key in LISTS if key.lower() in given}
    if text := given.get("properties"):
        found["properties"] = object_of("properties", text)
    return found


def search(items: Iterable[Item], query: str) -> list[Item]:
    """Return the items that a query means.

    Words must all be there; of one field's terms (``type:"Image Service" OR type:...``) one is
    enough; ``-`` and ``NOT`` exclude. Fields that we do not have mean nothing.
    """
    wanted: dict[str, list[str]] = {}
    refused: list[tuple[str, str]] = []
    for term in _TERM.finditer(query):
        field, text = (term["field"] or "").lower(), term["words"].strip('"').lower()
        if (not field and text in ("and", "or", "not", "*", "")) or (
            field and field not in _FIELDS
        ):
            continue
        if term["no"]:
            refused.append((field, text))
        else:
            wanted.setdefault(field or f" {text}", []).append(text)
    return [
        item
        for item in items
        if all(any(_has(item, f, t) for t in texts) for f, texts in wanted.items())
        and not any(_has(item, field, text) for field, text in refused)
    ]


def _has(item: Item, field: str, text: str) -> bool:
    said = item.properties
    values = {
        "id": item.id,
        "title": item.title,
        "type": item.type,
        "owner": user_name(item.owner),
        "tags": "\n".join(map(str, said.get("tags") or [])),
        "description": str(said.get("description") or ""),
        "snippet": str(said.get("snippet") or ""),
        "typekeywords": "\n".join(KEYWORDS.get(item.type, [])),
    }
    if field in ("id", "owner", "type"):
        return values[field].lower() == text
    where = [values[field]] if field in values else values.values()
    return any(text.rstrip("*") in value.lower() for value in where)


def _list(text: str) -> list[str]:
    """Return texts, given as JSON or with commas between."""
    if text.lstrip().startswith("["):
        try:
            return [str(one) for one in json_of("", text)]
        except GeodlError:
            pass
    return [one.strip() for one in text.split(",") if one.strip()]
