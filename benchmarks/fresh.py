"""One measurement, one fresh process: nothing that ran before it has warmed or filled anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def run(module: str, *, huge_pages: bool = True, **task: Any) -> dict[str, Any]:
    """Run ``benchmarks.<module>`` on ``task`` in a new process and return what it reports.

    Parameters
    ----------
    module, task
        What to run on what.
    huge_pages
        Whether torch asks for huge pages, as geodl_lab has it do; False is torch's own default.

    Returns
    -------
    dict
        What the module's work returned, and ``peak_mb``; or only ``error``, the reason why not.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", json.dumps(task, default=str)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]]),
        "THP_MEM_ALLOC_ENABLE": str(int(huge_pages)),
    }
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        print(done.stderr[-2000:], file=sys.stderr)
        return {"error": lines[-1][:200]}
    return json.loads(done.stdout.splitlines()[-1])


def report(work: Callable[..., dict[str, Any]]) -> None:
    """Do the task of the command line and print its answer as the last line, in JSON."""
    answer = work(**json.loads(sys.argv[1]))
    print(json.dumps({**answer, "peak_mb": round(peak_mb())}))


def peak_mb() -> float:
    """Return the largest resident memory of this process so far, in MiB.

    Not ``ru_maxrss``: that begins with what the parent held when it forked.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM; the benchmarks need Linux")
