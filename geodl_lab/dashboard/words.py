"""What the app says: labels, sentences, tables. No widget, no server."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from geodl_lab.errors import OptionError
from geodl_lab.job_html import COLORS, duration
from geodl_lab.raster import Raster, area_window
from geodl_lab.remote_rasters import SHARES

if TYPE_CHECKING:
    from geodl_lab.remote_jobs import RemoteJob
    from geodl_lab.remote_rasters import RemoteModel, RemoteRaster

MEANS = {
    "classify": "a class for every pixel",
    "detect": "single objects",
    "recognize": "labels of the whole",
    "regress": "a value for every pixel",
}
MOST = 30
"""Classes that are named on a card."""

GREY = "#808080"
LONGEST = 400
"""Characters of a sentence that somebody else wrote."""


def raster_line(raster: Raster) -> str:
    """Return size, bands and place of a raster on one line."""
    height, width = raster.shape_yx
    bands = ", ".join(n or "unnamed" for n in raster.band_names) or "none"
    where = _crs_name(raster) or "no place on Earth: coordinates are pixels"
    count = raster.array.shape[0]
    return f"{width:,} x {height:,} px · {count} bands ({bands}) · {where}".replace(
        "1 bands", "1 band"
    )


def area_line(raster: Raster, area: Sequence[float] | None) -> str:
    """Return how large an area is."""
    window = area_window(raster, area)
    pixels = f"{window.width:,} x {window.height:,} px"
    if raster.crs is None or not raster.crs.is_projected:
        return pixels
    meters = raster.crs.linear_units_factor[1]
    hectares = window.width * window.height * abs(raster.transform.determinant) * meters**2 / 1e4
    return f"{pixels}, {hectares:,.1f} ha"


def model_label(model: RemoteModel, misfit: str) -> str:
    """Return how a model is called in a list."""
    words = f"{model.reference}: {MEANS.get(model.task, model.task)}"
    return f"{words} (does not fit)" if misfit else words


def ordered(
    models: Iterable[RemoteModel], raster: Raster | None, best: str = ""
) -> list[tuple[RemoteModel, str]]:
    """Return models with why each cannot run, "" if it can; those that can first.

    Parameters
    ----------
    models
        All that there are.
    raster
        What they would run on; None fits all.
    best
        The model to name first if it fits.
    """
    judged = [(one, one.misfit(raster) if raster else "") for one in models]
    return sorted(judged, key=lambda pair: (bool(pair[1]), pair[0].reference != best))


def card_html(card: Any) -> str:
    """Return a model's card, short."""
    title = escape(str(card.get("title") or card["name"]))
    bands = ", ".join(card.get("bands") or ()) or f"{card.get('count')} bands"
    cell = card.get("cell_size")
    rows = {
        "gives": f"{MEANS.get(card['task'], card['task'])}",
        "wants": f"{bands}; {card.get('dtype') or 'any pixel type'}"
        + (f"; cells of {cell:g} m" if cell else ""),
        "accuracy": _accuracy(card.get("accuracy") or {}),
        "licence": str(card.get("license") or ""),
        "credit": str(card.get("attribution") or ""),
    }
    lines = "".join(
        f"<tr><th scope='row'>{name}</th><td>{escape(words[:LONGEST])}</td></tr>"
        for name, words in rows.items()
        if words
    )
    about = escape(str(card.get("description") or "")[:LONGEST])
    classes = swatches(card.get("classes") or ())
    return (
        f"<div class='geoapp-card'><b>{title}</b><p>{about}</p>{classes}"
        f"<details><summary>More about this model</summary><table>{lines}</table></details></div>"
    )


def swatches(classes: Sequence[Any]) -> str:
    """Return classes as coloured squares with names."""
    boxes = "".join(
        f"<li>{_swatch(one['color'])}{escape(str(one['name']))}</li>" for one in classes[:MOST]
    )
    if len(classes) > MOST:
        boxes += f"<li>and {len(classes) - MOST} more</li>"
    return f"<ul class='geoapp-swatches'>{boxes}</ul>"


