"""Speed, error and memory of all contenders on one raster and one net."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import compare, fresh, prepare

PEERS = {"geoai": "peer_geoai", "MONAI": "peer_monai"}
SUFFIX = {"peer_geoai": ".tif", "peer_monai": ".npy", "ours": ".npy"}


@dataclass
class Contender:
    """One way to map the raster, and what was measured of it.

    Parameters
    ----------
    name
        As the tables show it.
    module, task
        What `fresh.run` runs.
    windows
        Window, halo or overlap, and batch, in words.
    error
        Of its probabilities against one forward of the whole raster; empty where not measured.
    runs
        One report a round.
    counts
        Changed and uncovered pixels of its last output.
    """

    name: str
    module: str
    task: dict[str, Any]
    windows: str = ""
    error: dict[str, Any] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def failure(self) -> str:
        """Why a run failed, or ""."""
        return next((str(run["error"]) for run in self.runs if "error" in run), "")

    @property
    def seconds(self) -> float:
        """Median over the rounds."""
        return statistics.median(run["seconds"] for run in self.runs)

    @property
    def peak_mb(self) -> float:
        """Largest over the rounds."""
        return max(run["peak_mb"] for run in self.runs)


@dataclass(frozen=True)
class Pair:
    """Two contenders to divide.

    Parameters
    ----------
    above, below
        How many times as fast is ``above`` as ``below``?
    goal
        The ratio to reach, in words, or "".
    """

    above: Contender
    below: Contender
    goal: str = ""

    @property
    def title(self) -> str:
        """Return what the tables call it."""
        return f"{self.above.name} / {self.below.name}"

    @property
    def failed(self) -> bool:
        """Tell whether one of the two has no time."""
        return bool(self.above.failure or self.below.failure)

    @property
    def ratio(self) -> float:
        """Return the median of the rounds' own ratios."""
        runs = zip(self.above.runs, self.below.runs, strict=True)
        return statistics.median(below["seconds"] / above["seconds"] for above, below in runs)


@dataclass
class Speed:
    """What the speed part measured.

    Parameters
    ----------
    size, repeats, threads, wrap_seconds
        Side of the raster in pixels, rounds, intra-op threads, seconds that wrapping the net took.
    contenders
        In the order of the table.
    pairs
        What to divide by what.
    """

    size: int
    repeats: int
    threads: int
    wrap_seconds: float
    contenders: list[Contender]
    pairs: list[Pair]

    def rate(self, contender: Contender) -> float:
        """Return megapixels of the raster a second."""
        return self.size**2 / 1e6 / contender.seconds


def measure(place: Path, *, size: int, repeats: int) -> Speed:
    """Run the speed part in the folder ``place``."""
    threads = fresh.cores()
    prepared = fresh.run("prepare", folder=place, size=size, threads=threads)
    if "error" in prepared:
        raise RuntimeError(f"the scene could not be made: {prepared['error']}")
    bench = _Bench(place, threads)
    limit, exact, lazy = bench.three("exact", None)
    contenders = [limit, exact, lazy]
    pairs = [Pair(exact, limit, "0.95"), Pair(lazy, limit)]
    done: dict[str, tuple[Contender, Contender, Contender]] = {}
    for name, module in PEERS.items():
        usual = bench.peer(f"{name}, its defaults", module, {})
        contenders.append(usual)
        if "error" in usual.error:
            continue
        three = bench.three(f"at {name}'s error", bench.matching(usual.error))
        known = done.setdefault(three[0].windows, three)
        limit, file, lazy = known
        if known is three:
            contenders += three
            pairs += [Pair(file, limit, "0.95"), Pair(lazy, limit)]
        else:  # two peers' errors may well lead to the same windows
            for contender in known:
                contender.name = contender.name.replace(" error", f" and {name}'s error")
        same = bench.peer(f"{name}, our windows", module, _equal(module, file.task["recipe"]))
        contenders.append(same)
        pairs += [
            Pair(file, usual, "3 to the fastest peer"),
            Pair(file, same, "1.2"),
            Pair(exact, usual),
        ]
    for number in range(repeats):
        for contender in contenders:
            bench.time(contender)
            print(f"round {number + 1}: {contender.name}: {contender.runs[-1]}", flush=True)
    return Speed(size, repeats, threads, prepared["wrap_seconds"], contenders, pairs)


