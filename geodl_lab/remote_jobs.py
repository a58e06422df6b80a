"""One job of a server: where it stands, and what came out of it."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from geodl_lab import job_files
from geodl_lab.errors import AccessError, BusyError, CancelledError, GeodlError, RunError
from geodl_lab.job_html import duration, job_html
from geodl_lab.job_wire import Received, Wire

if TYPE_CHECKING:
    import geopandas
    import xarray as xr

TASKS = "/arcgis/rest/services/System/RasterAnalysisTools/GPServer"
HOSTED = "/arcgis/rest/services/Hosted"
FINAL = ("succeeded", "failed", "cancelled")
KINDS = {"classify": "raster", "change": "raster", "detect": "features", "recognize": "features"}
"""What a job of each kind makes."""

SERVERS = {"raster": "ImageServer", "features": "FeatureServer"}
THUMBNAIL = 320
"""Pixels on the longer side of the picture in a notebook."""

LEAST_PERCENT = 2.0
"""From how far on the time left is worth saying."""


class RemoteJob:
    """A job; what is known of it is that of the last `refresh`.

    Parameters
    ----------
    wire
        To its server.
    values
        As ``GET /jobs/ID`` answers them.
    """

    def __init__(self, wire: Wire, values: Mapping[str, Any]) -> None:
        self._wire, self._values = wire, dict(values)

    @property
    def id(self) -> str:
        """Its id; who has it and the key finds it again with ``client.job(id)``."""
        return str(self._values["id"])

    @property
    def kind(self) -> str:
        """``classify``, ``detect``, ``recognize`` or ``change``."""
        return str(self._values["kind"])

    @property
    def state(self) -> str:
        """``pending``, ``running``, ``succeeded``, ``failed`` or ``cancelled``."""
        return str(self._values["state"])

    @property
    def ended(self) -> bool:
        """Whether nothing can change any more."""
        return self.state in FINAL

    @property
    def percent(self) -> float:
        """How far it is, 0..100."""
        return float(self._values["percent"])

    @property
    def seconds(self) -> float:
        """How long it has been running, or ran."""
        return float(self._values["seconds"] or 0.0)

    @property
    def seconds_left(self) -> float | None:
        """How long it still takes at this pace; None where that is not known."""
        if self.state != "running" or self.percent < LEAST_PERCENT:
            return None
        return self.seconds * (100 - self.percent) / self.percent

    @property
    def created(self) -> float:
        """When it was sent, seconds since 1970."""
        return float(self._values["created"])

    @property
    def messages(self) -> tuple[str, ...]:
        """What it said, oldest first."""
        return tuple(str(one["text"]) for one in self._values.get("messages") or ())

    @property
    def model(self) -> str:
        """The model's name."""
        given = self._given("model") or self._given("modelDefinition")
        return str(given.get("uri") or given.get("itemId") or given.get("text", ""))

    @property
    def raster(self) -> dict[str, str]:
        """The raster as the task named it: ``uri``, ``itemId`` or ``url``."""
        return {k: str(v) for k, v in self._given("inputRaster").items()}

    @property
    def place(self) -> str:
        """Where the raster is: the value of `raster`, "" without one."""
        return next(iter(self.raster.values()), "")

    @property
    def extent(self) -> tuple[float, float, float, float] | None:
        """Left, bottom, right and top of the area that was asked for; None is all."""
        sides = self._given("context").get("extent")
        return sides and tuple(float(sides[k]) for k in ("xmin", "ymin", "xmax", "ymax"))

    @property
    def name(self) -> str:
        """Name of the result, "" before there is one."""
        return str(self._values.get("service") or "")

    def refresh(self) -> RemoteJob:
        """Ask the server again; returns the job itself."""
        self._values = dict(self._wire.get(f"/jobs/{self.id}"))
        return self

    def wait(
        self,
        *,
        timeout: float | None = None,
        progress: Callable[[RemoteJob], None] | bool = False,
        every: float = 0.5,
    ) -> RemoteJob:
        """Wait until it has ended well; returns the job itself.

        Parameters
        ----------
        timeout
            Seconds; None waits as long as it takes.
        progress
            True draws a bar; or a function that is called with the job each time it was asked for.
        every
            Seconds between two questions.

        Raises
        ------
        RunError
            If the job failed, with its last message; or the time is over (the job goes on).
        CancelledError
            If somebody cancelled it.
        """
        ends = None if timeout is None else time.monotonic() + timeout
        told = _Bar() if progress is True else progress or _nothing
        while True:
            self._ask(told)
            if self.ended:
                return self._well()
            if ends is not None and time.monotonic() > ends:
                raise RunError(f"{self!r} has not ended within {timeout:g} s; it goes on")
            time.sleep(every)

    def cancel(self) -> RemoteJob:
        """Ask it to stop, between two forwards of the model; returns the job itself."""
        self._wire.get(f"{TASKS}/{self._values['task']}/jobs/{self.id}/cancel", f="json")
        return self.refresh()

    @property
    def files(self) -> dict[str, str]:
        """Files of the result that the server has: path below its address by name."""
        if not self.name:
            return {}
        described = self._wire.get(self._service, f="json")
        names = [str(one["name"]) for one in described.get("downloads") or ()]
        return {name: f"{self._service}/download/{name}" for name in names}

    def open(self, *, chunks: Any = None) -> xr.DataArray | geopandas.GeoDataFrame:
        """Return the result: a raster whose pixels are read as they are wanted, or all objects.

        Parameters
        ----------
        chunks
            As of `geodl_lab.open_raster`.

        Raises
        ------
        AccessError
            If there is no result (yet).
        """
        if KINDS.get(self.kind) == "raster":
            from geodl_lab.raster import open_raster  # noqa: PLC0415

            return open_raster(self._wire.gdal_path(self._file(".tif")), chunks=chunks)
        return self._objects()

    def download(
        self,
        target: str | Path,
        *,
        overwrite: bool = False,
        received: Received | None = None,
        image: xr.DataArray | None = None,
    ) -> Path:
        """Write the result as a file, whole or not at all.

        Parameters
        ----------
        target
            A raster goes to ``.tif`` (the COG), ``.csv`` (areas of its classes) or ``.png``;
            objects to ``.parquet``, ``.gpkg``, ``.geojson``, ``.csv`` or ``.png``.
        overwrite
            False refuses an existing file.
        received
            Called with the bytes that came so far, and those in all.
        image
            What a picture of objects is drawn on.

        Raises
        ------
        OutputError
            If it cannot be written there, or not in that format.
        AccessError
            If there is no result (yet).
        """
        target, kind = Path(target), KINDS[self.kind]
        job_files.check_format(kind, target)
        if target.suffix.lower() in job_files.SERVED[kind]:
            path = self._file(target.suffix.lower())
            self._wire.save(path, target, overwrite=overwrite, received=received)
        elif kind == "raster":
            job_files.write_raster(self.open(), target, overwrite=overwrite)
        else:
            job_files.write_objects(
                self._objects(), target, overwrite=overwrite, image=image, area=self.extent
            )
        return target

    def piece(self, name: str, start: int, size: int) -> bytes:
        """Return bytes of one of `files`."""
        return self._wire.piece(self.files[name], start, size)

    def thumbnail(self) -> bytes:
        """Return a PNG of a result raster, b"" where there is none."""
        if not self.name or KINDS.get(self.kind) != "raster":
            return b""
        described = self._wire.get(self._service, f="json")
        sides = [described["extent"][k] for k in ("xmin", "ymin", "xmax", "ymax")]
        width, height = sides[2] - sides[0], sides[3] - sides[1]
        scale = THUMBNAIL / max(width, height)
        size = f"{max(1, round(width * scale))},{max(1, round(height * scale))}"
        return self._wire.bytes(
            f"{self._service}/exportImage", bbox=",".join(map(str, sides)), size=size,
            format="png32", f="image",
        )  # fmt: skip

    @property
    def title(self) -> str:
        """What it does on what, in words."""
        return f"{self.kind} {PurePosixPath(self.place).name} with {self.model}"

    @property
    def left_words(self) -> str:
        """How long it still takes, in words; "" where that is not known."""
        return "" if self.seconds_left is None else f"about {duration(self.seconds_left)} left"

    def __repr__(self) -> str:
        return f"<RemoteJob {self.id}: {self.title}, {self.state} {self.percent:.0f} %>"

    def _repr_html_(self) -> str:
        """Show it as it is now."""
        try:
            picture, files = self.refresh().thumbnail(), ", ".join(self.files)
        except GeodlError:
            picture, files = b"", ""
        return job_html(
            self._values, title=self.title, left=self.left_words, picture=picture, files=files
        )

    @property
    def _service(self) -> str:
        return f"{HOSTED}/{self.name}/{SERVERS[KINDS[self.kind]]}"

    def _ask(self, told: Callable[[RemoteJob], None]) -> None:
        try:
            told(self.refresh())
        except BusyError:
            return  # it is asked again anyway

    def _well(self) -> RemoteJob:
        last = self.messages[-1] if self.messages else "it did not say why"
        if self.state == "failed":
            raise RunError(f"the job {self.id} failed: {last}")
        if self.state == "cancelled":
            raise CancelledError(f"the job {self.id} was cancelled")
        return self

    def _file(self, ending: str) -> str:
        found = [path for name, path in self.files.items() if name.endswith(ending)]
        if not found:
            raise AccessError(
                f"the job {self.id} is {self.state} and has no {ending} file; wait() until it has "
                "succeeded"
            )
        return found[0]

    def _objects(self) -> geopandas.GeoDataFrame:
        import geopandas  # noqa: PLC0415

        content = io.BytesIO(self._wire.bytes(self._file(".parquet")))
        return geopandas.read_parquet(content)

    def _given(self, name: str) -> dict[str, Any]:
        """Return a parameter as it was sent; plain text as ``text``."""
        text = str(self._values["parameters"].get(name) or "{}")
        try:
            values = json.loads(text)
        except ValueError:
            values = text
        return values if isinstance(values, dict) else {"text": values}


class _Bar:
    """A progress bar of a job, in a notebook or a terminal."""

    def __init__(self) -> None:
        from tqdm.auto import tqdm  # noqa: PLC0415

        self._bar = tqdm(total=100, unit="%", bar_format="{desc}: {percentage:3.0f}%|{bar}|")

    def __call__(self, job: RemoteJob) -> None:
        self._bar.set_description_str(f"{job.state} {job.left_words}".strip())
        self._bar.update(job.percent - self._bar.n)
        if job.ended:
            self._bar.close()


def _nothing(job: RemoteJob) -> None:
    pass
