"""The app as a whole: what it says of itself, and that nothing is forgotten behind the door."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from geodl_lab.server.auth import OPEN, OPTIONAL

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "dask", "geopandas", "matplotlib", "pyogrio", "scipy", "distributed"}


@pytest.fixture
def document(app, ask):
    """The OpenAPI document as a client gets it."""
    return ask(app(), "/openapi.json").json()


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_operation_has_an_id_of_its_own(document):
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) > 50 and len(set(ids)) == len(ids)


def test_every_part_of_a_path_is_declared(document):
    for path, _, operation in operations(document):
        declared = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
        assert sorted(declared) == sorted(re.findall(r"{(\w+)}", path)), path


def test_the_document_says_what_needs_a_key(app, ask, document):
    server = app()
    schemes = set(document["components"]["securitySchemes"])
    for path, method, operation in operations(document):
        if path in OPEN:
            assert operation["security"] == []
            continue
        ways = {name for way in operation["security"] for name in way}
        assert ways == schemes
        asked = ask(server, re.sub(r"{\w+}", "x", path), method.upper(), data={"f": "json"})
        if path in OPTIONAL:
            assert {} in operation["security"] and asked.status_code == 200
        elif path.startswith("/arcgis") and "/download" not in path:
            assert asked.json()["error"]["code"] == 499, path
        else:
            assert asked.status_code == 401, path


def test_there_are_no_pages_that_load_scripts_of_others(app, ask):
    assert {ask(app(), path, key="key-of-one").status_code for path in ("/docs", "/redoc")} == {404}


def test_a_server_that_starts_waits_for_no_heavy_library():
    code = (
        "import sys; import geodl_lab.cli, geodl_lab.jobs.core, geodl_lab.server.serve;"
        "import geodl_lab.server.app as app, importlib;"
        "[importlib.import_module(module) for module, _ in app.FACES];"
        f"print(*sorted({HEAVY!r} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert answer.stdout.split() == []
