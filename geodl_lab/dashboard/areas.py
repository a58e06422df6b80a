"""The area of the app: an example, all of the raster, or what is drawn."""

from __future__ import annotations

from collections.abc import Callable

from geodl_lab.dashboard import examples, words
from geodl_lab.dashboard.desk import Desk
from geodl_lab.dashboard.map_view import Bounds
from geodl_lab.dashboard.page import ALL, AREAS, DRAWN, EXAMPLE
from geodl_lab.dashboard.rasters import Rasters
from geodl_lab.errors import OptionError
from geodl_lab.raster import area_window


class Areas:
    """Which part of the raster is computed.

    Parameters
    ----------
    desk
        Page and map.
    rasters
        Says which raster is chosen.
    changed
        Called when the area is another one.
    """

    def __init__(self, desk: Desk, rasters: Rasters, changed: Callable[[], None]) -> None:
        self._desk, self._rasters, self._changed = desk, rasters, changed
        self.chosen: Bounds | None = None
        desk.page.area.observe(desk.heard(self._on_choice), "value")
        desk.map.on_drawn(self._on_draw)

    @property
    def ready(self) -> bool:
        """Whether there is an area to compute."""
        return self._desk.page.area.value != DRAWN or self.chosen is not None

    def offer(self) -> None:
        """Offer what can be computed of a new raster, and choose the first of it."""
        example = self._example()
        offered = [EXAMPLE, ALL, DRAWN] if example else [ALL, DRAWN]
        with self._desk.silence():
            self._desk.page.area.options = [(AREAS[one], one) for one in offered]
            self._desk.page.area.value = offered[0]
        self._outline(example)

    def show(self, area: Bounds | None) -> None:
        """Have the choice say what a job computed."""
        kind = ALL if area is None else EXAMPLE if area == self._example() else DRAWN
        self._desk.map.clear_drawn()
        with self._desk.silence():
            self._desk.page.area.value = kind
        self._outline(area)

    def _example(self) -> Bounds | None:
        """Return the part of the raster that is an example, None where it has none."""
        chosen = self._rasters.chosen
        area = examples.AREAS.get(chosen.name) if chosen else None
        return area if area and self._meets(area) else None

    def _meets(self, area: Bounds) -> bool:
        raster = self._rasters.raster
        try:
            return raster is not None and bool(area_window(raster, area))
        except OptionError:
            return False

    def _on_choice(self, kind: str) -> None:
        if self._rasters.raster is None:
            return
        if kind != DRAWN:
            self._desk.map.clear_drawn()
        self._outline(self._example() if kind == EXAMPLE else None)

    def _on_draw(self, area: Bounds | None) -> None:
        if area is not None:
            self._desk.map.show_area(None, stay=True)
            with self._desk.silence():
                self._desk.page.area.value = DRAWN
        if self._desk.page.area.value == DRAWN:
            self._set(area)

    def _outline(self, area: Bounds | None) -> None:
        self._desk.map.show_area(area)
        self._set(area)

    def _set(self, area: Bounds | None) -> None:
        outside = area is not None and not self._meets(area)
        self.chosen = None if outside else area
        self._desk.page.area_note.value = self._words(outside)
        self._changed()

    def _words(self, outside: bool) -> str:
        raster, drawn = self._rasters.raster, self._desk.page.area.value == DRAWN
        if outside:
            return words.note_html(
                "That area lies outside the raster: draw one that meets it.", "bad"
            )
        if raster is None:
            return ""
        if drawn and self.chosen is None:
            return words.hint_html(
                "Choose the square at the left of the map, then click two opposite corners."
            )
        size = words.area_line(raster, self.chosen)
        return words.hint_html(f"{size}: the box around what you drew" if drawn else size)
