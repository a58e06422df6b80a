"""A server with photos that take a while, run by test_looks as a program of its own: FOLDER."""

import sys
import time
from pathlib import Path

import fake_looks
import fake_works
import test_looks

from geodl_lab.jobs import photo_works, workers
from geodl_lab.jobs.core import CoreOptions, open_core


def main(folder):
    photo_works.look = fake_looks.look
    workers.find_devices = fake_works.one_device
    core = open_core(CoreOptions(Path(folder)), resolve=test_looks.resolve)
    for number in range(30):
        print(test_looks.send(core, f"sleep0.{number:03}1").id, flush=True)
    time.sleep(100)


if __name__ == "__main__":
    main(sys.argv[1])
