"""``geodl_lab.connect()``: models, rasters and jobs of a job server, from Python.

Jobs are sent by the ArcGIS face (Submit Job, Add Item, Add Part and Commit of the ArcGIS REST API),
which is what the server has for rasters; lists come from `geodl_lab.server.own`.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geodl_lab.errors import AccessError, OptionError, RasterError, first_line
from geodl_lab.job_wire import Wire
from geodl_lab.remote_jobs import KINDS, TASKS, RemoteJob
from geodl_lab.remote_rasters import (
    RemoteModel,
    RemoteRaster,
    arguments_of,
    context_of,
    raster_reference,
)

if TYPE_CHECKING:
    import xarray as xr

USER = "/arcgis/sharing/rest/content/users/self"
ITEM = "/arcgis/sharing/rest/content/items"

PART = 8 * 2**20
"""Bytes of a file that are sent at a time."""

OUTPUTS = {
    "ClassifyPixelsUsingDeepLearning": "outputClassifiedRaster",
    "DetectObjectsUsingDeepLearning": "outputObjects",
    "ClassifyObjectsUsingDeepLearning": "outputFeatureClass",
}
"""The parameter that names the result, by task."""


class Client:
    """What a job server has for one key.

    Parameters
    ----------
    wire
        To the server.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @property
    def url(self) -> str:
        """The server's address."""
        return self._wire.url

    def close(self) -> None:
        """Let go of the connections; so does the end of whatever holds the client."""
        self._wire.close()

    def models(self) -> list[RemoteModel]:
        """Return the models that the server has, with their cards."""
        return [RemoteModel(card) for card in self._wire.get("/models")["models"]]

    def rasters(self) -> list[RemoteRaster]:
        """Return the rasters that lie in the server's stores."""
        stores = self._wire.get("/stores")["stores"]
        return [stored(one["uri"]) for store in stores for one in store["rasters"]]

    def stores(self) -> list[str]:
        """Return the names of the server's stores."""
        return [str(one["name"]) for one in self._wire.get("/stores")["stores"]]

    def uploads(self) -> list[RemoteRaster]:
        """Return the rasters that were sent with this key, newest first."""
        found = self._wire.get(USER, f="json")["items"]
        files = [one for one in found if one["type"] == "Image"]
        newest = sorted(files, key=lambda one: -one["created"])
        return [uploaded(one["id"], str(one["title"])) for one in newest]

    def upload(
        self, path: str | Path, *, progress: Callable[[int, int], None] | None = None
    ) -> RemoteRaster:
        """Send a raster file, in parts; it is whole or not there.

        Parameters
        ----------
        path
            GeoTIFF, PNG, JPEG or JPEG 2000.
        progress
            Called with the bytes that were sent so far, and those in all.

        Raises
        ------
        RasterError
            If there is no such file, or it cannot be read.
        OptionError, BusyError, OutputError
            If the server does not take it.
        """
        file = Path(path)
        try:
            size, stream = file.stat().st_size, file.open("rb")
        except OSError as error:
            raise RasterError(f"{str(path)!r} cannot be sent: {error.strerror}") from None
        with stream:
            upload = self.begin_upload(file.name)
            while part := stream.read(PART):
                upload.add(part)
                if progress:
                    progress(upload.sent, size)
            return upload.finish()

    def begin_upload(self, name: str) -> Upload:
        """Begin to send a raster whose bytes come bit by bit; raises as `upload`."""
        return Upload(self._wire, name)

    def forget(self, raster: RemoteRaster) -> None:
        """Have a raster that was sent with this key removed; raises AccessError, OptionError."""
        if "itemId" not in raster.reference:
            raise OptionError(f"{raster.name!r} was not sent by .upload(), and is not removed")
        self._wire.post(f"{USER}/items/{raster.key}/delete", {})

    def open(self, raster: RemoteRaster, *, chunks: Any = None) -> xr.DataArray:
        """Open a raster that the server has; its pixels are read as they are wanted.

        Raises
        ------
        RasterError
            If it is no raster that GDAL reads.
        AccessError
            If it is not there (any more).
        """
        from geodl_lab.raster import open_raster  # noqa: PLC0415

        if not raster.path:
            raise AccessError(f"the pixels of {raster.name!r} are not to be had from the server")
        try:
            return open_raster(self._wire.gdal_path(raster.path), chunks=chunks)
        except RasterError:
            self._check_there(raster)
            raise RasterError(
                f"{raster.name!r} is no raster that can be read; give a GeoTIFF, PNG, JPEG or "
                "JPEG 2000"
            ) from None

    def _check_there(self, raster: RemoteRaster) -> None:
        """Raise AccessError if the server does not have a raster (any more), or does not answer."""
        try:
            self._wire.size(raster.path)
        except (AccessError, OptionError):  # which of them depends on the face
            self._wire.get("/stores")  # says so if nobody answers
            raise AccessError(
                f"the server has no raster {raster.name!r}; choose one of .rasters(), or send a "
                "file with .upload(path)"
            ) from None

    def classify(self, raster: Any, model: str, **options: Any) -> RemoteJob:
        """Send a job that gives every pixel a class; `submit` has the parameters."""
        return self.submit("ClassifyPixelsUsingDeepLearning", raster, model, **options)

    def detect(self, raster: Any, model: str, **options: Any) -> RemoteJob:
        """Send a job that finds objects; `submit` has the parameters."""
        return self.submit("DetectObjectsUsingDeepLearning", raster, model, **options)

    def recognize(self, raster: Any, model: str, **options: Any) -> RemoteJob:
        """Send a job that labels a whole raster; `submit` has the parameters."""
        return self.submit("ClassifyObjectsUsingDeepLearning", raster, model, **options)

    def submit(
        self,
        task: str,
        raster: Any,
        model: str | RemoteModel,
        *,
        area: Any = None,
        crs: Any = None,
        device: str = "auto",
        cell_size: float | None = None,
        name: str = "",
        **options: Any,
    ) -> RemoteJob:
        """Send a job; it is on the server's disk when this returns.

        Parameters
        ----------
        task
            One of `OUTPUTS`.
        raster
            One of `rasters` or `uploads`, ``/fileShares/STORE/place``, or an address.
        model
            Its name, or one of `models`.
        area
            What is computed; None is all. (left, bottom, right, top), or an object with such
            ``bounds`` or ``total_bounds``.
        crs
            Of the area; None is its own (``area.crs``), else the raster's.
        device
            ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        cell_size
            To resample to before the model runs, in units of the raster's CRS.
        name
            Of the result: letters, digits and ``_``; "" makes one.
        **options
            ``threshold``, ``padding``, ``batch_size``, ``tta``, ``bands``, ``precision``,
            ``seam_tolerance``, as of `geodl_lab.Options`.

        Raises
        ------
        OptionError
            If something is not possible; what only the server can know fails the job instead.
        AccessError, BusyError
            If the server is not to be had, or has too much to do.
        """
        reference = raster_reference(raster)
        called = model.reference if isinstance(model, RemoteModel) else str(model)
        form = {
            "inputRaster": json.dumps(reference),
            "model": json.dumps({"uri": called}),
            OUTPUTS[task]: json.dumps({"serviceProperties": {"name": name or _new_name(called)}}),
            "modelArguments": arguments_of(options),
            "context": context_of(area, crs, device=device, cell_size=cell_size),
        }
        accepted = self._wire.post(f"{TASKS}/{task}/submitJob", form)
        return self.job(str(accepted["jobId"]))

    def job(self, id: str) -> RemoteJob:
        """Return a job by its id; raises AccessError where there is none of this key."""
        if not re.fullmatch(r"\w+", id):
            raise AccessError(f"{id[:100]!r} is no id of a job; look among .jobs()")
        return RemoteJob(self._wire, self._wire.get(f"/jobs/{id}"))

    def jobs(self, *, limit: int = 50) -> list[RemoteJob]:
        """Return the jobs of this key that make rasters or objects, newest first."""
        found = self._wire.get("/jobs", limit=limit, kind=list(KINDS))["jobs"]
        return [RemoteJob(self._wire, values) for values in found]

    def __repr__(self) -> str:
        return f"<geodl_lab client of {self.url}>"


