"""Pages of docs whose blocks are run as they stand, in order, by somebody in an empty folder."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import rasterio
from PIL import Image

import geodl_lab

ROOT = Path(__file__).parents[1]
PROGRAMS = {"python": "", "geodl": "-m geodl_lab", "dask": "-m dask"}
BLOCK_S = 240  # for a block to end, on two busy cores


@dataclass(frozen=True)
class Block:
    """A block of a page: its kind, its line, its text."""

    kind: str
    line: int
    text: str


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w[^\n]*)\n(.*?)^```$", text, re.S | re.M)
    return [Block(one[1], text[: one.start()].count("\n") + 1, one[2]) for one in found]


@dataclass
class Reader:
    """Somebody who does what a page says, in an empty folder."""

    folder: Path
    ports: Mapping[str, str]
    also: Mapping[str, str]
    groups: list[int] = field(default_factory=list)
    said: str = ""

    def do(self, block: Block, how: Callable[[Reader, str], None]) -> None:
        """Do what a block says."""
        ports = "|".join(self.ports)
        text = re.sub(rf"\b({ports})\b", lambda found: self.ports[found[1]], block.text)
        try:
            how(self, text)
        except (AssertionError, KeyError) as error:
            error.add_note(f"the page's line {block.line} ({block.kind})")
            raise

    def run(self, *command: str) -> None:
        """Run a command in the folder; it must succeed. What it leaves behind ends with us."""
        log = self.folder.parent / "said.txt"  # a pipe would wait for servers that stay
        begins = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment(), stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self.groups.append(process.pid)
        try:
            status = process.wait(BLOCK_S)
        except subprocess.TimeoutExpired:
            status = "no end"
        self.said = log.read_bytes()[begins:].decode(errors="replace")
        assert status == 0, f"{status}: {self.said[-4000:]}"

    @property
    def all_said(self) -> str:
        """What all blocks have written so far."""
        return (self.folder.parent / "said.txt").read_text(errors="replace")

    def environment(self) -> dict[str, str]:
        """Return the environment of a user: `geodl` and `python` are ours, no proxy, no keys."""
        bin = self.folder.parent / "bin"
        path = f"{bin}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        modules = os.pathsep.join([str(self.folder), str(ROOT)])
        return {**os.environ, "PATH": path, "PYTHONPATH": modules, **self.also}

    def close(self) -> None:
        """End all that blocks have started and left."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for group in self.groups:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, number)
            time.sleep(2)


def run_bash(reader: Reader, text: str) -> None:
    """Run a block of bash."""
    reader.run("bash", "-euo", "pipefail", "-c", text)


def run_python(reader: Reader, text: str) -> None:
    """Run a block of Python."""
    reader.run(sys.executable, "-W", "ignore", "-c", text)


@contextlib.contextmanager
def reading(folder: Path, ports: Sequence[str], **also: str) -> Iterator[Reader]:
    """Give somebody an empty folder, and programs by the names that a user types.

    ``ports`` are those of the page, of which each becomes a free one; ``also`` is environment.
    """
    bin, page = folder / "bin", folder / "page"
    bin.mkdir()
    page.mkdir()
    for name, module in PROGRAMS.items():
        words = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -W ignore {module} "$@"\n'
        (bin / name).write_text(words)
        (bin / name).chmod(0o755)
    reader = Reader(page, dict(zip(ports, _free(len(ports)), strict=True)), also)
    try:
        yield reader
    finally:
        reader.close()


def photo_of_the_scene(file: Path) -> str:
    """Write a part of the bundled scene as a photo of 320 x 256 pixels; return its name."""
    with rasterio.open(geodl_lab.demo_scene()) as scene:
        pixels = scene.read((1, 2, 3))[:, 100:356, 100:420].transpose(1, 2, 0)
    Image.fromarray(pixels).save(file)
    return str(file)


def _free(count: int) -> list[str]:
    with contextlib.ExitStack() as stack:
        free = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in free:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in free]
