"""Which band of a raster is which channel of a model: by name, in order, or as the caller says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from geodl_lab.errors import BandError
from geodl_lab.package import InputSpec

Bands = Mapping[str, int | str] | Sequence[int | str]
"""Raster bands for a model: ``{"nir": 4}`` by the model's name, or a list in its order.

Numbers count from 1, as GDAL's do; text is a band name of the raster.
"""


SYNONYMS = {
    "r": "red", "g": "green", "b": "blue", "n": "nir", "ir": "nir", "infrared": "nir",
    "near infrared": "nir", "near-infrared": "nir", "near_infrared": "nir", "nearinfrared": "nir",
}  # fmt: skip


UNNAMED = re.compile(r"(band)?[ _-]*\d*|undefined|gray|grey|alpha|palette", re.I)


def match_bands(
    names: Sequence[str], inputs: InputSpec, bands: Bands | None = None
) -> tuple[int, ...]:
    """Find the raster band of each channel of a model.

    By name where the raster knows them all, else in order where the numbers agree and no known
    name contradicts; ``bands`` overrides both.

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
    wanted = tuple(common_name(name) for name in inputs.bands)
    if bands is not None:
        return tuple(_position(item, names) for item in _listed(bands, inputs, names))
    if wanted and all(names.count(name) == 1 for name in wanted):
        return tuple(names.index(name) for name in wanted)
    agree = all(
        not name or name == want for name, want in zip(names, wanted or names, strict=False)
    )
    if len(names) == inputs.count and agree:
        return tuple(range(inputs.count))
    wants = ", ".join(inputs.bands) or f"{inputs.count} bands"
    has = ", ".join(name or f"band {i} (unnamed)" for i, name in enumerate(names, 1))
    raise BandError(
        f"the model wants {inputs.count} bands ({wants}) and the raster has {len(names)} ({has}); "
        f"say which is which, counted from 1, as in {_example(inputs)}"
    )


def _example(inputs: InputSpec) -> str:
    if not inputs.bands:
        return f"bands={list(range(1, inputs.count + 1))}"
    numbers = {name: i for i, name in enumerate(inputs.bands, 1)}
    words = ",".join(f"{name}={i}" for name, i in numbers.items())
    return f"bands={numbers} (--bands {words})"


def common_name(name: str) -> str:
    """Return the field's common name of a band in lower case; "" for names that say nothing."""
    name = name.strip().lower()
    return "" if UNNAMED.fullmatch(name) else SYNONYMS.get(name, name)


def _listed(bands: Bands, inputs: InputSpec, names: Sequence[str]) -> list[int | str]:
    """Return the caller's bands in the model's order."""
    if isinstance(bands, Mapping):
        given = {common_name(name): item for name, item in bands.items()}
        wanted = [common_name(name) for name in inputs.bands]
        unknown = sorted(set(given) - set(wanted))
        if unknown:
            raise BandError(f"bands= names {unknown}, but the model wants {list(inputs.bands)}")
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
