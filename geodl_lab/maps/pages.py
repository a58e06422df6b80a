"""What pages say to the map: each kind of message has a function, which queues or works.

Those in `QUICK` run on the kernel's main thread and only queue or change a value; those in `SLOW`
run one after the other in a thread of the map, so that a kernel at work is never held up by them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from geodl_lab.errors import GeodlError
from geodl_lab.maps.inspector import coordinates, describe
from geodl_lab.maps.layers import ObjectLayer, RasterLayer
from geodl_lab.maps.measuring import measured
from geodl_lab.maps.places import Place
from geodl_lab.maps.saving import KINDS
from geodl_lab.maps.shapes import map_geometries, to_json
from geodl_lab.maps.tiles import TileId

if TYPE_CHECKING:
    from geodl_lab.maps.explorer import Explorer

Message = dict[str, Any]
Page = Callable[[Any, Message], None]
"""Answers a message; takes the `Explorer`."""


def hello(explorer: Explorer, said: Message) -> None:
    """Answer a page that is there, perhaps again."""
    explorer.tiles.tell("welcome", token=said["token"])


def bye(explorer: Explorer, said: Message) -> None:
    """Let a page go that is closed."""
    explorer.leave(said["token"])


def seen(explorer: Explorer, said: Message) -> None:
    """Take note of what is in view."""
    explorer.see(_place(explorer, said), tuple(said["bounds"]), said["token"])


def tiles(explorer: Explorer, said: Message) -> None:
    """Queue tiles that are wanted, let go of others."""
    seen(explorer, said)
    explorer.feed.drop(said["token"], _tiles(said["drop"]))
    explorer.feed.want(said["token"], _tiles(said["want"]))


def fitted(explorer: Explorer, said: Message) -> None:
    """Take note that a page shows what it was told to show first."""
    explorer.tiles.fit = None


def change(explorer: Explorer, said: Message) -> None:
    """Show a layer in another way."""
    layer = explorer.stack.by_id(said["layer"])
    looks = {key: said[key] for key in ("visible", "opacity") if key in said}
    if layer is not None:
        explorer.change(layer.name, **looks)


def choose(explorer: Explorer, said: Message) -> None:
    """Show another class of probabilities."""
    layer = explorer.stack.by_id(said["layer"])
    if layer is not None:
        explorer.change(layer.name, choice=said["choice"])


def move(explorer: Explorer, said: Message) -> None:
    """Move a layer up or down."""
    if explorer.stack.by_id(said["layer"]) is not None:
        explorer.stack.move(said["layer"], int(said["by"]))


def objects(explorer: Explorer, said: Message) -> None:
    """Send the objects of a layer."""
    layer = explorer.stack.by_id(said["layer"])
    if isinstance(layer, ObjectLayer):
        json = to_json(layer.frame, layer.colors, map_geometries(layer.frame, up=layer.up))
        explorer.tiles.tell("objects", [json], token=said["token"], layer=layer.id)


def inspect(explorer: Explorer, said: Message) -> None:
    """Say what every raster holds at a place, the uppermost first."""
    place = (float(said["place"][0]), float(said["place"][1]))
    rasters = [layer for layer in explorer.stack.all() if isinstance(layer, RasterLayer)]
    layers = [
        {"name": layer.name, "rows": _described(explorer, layer, place)} for layer in rasters[::-1]
    ]
    crss = [layer.view.crs for layer in rasters[::-1]] or ([None] if explorer.plane else [])
    explorer.tiles.tell(
        "values", token=said["token"], asked=said["asked"], layers=layers,
        place=coordinates(place, crss, up=explorer.up),
    )  # fmt: skip


def measure(explorer: Explorer, said: Message) -> None:
    """Measure along some points."""
    words = measured(said["points"], plane=explorer.plane)
    explorer.tiles.tell("measured", token=said["token"], words=words)


def save(explorer: Explorer, said: Message) -> None:
    """Make a file of what is in view."""
    kind = f".{said['what']}"
    try:
        made = explorer.contents(kind, _place(explorer, said))
    except GeodlError as error:
        explorer.tiles.tell("saved", token=said["token"], words=str(error))
        return
    explorer.tiles.tell("saved", [made], token=said["token"], name=f"map{kind}", type=KINDS[kind])


QUICK: dict[str, Page] = {
    "hello": hello, "bye": bye, "view": seen, "tiles": tiles, "fitted": fitted, "move": move,
    "change": change,
}  # fmt: skip
SLOW: dict[str, Page] = {
    "choose": choose, "objects": objects, "inspect": inspect, "measure": measure, "save": save,
}  # fmt: skip


def _described(
    explorer: Explorer, layer: RasterLayer, place: tuple[float, float]
) -> list[tuple[str, str]]:
    try:
        return describe(layer, place, explorer.feed.painter)
    except GeodlError as error:
        return [("value", str(error))]


def _tiles(rows: list[list[Any]]) -> list[TileId]:
    return [TileId(str(key), int(z), int(x), int(y)) for key, z, x, y in rows]


def _place(explorer: Explorer, said: Message) -> Place:
    (x, y), (width, height) = said["middle"], said["size"]
    return Place((float(x), float(y)), said["zoom"], (int(width), int(height)), explorer.plane)
