"""All routes of the ArcGIS face, in the order in which they are tried."""

from __future__ import annotations

from fastapi import APIRouter

from geodl_lab.server.arcgis import (
    content,
    directory,
    downloads,
    feature_server,
    gp,
    image_server,
    portal,
    tokens,
    uploads,
)

router = APIRouter()
for _face in (gp, tokens, portal, uploads, content, directory):
    router.include_router(_face.router)
for _face in (downloads, feature_server, image_server):
    router.include_router(_face.router, prefix="/rest/services")
