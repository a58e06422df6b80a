"""The speed table as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.speed import Contender, Speed

COLORS = {"limit": "#b0b7c0", "ours": "#1b7837", "peer_geoai": "#d6604d", "peer_monai": "#e08214"}


def draw(speed: Speed, path: Path) -> None:
    """Write a bar a contender, fastest at the top, with its rate and its largest error."""
    shown = sorted((c for c in speed.contenders if not c.failure), key=speed.rate)
    figure = Figure(figsize=(10, 0.42 * len(shown) + 1.6), layout="constrained")
    axes = figure.subplots()
    rates = [speed.rate(contender) for contender in shown]
    bars = axes.barh(
        [contender.name for contender in shown], rates, color=[COLORS[c.module] for c in shown]
    )
    axes.bar_label(bars, [_label(c, r) for c, r in zip(shown, rates, strict=True)], padding=4)
    axes.set_xlim(0, 1.4 * max(rates))
    axes.set_xlabel("megapixels of the raster a second (longer is faster)")
    axes.set_title(
        f"U-Net on a ResNet-18, {speed.size} x {speed.size} px, {speed.threads} CPU cores",
        loc="left",
    )
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _label(contender: Contender, rate: float) -> str:
    error = contender.error.get("max_error")
    return f"{rate:.2f}" if error is None else f"{rate:.2f}   largest error {error:.2g}"
