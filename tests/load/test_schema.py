"""Requests made of the OpenAPI document, in and out of its bounds, never end in a 5xx."""

import subprocess
import sys

import pytest

from tests.load.conftest import KEY

pytestmark = [pytest.mark.load, pytest.mark.xdist_group("load")]


def test_no_request_ends_in_a_server_error(server):
    server.start()
    run = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json",
            "--header", f"X-API-KEY: {KEY}", "--checks", "not_a_server_error",
            "--max-examples", "10", "--phases", "examples,coverage,fuzzing",
            "--generation-database", "none", "--seed", "1", "--request-timeout", "60",
        ],
        check=False, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-5000:]
    assert server.stop() == 0
