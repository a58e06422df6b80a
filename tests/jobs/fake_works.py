"""A work that needs no model: small files, and what its arguments ask for besides.

Workers import this module by its name, so its folder is on the path (conftest).
"""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from geodl_lab.errors import CancelledError, OutputError
from geodl_lab.grid import Window
from geodl_lab.jobs.recipes import Classify, Output, Ref
from geodl_lab.jobs.resolved import Resolved
from geodl_lab.jobs.works import Done, Missing, Part, Result, is_cancelled


def one_device():
    return ["cpu"]


def two_devices():
    return ["cuda:0", "cuda:1"]


def classify(parts=3, *, service="", item="", share=None, device="auto", **arguments):
    """Recipe of a fake work."""
    made = Classify(
        (Ref("store", "A/a.tif"),),
        Ref("model", "fake"),
        Output(service, item),
        {"parts": parts, **arguments},
    )
    values = {"device": device, "share": share}
    return made.__class__(
        **{n: getattr(made, n) for n in made.__slots__}
        | {"context": made.context.__class__(**values)}
    )


def resolve(recipe, core, caller, folder, call):
    resolved = Resolved(model="fake")
    if getattr(recipe, "arguments", {}).get("crash_inputs"):
        call(make(recipe, resolved, folder).open_inputs)
    return resolved


def make(recipe, resolved, folder):
    return FakeWork(folder, recipe.context.device, tuple(sorted(recipe.arguments.items())))


@dataclass(frozen=True)
class FakeWork:
    folder: Path
    device: str
    arguments: tuple

    def asked(self, name, default=0):
        return dict(self.arguments).get(name, default)

    def open_inputs(self):
        self._once("crash_inputs")

    def missing(self):
        self._once("crash_missing")
        if self.asked("endless"):
            return Missing((Part(0, Window(0, 0, 1, 1), 1),), 1)
        every = [Part(0, Window(i, 0, 1, 1), 1) for i in range(self.asked("parts"))]
        left = tuple(part for part in every if not self._block(part).exists())
        return Missing(left, len(every))

    def compute(self, parts):
        for part in parts:
            self._compute(part)
        return Done(1000 * len(parts), max(len(parts) * self.asked("seconds"), 0.001))

    def finish(self):
        self._once("crash_finish")
        lines = [block.read_text() for block in sorted(self.folder.glob("block*"))]
        result = self.folder / "result"
        result.mkdir(exist_ok=True)
        (result / "all.txt").write_text("".join(lines))
        (result / "beside.txt").write_text("beside")
        return Result(
            {"raster": str(result / "all.txt")},
            {"count": len(lines)},
            ("It is fake.",),
            self._odd(),
        )

    def _odd(self):
        return ("padding was raised",) if self.asked("odd") else ()

    def _compute(self, part):
        number = part.window.y
        if self.asked("warns"):
            logging.getLogger("geodl_lab").warning("this is a warning")
        if self.asked("wait_for_cancel"):
            while not is_cancelled(self.folder):
                time.sleep(0.01)
        if is_cancelled(self.folder):
            raise CancelledError("cancelled between forwards")
        if self.asked("ignores_cancel"):
            time.sleep(100)
        if self.asked("order"):
            with open(self.asked("order"), "a") as file:
                file.write(f"{self.asked('name')}{number}\n")
        if number == self.asked("crash_at", -1):
            self._once("crash")
        if number == self.asked("fail_at", -1):
            raise {
                "geodl": OutputError(f"{self.folder}/x: the disk is full"),
                "odd": KeyError("k"),
            }[self.asked("fail")]
        time.sleep(self.asked("seconds"))
        block = self._block(part)
        rough = block.with_name(f"rough{os.getpid()}")
        rough.write_text(f"{self.asked('name')} {number} {number**2}\n")
        os.replace(rough, block)
        with open(self.folder.parent.parent / "computed.log", "a") as log:
            log.write(f"{self.folder.name} {number}\n")

    def _once(self, what):
        """Kill this worker, as often as asked."""
        for turn in range(self.asked(what)):
            mark = self.folder / f"{what}{turn}"
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), self.asked("signal", 9))

    def _block(self, part):
        return self.folder / f"block{part.window.y:04}"
