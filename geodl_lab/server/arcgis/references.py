"""What ArcGIS clients name things with (JSON, URL or path) as our references.

Nothing is looked up here: a reference may name what is not there, which the job then says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from geodl_lab.errors import OptionError
from geodl_lab.jobs.recipes import Output, Ref
from geodl_lab.server.arcgis.values import json_of, shown, text_of

ITEM = re.compile(r"[0-9a-fA-F]{32}")
NAME = re.compile(r"[A-Za-z0-9_]{1,120}")
"""What a service can be called."""

OUTPUTS = "outputs"
"""The share by whose name results are told and named: ``/fileShares/outputs/NAME``."""

KEYS = ("itemId", "url", "uri")
LISTS = {"itemIds": "itemId", "urls": "url", "uris": "uri"}
EMD_KEYS = {"framework", "modeltype", "modelfile", "inferencefunction", "modelname", "extractbands"}
MODEL = re.compile(r"[A-Za-z0-9][\w.@#-]*")
MOST = 10_000
"""Rasters that one list may name."""

_SERVICE = re.compile(
    r"/(?:arcgis|server)/rest/services/(?:Hosted/)?(?P<name>[^/]+)"
    r"/(?:ImageServer|FeatureServer)(?:/0)?",
    re.IGNORECASE,
)
_STORED = re.compile(
    r"/(?:arcgis|server)/rest/services/Stores/(?P<item>[0-9a-f]{32})/ImageServer", re.IGNORECASE
)
_CONTENT = re.compile(
    r"/(?:portal|arcgis|server)/sharing/rest/content/(?:users/.+/)?items/"
    r"(?P<item>[0-9a-f]{32})(?:/data)?",
    re.IGNORECASE,
)
_SHARE = re.compile(r"/?(?P<kind>fileShares|rasterStores)/(?P<path>[^/].*)", re.IGNORECASE)
_LAYER = re.compile(r'<(?:Feature|Imagery|Image|Raster)\w* url:"(?P<url>[^"<>]*)">')
_CLOUD = re.compile(r"/?(cloudStores|enterpriseDatabases|dataStores|bigDataFileShares)/", re.I)


def _no_item(name: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Here:
    """The server as a client sees it.

    Parameters
    ----------
    base
        Scheme, host and port that the client used.
    stores
        Names of the stores.
    item_of
        Called with the name of a service; returns the id of its item, "" if the caller sees none.
    """

    base: str = ""
    stores: tuple[str, ...] = ()
    item_of: Callable[[str], str] = _no_item

    def is_own(self, parts: SplitResult) -> bool:
        """Tell whether a URL is one of this server's."""
        return bool(self.base) and _place(parts) == _place(urlsplit(self.base))


def raster_refs(name: str, text: str, here: Here) -> tuple[Ref, ...]:
    """Return the raster, or the several, that a parameter names; raises OptionError."""
    given = _loaded(name, text)
    listed = given if isinstance(given, list) else [given]
    refs = tuple(ref for one in listed for ref in _refs(name, one, here))
    if not refs or len(refs) > MOST:
        raise OptionError(f"{name} names {len(refs)} rasters; give 1 to {MOST}")
    return refs


def single_ref(name: str, given: Any, here: Here) -> Ref:
    """Return the one thing that a parameter, or a value of one, names; raises OptionError."""
    loaded = _loaded(name, given) if isinstance(given, str) else given
    refs = _refs(name, loaded, here) if not isinstance(loaded, list) else ()
    if len(refs) != 1:
        raise OptionError(f"{name} is {shown(given)}; name one thing, by itemId, url or uri")
    return refs[0]


def model_ref(name: str, text: str, here: Here) -> Ref:
    """Return the model that a parameter names; raises OptionError."""
    given = _loaded(name, text)
    if isinstance(given, dict):
        known = {str(key).lower() for key in given}
        if not known & {"itemid", "url", "uri"} and known & EMD_KEYS:
            return Ref("emd", json.dumps(given))
        if len(known & {"itemid", "url"}) == 0 and _is_model(given.get("uri")):
            return Ref("model", str(given["uri"]).strip())
    if isinstance(given, str) and ITEM.fullmatch(given.strip()):
        return Ref("item", given.strip().lower())
    if isinstance(given, str) and _is_model(given):
        return Ref("model", given.strip())
    return single_ref(name, given, here)


def output_of(name: str, text: str, here: Here) -> Output:
    """Return where a result is to go; raises OptionError.

    An item, and what is at a URL or URI, is replaced; the name of a service is a new one's.
    """
    given = _loaded(name, text)
    if isinstance(given, str):
        given = {"url" if _is_url(given) else "uri" if "/" in given else "name": given}
    if not isinstance(given, dict):
        raise OptionError(f"{name} is {shown(given)}; name an itemId, a url, a uri or a new name")
    of_item, of_service = (_part(name, given, k) for k in ("itemProperties", "serviceProperties"))
    folder = str(given.get("folderId") or of_item.get("folderId") or "")
    if item := given.get("itemId") or of_item.get("itemId"):
        return Output(item=_item(name, item), folder=folder)
    if place := given.get("url") or given.get("uri"):
        service = _own_service(name, text_of(name, place), here)
        return Output(service=service, item=here.item_of(service), folder=folder)
    new = of_service.get("name") or given.get("name")
    if new is None and of_service.get("serviceUrl"):
        new = _own_service(name, text_of(name, of_service["serviceUrl"]), here)
    if new is None:
        raise OptionError(
            f"{name} is {shown(given)}; name an itemId, a url, a uri, or a new service as in "
            '{"serviceProperties": {"name": "my_result"}}'
        )
    return Output(service=service_name(name, new), folder=folder)


