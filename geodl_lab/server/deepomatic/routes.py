"""The addresses of Deepomatic v0.7; what each does is in the module of its name.

Source: docs.deepomatic.com, API v0.7, and what deepomatic-api 1.0.0 and 0.9.4 send. A slash at the
end is taken off before a request comes here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from geodl_lab.server.context import caller_of, core_of
from geodl_lab.server.deepomatic import networks, public, specs, tasks, versions
from geodl_lab.server.deepomatic.bodies import received
from geodl_lab.server.deepomatic.errors import FieldError, respond
from geodl_lab.server.deepomatic.inference import Find, infer
from geodl_lab.server.deepomatic.words import Row, page, window_of

router = APIRouter(tags=["Deepomatic"])

PUBLIC, PUBLIC_NETWORKS = "/recognition/public", "/networks/public"
SPECS, VERSIONS, NETWORKS = "/recognition/specs", "/recognition/versions", "/networks"


@router.get("/accounts/me")
def account(request: Request) -> Response:
    """Tell who the key stands for."""
    owner = caller_of(request).owner
    return respond({"id": owner, "name": owner, "email": ""})


@router.get(PUBLIC)
def list_public_specs(request: Request) -> Response:
    """List the specifications that everybody may use."""
    rows = [
        {k: v for k, v in one.items() if k != "outputs"} for one in public.specs(core_of(request))
    ]
    return _paged(request, rows)


@router.get(PUBLIC + "/{slug}")
def show_public_spec(request: Request, slug: str) -> Response:
    """Tell what labels a public specification has."""
    return respond(public.spec(core_of(request), slug))


@router.post(PUBLIC + "/{slug}/inference")
async def infer_public_spec(request: Request, slug: str) -> Response:
    """Queue an image for a public specification."""
    return await _infer(request, public.target_of_spec, slug)


@router.api_route(PUBLIC + "/{slug}", methods=["PUT", "PATCH", "DELETE"])
@router.api_route(PUBLIC_NETWORKS + "/{slug}", methods=["PUT", "PATCH", "DELETE"])
def refuse_to_edit(slug: str) -> Response:
    """Refuse to change what is everybody's."""
    raise FieldError(f"{slug[:100]!r} is public and cannot be changed; make your own", status=403)


@router.get(SPECS)
def list_specs(request: Request) -> Response:
    """List one's own specifications."""
    return _listed(request, specs.rows)


@router.post(SPECS)
async def create_spec(request: Request) -> Response:
    """Create a specification."""
    return respond(await _with_body(request, specs.create), status=201)


@router.get(SPECS + "/{id}")
def show_spec(request: Request, id: str) -> Response:
    """Tell what labels a specification has, and its current version."""
    return respond(specs.show(core_of(request), caller_of(request), id))


@router.patch(SPECS + "/{id}")
@router.put(SPECS + "/{id}")
async def edit_spec(request: Request, id: str) -> Response:
    """Change name, description, metadata or current version."""
    return respond(await _with_body(request, specs.edit, id))


@router.delete(SPECS + "/{id}")
def delete_spec(request: Request, id: str) -> Response:
    """Delete a specification with its versions."""
    specs.delete(core_of(request), caller_of(request), id)
    return Response(None, 204)


@router.post(SPECS + "/{id}/inference")
async def infer_spec(request: Request, id: str) -> Response:
    """Queue an image for the current version of a specification."""
    return await _infer(request, versions.target_of_spec, id)


@router.get(SPECS + "/{id}/versions")
def list_versions_of_spec(request: Request, id: str) -> Response:
    """List the versions of a specification."""
    return _listed(request, versions.rows, id)


@router.get(VERSIONS)
def list_versions(request: Request) -> Response:
    """List one's own versions."""
    return _listed(request, versions.rows)


@router.post(VERSIONS)
async def create_version(request: Request) -> Response:
    """Create a version; the first of a specification becomes its current one."""
    return respond(await _with_body(request, versions.create), status=201)


@router.get(VERSIONS + "/{id}")
def show_version(request: Request, id: str) -> Response:
    """Tell the network and the post-processings of a version."""
    return respond(versions.show(core_of(request), caller_of(request), id))


@router.delete(VERSIONS + "/{id}")
def delete_version(request: Request, id: str) -> Response:
    """Delete a version."""
    versions.delete(core_of(request), caller_of(request), id)
    return Response(None, 204)


@router.post(VERSIONS + "/{id}/inference")
async def infer_version(request: Request, id: str) -> Response:
    """Queue an image for a version."""
    return await _infer(request, versions.target, id)


@router.get(PUBLIC_NETWORKS)
def list_public_networks(request: Request) -> Response:
    """List the networks that everybody may use."""
    return _paged(request, public.networks(core_of(request)))


@router.get(PUBLIC_NETWORKS + "/{slug}")
def show_public_network(request: Request, slug: str) -> Response:
    """Tell what a public network is fed."""
    return respond(public.network(core_of(request), slug))


@router.post(PUBLIC_NETWORKS + "/{slug}/inference")
async def infer_public_network(request: Request, slug: str) -> Response:
    """Queue an image whose raw tensors a public network answers."""
    return await _infer(request, public.target_of_network, slug)


@router.get(NETWORKS)
def list_networks(request: Request) -> Response:
    """List one's own networks."""
    return _listed(request, networks.rows)


@router.post(NETWORKS)
async def create_network(request: Request) -> Response:
    """Upload a network; its task says when it is deployed."""
    return respond(await _with_body(request, networks.create), status=201)


@router.get(NETWORKS + "/{id}")
def show_network(request: Request, id: str) -> Response:
    """Tell what a network is fed."""
    return respond(networks.show(core_of(request), caller_of(request), id))


@router.patch(NETWORKS + "/{id}")
@router.put(NETWORKS + "/{id}")
async def edit_network(request: Request, id: str) -> Response:
    """Change name, description or metadata."""
    return respond(await _with_body(request, networks.edit, id))


@router.delete(NETWORKS + "/{id}")
def delete_network(request: Request, id: str) -> Response:
    """Delete a network with its versions."""
    networks.delete(core_of(request), caller_of(request), id)
    return Response(None, 204)


@router.post(NETWORKS + "/{id}/inference")
async def infer_network(request: Request, id: str) -> Response:
    """Queue an image whose raw tensors a network answers."""
    return await _infer(request, networks.target, id)


@router.get("/tasks")
def list_tasks(request: Request) -> Response:
    """Tell where some tasks stand, in one answer."""
    ids = tasks.ids_of(request.query_params)
    return _paged(request, tasks.tasks(core_of(request), caller_of(request), ids))


@router.get("/tasks/{id}")
def show_task(request: Request, id: str) -> Response:
    """Tell where a task stands, and what came out."""
    return respond(tasks.task(core_of(request), caller_of(request), id))


async def _with_body(request: Request, call: Callable[..., Row], *more: Any) -> Row:
    """Return what a function makes of core, caller and body, off the event loop."""
    async with received(request) as body:
        return await run_in_threadpool(call, core_of(request), caller_of(request), body, *more)


async def _infer(request: Request, find: Find, id: str) -> Response:
    return respond(await _with_body(request, infer, find, id))


def _listed(request: Request, rows: Callable[..., tuple[int, list[Row]]], *more: str) -> Response:
    window = window_of(request)
    count, found = rows(core_of(request), caller_of(request), window, *more)
    return respond(page(request, count, found))


def _paged(request: Request, rows: list[Row]) -> Response:
    """Return the window of a list that is short."""
    window = window_of(request)
    shown = rows[window.offset : window.offset + window.limit]
    return respond(page(request, len(rows), shown))
