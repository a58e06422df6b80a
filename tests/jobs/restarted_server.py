"""A server with fake works, run by test_restart as a program of its own: FOLDER [SUBMIT]."""

import sys
import time
from pathlib import Path

import fake_works

from geodl_lab.jobs import make, workers
from geodl_lab.jobs.core import CoreOptions, open_core
from geodl_lab.jobs.job import Caller
from geodl_lab.jobs.recipes import Classify


def main(folder, count):
    make.MAKERS[Classify] = fake_works.make
    workers.find_devices = fake_works.one_device
    core = open_core(CoreOptions(Path(folder)), resolve=fake_works.resolve)
    for number in range(count):
        recipe = fake_works.classify(6, name=f"n{number}", seconds=0.05, service=f"s{number}")
        job = core.submit(recipe, Caller("ann"), request={})
        print(job.id, flush=True)
    time.sleep(100)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