def service_name(name: str, given: Any) -> str:
    """Return the name of a service, checked; raises OptionError."""
    text = text_of(name, given)
    if not NAME.fullmatch(text):
        possible = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:120] or "my_result"
        raise OptionError(
            f"{name} names the service {shown(text)}, which is not possible: up to 120 letters, "
            f"digits and _ are; call it {possible!r}"
        )
    return text


def location_of(name: str, text: str, here: Here) -> str:
    """Return the name of a folder that is to be made; raises OptionError."""
    given = _loaded(name, text)
    if isinstance(given, dict):
        given = given.get("uri") or given.get("url") or given.get("name")
    place = text_of(name, given)
    return _own_service(name, place, here) if "/" in place else service_name(name, place)


def _refs(name: str, given: Any, here: Here) -> list[Ref]:
    """Return what one value names: several only as ``{"uris": [...]}`` and the like."""
    if isinstance(given, str):
        return [_url(name, given, here) if _is_url(given) else _uri(name, given, here)]
    if not isinstance(given, dict):
        raise OptionError(f"{name} holds {shown(given)}; name a raster by itemId, url or uri")
    for several, one in LISTS.items():
        if isinstance(listed := given.get(several), list):
            return [_by_key(name, one, value, here) for value in listed]
    flat = given | _part(name, given, "itemProperties")
    flat |= {"url": flat.get("url") or _part(name, given, "serviceProperties").get("serviceUrl")}
    for key in KEYS:
        if flat.get(key):
            return [_by_key(name, key, flat[key], here)]
    if service := _part(name, given, "serviceProperties").get("name"):
        return [Ref("service", service_name(name, service))]
    raise OptionError(f"{name} is {shown(given)}; name it by itemId, url or uri")


def _by_key(name: str, key: str, value: Any, here: Here) -> Ref:
    if key == "itemId":
        return Ref("item", _item(name, value))
    text = text_of(f"{key} of {name}", value)
    return _url(name, text, here) if _is_url(text) else _uri(name, text, here)


def _url(name: str, text: str, here: Here) -> Ref:
    """Return what is at a URL: something of this server, or something elsewhere."""
    parts = _split(name, text)
    if not here.is_own(parts):
        return Ref("url", text.strip())
    path = unquote(parts.path).rstrip("/")
    if found := _STORED.fullmatch(path) or _CONTENT.fullmatch(path):
        return Ref("item", found["item"].lower())
    if found := _SERVICE.fullmatch(path):
        return Ref("service", service_name(name, found["name"]))
    raise OptionError(
        f"{name} names {shown(path)} of this server, which is no raster and no layer; give "
        "https://.../Hosted/NAME/ImageServer or .../FeatureServer/0, or an itemId"
    )


def _uri(name: str, text: str, here: Here) -> Ref:
    """Return what is at a path of a share."""
    path = text.strip()
    if _CLOUD.match(path):
        raise OptionError(
            f"{name} names {shown(path)}; of such stores none is served: give {_shares(here)}"
        )
    if not (found := _SHARE.fullmatch(path)):
        raise OptionError(
            f"{name} names the path {shown(path)}, which is in no store of this server; give "
            f"{_shares(here)}, an itemId or a url"
        )
    share, _, rest = found["path"].partition("/")
    if share == OUTPUTS:
        return Ref("service", service_name(name, rest.strip("/")))
    return Ref("store", found["path"])


def _own_service(name: str, place: str, here: Here) -> str:
    """Return the name of the service that a URL or a path of this server means."""
    ref = _url(name, place, here) if _is_url(place) else _uri(name, place, here)
    if ref.kind != "service":
        raise OptionError(
            f"{name} is {shown(place)}, where nothing can be written: stores and other servers "
            f"are only read; give /fileShares/{OUTPUTS}/NAME"
        )
    return ref.value


def _item(name: str, value: Any) -> str:
    text = text_of(f"itemId of {name}", value)
    if not ITEM.fullmatch(text):
        raise OptionError(f"the itemId {shown(text)} of {name} is none; they have 32 hex digits")
    return text.lower()


def _part(name: str, given: dict[str, Any], key: str) -> dict[str, Any]:
    value = given.get(key) or {}
    if not isinstance(value, dict):
        raise OptionError(f"{key} of {name} is {shown(value)}; write a JSON object")
    return value


def _loaded(name: str, text: str) -> Any:
    """Return JSON as what it says, a layer of the Python client as its URL, other text as itself.

    The client sends some layers, as those of ``input_mask_polygons``, as ``str`` writes them.
    """
    if found := _LAYER.fullmatch(text.strip()):
        return found["url"]
    return json_of(name, text) if text.lstrip()[:1] in ("{", "[", '"') else text.strip()


def _is_url(text: str) -> bool:
    return bool(re.match(r"\s*https?://", text, re.IGNORECASE))


def _is_model(text: Any) -> bool:
    return isinstance(text, str) and bool(MODEL.fullmatch(text.strip()))


def _split(name: str, text: str) -> SplitResult:
    try:
        parts = urlsplit(text.strip())
        parts.port  # noqa: B018  (raises where the port is no number)
    except ValueError as error:
        raise OptionError(f"{name} names {shown(text)}, which is no URL ({error})") from error
    return parts


def _place(parts: SplitResult) -> tuple[str, int]:
    """Return host and port; the scheme is let be, a proxy may have changed it."""
    return parts.hostname or "", parts.port or {"http": 80}.get(parts.scheme.lower(), 443)


def _shares(here: Here) -> str:
    """Return what paths are possible, in words."""
    return " or ".join(f"/fileShares/{one}/..." for one in (*here.stores[:8], OUTPUTS))