@dataclass
class _Bench:
    """The folder with scene, net, model and truth, and what is run on them."""

    place: Path
    threads: int
    known: dict[float | None, Any] = field(default_factory=dict)

    def three(self, name: str, tolerance: float | None) -> tuple[Contender, Contender, Contender]:
        """Return limit, file to file and lazy at one tolerance, the last two with their error."""
        error, recipe = self.error_of_ours(tolerance)
        model = {"model": self.place / "unet.pickle", "seam_tolerance": tolerance}
        weights = {"weights": self.place / "weights.pt"}
        windows = _in_words(recipe)
        limit = Contender(f"limit, {name}", "limit", {**model, **weights}, windows)
        ours = [
            Contender(f"ours {how}, {name}", "ours", {**model, "mode": mode}, windows, error)
            for how, mode in (("file to file", "file"), ("lazy", "lazy"))
        ]
        ours[0].task["recipe"] = recipe
        return limit, ours[0], ours[1]

    def peer(self, name: str, module: str, options: dict[str, Any]) -> Contender:
        """Return a peer with its error."""
        # As its user finds it at its defaults; with what we ask of torch where windows are ours.
        task = {"weights": self.place / "weights.pt", "huge_pages": bool(options), **options}
        target = self.place / f"scores{SUFFIX[module]}"
        done = self._run(module, task, target=target, scores=True)
        error = done if "error" in done else compare.compare_scores(
            target, self.place / "truth.npy", kind="scores"
        )  # fmt: skip
        print(f"{name}: {error}", flush=True)
        return Contender(name, module, task, _peer_words(module, options), error)

    def matching(self, peer: dict[str, Any]) -> float | None:
        """Return the largest tolerance at which our error here is no worse than a peer's.

        Both errors, the largest and the mean, are measured on this raster; the tolerance is the
        package's own bound, so it may be above the error that it led to.
        """
        seams = prepare.load_model(self.place / "unet.pickle").package.field.seams
        for tolerance in sorted({seam for seam in seams if seam > 0}, reverse=True):
            error, recipe = self.error_of_ours(tolerance)
            print(f"tolerance {tolerance}, halo {recipe['halo']}: {error}", flush=True)
            if all(error[key] <= peer[key] for key in ("max_error", "mean_error")):
                return tolerance
        return None

    def error_of_ours(self, tolerance: float | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return error and recipe of our probabilities at a tolerance."""
        if tolerance not in self.known:
            self.known[tolerance] = self._error_of_ours(tolerance)
        return self.known[tolerance]

    def _error_of_ours(self, tolerance: float | None) -> tuple[dict[str, Any], dict[str, Any]]:
        target = self.place / "probabilities.npy"
        task = {
            "mode": "probabilities",
            "model": self.place / "unet.pickle",
            "seam_tolerance": tolerance,
        }
        done = self._run("ours", task, target=target)
        if "error" in done:
            raise RuntimeError(f"our own run failed: {done['error']}")
        error = compare.compare_scores(target, self.place / "truth.npy", kind="probabilities")
        return error, done["recipe"]

    def time(self, contender: Contender) -> None:
        """Run a contender once more and keep its report and its counts."""
        if contender.failure:
            return
        to = {} if contender.module == "limit" else {"target": self._target(contender)}
        task = {key: value for key, value in contender.task.items() if key != "recipe"}
        contender.runs.append(self._run(contender.module, task, **to))
        if to and not contender.failure:
            truth = self.place / "truth.npy"
            contender.counts = compare.compare_classes(to["target"], truth)

    def _target(self, contender: Contender) -> Path:
        return self.place / ("lazy.npy" if contender.task.get("mode") == "lazy" else "classes.tif")

    def _run(self, module: str, task: dict[str, Any], **more: Any) -> dict[str, Any]:
        scene = self.place / "scene.tif"
        return fresh.run(module, scene=scene, threads=self.threads, **task, **more)


def _equal(module: str, recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a peer's options for the windows of our recipe: neighbours share two halos."""
    window, overlap, batch = min(recipe["window_yx"]), 2 * recipe["halo"], recipe["batch"]
    if module == "peer_geoai":
        return {"tile_size": window, "overlap": overlap, "batch_size": batch}
    return {"roi_size": window, "overlap": overlap / window, "sw_batch_size": batch}


def _in_words(recipe: dict[str, Any]) -> str:
    height, width = recipe["window_yx"]
    bound = recipe["seam_tolerance"]
    tolerance = "exact" if bound is None else f"tolerance {bound:.2g}"
    return (
        f"{tolerance}, {height} x {width}, halo {recipe['halo']}, "
        f"{recipe['recompute']:.2f} computed a px, batch {recipe['batch']}, "
        f"{recipe['layout']}, {recipe['threads']} thr."
    )


def _peer_words(module: str, options: dict[str, Any]) -> str:
    if module == "peer_geoai":
        tile, overlap = options.get("tile_size", 256), options.get("overlap", 64)
        batch = options.get("batch_size", 4)
        return f"{tile}, overlap {overlap}, batch {batch}, spline"
    tile, share = options.get("roi_size", 512), options.get("overlap", 0.25)
    return f"{tile}, overlap {share * tile:.0f}, batch {options.get('sw_batch_size', 4)}, constant"
