"""`Explorer`: a map of rasters, of models' answers to what is in view, and of objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import ipyleaflet
import xarray as xr

from geodl_lab.checks import is_number
from geodl_lab.errors import OptionError, first_line
from geodl_lab.maps.canvas import Canvas
from geodl_lab.maps.frames import Frame
from geodl_lab.maps.layers import Layer, ObjectLayer, RasterLayer
from geodl_lab.maps.places import Bounds, Place
from geodl_lab.maps.rasters import answer, named, raster_layer, restyled
from geodl_lab.maps.saving import KINDS
from geodl_lab.maps.shapes import as_frame, frame_bounds, frame_colors
from geodl_lab.raster import as_raster
from geodl_lab.staging import check_ending, staged
from geodl_lab.styles import label_colors

if TYPE_CHECKING:
    from geodl_lab.maps.live_objects import LiveObjects
    from geodl_lab.runtime import Model


class Explorer(Canvas):
    """A map in the notebook: rasters, models that run on what is in view, objects.

    Tiles travel over the widget's own connection: the map works in JupyterLab, Voila, JupyterHub
    and Binder, without a proxy and without internet.

    Parameters
    ----------
    data
        What to show, from the lowest to the uppermost; see `add`.
    basemap
        None for none (works offline), a basemap of `ipyleaflet.basemaps`, an
        `ipyleaflet.TileLayer`, or the address of tiles with ``{z}/{x}/{y}``.
    center
        Latitude and longitude of the middle; None shows all of the first layer.
    zoom
        Leaflet's zoom level; None as above.
    height
        CSS height.
    options
        Any other trait of `ipyleaflet.Map`.

    Raises
    ------
    GeodlError
        If something cannot be shown; the message says what can.
    """

    def __init__(
        self,
        *data: Any,
        basemap: Any = None,
        center: tuple[float, float] | None = None,
        zoom: float | None = None,
        height: str = "500px",
        **options: Any,
    ) -> None:
        super().__init__(basemap, center=center, zoom=zoom, height=height, **options)
        self._live: dict[str, LiveObjects] = {}
        for one in data:
            self.add(one)

    def add(self, item: Any, index: int | None = None, **looks: Any) -> Explorer:
        """Put something on the map, above what is there.

        Parameters
        ----------
        item
            A raster (band, y, x) or (y, x), lazy or not: an image, classes, probabilities, values;
            a GeoDataFrame or a shapely geometry; or a layer or control of ipyleaflet.
        index
            Of a layer of ipyleaflet, as there.
        looks
            ``name``, ``visible``, ``opacity`` (0 to 1); of rasters ``bands`` and ``stretch`` as in
            `geodl_lab.plot`; of a geometry ``crs`` (default degrees); and ``model``, which runs on
            what is in view of a raster, with fields of `geodl_lab.Options` (and ``threshold``).

        Returns
        -------
        Explorer
            This map.

        Raises
        ------
        GeodlError
            If it cannot be shown; the message says what can.
        """
        if isinstance(item, ipyleaflet.Layer | ipyleaflet.Control) or hasattr(
            item, "as_leaflet_layer"
        ):
            super().add(item, index)
            return self
        name, key = looks.pop("name", None), self.stack.fresh()
        model = looks.pop("model", None)
        if model is not None:
            return self._add_model(item, model, key, name, looks)
        if isinstance(item, xr.DataArray | xr.Dataset):
            return self._add_raster(
                item, key, self.stack.free(name or named(item, "raster")), looks
            )
        crs = looks.pop("crs", None if self.plane else "EPSG:4326")
        frame = as_frame(item, crs)
        return self._add_objects(frame, key, self.stack.free(name or "objects"), looks)

    def remove(self, item: Any) -> None:
        """Take a layer off the map, by its name; or a layer or control of ipyleaflet.

        Raises
        ------
        OptionError
            If no layer has that name.
        """
        if not isinstance(item, str):
            super().remove(item)
            return
        layer = self.stack.by_name(item)
        self.stack.take(layer.id)
        if layer.id in (self.tiles.split or ()):
            self.tiles.split = None
        if isinstance(layer, RasterLayer):
            self.feed.hide(layer.id)
            self.late.forget(layer.id)
        if layer.id in self._live:
            self._live.pop(layer.id).close()

    def change(
        self,
        name: str,
        *,
        visible: bool | None = None,
        opacity: float | None = None,
        choice: str | None = None,
    ) -> None:
        """Show a layer in another way.

        Parameters
        ----------
        name
            Of the layer.
        visible
            Whether it is shown.
        opacity
            0 to 1.
        choice
            Of probabilities: the class that is shown.

        Raises
        ------
        OptionError
            If there is no such layer or choice, or the opacity is not possible.
        """
        layer = self.stack.by_name(name)
        if opacity is not None and not (is_number(opacity) and 0 <= opacity <= 1):
            raise OptionError(f"opacity {opacity!r} is not possible; give a number from 0 to 1")
        if choice is not None:
            self._choose(layer, choice)
        if visible is not None:
            self.stack.replace(layer.id, visible=bool(visible))
            self._look(layer.id, self.place.bounds)
        if opacity is not None:
            self.stack.replace(layer.id, opacity=float(opacity))

    def move(self, name: str, by: int) -> None:
        """Move a layer up by some places, or down where ``by`` is below 0."""
        self.stack.move(self.stack.by_name(name).id, by)

    def swipe(self, left: str | None = None, right: str | None = None) -> None:
        """Show two rasters side by side, with a handle between them; without names end that.

        Raises
        ------
        OptionError
            If they are not two rasters on the map.
        """
        if left is None and right is None:
            self.tiles.split = None
            return
        pair = [self.stack.by_name(name) for name in (left, right) if name is not None]
        if len(pair) < 2 or pair[0] is pair[1] or not all(isinstance(p, RasterLayer) for p in pair):
            raise OptionError(
                f"swipe({left!r}, {right!r}) is not possible; name two different rasters, as in "
                "m.swipe('before', 'after')"
            )
        self.tiles.split = [layer.id for layer in pair]

    def zoom_to(self, name: str) -> None:
        """Show all of a layer."""
        self._fit(self.stack.by_name(name).bounds)

    def save(self, target: str | Path, *, overwrite: bool = True, **more: Any) -> Path:
        """Write what is in view.

        Parameters
        ----------
        target
            ``.png``: a picture with legends; ``.geojson``: objects and drawn areas; ``.tif``: the
            pixels in view of the uppermost raster (a lazy one is computed there); ``.html`` as in
            `ipyleaflet.Map.save`.
        overwrite
            False refuses an existing file.

        Returns
        -------
        pathlib.Path
            The file written.

        Raises
        ------
        GeodlError
            If there is nothing to save, or it cannot be written.
        """
        target = Path(target)
        if target.suffix == ".html":
            super().save(str(target), **more)
            return target
        check_ending(target, tuple(KINDS))
        made = self.contents(target.suffix, self.place)
        with staged(target, overwrite=overwrite, needed=len(made)) as path:
            path.write_bytes(made)
        return target

    def see(self, place: Place, bounds: Bounds, page: str) -> None:
        """Take note of what is in view on a page."""
        if (page, place) == self._seen:
            return
        self._seen, self._place = (page, place), place
        self.feed.see(page, place)
        for key in list(self._live):
            self._look(key, bounds)

    def close(self) -> None:
        """Take the map away and stop its threads."""
        for live in self._live.values():
            live.close()
        super().close()

    def _add_raster(
        self, data: xr.DataArray | xr.Dataset, key: str, name: str, looks: dict[str, Any]
    ) -> Explorer:
        raster = as_raster(data)
        self._enter(Frame(raster.crs, raster.transform, raster.shape_yx).plane)
        layer = _made(raster_layer, data, key, name, looks=looks)
        self.feed.show(key, layer.view)
        self._put(layer)
        self.late.begin(layer, looks.get("bands"))
        return self

    def _add_objects(
        self, frame: geopandas.GeoDataFrame, key: str, name: str, looks: dict[str, Any]
    ) -> Explorer:
        self._enter(frame.crs is None)
        bounds = frame_bounds(frame, up=self.up)
        colors = frame_colors(frame, taken=self._taken())
        return self._put(
            _made(
                ObjectLayer,
                looks=looks,
                id=key,
                name=name,
                bounds=bounds,
                frame=frame,
                colors=colors,
                up=self.up,
            )
        )

    def _add_model(
        self, data: Any, wanted: Any, key: str, name: str | None, looks: dict[str, Any]
    ) -> Explorer:
        """Show what a model says of what is in view."""
        from geodl_lab.packages import open_model  # noqa: PLC0415  loads torch

        model = open_model(wanted)
        seen = {"visible", "opacity", "bands", "stretch"} & looks.keys()
        own = {option: looks.pop(option) for option in seen}
        name = self.stack.free(name or model.name)
        if model.package.task == "detect":
            return self._add_live(data, model, key, name, own, looks)
        return self._add_raster(answer(data, model, **looks), key, name, own)

    def _add_live(
        self, data: Any, model: Model, key: str, name: str, own: dict[str, Any], options: Any
    ) -> Explorer:
        """Show the objects of what is in view, found in a thread."""
        from geodl_lab.maps.live_objects import LiveObjects  # noqa: PLC0415  loads torch

        def found(frame: geopandas.GeoDataFrame, hint: str) -> None:
            self.stack.replace(key, frame=frame, hint=hint, again=True)

        live = LiveObjects(
            data, model, found=found, progress=self._progress(key), failed=self._complain, **options
        )  # fmt: skip
        self._enter(live.plane)
        bounds = live.bounds
        labels = [label.name for label in live.model.package.classes]
        colors = label_colors(labels, taken=self._taken())
        nothing = live.nothing
        layer = _made(
            ObjectLayer, looks=own, id=key, name=name, bounds=bounds, frame=nothing, colors=colors,
            up=live.up,
        )  # fmt: skip
        self._put(layer)
        self._live[key] = live
        if self._place is not None:
            live.look_at(self._place.bounds)
        return self

    def _taken(self) -> list[str]:
        """Return the colours of the objects that are on the map."""
        layers = [layer for layer in self.stack.all() if isinstance(layer, ObjectLayer)]
        return [color for layer in layers for color in layer.colors.values()]

    def _enter(self, plane: bool) -> None:
        """Take the plane of a photo, or the Earth, for a first layer; refuse what fits not."""
        if plane and not self.stack.all() and not self.layers and not self._place:
            self.crs = ipyleaflet.projections.Simple
            self.min_zoom, self.max_zoom = -10, 8
        if plane != self.plane:
            raise OptionError(
                "a raster or objects without a CRS cannot lie on the same map as what has one; "
                "show them on a map of their own, or give them a CRS with da.rio.write_crs(...)"
            )

    def _put(self, layer: Layer) -> Explorer:
        """Add a layer above all others; the first one says what is seen at the beginning."""
        first = not self.stack.all()
        self.stack.put(layer)
        if first and not self._keep_place and any(layer.bounds):
            self._fit(layer.bounds)
        return self

    def _look(self, key: str, bounds: Bounds) -> None:
        """Have a live detector look at what is in view, if it is visible."""
        layer, live = self.stack.by_id(key), self._live.get(key)
        if live is not None and layer is not None and layer.visible:
            live.look_at(bounds)

    def _choose(self, layer: Layer, choice: str) -> None:
        """Show another class of probabilities."""
        choices = layer.choices if isinstance(layer, RasterLayer) else ()
        if choice not in choices:
            raise OptionError(
                f"{layer.name!r} does not show {choice!r}; possible are "
                f"{', '.join(choices) or 'no choices'}"
            )
        assert isinstance(layer, RasterLayer)
        view = restyled(layer, [choices.index(choice) + 1])
        self.feed.show(layer.id, view)
        self.stack.replace(layer.id, view=view, choice=choice, again=True)


def explore(*data: Any, model: Any = None, **options: Any) -> Explorer:
    """Show rasters, results and objects on a live map.

    Parameters
    ----------
    data
        From the lowest to the uppermost; see `Explorer.add`.
    model
        A model that runs on what is in view of the first raster, shown above all.
    options
        As of `Explorer`.

    Returns
    -------
    Explorer
        The map.

    Raises
    ------
    GeodlError
        If something cannot be shown; the message says what can.
    """
    explorer = Explorer(*data, **options)
    if model is not None:
        explorer.add(data[0], model=model)
    return explorer


def _made(kind: Callable[..., Any], *given: Any, looks: dict[str, Any], **fields: Any) -> Any:
    """Make a layer; an option that it does not have is named."""
    try:
        return kind(*given, **fields, **looks)
    except TypeError as error:
        raise OptionError(
            f"{', '.join(looks)} was given; possible are name, visible, opacity, model and, of "
            f"rasters, bands and stretch ({first_line(error)})"
        ) from error
