"""How long PEKAT's clients wait, against the same work without a server.

    python -m benchmarks.photo_latency --sides 512 1024 --formats PNG raw --rounds 20

Two measures of the same work, in this process and warm: ``direct`` is decode, `answer_photo`,
draw and encode; ``bare`` is Pillow's decode, one forward of the net over the whole photo, and
Pillow's encode. The server is asked over one kept connection. The three take turns; a ratio is the
median of those of the rounds. Wanted: at most 1.15 times the work plus 10 ms.
"""

from __future__ import annotations

import argparse
import http.client
import io
import itertools
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from PIL import Image

import geodl_lab
from geodl_lab.annotations import annotate, heat_map, to_png
from geodl_lab.photo_answers import answer_photo
from geodl_lab.photos import open_photo, raw_photo

SCENE = Path(geodl_lab.__file__).parent / "data" / "santa_monica_naip.tif"
KINDS = ("context", "image", "annotated_image", "heatmap")
RAW = "raw"
MOST_RATIO, MOST_EXTRA = 1.15, 0.010
MULTIPLE = 32  # pixels; nets halve their input some times


@dataclass(frozen=True)
class Case:
    """A photo as it is sent, and what is asked.

    Parameters
    ----------
    data
        A file, or pixels: blue, green, red.
    side
        Width and height in pixels.
    format
        Of Pillow, or `RAW`.
    kind
        The ``response_type``.
    """

    data: bytes
    side: int
    format: str
    kind: str

    @property
    def path(self) -> str:
        """What is asked for."""
        query = f"response_type={self.kind}&context_in_body"
        if self.format == RAW:
            return f"/analyze_raw_image?width={self.side}&height={self.side}&{query}"
        return f"/analyze_image?{query}"


def main() -> None:
    """Measure each size, format and kind of answer, and print a table."""
    options = _options()
    logging.getLogger("geodl_lab").setLevel(logging.ERROR)
    model = geodl_lab.open_model(options.model)
    print("| side | format | answer | bare ms | direct ms | server ms | of bare | of direct | |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, _serve(Path(folder), options.model) as server:
        client = http.client.HTTPConnection(server.pekat_url.removeprefix("http://"))
        for side, format in itertools.product(options.sides, options.formats):
            data = _photo(side, format)
            for kind in KINDS:
                case = Case(data, side, format, kind)
                ways = (_bare(case, model), _direct(case, model), _ask(client, case))
                print(_row(case, _seconds(ways, options.rounds)), flush=True)


def _row(case: Case, seconds: np.ndarray) -> str:
    """Return a line of the table from seconds (way, round)."""
    bare, direct, served = np.median(seconds, axis=1)
    of_bare, of_direct = np.median(seconds[2] / seconds[:2], axis=1)
    kept = served <= MOST_RATIO * direct + MOST_EXTRA
    return (
        f"| {case.side} | {case.format} | {case.kind} | {1000 * bare:.1f} | {1000 * direct:.1f} | "
        f"{1000 * served:.1f} | {of_bare:.2f} | {of_direct:.2f} | {'kept' if kept else 'MISSED'} |"
    )


def _seconds(ways: tuple[Callable[[], Any], ...], rounds: int) -> np.ndarray:
    """Return the seconds (way, round); they take turns, so that noise meets all alike."""
    seconds: list[list[float]] = [[] for _ in ways]
    for number in range(rounds + 2):
        for way, taken in zip(ways, seconds, strict=True):
            begun = time.perf_counter()
            way()
            if number >= 2:  # the first ones warm up
                taken.append(time.perf_counter() - begun)
    return np.array(seconds)


def _bare(case: Case, model: Any) -> Callable[[], Any]:
    fit = model.package.inputs.fit

    def work() -> None:
        image = _decoded(case)
        seen = image if fit is None else image.resize(fit.size_yx[::-1])
        pixels = np.asarray(seen)
        padding = [(0, -side % MULTIPLE) for side in pixels.shape[:2]]
        padded = np.pad(pixels, [*padding, (0, 0)], mode="reflect")
        batch = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            model.network(batch)
        if case.kind != "context":
            image.save(io.BytesIO(), "PNG", compress_level=1)

    return work


def _decoded(case: Case) -> Image.Image:
    if case.format == RAW:
        size = (case.side, case.side)
        return Image.frombuffer("RGB", size, case.data, "raw", "BGR", 0, 1)
    with Image.open(io.BytesIO(case.data)) as file:
        return file.convert("RGB")


def _direct(case: Case, model: Any) -> Callable[[], Any]:
    def work() -> None:
        raw = case.format == RAW
        photo = raw_photo(case.data, case.side, case.side) if raw else open_photo(case.data)
        answer = answer_photo(photo, model, most=100_000, heat=case.kind == "heatmap")
        pixels = photo.values.transpose(1, 2, 0)
        if case.kind == "annotated_image":
            to_png(annotate(pixels, answer))
        elif case.kind == "image":
            to_png(Image.fromarray(np.ascontiguousarray(pixels)))
        elif case.kind == "heatmap":
            to_png(heat_map(answer))

    return work


def _ask(client: http.client.HTTPConnection, case: Case) -> Callable[[], Any]:
    def work() -> None:
        client.request("POST", case.path, case.data, {"Content-Type": "application/octet-stream"})
        response = client.getresponse()
        body = response.read()
        assert response.status == 200, body[:500]

    return work


def _photo(side: int, format: str) -> bytes:
    with rasterio.open(SCENE) as file:
        pixels = file.read((1, 2, 3)).transpose(1, 2, 0)
    times = [-(-side // length) for length in pixels.shape[:2]]
    tiled = np.tile(pixels, (*times, 1))[:side, :side]
    if format == RAW:
        return tiled[..., ::-1].tobytes()
    stream = io.BytesIO()
    Image.fromarray(tiled).save(stream, format)
    return stream.getvalue()


def _serve(folder: Path, model: str) -> Any:
    project = folder / "project.json"
    project.write_text(f'{{"api_key": null, "model": "{model}"}}')
    return geodl_lab.serve(folder / "data", port=0, pekat_port=0, pekat_project=project)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What PEKAT's clients wait for.")
    parser.add_argument("--model", default="tree-crowns")
    parser.add_argument("--sides", type=int, nargs="+", default=[400, 1024])
    parser.add_argument("--rounds", type=int, default=15)
    formats = ("PNG", "JPEG", "BMP", RAW)
    parser.add_argument("--formats", nargs="+", default=["PNG"], choices=formats)
    return parser.parse_args()


if __name__ == "__main__":
    main()
