"""Which band of a raster is which channel of a model: by name, in order, or as the caller says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from geodl_lab.errors import BandError
from geodl_lab.inputs import InputSpec

Bands = Mapping[str, int | str] | Sequence[int | str]
"""Raster bands for a model: ``{"nir": 4}`` by the model's name, or a list in its order.

Numbers count from 1, as GDAL's do; text is a band name of the raster.
"""


SYNONYMS = {
    alias: name
    for name, aliases in {
        "red": "r",
        "green": "g",
        "blue": "b",
        "nir": "n ir infrared nearinfrared nearinfrared1 nir1",
        "nir08": "nir8",
        "nir09": "nir9 watervapor watervapour",
        "rededge": "re vegetationrededge",
        "rededge071": "rededge1 vegetationrededge1 re1",
        "rededge075": "rededge2 vegetationrededge2 re2",
        "rededge078": "rededge3 vegetationrededge3 re3",
        "coastal": "coastalaerosol coastalblue ultrablue aerosol",
        "pan": "panchromatic",
        "swir16": "swir1 shortwaveinfrared1",
        "swir": "shortwaveinfrared",
        "swir22": "swir2 shortwaveinfrared2",
        "cirrus": "",
        "lwir11": "thermalinfrared1 tirs1 lwir1",
        "lwir12": "thermalinfrared2 tirs2 lwir2",
        "lwir": "thermal thermalinfrared longwaveinfrared",
    }.items()
    for alias in (name, *aliases.split())
}
"""Names without spaces, dashes, underscores; to the common names of STAC's ``eo`` extension."""

UNNAMED = re.compile(r"(band)?[ _-]*\d*|undefined|gray|grey|alpha|palette", re.I)
BETWEEN = re.compile(r"[ _-]+")


def match_bands(
    names: Sequence[str], inputs: InputSpec, bands: Bands | None = None
) -> tuple[int, ...]:
    """Find the raster band of each channel of a model.

    By name where the raster knows them all; else at the positions that the model states, or in
    order where the numbers agree, if no known name contradicts. ``bands`` overrides all of it.

    Parameters
    ----------
    names
        Common names of the raster's bands, "" where unknown.
    inputs
        What the model wants.
    bands
        The caller's own mapping, see `Bands`.

    Returns
    -------
    tuple of int
        Zero-based positions in the raster, in the model's order.

    Raises
    ------
    BandError
        If no match is certain.
    """
    if bands is not None:
        return tuple(_position(item, names) for item in _listed(bands, inputs, names))
    called = [_common(own) for own in (inputs.bands, inputs.other_names) if own] or [()]
    for wanted in called:
        if wanted and all(names.count(name) == 1 for name in wanted):
            return tuple(names.index(name) for name in wanted)
    places = inputs.positions or tuple(range(len(names)))
    if any(_agree(names, places, wanted, inputs.count) for wanted in called):
        return places
    wants = ", ".join(inputs.bands) or f"{inputs.count} bands"
    if inputs.other_names:
        wants += f"; also called {', '.join(inputs.other_names)}"
    if inputs.positions:
        wants += f"; of its own rasters numbers {', '.join(str(p + 1) for p in inputs.positions)}"
    has = ", ".join(name or f"band {i} (unnamed)" for i, name in enumerate(names, 1))
    raise BandError(
        f"the model wants {inputs.count} bands ({wants}) and the raster has {len(names)} ({has}); "
        f"say which is which, counted from 1, as in {_example(inputs)}"
    )


def _common(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(common_name, names))


def _agree(names: Sequence[str], places: Sequence[int], wanted: Sequence[str], count: int) -> bool:
    """Tell whether the raster has these places and no known name there is another's."""
    if len(places) != count or max(places) >= len(names):
        return False
    found = [names[place] for place in places]
    return all(not name or name == want for name, want in zip(found, wanted or found, strict=True))


def _example(inputs: InputSpec) -> str:
    if not inputs.bands:
        return f"bands={list(range(1, inputs.count + 1))}"
    numbers = {name: i for i, name in enumerate(inputs.bands, 1)}
    words = ",".join(f"{name}={i}" for name, i in numbers.items())
    return f"bands={numbers} (--bands {words})"


def common_name(name: str) -> str:
    """Return the field's common name of a band in lower case; "" for names that say nothing."""
    name = name.strip().lower()
    return "" if UNNAMED.fullmatch(name) else SYNONYMS.get(BETWEEN.sub("", name), name)


def _listed(bands: Bands, inputs: InputSpec, names: Sequence[str]) -> list[int | str]:
    """Return the caller's bands in the model's order."""
    if isinstance(bands, Mapping) and not inputs.bands:
        raise BandError(
            f"bands= maps names, but the model's {inputs.count} bands have none; list the raster's "
            f"in the model's order, as in {_example(inputs)}"
        )
    if isinstance(bands, Mapping):
        wanted = _common(inputs.bands)
        own = dict(zip(_common(inputs.other_names), wanted, strict=False))
        called = {name: common_name(name) for name in bands}
        given = {own.get(called[name], called[name]): item for name, item in bands.items()}
        unknown = sorted(set(given) - set(wanted))
        if unknown:
            raise BandError(f"bands= names {unknown}, but the model wants {list(inputs.bands)}")
        lacking = [name for name in wanted if name not in given and name not in names]
        if lacking:
            raise BandError(
                f"bands= maps {', '.join(given) or 'nothing'}, and the raster has no band called "
                f"{', '.join(lacking)} either; map all of them, as in {_example(inputs)}"
            )
        return [given.get(name, name) for name in wanted]
    if len(bands) != inputs.count:
        raise BandError(
            f"bands= lists {len(bands)} bands, but the model wants {inputs.count} "
            f"({', '.join(inputs.bands) or 'unnamed'}); the raster has {len(names)}"
        )
    return list(bands)


def _position(item: int | str, names: Sequence[str]) -> int:
    if isinstance(item, str):
        name = common_name(item)
        if name and name in names:
            return list(names).index(name)
    elif 1 <= item <= len(names):
        return int(item) - 1
    has = ", ".join(f"{i}: {name or 'unnamed'}" for i, name in enumerate(names, 1))
    raise BandError(f"the raster has no band {item!r}; it has {has} (counted from 1)")
