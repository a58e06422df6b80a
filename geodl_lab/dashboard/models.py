"""The model of the app: those that there are, which fit the raster, and their cards."""

from __future__ import annotations

from collections.abc import Callable

from geodl_lab.dashboard import words
from geodl_lab.dashboard.desk import Desk
from geodl_lab.raster import Raster
from geodl_lab.remote_rasters import RemoteModel
from geodl_lab.zoo_cards import zoo_cards


class Models:
    """Which model is chosen.

    The models of this package are there at once; those of the server follow.

    Parameters
    ----------
    desk
        Page and server.
    changed
        Called when the visitor chose another.
    """

    def __init__(self, desk: Desk, changed: Callable[[], None]) -> None:
        self._desk, self._changed = desk, changed
        self._all = [RemoteModel(card) for card in zoo_cards()]
        self._misfits: dict[str, str] = {}
        desk.page.model.observe(desk.heard(self._on_choice), "value")

    @property
    def chosen(self) -> RemoteModel | None:
        """The model that is chosen."""
        wanted = self._desk.page.model.value
        return next((one for one in self._all if one.reference == wanted), None)

    @property
    def misfit(self) -> str:
        """Why the chosen model cannot run on the raster, in a sentence; "" if it can."""
        return self._misfits.get(str(self._desk.page.model.value), "")

    def ask(self) -> None:
        """Ask the server which there are."""
        self._all = self._desk.client.models()

    def list_all(self, raster: Raster | None, best: str) -> None:
        """List the models, those that fit a raster first; the first one is chosen."""
        judged = words.ordered(self._all, raster, best)
        self._misfits = {one.reference: misfit for one, misfit in judged}
        options = [(words.model_label(one, misfit), one.reference) for one, misfit in judged]
        box = self._desk.page.model
        with self._desk.silence():
            box.options = options
            box.value = options[0][1] if options else None
        self._show()

    def _on_choice(self, _: str) -> None:
        self._show()
        self._changed()

    def _show(self) -> None:
        page, model = self._desk.page, self.chosen
        note = words.note_html(self.misfit, "bad")
        page.card.value = f"{note}{words.card_html(model.card)}" if model else ""
        task = model.task if model else ""
        page.threshold.layout.display = None if task == "detect" else "none"
        page.tta.layout.display = None if task == "classify" else "none"