class Upload:
    """A raster that is sent in parts.

    Parameters
    ----------
    wire
        To the server.
    name
        The file's name; its ending says what it is.
    """

    def __init__(self, wire: Wire, name: str) -> None:
        self._wire, self.name, self.sent, self._parts = wire, name, 0, 0
        form = {"multipart": "true", "fileName": name, "title": Path(name).name}
        self._id = str(wire.post(f"{USER}/addItem", form)["id"])

    def add(self, part: bytes) -> None:
        """Send the next part."""
        self._parts += 1
        form = {"partNum": str(self._parts)}
        self._wire.post(f"{USER}/items/{self._id}/addPart", form, part=part)
        self.sent += len(part)

    def finish(self) -> RemoteRaster:
        """Have the parts put together."""
        self._wire.post(f"{USER}/items/{self._id}/commit", {})
        return uploaded(self._id, self.name)

    def cancel(self) -> None:
        """Have what was sent thrown away."""
        self._wire.post(f"{USER}/items/{self._id}/delete", {})


def connect(
    url: str,
    *,
    key: str | None = None,
    ca_file: str | os.PathLike[str] | None = None,
) -> Client:
    """Return a client of a job server, after it has answered.

    Parameters
    ----------
    url
        Its address, such as ``http://127.0.0.1:8000``.
    key
        None takes the first of the environment's ``GEODL_API_KEY``, and "" needs none.
    ca_file
        Authority to trust, in PEM, as ``--self-signed`` makes one.

    Raises
    ------
    AccessError
        If no server answers there, or the key is not one of it.
    OptionError
        If the address is not possible, or the authority cannot be read.

    Examples
    --------
    >>> client = geodl_lab.connect("http://127.0.0.1:8000", key="...")  # doctest: +SKIP
    >>> job = client.classify("/fileShares/scenes/naip.tif", "naip-landcover")  # doctest: +SKIP
    >>> classes = job.wait(progress=True).open()  # doctest: +SKIP
    """
    if key is None:
        key = (os.environ.get("GEODL_API_KEY") or "").split(" ")[0]
    try:
        wire = Wire(url, key=key, ca_file=Path(ca_file) if ca_file else None)
    except OSError as error:
        raise OptionError(f"the authority {ca_file} cannot be read: {first_line(error)}") from None
    try:
        wire.get("/jobs", limit=1)
    except BaseException:
        wire.close()
        raise
    return Client(wire)


def stored(uri: str) -> RemoteRaster:
    """Return the raster of ``/fileShares/STORE/place``."""
    place = uri.removeprefix("/fileShares/")
    return RemoteRaster(place.rpartition("/")[2], {"uri": uri}, f"/stores/{place}")


def uploaded(item: str, name: str) -> RemoteRaster:
    """Return the raster of an item whose file was sent."""
    return RemoteRaster(name, {"itemId": item}, f"{ITEM}/{item}/data")


def _new_name(model: str) -> str:
    """Return a name for a result that nothing else has."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", model).strip("_")[:60]
    return f"{words}_{secrets.token_hex(4)}"
