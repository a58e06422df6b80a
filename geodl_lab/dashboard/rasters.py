"""The raster of the app: one of a store, one that is sent, one whose path is typed."""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr

from geodl_lab.dashboard import examples, words
from geodl_lab.dashboard.desk import Desk
from geodl_lab.dashboard.transfers import FileUpload, Sink
from geodl_lab.errors import AccessError, GeodlError, OptionError
from geodl_lab.job_client import stored
from geodl_lab.raster import Raster, as_raster
from geodl_lab.remote_rasters import SHARES, RemoteRaster


class Rasters:
    """Which raster is chosen, and what it holds.

    Parameters
    ----------
    desk
        Page and server.
    change
        Called among the chores with the key of the raster that the visitor wants.
    """

    def __init__(self, desk: Desk, change: Callable[[str], None]) -> None:
        self._desk, self._change = desk, change
        self._all: dict[str, RemoteRaster] = {}
        self.image: xr.DataArray | None = None
        self.raster: Raster | None = None
        page = desk.page
        page.raster.observe(desk.heard(self._on_choice), "value")
        page.use_path.on_click(lambda _: desk.do(self._use_path))
        page.path.on_submit(lambda _: desk.do(self._use_path))
        upload = FileUpload(
            self._begin_upload, done=self._uploaded, failed=desk.say_bad, workers=desk.transfers
        )
        page.upload.children = [upload]

    @property
    def chosen(self) -> RemoteRaster | None:
        """The raster of the list that is chosen."""
        return self._all.get(str(self._desk.page.raster.value))

    @property
    def first(self) -> str:
        """Key of the raster to begin with, "" where there is none."""
        return next(iter(self._all), "")

    @property
    def names(self) -> dict[str, str]:
        """Names by keys."""
        return {key: one.name for key, one in self._all.items()}

    def list_all(self) -> None:
        """Ask the server which there are."""
        client = self._desk.client
        found = [*client.uploads(), *client.rasters()]
        if not any(one.name in examples.AREAS for one in found):  # not started for the app
            found.append(client.upload(examples.SCENE))
        first = sorted(found, key=lambda one: one.name not in examples.AREAS)
        self._all = {one.key: one for one in first}
        self._show_list()

    def choose(self, key: str) -> None:
        """Open a raster and show it; what cannot be opened is said, and then there is none."""
        note, self.image, self.raster = self._desk.page.raster_note, None, None
        if not key:
            note.value = words.hint_html("There is no raster yet: upload one.")
            return
        raster = self._all.setdefault(key, stored(key))
        self._show_list(key)
        self._desk.map.clear()
        note.value = words.hint_html("Opening it.")
        try:
            image = self._desk.client.open(raster)
        except GeodlError as error:
            note.value = words.hint_html(words.sentence(str(error)))
            raise
        self.image, self.raster = image, as_raster(image)
        note.value = words.hint_html(words.raster_line(self.raster))
        self._desk.map.show_raster(image, raster.name)

    def _show_list(self, chosen: str = "") -> None:
        box = self._desk.page.raster
        options = [(words.raster_label(one), key) for key, one in self._all.items()]
        with self._desk.silence():
            chosen = chosen or str(box.value)
            box.options = options
            if chosen in self._all:
                box.value = chosen

    def _on_choice(self, key: str) -> None:
        if key:
            self._desk.do(self._change, key)

    def _use_path(self) -> None:
        """Go on with a raster whose path was typed; the one before stays if that is not there."""
        given = self._desk.page.path.value.strip()
        if not given:
            raise OptionError("type the path of a raster in a store of the server")
        key = given if given.startswith(SHARES) else f"{SHARES}{given.lstrip('/')}"
        try:
            self._desk.client.open(stored(key))
        except AccessError:
            stores = ", ".join(self._desk.client.stores())
            raise AccessError(
                f"there is no raster {given[:200]!r} on the server; write it like STORE/place.tif, "
                f"with a store of {stores}"
            ) from None
        self._change(key)

    def _begin_upload(self, name: str) -> Sink:
        return self._desk.client.begin_upload(name)

    def _uploaded(self, raster: RemoteRaster) -> None:
        self._desk.do(self._take_upload, raster)

    def _take_upload(self, raster: RemoteRaster) -> None:
        """Go on with a file that came, if it is a raster; else it does not stay."""
        self._desk.say(f"Opening {raster.name}.")
        try:
            self._desk.client.open(raster)
        except GeodlError:
            self._desk.client.forget(raster)
            raise
        self._all = {raster.key: raster, **self._all}
        self._change(raster.key)
