"""How long PEKAT's clients wait, against the same work without a server.

    python -m benchmarks.photo_latency --sides 400 1024 --rounds 20

Two measures of the same work, in this process and warm: ``direct`` is decode, `answer_photo`,
draw and encode; ``bare`` is Pillow's decode, one forward of the net over the whole photo, and
Pillow's encode. The server is asked over one kept connection. Wanted: at most 1.15 times the work
plus 10 ms.
"""

from __future__ import annotations

import argparse
import http.client
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from PIL import Image

import geodl_lab
from geodl_lab.annotations import annotate, to_png
from geodl_lab.photo_answers import answer_photo
from geodl_lab.photos import open_photo

SCENE = Path(geodl_lab.__file__).parent / "data" / "santa_monica_naip.tif"
KINDS = ("context", "image", "annotated_image")
MOST_RATIO, MOST_EXTRA = 1.15, 0.010
MULTIPLE = 32  # pixels; nets halve their input some times


def main() -> None:
    """Measure each size and kind of answer, and print a table."""
    options = _options()
    model = geodl_lab.open_model(options.model)
    print("| side | answer | bare ms | direct ms | server ms | of bare | of direct | wanted |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, _serve(Path(folder), options.model) as server:
        client = http.client.HTTPConnection(server.pekat_url.removeprefix("http://"))
        for side in options.sides:
            data = _photo(side, options.format)
            for kind in KINDS:
                ways = (
                    _bare(data, kind, model),
                    _direct(data, kind, model),
                    _ask(client, data, kind),
                )
                print(_row(side, kind, *_medians(ways, options.rounds)), flush=True)


def _row(side: int, kind: str, bare: float, direct: float, served: float) -> str:
    kept = served <= MOST_RATIO * direct + MOST_EXTRA
    return (
        f"| {side} | {kind} | {1000 * bare:.1f} | {1000 * direct:.1f} | {1000 * served:.1f} | "
        f"{served / bare:.2f} | {served / direct:.2f} | {'kept' if kept else 'MISSED'} |"
    )


def _medians(ways: tuple[Callable[[], Any], ...], rounds: int) -> list[float]:
    """Return the median seconds of each way; they take turns, so that noise meets all alike."""
    seconds: list[list[float]] = [[] for _ in ways]
    for number in range(rounds + 2):
        for way, taken in zip(ways, seconds, strict=True):
            begun = time.perf_counter()
            way()
            if number >= 2:  # the first ones warm up
                taken.append(time.perf_counter() - begun)
    return [statistics.median(taken) for taken in seconds]


def _bare(data: bytes, kind: str, model: Any) -> Callable[[], Any]:
    def work() -> None:
        with Image.open(io.BytesIO(data)) as file:
            image = file.convert("RGB")
        pixels = np.asarray(image)
        padding = [(0, -side % MULTIPLE) for side in pixels.shape[:2]]
        padded = np.pad(pixels, [*padding, (0, 0)], mode="reflect")
        batch = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            model.network(batch)
        if kind != "context":
            image.save(io.BytesIO(), "PNG", compress_level=1)

    return work


def _direct(data: bytes, kind: str, model: Any) -> Callable[[], Any]:
    def work() -> None:
        photo = open_photo(data)
        answer = answer_photo(photo, model, most=100_000)
        pixels = photo.values.transpose(1, 2, 0)
        if kind == "annotated_image":
            to_png(annotate(pixels, answer))
        elif kind == "image":
            to_png(Image.fromarray(pixels))

    return work


def _ask(client: http.client.HTTPConnection, data: bytes, kind: str) -> Callable[[], Any]:
    def work() -> None:
        path = f"/analyze_image?response_type={kind}&context_in_body"
        client.request("POST", path, data, {"Content-Type": "application/octet-stream"})
        response = client.getresponse()
        body = response.read()
        assert response.status == 200, body[:500]

    return work


def _photo(side: int, format: str) -> bytes:
    with rasterio.open(SCENE) as file:
        pixels = file.read((1, 2, 3)).transpose(1, 2, 0)
    times = [-(-side // length) for length in pixels.shape[:2]]
    tiled = np.tile(pixels, (*times, 1))[:side, :side]
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
    parser.add_argument("--format", default="PNG", choices=("PNG", "JPEG", "BMP"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
