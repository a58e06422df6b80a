"""The feature service of each published layer of objects: description, query, one feature."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from geodl_lab.jobs.catalog import Service
from geodl_lab.server.arcgis import downloads, feature_render, html
from geodl_lab.server.arcgis.directory import show
from geodl_lab.server.arcgis.feature_layer import Layer, read_layer
from geodl_lab.server.arcgis.feature_query import Query, parse_format, parse_query
from geodl_lab.server.arcgis.feature_store import Store, open_store
from geodl_lab.server.arcgis.web import (
    NO_STORE,
    ArcgisError,
    Parameters,
    parameters,
    respond,
)
from geodl_lab.server.context import caller_of, core_of, page_path

router = APIRouter(tags=["FeatureServer"])

Given = Annotated[Parameters, Depends(parameters)]
ROOT = "/Hosted/{name}/FeatureServer"


@router.get(ROOT)
@router.post(ROOT)
def service(name: str, request: Request, given: Given) -> Response:
    """Describe a feature service."""
    published = _service(name, request)
    layer = _layer(published)
    values = feature_render.service_json(layer, name) | _itself(published, request)
    links = {"layer 0": f"{page_path(request)}/0"}
    links |= downloads.buttons(published, downloads.services_path(request))
    return show(given, values, title=name, links=links)


@router.get(f"{ROOT}/layers")
@router.post(f"{ROOT}/layers")
def layers(name: str, request: Request, given: Given) -> Response:
    """Describe all layers of a feature service."""
    published = _service(name, request)
    one = feature_render.layer_json(_layer(published), name, published.info)
    return show(given, {"layers": [one], "tables": []}, title=name)


@router.get(f"{ROOT}/0")
@router.post(f"{ROOT}/0")
def layer(name: str, request: Request, given: Given) -> Response:
    """Describe the layer."""
    published = _service(name, request)
    values = feature_render.layer_json(_layer(published), name, published.info)
    links = {"query": f"{page_path(request)}/query?outFields=*&resultRecordCount=100"}
    return show(given, values | _itself(published, request), title=name, links=links)


@router.get(f"{ROOT}/0/query")
@router.post(f"{ROOT}/0/query")
def query(name: str, request: Request, given: Given) -> Response:
    """Answer features, their number, ids, extent or statistics."""
    found = _layer(_service(name, request))
    format = parse_format(given, request.headers.get("accept", ""))
    values = answer_query(found, parse_query(given, found, format=format))
    if format == "html":
        return _page(name, values, given)
    if format == "geojson":
        text = json.dumps(values, ensure_ascii=False, allow_nan=False)
        answer = Response(text, media_type="application/geo+json", headers=NO_STORE)
        return _part(answer, request)
    return _part(respond(values, given), request)


@router.get(f"{ROOT}/0/{{object_id}}")
@router.post(f"{ROOT}/0/{{object_id}}")
def feature(name: str, object_id: str, request: Request, given: Given) -> Response:
    """Answer one feature by its object id."""
    found = _layer(_service(name, request))
    if not object_id.isdecimal():
        raise ArcgisError(
            f"{object_id[:60]!r} is no operation of this layer; possible are query and an object id"
        )
    asked = Parameters({"outFields": "*", **given, "where": "", "objectIds": object_id})
    page = answer_query(found, parse_query(asked, found, format="json"))
    if not page.get("features"):
        raise ArcgisError(f"there is no feature with the object id {object_id}", code=404)
    return show(given, {"feature": page["features"][0]}, title=f"{name}, feature {object_id}")


def answer_query(layer: Layer, query: Query) -> dict[str, Any]:
    """Return the answer to a query of a layer.

    Raises
    ------
    ArcgisError
        If it takes too long or cannot be answered.
    """
    with open_store(layer, query) as store:
        return ANSWERS[query.wants](store)


def _features(store: Store) -> dict[str, Any]:
    geojson = store.query.format == "geojson"
    write = feature_render.geojson_features if geojson else feature_render.esri_features
    return write(store.page(), store.layer, store.query)


def _count(store: Store) -> dict[str, Any]:
    return {"count": store.count()}


def _ids(store: Store) -> dict[str, Any]:
    return {"objectIdFieldName": store.layer.fields[0].name, "objectIds": store.ids()}


def _extent(store: Store) -> dict[str, Any]:
    return feature_render.extent_json(store.bounds(), store.layer, store.query, store.count())


def _statistics(store: Store) -> dict[str, Any]:
    return feature_render.statistics_json(store.statistics(), store.query)


ANSWERS: dict[str, Callable[[Store], dict[str, Any]]] = {
    "features": _features,
    "count": _count,
    "ids": _ids,
    "extent": _extent,
    "statistics": _statistics,
}


def _service(name: str, request: Request) -> Service:
    """Return a feature service that the caller may see."""
    found = core_of(request).catalog.service(name, caller_of(request))
    if found.kind != "features":
        raise ArcgisError(f"{name} is no feature service; it serves a {found.kind}", code=404)
    return found


def _layer(service: Service) -> Layer:
    """Return the layer of a service; an empty one where no job has filled it yet."""
    path = service.files.get("features")
    try:
        return read_layer(Path(path) if path else None, service.version)
    except (sqlite3.Error, TypeError, StopIteration) as error:
        raise ArcgisError(
            f"the features of {service.name} cannot be read; run the job again", code=500
        ) from error


def _itself(service: Service, request: Request) -> dict[str, Any]:
    """Return what only we say of a service: its item and its files."""
    return {
        "serviceItemId": service.item,
        "lastEditDate": int(service.modified * 1000),
        "editingInfo": {"lastEditDate": int(service.modified * 1000)},
        **downloads.listed(service, downloads.services_url(request)),
    }


def _part(answer: Response, request: Request) -> Response:
    """Return the range of an answer that is asked for: GDAL reads bare addresses only by ranges.

    Published features do not change, so the same query always has the same bytes.
    """
    body, asked = bytes(answer.body), request.headers.get("range", "")
    match = re.fullmatch(r"bytes=(\d{1,15})-(\d{0,15})", asked)
    if match is None:
        return answer
    start, stop = int(match[1]), min(int(match[2] or len(body)), len(body) - 1) + 1
    if match[2] and int(match[2]) < start:
        return answer
    if start >= len(body):
        return Response(status_code=416, headers={"Content-Range": f"bytes */{len(body)}"})
    headers = {**NO_STORE, "Content-Range": f"bytes {start}-{stop - 1}/{len(body)}"}
    return Response(body[start:stop], 206, headers, answer.media_type or "application/json")


def _page(name: str, values: dict[str, Any], given: Parameters) -> Response:
    """Return an answer as a page; of features a row each."""
    if not values.get("features"):
        return html.page(name, html.table(values), token=given.key_field)
    rows = [one["attributes"] for one in values["features"]]
    head = "".join(f"<th>{escape(column)}</th>" for column in rows[0])
    cells = "".join(
        f"<tr>{''.join(f'<td>{escape(_plain(cell))}</td>' for cell in row.values())}</tr>"
        for row in rows
    )
    more = "<p>There are more; go on with resultOffset.</p>" * values["exceededTransferLimit"]
    table = f"<table><tr>{head}</tr>{cells}</table>{more}"
    return html.page(name, table, token=given.key_field)


def _plain(value: Any) -> str:
    return "" if value is None else str(value)
