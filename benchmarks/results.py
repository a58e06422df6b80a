"""Markdown tables, and the file that keeps them."""

from __future__ import annotations

import datetime
import itertools
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import fresh
from benchmarks.speed import Contender, Speed

FILE = fresh.ROOT / "benchmarks" / "RESULTS.md"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def write(part: str, text: str) -> None:
    """Put ``text`` between the markers of ``part``; append them if new."""
    begin, end = f"<!-- {part} -->", f"<!-- /{part} -->"
    old = FILE.read_text()
    block = f"{begin}\n{text}\n{end}"
    if begin in old:
        before, rest = old.split(begin, 1)
        new = before + block + rest.split(end, 1)[1]
    else:
        new = f"{old.rstrip()}\n\n## {part.capitalize()}\n\n{block}\n"
    FILE.write_text(new)


def stamp() -> str:
    """Say when and where this was measured."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return f"{today}, {fresh.cores()} cores ({_processor()}), torch {torch.__version__}"


def speed_tables(speed: Speed) -> str:
    """Return the tables of the speed part: every contender, then ratios."""
    head = (
        "run", "windows", "s", "Mpx/s", "peak MiB", "largest error", "mean error",
        "classes changed", "uncovered px",
    )  # fmt: skip
    rows = [_row(speed, contender) for contender in speed.contenders]
    ratios = [
        (pair.title, "not run" if pair.failed else f"{pair.ratio:.2f}", pair.goal)
        for pair in speed.pairs
    ]
    return (
        f"{speed.size} x {speed.size} px, 3 bands, 6 classes, a U-Net on a ResNet-18, "
        f"{speed.threads} threads, median of {speed.repeats} rounds in which every run had its own "
        "process. Errors are of probabilities, against one forward of the whole raster. Mpx are "
        f"pixels of the raster, each counted once. Wrapping the net took {speed.wrap_seconds:.1f} "
        "s once, which no row counts.\n\n"
        f"{table(head, rows)}\n\n{table(('times as fast', 'ratio', 'goal'), ratios)}"
    )


def large_table(rows: Sequence[dict[str, Any]], size: int) -> str:
    """Return the table of the part on a large raster."""
    head = ("windows", "limit, s", "file to file, s", "Mpx/s", "ratio", "goal", "peak MiB")
    lines = [
        (_windows(row["recipe"]), f"{row['limit']:.1f}", f"{row['ours']:.1f}",
         f"{size**2 / 1e6 / row['ours']:.3f}", f"{row['ratio']:.2f}", "0.95", row["peak_mb"])
        for row in rows
    ]  # fmt: skip
    return f"{size} x {size} px, the same net.\n\n{table(head, lines)}"


def _windows(recipe: dict[str, Any]) -> str:
    height, width = recipe["window_yx"]
    return f"{height} x {width}, halo {recipe['halo']}, {recipe['recompute']:.2f} computed a px"


def object_table(rows: Sequence[tuple[str, dict[str, Any]]], size: int) -> str:
    """Return the table of the objects part."""
    head = ("run", "s", "true", "reported", "found exactly once", "long ones found", "peak MiB")
    keys = ("true", "reported", "found")
    lines = [
        (name, row["error"], *[""] * 5) if "error" in row else
        (name, f"{row['seconds']:.1f}", *(row[key] for key in keys),
         f"{row['long_found']} of {row['long_true']}", row["peak_mb"])
        for name, row in rows
    ]  # fmt: skip
    return (
        f"{size} x {size} px with painted rectangles; the detector boxes the bright regions of "
        "what it is shown. The rows without the whole-image pass are what a real detector does on "
        "a large raster: it would see the whole image shrunk to its input size.\n\n"
        f"{table(head, lines)}"
    )


def memory_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of the memory part, and the growth between its first two rows."""
    head = ("raster", "s", "Mpx/s", "peak MiB", "overviews", "COG")
    lines = [
        (f"{row['size']} x {row['size']}", row["error"], *[""] * 4) if "error" in row else
        (f"{row['size']} x {row['size']}", f"{row['seconds']:.0f}",
         f"{row['size'] ** 2 / 1e6 / row['seconds']:.1f}", row["peak_mb"], row["overviews"],
         "yes" if row["cog"] else "no")
        for row in rows
    ]  # fmt: skip
    peaks = [(row["size"], row["peak_mb"]) for row in rows if "error" not in row]
    growth = [
        f"From {small} to {large} px a side the peak grew by {100 * (more / less - 1):.0f} %."
        for (small, less), (large, more) in itertools.pairwise(peaks)
    ]
    return f"One-layer net, 10 classes, to a GeoTIFF.\n\n{table(head, lines)}\n\n{' '.join(growth)}"


def scaling_table(row: dict[str, Any]) -> str:
    """Return the table of the scaling part."""
    if "error" in row:
        return f"Not run: {row['error']}"
    head = ("raster", "tasks", "one worker, s", "two workers, s", "times as fast", "same bits")
    line = (
        f"{row['megapixels']:.0f} Mpx", row["tasks"], f"{row['one']:.1f}", f"{row['two']:.1f}",
        f"{row['ratio']:.2f}", "yes" if row["same_bits"] else "NO",
    )  # fmt: skip
    about = "dask worker processes, one thread and one core each; a small U-Net, exact."
    return f"{about}\n\n{table(head, [line])}"


def precision_table(measured: dict[str, Any]) -> str:
    """Return the table of the precision part."""
    if "error" in measured:
        return f"Not run: {measured['error']}"
    head = ("model", "classes changed", "largest difference", "mean difference")
    lines = [
        (name, f"{100 * changed:.2f} %", f"{most:.3f}", f"{mean:.1e}")
        for name, changed, most, mean in measured["rows"]
    ]
    about = "bf16 against fp32 on the CPU: the bundled scene, differences of probabilities."
    return f"{about}\n\n{table(head, lines)}"


def _row(speed: Speed, contender: Contender) -> list[Any]:
    if contender.failure:
        return [contender.name, contender.windows, f"not run: {contender.failure}", *[""] * 6]
    counts, error = contender.counts, contender.error
    pixels = speed.size**2
    return [
        contender.name,
        contender.windows,
        f"{contender.seconds:.1f}",
        f"{speed.rate(contender):.3f}",
        contender.peak_mb,
        f"{error['max_error']:.2g}" if "max_error" in error else "",
        f"{error['mean_error']:.2g}" if "mean_error" in error else "",
        f"{100 * counts['changed'] / pixels:.4f} %" if counts else "",
        max(counts["uncovered"], error.get("uncovered", 0)) if counts else "",
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
