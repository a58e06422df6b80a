"""Results as files: whole, by ranges, or a folder as a zip that is made while it is sent.

Below a service stands ``download/<file>``. A raster is ``<name>.tif``, features are ``<name>.gpkg``
and ``<name>.parquet``; a folder is ``<name>.zip`` (also ``download.zip`` beside ``download``), and
each of its files by its path.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response, StreamingResponse

from geodl_lab.errors import AccessError
from geodl_lab.jobs.catalog import Service
from geodl_lab.server.context import caller_of, core_of, page_path

router = APIRouter(tags=["Downloads"])

MEDIA = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
    ".geojson": "application/geo+json",
    ".json": "application/json",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}
"""Of files by ending; all else is bytes, so that no browser runs it."""

PIECE = 2**20
"""Bytes that are read at a time."""

METHODS = ["GET", "HEAD", "POST"]
"""POST is what the buttons of a page send, with the token in the form."""

SERVERS = {"raster": "ImageServer", "features": "FeatureServer", "folder": ""}


def links(service: Service, services_url: str) -> dict[str, str]:
    """Return the address of each file of a service by its name.

    Parameters
    ----------
    service
        Any; one that no job has filled has none.
    services_url
        Address of ``rest/services``.
    """
    parts = [services_url, "Hosted", service.name, SERVERS[service.kind], "download"]
    base = "/".join(part for part in parts if part)
    return {name: f"{base}/{quote(name)}" for name in (*_files(service), *_archive(service))}


def listed(service: Service, services_url: str) -> dict[str, Any]:
    """Return what the description of a service or item says of its files."""
    urls = links(service, services_url)
    return {"downloads": [{"name": name, "url": url} for name, url in urls.items()]}


def buttons(service: Service, services_path: str) -> dict[str, str]:
    """Return words and paths for a page; ``services_path`` as in `links`, without the host."""
    return {f"download {name}": path for name, path in links(service, services_path).items()}


def services_path(request: Request) -> str:
    """Return the path of ``rest/services`` as a browser calls it."""
    path = page_path(request)
    return f"{path[: path.index('/rest/services')]}/rest/services"


def services_url(request: Request) -> str:
    """Return the address of ``rest/services`` as the client called it."""
    return str(request.base_url.replace(path=services_path(request)))


@router.api_route(
    "/Hosted/{name}/{server}/download/{file:path}", methods=METHODS, response_model=None
)
def download(name: str, server: str, file: str, request: Request) -> Response:
    """Answer a file of a service."""
    return _answer(name, file, request) if server in SERVERS.values() else _nothing(file)


@router.api_route("/Hosted/{name}/download/{file:path}", methods=METHODS, response_model=None)
def download_folder(name: str, file: str, request: Request) -> Response:
    """Answer a file of an exported folder."""
    return _answer(name, file, request)


@router.api_route("/Hosted/{name}/download.zip", methods=METHODS, response_model=None)
def download_all(name: str, request: Request) -> Response:
    """Answer an exported folder as a zip."""
    return _answer(name, f"{name}.zip", request)


def _answer(name: str, file: str, request: Request) -> Response:
    """Answer a file, or 404 and nothing else: GDAL takes whatever else comes for the file."""
    try:
        service = core_of(request).catalog.service(name, caller_of(request))
    except AccessError:
        return _nothing(file)
    if file in _archive(service):
        return _zipped(name, _archive(service)[file], head=request.method == "HEAD")
    path = _files(service).get(file) or _file_in_folder(service, file)
    if path is None or not path.is_file():
        return _nothing(file)
    return _sent(path, service, PurePosixPath(file).name)


def _sent(path: Path, service: Service, name: str) -> Response:
    """Answer a file or the ranges that are asked for (RFC 9110, 14)."""
    headers = {
        "ETag": f'"{service.name}-{service.version}-{path.stat().st_size}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    media = MEDIA.get(path.suffix.lower(), "application/octet-stream")
    return FileResponse(path, media_type=media, filename=name, headers=headers)


def _nothing(file: str) -> Response:
    return PlainTextResponse("There is no such file here.\n", status_code=404)


def _files(service: Service) -> dict[str, Path]:
    """Return the single files of a service by the name they are called."""
    roles = ("raster", "features", "parquet")
    paths = [Path(service.files[role]) for role in roles if service.files.get(role)]
    return {f"{service.name}{path.suffix.lower()}": path for path in paths}


def _archive(service: Service) -> dict[str, dict[str, Path]]:
    """Return the zip of a service: its name, and in it files by theirs."""
    folder = service.files.get("folder")
    return {f"{service.name}.zip": _walk(Path(folder))} if folder else {}


def _file_in_folder(service: Service, file: str) -> Path | None:
    folder = service.files.get("folder")
    return _walk(Path(folder)).get(file) if folder else None


def _walk(folder: Path) -> dict[str, Path]:
    """Return all files below a folder by their path in it; links are left out."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def _zipped(name: str, files: Mapping[str, Path], *, head: bool) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.zip"',
        "Cache-Control": "private, no-cache",
    }
    pieces = iter(()) if head else zip_stream(files)
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


def zip_stream(files: Mapping[str, Path]) -> Iterator[bytes]:
    """Yield a zip of files, by their names in it, piece by piece; chips do not shrink any more."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for name, path in files.items():
            about = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            with path.open("rb") as source, archive.open(about, "w", force_zip64=True) as target:
                while piece := source.read(PIECE):
                    target.write(piece)
                    yield pipe.take()
    yield pipe.take()


class _Pipe(io.RawIOBase):
    """What is written to it is taken from it; it cannot go back."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: bytes) -> int:  # type: ignore[override]
        self._pieces.append(bytes(piece))
        return len(piece)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