def bars_html(rows: Sequence[tuple[str, str, float, str]], caption: str) -> str:
    """Return a bar chart that is a table, so that it is read aloud too.

    Parameters
    ----------
    rows
        Name, colour, length of the bar (0..1) and what is written beside it.
    caption
        What is measured.
    """
    lines = "".join(
        f"<tr><th scope='row'>{_swatch(color)}{escape(name)}</th>"
        f"<td class='geoapp-bar'><div style='width:{100 * part:.1f}%;"
        f"background:{escape(color)}'></div></td>"
        f"<td class='geoapp-number'>{escape(words)}</td></tr>"
        for name, color, part, words in rows
    )
    return f"<table class='geoapp-chart'><caption>{escape(caption)}</caption>{lines}</table>"


def areas_html(areas: Any) -> str:
    """Return the table of `geodl_lab.class_areas` as bars; it is also the legend."""
    ordered_rows = areas.sort_values("share", ascending=False)
    largest = float(areas["share"].max()) if len(areas) else 1.0
    rows = [
        (str(one.name_), one.color, one.share / largest, _amount(one))
        for one in ordered_rows.rename(columns={"name": "name_"}).itertuples()
    ]
    return bars_html(rows, "Area of each class")


def counts_html(counts: Any, colors: Mapping[str, str]) -> str:
    """Return the table of `geodl_lab.label_counts` as bars, in the colours of the map."""
    largest = max((int(n) for n in counts["count"]), default=1)
    rows = [
        (str(label), colors.get(str(label), GREY), int(n) / largest, f"{int(n):,}")
        for label, n in zip(counts["label"], counts["count"], strict=True)
    ]
    return bars_html(rows, "Objects found" if rows else "No objects were found")


def history_label(job: RemoteJob, names: dict[str, str]) -> str:
    """Return a run on one line: when, what, on what, how it went."""
    when = time.strftime("%d %b %H:%M", time.localtime(job.created))
    raster = names.get(job.place) or job.place.rpartition("/")[2]
    return f"{when} · {job.model} on {raster} · {job.state}"


def run_line(job: RemoteJob) -> str:
    """Return where a job stands, in a sentence."""
    if job.state == "pending":
        return "Waiting for its turn."
    if job.state == "running":
        left = f", {job.left_words}" if job.left_words else ""
        return f"Running: {job.percent:.0f} %{left}."
    if job.state == "succeeded":
        return f"Done in {duration(job.seconds)}."
    if job.state == "cancelled":
        return "Cancelled."
    return f"It failed: {sentence(job.messages[-1] if job.messages else 'it did not say why')}"


def sentence(words: str) -> str:
    """Return words as a sentence: a capital at its begin, a full stop at its end."""
    flat = " ".join(words.split())[:LONGEST].rstrip(".")
    return f"{flat[:1].upper()}{flat[1:]}."


def note_html(words: str, kind: str = "info") -> str:
    """Return a sentence in a box; ``kind`` is info, good or bad."""
    if not words:
        return ""
    color = {"info": COLORS["running"], "good": COLORS["succeeded"], "bad": COLORS["failed"]}[kind]
    role = "alert" if kind == "bad" else "status"
    return f"<div class='geoapp-note' role='{role}' style='--accent:{color}'>{escape(words)}</div>"


def hint_html(text: str) -> str:
    """Return a sentence that is no more than a help."""
    return f"<div class='geoapp-hint'>{escape(text)}</div>"


def raster_label(raster: RemoteRaster) -> str:
    """Return how a raster is called in a list."""
    place = raster.key.removeprefix(SHARES)
    return place if raster.key.startswith(SHARES) else f"{raster.name} (uploaded)"


def number(text: str) -> float | None:
    """Return the least score that was typed, None for nothing; raises OptionError."""
    if not text.strip():
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise OptionError(f"the least score {text!r} is not possible; give a number of 0 to 1")
    return value


def _swatch(color: str) -> str:
    return f"<span class='geoapp-swatch' style='background:{escape(color)}'></span>"


def _amount(row: Any) -> str:
    share = f"{100 * row.share:.1f} %"
    if row.hectares != row.hectares:  # NaN: the raster has no CRS
        return f"{int(row.pixels):,} px · {share}"
    return f"{row.hectares:,.2f} ha · {share}"


def _accuracy(said: Any) -> str:
    if isinstance(said, dict):
        return ", ".join(f"{k} {_accuracy(v)}" for k, v in said.items())
    return f"{said:.3g}" if isinstance(said, float) else str(said)


def _crs_name(raster: Raster) -> str:
    if raster.crs is None:
        return ""
    code = raster.crs.to_epsg()
    return f"EPSG:{code}" if code else "a CRS of its own"
